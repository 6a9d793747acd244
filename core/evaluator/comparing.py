"""Equality and order of CEL values, exact across int, uint and double."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from operator import ge, gt, le, lt
from typing import Final

from core.evaluator.cel_values import CelError, CelType, CelValue, Uint, no_overload, plain_type
from core.evaluator.limits import MOST_COMPARED, compared_too_much

NUMBERS: Final = frozenset((int, Uint, float))
_ORDERED: Final = frozenset((bool, str, bytes, datetime, timedelta))
_PLAIN: Final = frozenset((str, bytes, bool, datetime, timedelta, type(None), CelType))
_KEYS: Final = frozenset((str, int, Uint, bool, float))
ORDERS: Final[dict[str, Callable[[CelValue, CelValue], bool]]] = {"_<_": lt, "_<=_": le, "_>_": gt, "_>=_": ge}


def equal(left: CelValue, right: CelValue) -> bool:
    """`left == right`. Values of different types differ, but numbers compare as numbers; NaN equals nothing.

    Raises:
        CelError: `other` where lists and maps have too many elements to compare.
    """
    kind = type(left)
    if kind is not list and kind is not dict:
        return _equal(left, right, [])
    return _equal(left, right, [MOST_COMPARED])


def _equal(left: CelValue, right: CelValue, left_over: list[int]) -> bool:
    """The same, with at most `left_over[0]` elements to compare."""
    kind, other = type(left), type(right)
    if kind in NUMBERS:
        return other in NUMBERS and bool(left == right)  # Python compares int and float exactly
    if kind is not other:
        return False
    if kind in _PLAIN:
        return bool(left == right)
    if len(left) != len(right):
        return False
    left_over[0] -= len(left)
    if left_over[0] < 0:
        raise compared_too_much()
    if kind is list:
        return all(_equal(one, two, left_over) for one, two in zip(left, right, strict=True))
    return all(has_key(right, key) and _equal(value, right[key], left_over) for key, value in left.items())


def ordered(function: str, left: CelValue, right: CelValue) -> bool:
    """One of `<`, `<=`, `>`, `>=` by CEL's name.

    Raises:
        CelError: `type` where the two have no order.
    """
    kind, other = type(left), type(right)
    if (kind in NUMBERS and other in NUMBERS) or (kind is other and kind in _ORDERED):
        return ORDERS[function](left, right)
    raise no_overload(function.strip("_"), left, right)


def has_key(container: dict[CelValue, CelValue], key: CelValue) -> bool:
    """Whether a map has a key, 1 and 1.0 and 1u being one key, but true and 1 two.

    Raises:
        CelError: `type` for what is no key.
    """
    kind = type(key)
    if kind is str:
        return key in container
    if kind not in _KEYS:
        raise CelError("type", f"a {plain_type(key)} is no key of a map")
    if key not in container:
        return False
    # To Python, True and 1 are one key; tell them apart by the type of the key that the map really has.
    return key not in (0, 1) or any(found == key and (type(found) is bool) == (kind is bool) for found in container)


def contains(container: CelValue, value: CelValue) -> bool:
    """`value in container`, of a list's elements or a map's keys.

    Raises:
        CelError: `type` where the container is neither, or the value is no key.
    """
    kind = type(container)
    if kind is list:
        return any(equal(value, element) for element in container)
    if kind is dict and type(value) in _KEYS:
        return has_key(container, value)
    raise no_overload("in", value, container)
