"""Strict functions and operators on vectors: errors carried over, a kernel per combination of types, and, where there is
none, the row matcher's own function once per distinct combination of arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.evaluator.cel_values import TYPE_NAMES, TYPES_BY_NAME, CelError, CelValue, Uint
from core.evaluator.cells import from_cell
from core.evaluator.comparing import ORDERS
from core.evaluator.functions import FUNCTIONS, make_map
from core.evaluator.heaps import HEAP_SHIFT, Heap, element_at
from core.evaluator.operators import KERNELS, REDO
from core.evaluator.space import LASTING_HEAPS, Space
from core.evaluator.tree import Const
from core.evaluator.unary import UNARY
from core.evaluator.vector import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    LIST,
    MAP,
    NULL,
    REFERENCES,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    WRONG_TYPE,
    Builder,
    Data,
    Index,
    Tags,
    Vector,
    errors,
    is_error,
    of_bools,
)

Function = Callable[..., CelValue]
JOINED: Final = (STRING, BYTES, LIST)
"""What `+` puts together."""
_MAP: Final = "{}"
_GROWING: Final = ("_+_", _MAP)
"""Functions whose results are larger than their arguments."""
_NUMBERS: Final = frozenset((INT, UINT, DOUBLE))
_ORDERED: Final = frozenset((BOOL, STRING, BYTES, TIMESTAMP, DURATION))
_TYPE_OF_TAG: Final[dict[int, str]] = {
    **{tag: TYPE_NAMES[type(from_cell(tag, 0))] for tag in (NULL, BOOL, INT, UINT, DOUBLE, TIMESTAMP, DURATION)},
    STRING: TYPE_NAMES[str],
    BYTES: TYPE_NAMES[bytes],
    LIST: TYPE_NAMES[list],
    MAP: TYPE_NAMES[dict],
    TYPE: "type",
}


class Applier:
    """Applies functions for one run. Arguments are vectors of `size` rows or constants; results are constants where all
    arguments are, and may be where the types alone decide. `given` are the run's values of `tree.Given`.
    """

    def __init__(self, space: Space, given: Sequence[CelValue] = ()) -> None:
        self._space = space
        self._given = given
        self._constants: dict[Hashable, Vector] = {}

    def constant(self, node: Const) -> Vector:
        """A literal."""
        value = Uint(node.value) if node.unsigned and isinstance(node.value, int) else node.value
        return self._lasting((type(value), repr(value)), value)

    def given(self, number: int) -> Vector:
        """A value that came with the run."""
        value = self._given[number]
        return self._lasting((type(value), repr(value)), value)

    def empty_map(self) -> Vector:
        """`{}`."""
        return self._lasting(dict, {})

    def type_named(self, name: str) -> Vector:
        """A type as a value, such as `int`."""
        kind = TYPES_BY_NAME[name]
        return self._lasting(kind, kind)

    def call(self, name: str, args: Sequence[Vector], size: int) -> Vector:
        """A function or operator by CEL's name, one of `core.evaluator.functions.FUNCTIONS`."""
        return self._strict(args, size, lambda parts, count: self._uniform(name, parts, count))

    def index(self, container: Vector, key: Vector, size: int) -> Vector:
        """`container[key]`."""
        return self.call("_[_]", [container, key], size)

    def sizes(self, values: Vector) -> Data:
        """The length of each string, bytes or list; 0 of anything else."""
        sizes = np.zeros(len(values), np.int64)
        for tag in JOINED:
            for heap, rows, codes in self._space.groups(values, tag):
                sizes[rows] = heap.sizes(codes)
        return sizes

    def make_map(self, parts: Sequence[Vector], size: int) -> Vector:
        """`{key: value, …}` from keys and values in turn."""
        if not parts:
            return self.empty_map()
        return self._strict(parts, size, lambda given, count: self._each(_MAP, _map_of, given, count))

    def _lasting(self, key: Hashable, value: CelValue) -> Vector:
        found = self._constants.get(key)
        if found is None:
            found = self._constants[key] = self._space.encode([value], lasting=True).for_all()
        return found

    def _strict(self, args: Sequence[Vector], size: int, apply: Callable[[list[Vector], int], Vector]) -> Vector:
        """A row's first argument in error is its answer; the others are applied to, all of one combination of tags at once."""
        if all(arg.constant for arg in args):
            return self._rowwise(args, 1, apply).for_all()
        return self._rowwise(args, size, apply)

    def _rowwise(self, args: Sequence[Vector], width: int, apply: Callable[[list[Vector], int], Vector]) -> Vector:
        if width and all(arg.tag() > 0 for arg in args) and not any(is_error(arg.tags[:1])[0] for arg in args):
            return apply(list(args), width)
        failed: Tags = np.ones(width, np.uint8)
        for arg in reversed(args):
            failed = np.where(is_error(arg.tags), arg.tags, failed)
        builder = Builder(width)
        builder.fail(slice(None), failed)
        for rows in _alike(args, np.flatnonzero(failed == 1)):
            builder.put(rows, apply([arg.take(rows) for arg in args], len(rows)))
        return builder.done()

    def _uniform(self, name: str, parts: list[Vector], count: int) -> Vector:
        """A function on arguments that each have one tag throughout; `count` rows, 1 where all are constants."""
        found = self._by_kernel(name, parts, count)
        if found is None:
            return self._each(name, FUNCTIONS[name], parts, count)
        again = np.flatnonzero(found.tags == REDO)
        if len(again):
            builder = Builder(len(found))
            builder.put(slice_of(len(found)), found)
            rest = [part.take(again) for part in parts]
            builder.put(again, self._each(name, FUNCTIONS[name], rest, len(again)))
            found = builder.done()
        return found

    def _by_kernel(self, name: str, parts: list[Vector], count: int) -> Vector | None:
        if name == "dyn":
            return parts[0]
        if name == "type":
            return self.type_named(_TYPE_OF_TAG[parts[0].tag()])
        if len(parts) == 1:
            unary = UNARY.get((name, parts[0].tag()))
            return None if unary is None else unary(self._space, parts[0])
        if len(parts) != 2:
            return None
        left, right = parts
        kernel = KERNELS.get((name, left.tag(), right.tag()))
        if kernel is not None:
            return kernel(self._space, left, right)
        if name == "_[_]":
            return self._index(left, right, count)
        return _settled(name, left.tag(), right.tag())

    def _index(self, container: Vector, key: Vector, count: int) -> Vector | None:
        tags = container.tag(), key.tag()
        if tags not in ((LIST, INT), (MAP, STRING)):
            return None
        container, key = container.spread(count), key.spread(count)
        builder = Builder(count)
        for heap, rows, codes in self._space.groups(container, tags[0]):
            if tags[0] == LIST:
                builder.put(rows, element_at(heap, codes, key.data[rows]))
                continue
            distinct, inverse = np.unique(key.data[rows], return_inverse=True)
            names = self._space.decode(Vector(np.full(len(distinct), STRING, np.uint8), distinct))
            for place, name in enumerate(names):
                mine = np.flatnonzero(inverse == place)
                builder.put(rows[mine], heap.fields(codes[mine], name))
        return builder.done()

    def _each(self, name: str, function: Function, parts: list[Vector], count: int) -> Vector:
        """The matcher's function, once per distinct combination of arguments."""
        varying = [place for place, part in enumerate(parts) if not part.constant]
        if not varying:
            return self._computed(name, function, parts, 1)
        if len(varying) == 1 and REFERENCES[parts[varying[0]].tag()]:
            return self._by_code(name, function, parts, varying[0])
        combined = np.zeros(count, np.int64)
        firsts = np.zeros(0, np.int64)
        for place in varying:
            _, inverse = np.unique(parts[place].data, return_inverse=True)
            _, firsts, combined = np.unique(
                combined * (int(inverse.max()) + 1) + inverse, return_index=True, return_inverse=True
            )
        return self._computed(name, function, [part.take(firsts) for part in parts], len(firsts)).take(combined)

    def _by_code(self, name: str, function: Function, parts: list[Vector], place: int) -> Vector:
        """The same where one argument varies and refers to heaps: kept by code where heap and constants last."""
        others = [part for at, part in enumerate(parts) if at != place]
        key = ("call", name, place, *((part.tag(), int(part.data[0])) for part in others))
        lasting = name not in _GROWING and all(_lasts(part) for part in others)
        builder = Builder(len(parts[place]))
        for heap, rows, codes in self._space.groups(parts[place]):
            tag, base = parts[place].tag(), int(parts[place].data[rows[0]]) >> HEAP_SHIFT << HEAP_SHIFT

            def compute(distinct: Index, heap: Heap = heap, tag: int = tag, base: int = base) -> Vector:
                given = list(parts)
                given[place] = Vector(np.full(len(distinct), tag, np.uint8), distinct + base)
                return self._computed(name, function, given, len(distinct), lasting=lasting and heap.lasting())

            if lasting:
                builder.put(rows, self._space.by_code(heap, codes, key, compute))
            else:
                distinct, inverse = np.unique(codes, return_inverse=True)
                builder.put(rows, compute(distinct).take(inverse))
        return builder.done()

    def _computed(
        self, name: str, function: Function, parts: list[Vector], size: int, *, lasting: bool = False
    ) -> Vector:
        """The function on each of `size` rows, in Python."""
        cells = size * len(parts)
        if name in _GROWING:
            cells += sum(int(self.sizes(part).sum()) * (size if part.constant else 1) for part in parts) // 8
        self._space.meter.take(cells)
        columns = [self._space.decode(part) * (size if part.constant else 1) for part in parts]
        try:
            values: list[CelValue] = list(map(function, *columns))
        except CelError:
            values = [_outcome(function, row) for row in zip(*columns, strict=True)]
        return self._space.encode(values, lasting=lasting)


