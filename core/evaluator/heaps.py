"""Where the references of a vector point: strings, lists and maps, each kind behind one interface.

A reference is a heap's number (upper 24 bits) and a code in that heap (lower 40 bits), so that one vector can mix values
from a property's dictionary, from an event table and from the expression itself. A heap answers for many codes at once:
the Python values, a map's field, a list's elements. The base class answers everything by way of the Python values, once
per distinct code; a heap that knows better (a user, an event, a list of events) overrides the question.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Protocol

import numpy as np

from core.evaluator.meter import Meter
from core.evaluator.vector import (
    MISSING,
    Builder,
    Data,
    Index,
    Vector,
)

HEAP_SHIFT: Final = 40
CODE_MASK: Final = (1 << HEAP_SHIFT) - 1


class Home(Protocol):
    """What a heap needs of the space it stands in, `core.evaluator.space.Space`."""

    meter: Meter

    def encode(self, values: Sequence[Any], *, lasting: bool = False) -> Vector: ...
    def decode(self, vector: Vector) -> list[Any]: ...
    def by_code(self, heap: Heap, codes: Index, key: Hashable, compute: Callable[[Index], Vector]) -> Vector: ...


class Heap(ABC):
    """Values that vectors refer to. Subclasses give at least `values`."""

    def __init__(self, space: Home) -> None:
        self.space = space

    @abstractmethod
    def values(self, codes: Index) -> list[Any]:
        """The Python value of each code."""

    def find(self, text: str) -> int | None:
        """The code of a string, -1 where the heap has no such string, None where the heap cannot tell.

        A heap that can tell holds each string once.
        """
        return None

    def lasting(self) -> bool:
        """Whether a code means the same value for the whole run, so that results by code may be kept."""
        return False

    def fields(self, codes: Index, name: str) -> Vector:
        """The field of each map: MISSING where it has none."""

        def field(value: Any) -> Any:
            return value.get(name, _NO_FIELD)

        return self._by_distinct(codes, ("field", name), field)

    def spans(self, codes: Index) -> tuple[Index, Data, Vector]:
        """The elements of each list, or the keys of each map: where they start, how many they are, and in what."""
        distinct, inverse = np.unique(codes, return_inverse=True)
        elements = [list(value) for value in self.values(distinct)]
        counts = np.fromiter((len(element) for element in elements), np.int64, len(elements))
        flat = self.space.encode([item for element in elements for item in element])
        starts = np.cumsum(counts) - counts
        return starts[inverse], counts[inverse], flat

    def sizes(self, codes: Index) -> Data:
        """How many elements or entries each list or map has."""
        return self._by_distinct(codes, ("size",), len).data

    def _by_distinct(self, codes: Index, key: Hashable, function: Callable[[Any], Any]) -> Vector:
        def compute(distinct: Index) -> Vector:
            values = [function(value) for value in self.values(distinct)]
            found = np.fromiter((value is not _NO_FIELD for value in values), bool, len(values))
            result = Builder(len(values))
            result.fail(~found, np.full(int((~found).sum()), MISSING, np.uint8))
            kept = np.flatnonzero(found)
            if len(kept):
                result.put(kept, self.space.encode([values[row] for row in kept.tolist()], lasting=self.lasting()))
            return result.done()

        return self.space.by_code(self, codes, key, compute)


class _NoField:
    """What a map without the field gives, inside this module."""


_NO_FIELD: Final = _NoField()


def ranges(starts: Index, counts: Data) -> Index:
    """The positions start, start + 1, … of each range, one range after the other."""
    total = int(counts.sum())
    if not total:
        return np.zeros(0, np.int64)
    offsets = np.cumsum(counts) - counts
    positions: Index = np.arange(total, dtype=np.int64) + np.repeat(starts - offsets, counts)
    return positions


class ValueHeap(Heap):
    """Python values by number; equal strings have one code."""

    def __init__(self, space: Home, *, lasting: bool) -> None:
        super().__init__(space)
        self._values: list[Any] = []
        self._texts: dict[str, int] = {}
        self._lasting = lasting

    def lasting(self) -> bool:
        return self._lasting

    def values(self, codes: Index) -> list[Any]:
        stored = self._values
        return [stored[code] for code in codes.tolist()]

    def find(self, text: str) -> int | None:
        return self._texts.get(text, -1)

    def __len__(self) -> int:
        return len(self._values)

    def cut(self, size: int) -> None:
        """Forget all values but the first `size`."""
        for value in self._values[size:]:
            if type(value) is str:
                self._texts.pop(value, None)
        del self._values[size:]

    def add(self, value: Any) -> int:
        """The code of a value that is now in the heap."""
        if type(value) is str:
            code = self._texts.get(value)
            if code is None:
                code = self._texts[value] = len(self._values)
                self._values.append(value)
            return code
        self._values.append(value)
        return len(self._values) - 1


class Texts(Protocol):
    """What a dictionary heap needs of `core.bitmaps.strings.StringTable`."""

    def find(self, text: str) -> int: ...
    def texts(self, codes: Any) -> list[str]: ...


class TextHeap(Heap):
    """The strings of a property's dictionary."""

    def __init__(self, space: Home, table: Texts) -> None:
        super().__init__(space)
        self._table = table

    def lasting(self) -> bool:
        return True

    def values(self, codes: Index) -> list[Any]:
        return list(self._table.texts(codes.astype(np.uint32)))

    def find(self, text: str) -> int | None:
        return self._table.find(text)


class BlobHeap(Heap):
    """The lists and maps of a property's dictionary, decoded when asked for.

    Arguments:
        decode: Python values of codes (uint32[n]).
    """

    def __init__(self, space: Home, decode: Callable[[Any], Sequence[Any]]) -> None:
        super().__init__(space)
        self._decode = decode

    def lasting(self) -> bool:
        return True

    def values(self, codes: Index) -> list[Any]:
        return list(self._decode(codes.astype(np.uint32)))


class SpanHeap(Heap):
    """Lists that are ranges of one vector: the events of users, what `filter` and `map` give, list literals.

    Arguments:
        starts, counts: int64[n], the range of each list (code) in `flat`.
        flat: the elements.
    """

    def __init__(self, space: Home, starts: Index, counts: Data, flat: Vector) -> None:
        super().__init__(space)
        self.starts, self.counts, self.flat = starts, counts, flat

    def values(self, codes: Index) -> list[Any]:
        starts, counts, flat = self.spans(codes)
        self.space.meter.take(int(counts.sum()))
        items = self.space.decode(flat.take(ranges(starts, counts)))
        ends = np.cumsum(counts)
        return [items[end - count : end] for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]

    def spans(self, codes: Index) -> tuple[Index, Data, Vector]:
        return self.starts[codes], self.counts[codes], self.flat

    def sizes(self, codes: Index) -> Data:
        sizes: Data = self.counts[codes]
        return sizes


def element_at(heap: Heap, codes: Index, positions: Data) -> Vector:
    """The element of each list at a position; MISSING outside it."""
    starts, counts, flat = heap.spans(codes)
    inside = (positions >= 0) & (positions < counts)
    result = Builder(len(codes))
    result.fail(~inside, np.full(int((~inside).sum()), MISSING, np.uint8))
    rows = np.flatnonzero(inside)
    if len(rows):
        result.put(rows, flat.take(starts[rows] + positions[rows]))
    return result.done()
