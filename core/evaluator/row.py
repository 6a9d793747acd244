"""One user as the row matcher sees it, and what can come of matching."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.evaluator.cel_values import CelError, ErrorKind
from core.values import Value


@dataclass(frozen=True, slots=True)
class Row:
    """One user at one instant.

    Attributes:
        user: the profile's properties.
        events: event name to that user's events ordered by time, each a dict of its properties and `time` (an aware
            datetime). The caller leaves out events later than `now`; a name that is not there has no events.
        now: micros UTC.
        context: what an SDK call gives.
        audiences: membership in listed audiences by name; one that is not there is looked up by `ordinal`.
        ordinal: the user's ordinal, -1 for none.
    """

    user: Mapping[str, Value]
    events: Mapping[str, list[dict[str, Any]]]
    now: int
    context: Mapping[str, Value] = field(default_factory=dict)
    audiences: Mapping[str, bool] = field(default_factory=dict)
    ordinal: int = -1


@dataclass(frozen=True, slots=True)
class Erred:
    """The expression erred for this user, who therefore does not match. False as a condition.

    Attributes:
        kind: `missing`, `type`, `overflow` or `other`.
        message: why, such as "user.plan is missing".
        position: the code point offset of the construct that erred, -1 where not known.
    """

    kind: ErrorKind
    message: str
    position: int

    def __bool__(self) -> bool:
        return False

    @classmethod
    def of(cls, error: CelError) -> Erred:
        """What an error says."""
        return cls(error.kind, error.message, error.position)


Verdict = bool | Erred
