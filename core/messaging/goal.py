"""What a message is to bring about: an event that its users are to have within a time, and what that is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.codec import record
from core.errors import InvalidExpression, InvalidInput
from core.evaluator.one_event import parse_condition
from core.values import MAX_NAME_BYTES, MICROS_PER_DAY, utf8_length

DEFAULT_WINDOW: Final = 7 * MICROS_PER_DAY
MAX_WINDOW: Final = 366 * MICROS_PER_DAY


@record("goal")
@dataclass(frozen=True, slots=True)
class Goal:
    """A user converts by an event of this name, after having been exposed and within `window` micros of it.

    Attributes:
        condition: CEL with the event as `e`; "" for any event of the name.
        window: micros; 0: 7 days.
        value: the event's property that is added up as revenue; "" for none.
    """

    event: str
    condition: str = ""
    window: int = 0
    value: str = ""

    @property
    def within(self) -> int:
        """For how long after an exposure an event counts, in micros."""
        return self.window or DEFAULT_WINDOW


def check_goal(goal: Goal, field: str) -> None:
    """Refuse a goal that cannot be looked for.

    Arguments:
        field: where it stands, as `message.goal`.

    Raises:
        InvalidInput: NO_EVENT, NAME_TOO_LONG, INVALID_DURATION; InvalidExpression: of the condition.
    """
    if not goal.event:
        raise InvalidInput(
            "the goal names no event", field=f"{field}.event", mend="name it, as Purchase", code="NO_EVENT"
        )
    for name, text in ((f"{field}.event", goal.event), (f"{field}.value", goal.value)):
        if utf8_length(text, name) > MAX_NAME_BYTES:
            raise InvalidInput(
                f"the name is over {MAX_NAME_BYTES} bytes",
                field=name,
                mend=f"1 to {MAX_NAME_BYTES} bytes",
                code="NAME_TOO_LONG",
            )
    if not 0 <= goal.window <= MAX_WINDOW:
        raise InvalidInput(
            "the window is out of range",
            field=f"{field}.window",
            mend="above 0 and at most 366 days; unset: 7 days",
            code="INVALID_DURATION",
        )
    if goal.condition:
        try:
            parse_condition(goal.event, goal.condition)
        except InvalidExpression as error:
            error.field = f"{field}.condition"
            raise
