"""`+ - * / %` and unary minus, with CEL's overloads and overflow errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from core.evaluator.cel_values import INT_MAX, INT_MIN, UINT_MAX, CelError, CelValue, Uint, no_overload
from core.evaluator.limits import MOST_JOINED, joined_too_much
from core.evaluator.time_texts import shift

Binary = Callable[[CelValue, CelValue], CelValue]
MAX_COMPUTED_MICROS: Final = (2**63 - 1) // 1000
"""Longest computed duration, some 292 years: CEL computes with 64-bit nanoseconds."""


def to_int(value: int) -> int:
    """The value if it fits an int. Raises CelError `overflow` where it does not."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise CelError("overflow", "an int outside 64 bits")


def to_uint(value: int) -> Uint:
    """The value if it fits a uint. Raises CelError `overflow` where it does not."""
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise CelError("overflow", "a uint below 0 or outside 64 bits")


def _computed(length: timedelta) -> timedelta:
    if abs(length) > timedelta(microseconds=MAX_COMPUTED_MICROS):
        raise CelError("overflow", "a computed duration of more than 292 years")
    return length


def _add_lengths(left: timedelta, right: timedelta) -> timedelta:
    return _computed(_computed(left) + _computed(right))


def _subtract_lengths(left: timedelta, right: timedelta) -> timedelta:
    return _computed(_computed(left) - _computed(right))


def _quotient(left: int, right: int) -> int:
    if right == 0:
        raise CelError("other", "division by zero")
    whole = abs(left) // abs(right)
    return whole if (left < 0) == (right < 0) else -whole


def _remainder(left: int, right: int) -> int:
    if right == 0:
        raise CelError("other", "modulus by zero")
    if left == INT_MIN and right == -1:
        raise CelError("overflow", "an int outside 64 bits")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def _divide(left: float, right: float) -> float:
    if right != 0.0:
        return left / right
    if left == 0.0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _join(left: CelValue, right: CelValue) -> CelValue:
    if len(left) + len(right) > MOST_JOINED:
        raise joined_too_much()
    return left + right


def _plain_uint(function: Callable[[int, int], int]) -> Binary:
    return lambda left, right: to_uint(function(int(left), int(right)))


def _plain_int(function: Callable[[int, int], int]) -> Binary:
    return lambda left, right: to_int(function(left, right))


_OVERLOADS: Final[dict[tuple[str, type, type], Binary]] = {
    ("_+_", int, int): _plain_int(lambda left, right: left + right),
    ("_-_", int, int): _plain_int(lambda left, right: left - right),
    ("_*_", int, int): _plain_int(lambda left, right: left * right),
    ("_/_", int, int): _plain_int(_quotient),
    ("_%_", int, int): _remainder,
    ("_+_", Uint, Uint): _plain_uint(lambda left, right: left + right),
    ("_-_", Uint, Uint): _plain_uint(lambda left, right: left - right),
    ("_*_", Uint, Uint): _plain_uint(lambda left, right: left * right),
    ("_/_", Uint, Uint): _plain_uint(_quotient),
    ("_%_", Uint, Uint): _plain_uint(_remainder),
    ("_+_", float, float): lambda left, right: left + right,
    ("_-_", float, float): lambda left, right: left - right,
    ("_*_", float, float): lambda left, right: left * right,
    ("_/_", float, float): _divide,
    ("_+_", str, str): _join,
    ("_+_", bytes, bytes): _join,
    ("_+_", list, list): _join,
    ("_+_", datetime, timedelta): shift,
    ("_+_", timedelta, datetime): lambda left, right: shift(right, left),
    ("_-_", datetime, timedelta): lambda left, right: shift(left, -right),
    ("_-_", datetime, datetime): lambda left, right: _computed(left - right),
    ("_+_", timedelta, timedelta): _add_lengths,
    ("_-_", timedelta, timedelta): _subtract_lengths,
}


def compute(function: str, left: CelValue, right: CelValue) -> CelValue:
    """A binary operator by CEL's name, such as `_+_`.

    Raises:
        CelError: `type` without an overload, `overflow`, or `other` on division by zero.
    """
    overload = _OVERLOADS.get((function, type(left), type(right)))
    if overload is None:
        raise no_overload(function.strip("_"), left, right)
    return overload(left, right)


def negate(value: CelValue) -> CelValue:
    """Unary minus. Raises CelError as `compute` does."""
    kind = type(value)
    if kind is int:
        return to_int(-value)
    if kind is float:
        return -value
    raise no_overload("-", value)