def slice_of(size: int) -> Index:
    """Every row."""
    return np.arange(size, dtype=np.int64)


def _outcome(function: Function, args: tuple[CelValue, ...]) -> CelValue | CelError:
    try:
        return function(*args)
    except CelError as error:
        return error


def _map_of(*flat: CelValue) -> CelValue:
    return make_map(list(zip(flat[::2], flat[1::2], strict=True)))


def _lasts(constant: Vector) -> bool:
    """Whether a constant means the same for the whole run."""
    return not REFERENCES[constant.tag()] or int(constant.data[0]) >> HEAP_SHIFT < LASTING_HEAPS


def _settled(name: str, left: int, right: int) -> Vector | None:
    """What two types alone decide: values of different types differ and have no order."""
    if left in _NUMBERS and right in _NUMBERS:
        return None
    if name in ("_==_", "_!=_") and left != right:
        return of_bools(np.full(1, name == "_!=_")).for_all()
    if name in ORDERS and (left != right or left not in _ORDERED):
        return errors(1, WRONG_TYPE).for_all()
    return None


def _alike(args: Sequence[Vector], rows: Index) -> Iterator[Index]:
    """The rows cut into groups in which each argument has one tag."""
    if not len(rows):
        return
    combined: NDArray[np.int64] = np.zeros(len(rows), np.int64)
    for arg in args:
        combined = combined * 256 + arg.take(rows).tags
        if len(args) > 2:
            combined = np.unique(combined, return_inverse=True)[1]
    if bool((combined == combined[0]).all()):
        yield rows
        return
    for kind in np.flatnonzero(np.bincount(combined)).tolist():
        yield rows[combined == kind]
