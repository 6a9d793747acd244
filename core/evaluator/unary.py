"""Functions of one argument on whole vectors of one tag; what is not here is done by the row matcher's function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from core.evaluator.aggregates import AGGREGATES
from core.evaluator.operators import REDO
from core.evaluator.space import Space
from core.evaluator.vector import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    LIST,
    MAP,
    STRING,
    TIMESTAMP,
    UINT,
    Builder,
    Data,
    Vector,
    of_doubles,
    of_ints,
)
from core.values import INT_MIN, MICROS_PER_DAY, MICROS_PER_SECOND

Unary = Callable[[Space, Vector], Vector]
_TWO_63: Final = 2.0**63
_EPOCH_WEEKDAY: Final = 4  # 1970-01-01 was a Thursday, Sunday being 0


def _same(space: Space, value: Vector) -> Vector:
    return value


def _negate_ints(space: Space, value: Vector) -> Vector:
    least = value.data == INT_MIN
    return Vector(np.where(least, np.uint8(REDO), np.uint8(INT)), np.where(least, 0, -value.data))


def _int_of_doubles(space: Space, value: Vector) -> Vector:
    reals = value.doubles
    with np.errstate(invalid="ignore"):
        inside = (reals > -_TWO_63) & (reals < _TWO_63)
        whole = np.where(inside, reals, 0.0).astype(np.int64)
    return Vector(np.where(inside, np.uint8(INT), np.uint8(REDO)), whole)


def _sizes(tag: int) -> Unary:
    def kernel(space: Space, value: Vector) -> Vector:
        builder = Builder(len(value))
        for heap, rows, codes in space.groups(value, tag):
            builder.put(rows, of_ints(heap.sizes(codes)))
        return builder.done()

    return kernel


def _part(function: Callable[[Data], Data]) -> Unary:
    return lambda space, value: of_ints(function(value.data))


def _dates(micros: Data) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    days: np.ndarray[tuple[int], np.dtype[np.datetime64]] = (micros // MICROS_PER_DAY).astype("datetime64[D]")
    return days


def _year(micros: Data) -> Data:
    return _dates(micros).astype("datetime64[Y]").astype(np.int64) + 1970


def _month(micros: Data) -> Data:
    return _dates(micros).astype("datetime64[M]").astype(np.int64) % 12


def _days_since(unit: str, micros: Data) -> Data:
    days = _dates(micros)
    since: Data = (days - days.astype(unit).astype("datetime64[D]")).astype(np.int64)
    return since


def _day_of_month(micros: Data) -> Data:
    return _days_since("datetime64[M]", micros)


def _day_of_year(micros: Data) -> Data:
    return _days_since("datetime64[Y]", micros)


_PARTS: Final[dict[str, Callable[[Data], Data]]] = {
    "getFullYear": _year,
    "getMonth": _month,
    "getDate": lambda micros: _day_of_month(micros) + 1,
    "getDayOfMonth": _day_of_month,
    "getDayOfWeek": lambda micros: (micros // MICROS_PER_DAY + _EPOCH_WEEKDAY) % 7,
    "getDayOfYear": _day_of_year,
    "getHours": lambda micros: micros % MICROS_PER_DAY // (3600 * MICROS_PER_SECOND),
    "getMinutes": lambda micros: micros // (60 * MICROS_PER_SECOND) % 60,
    "getSeconds": lambda micros: micros // MICROS_PER_SECOND % 60,
    "getMilliseconds": lambda micros: micros // 1000 % 1000,
}
"""Parts of a timestamp in UTC, as `core.evaluator.zones` has them for one."""

UNARY: Final[dict[tuple[str, int], Unary]] = {
    **{(name, TIMESTAMP): _part(function) for name, function in _PARTS.items()},
    **{(name, LIST): kernel for name, kernel in AGGREGATES.items()},
    **{("size", tag): _sizes(tag) for tag in (LIST, MAP)},
    ("int", INT): _same,
    ("int", DOUBLE): _int_of_doubles,
    ("int", TIMESTAMP): lambda space, value: of_ints(value.data // MICROS_PER_SECOND),
    ("uint", UINT): _same,
    ("double", DOUBLE): _same,
    ("double", INT): lambda space, value: of_doubles(value.data.astype(np.float64)),
    ("string", STRING): _same,
    ("bytes", BYTES): _same,
    ("bool", BOOL): _same,
    ("timestamp", TIMESTAMP): _same,
    ("duration", DURATION): _same,
    ("-_", INT): _negate_ints,
    ("-_", DOUBLE): lambda space, value: of_doubles(-value.doubles),
}
"""By CEL's name and the argument's tag."""
