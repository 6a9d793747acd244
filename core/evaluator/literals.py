"""Refuses literals that would err for every user, such as `duration("14d")`: an audience of nobody tells no one why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from core.errors import InvalidExpression
from core.evaluator.cel_values import CelError
from core.evaluator.functions import pattern
from core.evaluator.time_texts import DURATION_EXAMPLE, parse_duration, parse_timestamp
from core.evaluator.tree import Call, Const
from core.evaluator.zones import TIMESTAMP_GETTERS, zone_of

_MENDS: Final = {
    "duration": f"write {DURATION_EXAMPLE}",
    "timestamp": 'write "2024-01-31T00:00:00Z", or an offset such as +01:00 for Z',
    "matches": "see github.com/google/re2/wiki/Syntax",
}
Check = tuple[int, Callable[[str], object] | None]
"""Which argument to look at, and what raises CelError where it is malformed."""
_NO_CHECK: Final[Check] = (0, None)
LITERAL_CHECKS: Final[dict[str, Check]] = {
    "duration": (0, parse_duration),
    "timestamp": (0, parse_timestamp),
    "matches": (1, pattern),
    **{name: (1, zone_of) for name in TIMESTAMP_GETTERS},
}
"""By function, what its literals must be."""


def check_literal(call: Call) -> None:
    """Refuse a malformed duration, timestamp, pattern or zone that is written out.

    Raises:
        InvalidExpression: INVALID_LITERAL.
    """
    place, check = LITERAL_CHECKS.get(call.function, _NO_CHECK)
    if check is None or len(call.args) <= place:
        return
    given = call.args[place]
    if not isinstance(given, Const) or not isinstance(given.value, str):
        return
    try:
        check(given.value)
    except CelError as error:
        raise InvalidExpression(
            error.message,
            position=given.position,
            mend=_MENDS.get(call.function, 'write a name such as "Europe/Berlin" or an offset such as "+02:00"'),
            code="INVALID_LITERAL",
        ) from None
