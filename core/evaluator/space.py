"""The heaps of one run, and the way between vectors and Python values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from core.evaluator.cells import from_cell, to_cell
from core.evaluator.heaps import CODE_MASK, HEAP_SHIFT, Heap, ValueHeap
from core.evaluator.meter import Meter
from core.evaluator.vector import BOOL, DOUBLE, INT, REFERENCES, STRING, Data, Index, Tags, Vector, distinct

LASTING_HEAPS: Final = 1 << 20
"""Heaps numbered below this live as long as the run; those from here on, as long as a block's rows."""
PASSING_HEAPS: Final = 1 << 21
"""Heaps from here on may be released sooner: what macros, list literals and functions make on the way to a bool."""
_PLAIN: Final[dict[type, tuple[int, type]]] = {
    bool: (BOOL, np.int64),
    int: (INT, np.int64),
    float: (DOUBLE, np.float64),
}
"""The types whose values numpy turns into cells: their tag, and as what."""


class _Memo:
    """Results by code of one lasting heap and one question."""

    def __init__(self) -> None:
        self.known = np.zeros(0, bool)
        self.tags: Tags = np.zeros(0, np.uint8)
        self.data: Data = np.zeros(0, np.int64)

    def reach(self, size: int) -> None:
        """Make room for codes below `size`."""
        have = len(self.known)
        if size > have:
            more = max(size, 2 * have) - have
            self.known = np.concatenate((self.known, np.zeros(more, bool)))
            self.tags = np.concatenate((self.tags, np.zeros(more, np.uint8)))
            self.data = np.concatenate((self.data, np.zeros(more, np.int64)))

    def learn(self, codes: Index, values: Vector) -> None:
        """Keep the result of each code."""
        own = values.spread(len(codes))
        self.known[codes] = True
        self.tags[codes] = own.tags
        self.data[codes] = own.data


Mark = tuple[int, int, int]
"""How many heaps of the block, how many passing ones, and how many passing values there are."""


