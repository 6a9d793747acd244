"""CEL's operators on whole vectors, one function per operator and pair of types.

A kernel here is given two vectors of equal length or constants, all rows of one tag each. A pair of types without a
kernel, and a row that a kernel marks REDO, is computed by the row matcher's own function instead (see
`core.evaluator.apply`), so a kernel that gives up is slow but never wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.evaluator.arithmetic import MAX_COMPUTED_MICROS
from core.evaluator.space import Space
from core.evaluator.vector import (
    BOOL,
    DOUBLE,
    DURATION,
    INT,
    NULL,
    OTHER_ERROR,
    STRING,
    TIMESTAMP,
    UINT,
    Data,
    Vector,
    of_bools,
    of_doubles,
)
from core.values import MAX_MICROS, MIN_MICROS

REDO: Final = 253
"""Tag of a row that the kernel leaves to the row matcher's function."""

Kernel = Callable[[Space, Vector, Vector], Vector]
Flags = NDArray[np.bool_]

_SAME_ORDER: Final = (BOOL, INT, TIMESTAMP, DURATION)
_SIGN: Final = np.int64(-(2**63))
_TWO_63: Final = 2.0**63


def order_of_int_and_double(ints: Data, doubles: NDArray[np.float64]) -> tuple[NDArray[np.int8], Flags]:
    """Compare by value on the number line, without rounding.

    Returns:
        -1, 0 or 1 per row, and which rows can be ordered at all (no NaN).
    """
    with np.errstate(invalid="ignore"):
        small = doubles < -_TWO_63
        large = doubles >= _TWO_63
        inside = ~(small | large | np.isnan(doubles))
        whole = np.where(inside, np.floor(doubles), 0.0)
        floor = whole.astype(np.int64)
        fraction = np.where(inside, doubles, 0.0) > whole
    order = np.where(ints > floor, 1, np.where((ints < floor) | fraction, -1, 0)).astype(np.int8)
    order = np.where(small, np.int8(1), np.where(large, np.int8(-1), order))
    return order, ~np.isnan(doubles)


Test = Callable[..., Flags]
"""A numpy comparison."""
_TESTS: Final[dict[str, Test]] = {
    "_==_": np.equal,
    "_!=_": np.not_equal,
    "_<_": np.less,
    "_<=_": np.less_equal,
    "_>_": np.greater,
    "_>=_": np.greater_equal,
}
_MIRRORED: Final = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}


def _same(test: Test) -> Kernel:
    return lambda space, left, right: of_bools(test(left.data, right.data))


def _unsigned(test: Test) -> Kernel:
    return lambda space, left, right: of_bools(test(left.data.view(np.uint64), right.data.view(np.uint64)))


def _real(test: Test) -> Kernel:
    return lambda space, left, right: of_bools(test(left.doubles, right.doubles))


def _int_double(name: str, test: Test) -> Kernel:
    def kernel(space: Space, left: Vector, right: Vector) -> Vector:
        order, ordered = order_of_int_and_double(left.data, right.doubles)
        flags = test(order, np.int8(0))
        return of_bools(flags | ~ordered if name == "_!=_" else flags & ordered)

    return kernel


def _double_int(name: str) -> Kernel:
    mirrored = _int_double(_MIRRORED[name], _TESTS[_MIRRORED[name]])
    return lambda space, left, right: mirrored(space, right, left)


def _int_uint(test: Test) -> Kernel:
    def kernel(space: Space, left: Vector, right: Vector) -> Vector:
        # Where either is at or over 2**63 or below 0 their bits cannot be equal as numbers; shift such rows apart.
        negative, huge = left.data < 0, right.data < 0
        ints = np.where(huge | negative, np.where(negative, np.int64(-1), np.int64(0)), left.data)
        uints = np.where(huge | negative, np.where(huge, np.int64(1), np.int64(0)), right.data)
        return of_bools(test(ints, uints))

    return kernel


def _uint_int(name: str) -> Kernel:
    mirrored = _int_uint(_TESTS[_MIRRORED[name]])
    return lambda space, left, right: mirrored(space, right, left)


