"""Filters over the lists of a profile or event. What visits every item pays for it from the rendering's steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from core.render.absent import NOWHERE, Absent
from core.render.limits import MAX_OUTPUT
from core.render.numbers import Number, bounded_number, number_of
from core.render.printing import refuse_length, refuse_type, text_of
from core.values import Value


class Budget(Protocol):
    """What a rendering has left to spend."""

    def spend(self, steps: int) -> None:
        """Take steps off. Raises RenderError TOO_MANY_STEPS where none are left."""


def list_of(value: Value) -> list[Value]:
    """A list as it is. Raises PROPERTY_TYPE for anything else."""
    if type(value) is list:
        return value
    refuse_type(value, "a list")


def length(value: Value) -> int:
    """How many items a list or map has, or characters a text."""
    if type(value) in (str, list, dict):
        return len(value)
    refuse_type(value, "a list, map or text")


def first(value: Value) -> Value:
    """The first item of a list, missing where it is empty; or a text's first character."""
    return _end(value, 0)


def last(value: Value) -> Value:
    """The last item of a list, missing where it is empty; or a text's last character."""
    return _end(value, -1)


def _end(value: Value, index: int) -> Value:
    if type(value) is str:
        return value[index] if value else ""
    items = list_of(value)
    return items[index] if items and items[index] is not None else Absent(NOWHERE)


def join(budget: Budget, value: Value, between: str = ", ") -> str:
    """The items' texts with `between` between them; nulls are left out."""
    items = list_of(value)
    budget.spend(len(items))
    texts, separator = [text_of(item) for item in items if item is not None], text_of(between)
    if sum(map(len, texts)) + len(separator) * len(texts) > MAX_OUTPUT:
        refuse_length()
    return separator.join(texts)


def sort(budget: Budget, value: Value, by: str | None = None, reverse: bool = False) -> list[Value]:
    """In order, items being of one kind; `by` names a property of the items, where they are maps."""
    items = list_of(value)
    budget.spend(len(items))
    return sorted(items, key=_reading(by), reverse=bool(reverse))


def _reading(by: Value) -> Callable[[Value], Any]:
    def read(item: Value) -> Any:
        found = item.get(by) if by is not None and type(item) is dict else item
        if type(found) in (list, dict) or found is None:
            refuse_type(found, "something that can be put in order")
        return found

    return read


def reverse(budget: Budget, value: Value) -> list[Value]:
    """From the last to the first."""
    items = list_of(value)
    budget.spend(len(items))
    return items[::-1]


def unique(budget: Budget, value: Value) -> list[Value]:
    """Each text, number, bool or time once, in order of first sight."""
    items = list_of(value)
    budget.spend(len(items))
    seen: dict[tuple[type, Value], Value] = {}
    for item in items:
        if type(item) in (list, dict):
            refuse_type(item, "something that can be compared")
        seen.setdefault((type(item), item), item)
    return list(seen.values())


def total(budget: Budget, value: Value, of: str | None = None) -> Number:
    """The sum of the items; `of` names a property of the items, where they are maps."""
    items = list_of(value)
    budget.spend(len(items))
    found: Number = 0
    for item in items:
        found = bounded_number(found + number_of(item.get(of) if of is not None and type(item) is dict else item))
    return found


def least(budget: Budget, value: Value) -> Value:
    """The least item; missing where there is none."""
    return _extreme(budget, value, min)


def greatest(budget: Budget, value: Value) -> Value:
    """The greatest item; missing where there is none."""
    return _extreme(budget, value, max)


def _extreme(budget: Budget, value: Value, choose: Callable[..., Value]) -> Value:
    items = list_of(value)
    budget.spend(len(items))
    return choose(items, key=_reading(None)) if items else Absent(NOWHERE)