class Space:
    """Heaps by number, for one run in one thread.

    Arguments:
        meter: counts what is unfolded.
    """

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self._lasting: list[Heap] = [ValueHeap(self, lasting=True)]
        self._of_block: list[Heap] = []
        self._made = ValueHeap(self, lasting=False)
        self._passing: list[Heap] = [self._made]
        self._by_owner: dict[Hashable, int] = {}
        self._memos: dict[Hashable, _Memo] = {}

    def next_block(self) -> None:
        """Forget what belonged to the rows of one block only; references into it mean nothing any more."""
        self._of_block = []
        self._made = ValueHeap(self, lasting=False)
        self._passing = [self._made]

    def clear(self) -> None:
        """Forget everything: the run has ended, and references mean nothing any more."""
        for heaps in (self._lasting, self._of_block, self._passing):
            heaps.clear()
        self._by_owner.clear()
        self._memos.clear()
        del self._made

    def mark(self) -> Mark:
        """What there is now, for `release`."""
        return len(self._of_block), len(self._passing), len(self._made)

    def release(self, mark: Mark, *, block: bool = False) -> None:
        """Forget the passing heaps (and with `block` those of the block) that came since the mark."""
        of_block, passing, made = mark
        if block:
            del self._of_block[of_block:]
        del self._passing[passing:]
        self._made.cut(made)

    def register(self, heap: Heap) -> int:
        """The reference of code 0 of a heap that may pass before the block does."""
        self._passing.append(heap)
        return (PASSING_HEAPS + len(self._passing) - 1) << HEAP_SHIFT

    def register_for_block(self, heap: Heap) -> int:
        """The reference of code 0 of a heap of the present block."""
        self._of_block.append(heap)
        return (LASTING_HEAPS + len(self._of_block) - 1) << HEAP_SHIFT

    def register_lasting(self, owner: Hashable, make: Callable[[], Heap]) -> int:
        """The reference of code 0 of the heap that stands for `owner`, made at first use and kept for the run."""
        number = self._by_owner.get(owner)
        if number is None:
            self._lasting.append(make())
            number = self._by_owner[owner] = len(self._lasting) - 1
        return number << HEAP_SHIFT

    def heap(self, number: int) -> Heap:
        """The heap of a number (the upper bits of a reference)."""
        if number >= PASSING_HEAPS:
            return self._passing[number - PASSING_HEAPS]
        return self._lasting[number] if number < LASTING_HEAPS else self._of_block[number - LASTING_HEAPS]

    def groups(self, vector: Vector, tag: int | None = None) -> Iterator[tuple[Heap, Index, Index]]:
        """The references of a vector by heap: the heap, the rows, and their codes.

        Arguments:
            tag: only rows of this tag; None for every row that is a reference.
        """
        mask = REFERENCES[vector.tags] if tag is None else vector.tags == tag
        rows = np.flatnonzero(mask)
        if not len(rows):
            return
        data = vector.data[rows]
        numbers = data >> HEAP_SHIFT
        codes = data & CODE_MASK
        first = int(numbers[0])
        if bool((numbers == first).all()):
            yield self.heap(first), rows, codes
            return
        for number in np.unique(numbers).tolist():
            mine = numbers == number
            yield self.heap(number), rows[mine], codes[mine]

    def by_code(self, heap: Heap, codes: Index, key: Hashable, compute: Callable[[Index], Vector]) -> Vector:
        """The result of a question for each code, computed once per distinct code and kept where the heap lasts.

        Arguments:
            key: names the question; equal keys must mean equal answers.
            compute: the answers for distinct codes (int64[k], ascending).
        """
        if not heap.lasting():
            once, inverse = np.unique(codes, return_inverse=True)
            return compute(once).take(inverse)
        memo = self._memos.setdefault((id(heap), key), _Memo())
        if len(codes):
            memo.reach(int(codes.max()) + 1)
            unknown = codes[~memo.known[codes]]
            if len(unknown):
                fresh = distinct(unknown)
                memo.learn(fresh, compute(fresh))
        return Vector(memo.tags[codes], memo.data[codes])

    def encode(self, values: Sequence[Any], *, lasting: bool = False) -> Vector:
        """Python values as a vector; strings, lists and maps go to a heap of the run, or to a passing one."""
        kinds = set(map(type, values))
        if len(kinds) == 1:
            plain = _PLAIN.get(kinds.pop())
            if plain is not None:
                tag, width = plain
                return Vector(np.full(len(values), tag, np.uint8), np.array(values, width).view(np.int64))
        store = self._lasting[0] if lasting else self._made
        assert isinstance(store, ValueHeap)
        base = 0 if lasting else PASSING_HEAPS << HEAP_SHIFT
        tags = np.empty(len(values), np.uint8)
        data = np.empty(len(values), np.int64)
        for row, value in enumerate(values):
            tag, cell = to_cell(value)
            tags[row] = tag
            data[row] = base + store.add(value) if cell is None else cell
        return Vector(tags, data)

    def decode(self, vector: Vector) -> list[Any]:
        """The Python value of each row; errors give the exception that stands for their kind."""
        groups = list(self.groups(vector))
        if len(groups) == 1 and len(groups[0][1]) == len(vector):
            heap, _, codes = groups[0]
            once, inverse = np.unique(codes, return_inverse=True)
            found = heap.values(once)
            return [found[place] for place in inverse.tolist()]
        values = [from_cell(tag, cell) for tag, cell in zip(vector.tags.tolist(), vector.data.tolist(), strict=True)]
        for heap, rows, codes in groups:
            once, inverse = np.unique(codes, return_inverse=True)
            found = heap.values(once)
            for row, place in zip(rows.tolist(), inverse.tolist(), strict=True):
                values[row] = found[place]
        return values

    def text_codes(self, left: Vector, right: Vector) -> tuple[Data, Data]:
        """Numbers for two vectors of strings, equal exactly where the strings are equal; one of them for a constant.

        References into one heap that holds each string once are compared as they are; a constant is looked up in
        the other side's heap; anything else is brought into one dictionary, once per distinct string.
        """
        for one, other, swapped in ((left, right, False), (right, left, True)):
            if not one.constant:
                continue
            text = self.decode(one)[0]
            found = np.full(len(other), -1, np.int64)
            for heap, rows, codes in self.groups(other, STRING):
                code = heap.find(text)
                if code is None:
                    break
                found[rows] = codes == code
            else:
                wanted = np.ones(1, np.int64)
                return (found, wanted) if swapped else (wanted, found)
        if bool(((left.data >> HEAP_SHIFT) == (right.data >> HEAP_SHIFT)).all()):
            return left.data, right.data
        return self._interned(left), self._interned(right)

    def _interned(self, texts: Vector) -> Data:
        store = self._made
        result = np.zeros(len(texts), np.int64)
        for heap, rows, codes in self.groups(texts, STRING):
            once, inverse = np.unique(codes, return_inverse=True)
            numbers = np.array([store.add(text) for text in heap.values(once)], np.int64)
            result[rows] = numbers[inverse]
        return result