def _texts(test: Test) -> Kernel:
    def kernel(space: Space, left: Vector, right: Vector) -> Vector:
        return of_bools(test(*space.text_codes(left, right)))

    return kernel


def _nulls(answer: bool) -> Kernel:
    return lambda space, left, right: of_bools(np.full(max(len(left), len(right)), answer))


def _ints(values: Data, failed: Flags) -> Vector:
    tags = np.where(failed, np.uint8(OTHER_ERROR), np.uint8(INT))
    return Vector(tags, np.where(failed, 0, values))


def _add_ints(space: Space, left: Vector, right: Vector) -> Vector:
    total = left.data + right.data
    return _ints(total, ((left.data ^ total) & (right.data ^ total)) < 0)


def _subtract_ints(space: Space, left: Vector, right: Vector) -> Vector:
    total = left.data - right.data
    return _ints(total, ((left.data ^ right.data) & (left.data ^ total)) < 0)


def _multiply_ints(space: Space, left: Vector, right: Vector) -> Vector:
    product = left.data * right.data
    safe = np.abs(left.data.astype(np.float64)) * np.abs(right.data.astype(np.float64)) < 2.0**62
    return Vector(np.where(safe, np.uint8(INT), np.uint8(REDO)), product)


def _real_arithmetic(function: Callable[..., NDArray[np.float64]]) -> Kernel:
    def kernel(space: Space, left: Vector, right: Vector) -> Vector:
        with np.errstate(all="ignore"):
            return of_doubles(function(left.doubles, right.doubles))

    return kernel


def _shift(tag: int, function: Callable[[Data, Data], Data]) -> Kernel:
    """Timestamps and durations: plain microseconds, what may leave the range is left to the matcher."""

    def kernel(space: Space, left: Vector, right: Vector) -> Vector:
        moved = function(left.data, right.data)
        limit = np.int64(2**61)
        safe = (np.abs(left.data) < limit) & (np.abs(right.data) < limit)
        if tag == TIMESTAMP:
            safe &= (moved >= MIN_MICROS) & (moved <= MAX_MICROS)
        else:
            safe &= np.abs(moved) <= MAX_COMPUTED_MICROS
        return Vector(np.where(safe, np.uint8(tag), np.uint8(REDO)), np.where(safe, moved, 0))

    return kernel


def _kernels() -> dict[tuple[str, int, int], Kernel]:
    table: dict[tuple[str, int, int], Kernel] = {}
    for name, test in _TESTS.items():
        for tag in _SAME_ORDER:
            table[name, tag, tag] = _same(test)
        table[name, UINT, UINT] = _unsigned(test)
        table[name, DOUBLE, DOUBLE] = _real(test)
        table[name, INT, DOUBLE] = _int_double(name, test)
        table[name, DOUBLE, INT] = _double_int(name)
        table[name, INT, UINT] = _int_uint(test)
        table[name, UINT, INT] = _uint_int(name)
        if name in ("_==_", "_!=_"):
            table[name, STRING, STRING] = _texts(test)
            table[name, NULL, NULL] = _nulls(name == "_==_")
    table["_+_", INT, INT] = _add_ints
    table["_-_", INT, INT] = _subtract_ints
    table["_*_", INT, INT] = _multiply_ints
    table["_+_", DOUBLE, DOUBLE] = _real_arithmetic(np.add)
    table["_-_", DOUBLE, DOUBLE] = _real_arithmetic(np.subtract)
    table["_*_", DOUBLE, DOUBLE] = _real_arithmetic(np.multiply)
    table["_/_", DOUBLE, DOUBLE] = _real_arithmetic(np.divide)
    table["_+_", TIMESTAMP, DURATION] = _shift(TIMESTAMP, np.add)
    table["_+_", DURATION, TIMESTAMP] = _shift(TIMESTAMP, np.add)
    table["_-_", TIMESTAMP, DURATION] = _shift(TIMESTAMP, np.subtract)
    table["_-_", TIMESTAMP, TIMESTAMP] = _shift(DURATION, np.subtract)
    return table


KERNELS: Final = _kernels()
"""By CEL operator and the tags of both sides."""
