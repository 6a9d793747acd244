"""The cases that docs/cel-deviations.md takes out of the comparison with Google's runtime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_EXACT = 2**53


def known_deviation(text: str, user: dict[str, Any], events: dict[str, list[dict[str, Any]]]) -> str | None:
    """The name of the deviation that may show in a case, or None where both must agree."""
    values = list(_leaves([user, events]))
    if "double(" in text and any(type(value) is int and abs(value) >= _EXACT for value in values):
        return "exact-numbers"
    if "int(" in text and any(type(value) is bool for value in values):
        return "int-of-bool"
    return None


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
