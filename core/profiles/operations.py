"""What each profile operation does to the present values.

The meanings are Mixpanel's. `set`, `set_once`, `add`, `append`, `union`, `remove`, `unset` and `merge` work on
named properties; `delete` is not here, since it concerns the whole user (core/profiles/ingest.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from core.errors import InvalidInput
from core.profiles.records import Operation, ProfileChange
from core.values import ABSENT, INT_MAX, INT_MIN, Value, type_of

Read = Callable[[str], Value]


def _same(left: Value, right: Value) -> bool:
    """Equality as union and remove see it: of one type (True is not 1, and 1 is not 1.0)."""
    return type(left) is type(right) and left == right


def _holds(items: list[Value], value: Value) -> bool:
    return any(_same(item, value) for item in items)


def _set_once(present: Value, given: Value, name: str) -> Value:
    return given if present is ABSENT else present


def _add(present: Value, given: Value, name: str) -> Value:
    start = 0 if present is ABSENT or present is None else present
    if type(start) not in (int, float):
        raise InvalidInput(
            f"{name} holds a {type_of(start).name.lower()}, to which nothing can be added",
            field=f"properties.{name}",
            mend="add to a number, or set the property first",
            code="NOT_A_NUMBER",
        )
    total = start + given
    if not (INT_MIN <= total <= INT_MAX if type(total) is int else math.isfinite(total)):
        raise InvalidInput(
            "the sum does not fit 64 bits", field=f"properties.{name}", mend="add less", code="VALUE_OUT_OF_RANGE"
        )
    return total


def _append(present: Value, given: Value, name: str) -> Value:
    if present is ABSENT:
        return [given]
    return [*present, given] if type(present) is list else present


def _union(present: Value, given: Value, name: str) -> Value:
    if present is not ABSENT and type(present) is not list:
        return present
    items: list[Value] = list(present) if type(present) is list else []
    for value in given if type(given) is list else [given]:
        if not _holds(items, value):
            items.append(value)
    return items


def _remove(present: Value, given: Value, name: str) -> Value:
    if type(present) is not list:
        return present
    return [item for item in present if not _same(item, given)]


def _merge(present: Value, given: Value, name: str) -> Value:
    if type(given) is not dict:
        raise InvalidInput(
            f"{name} is to be merged with something that is no map",
            field=f"properties.{name}",
            mend="merge a map",
            code="NOT_A_MAP",
        )
    return {**present, **given} if type(present) is dict else given


_STEPS: Final[dict[str, Callable[[Value, Value, str], Value]]] = {
    Operation.SET_ONCE: _set_once,
    Operation.ADD: _add,
    Operation.APPEND: _append,
    Operation.UNION: _union,
    Operation.REMOVE: _remove,
    Operation.MERGE: _merge,
}


def outcome(change: ProfileChange, read: Read) -> dict[str, Value]:
    """The properties a change writes, with their new values (ABSENT: removed).

    Arguments:
        change: any operation but DELETE.
        read: gives the present value of a property of this user, or ABSENT.

    Raises:
        InvalidInput: where the present value does not allow it; then nothing of the change is done.
    """
    if change.operation == Operation.UNSET:
        return {name: ABSENT for name in change.names if read(name) is not ABSENT}
    if change.operation == Operation.SET:
        return change.properties
    step = _STEPS[change.operation]
    written = {}
    for name, given in change.properties.items():
        present = read(name)
        value = step(present, given, name)
        if value is not present:
            written[name] = value
    return written
