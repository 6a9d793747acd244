"""When a message is sent, in more words than "asap" and an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from muster import values
from muster.errors import InvalidInput
from muster.v1 import message_pb2

ASAP: Final = "asap"
ON_SEND: Final = "on_send"
USERS_ZONE: Final = "user"
"""As a schedule's `time_zone`: each user's own, by `$timezone`."""
Past: TypeAlias = Literal["send", "skip"]
_PASTS: Final = {
    None: message_pb2.PAST_UNSPECIFIED,
    "send": message_pb2.PAST_SEND,
    "skip": message_pb2.PAST_SKIP,
}


@dataclass(frozen=True)
class Once:
    """Sent once, to everybody who matches at that time; give one of `time`, `local_time`, `next` and `after`.

    Arguments:
        time: an instant, aware.
        local_time: a wall time, such as "2026-12-01T09:00" or a naive datetime.
        next: the next such day of week and time after the launch: "monday 09:00".
        after: so long after the launch.
        time_zone: of `local_time` and `next`: "" for the project's, an IANA name, or "user" for each user's own.
        past: with "user", what becomes of those for whom the time is past at the launch.
    """

    time: datetime | None = None
    local_time: str | datetime = ""
    next: str = ""
    after: timedelta | None = None
    time_zone: str = ""
    past: Past | None = None


@dataclass(frozen=True)
class Recurring:
    """Sent at each run, to everybody who matches then.

    Arguments:
        start: a wall time, such as "2026-12-01T09:00" or a naive datetime: no run is earlier, and all have its time of
            day.
        rule: the value of an RRULE by RFC 5545: "FREQ=WEEKLY;BYDAY=MO,TH".
        time_zone: "" for the project's, an IANA name, or "user" for each user's own.
    """

    start: str | datetime
    rule: str
    time_zone: str = ""


@dataclass(frozen=True)
class WhenMet:
    """Sent each time someone goes from not matching to matching; the launch counts as an entry.

    Arguments:
        least_gap: between a user's decision and the next. Who comes to match inside it is judged at its end.
        end: aware; after it nothing opens. None: never.
    """

    least_gap: timedelta | None = None
    end: datetime | None = None


Schedule: TypeAlias = datetime | Literal["asap", "on_send"] | Once | Recurring | WhenMet
"""When a message is sent: "asap", as soon as someone comes to match; at an instant, aware, to everybody who matches; as
Once, Recurring or WhenMet say; or "on_send", by `client.messages.send` alone."""


def put(schedule: object, message: message_pb2.Message) -> None:
    """Put a schedule into a message; None leaves it without.

    Raises:
        InvalidInput: VALUE_TYPE, for what is no schedule.
    """
    if schedule == ASAP:
        message.asap.SetInParent()
    elif schedule == ON_SEND:
        message.on_send.SetInParent()
    elif isinstance(schedule, datetime):
        message.once.time.CopyFrom(values.timestamp(schedule, "schedule"))
    elif isinstance(schedule, Once):
        message.once.CopyFrom(_once(schedule))
    elif isinstance(schedule, Recurring):
        message.recurring.CopyFrom(
            message_pb2.RecurringSchedule(start=_wall(schedule.start), rule=schedule.rule, time_zone=schedule.time_zone)
        )
    elif isinstance(schedule, WhenMet):
        message.when_met.SetInParent()
        if schedule.least_gap is not None:
            message.when_met.least_gap.CopyFrom(values.duration(schedule.least_gap))
        if schedule.end is not None:
            message.when_met.end_time.CopyFrom(values.timestamp(schedule.end, "schedule.end"))
    elif schedule is not None:
        raise InvalidInput(
            f"the schedule {schedule!r}",
            field="schedule",
            mend='"asap", "on_send", an aware datetime, muster.Once(…), muster.Recurring(…) or muster.WhenMet(…)',
            code="VALUE_TYPE",
        )


def _once(schedule: Once) -> message_pb2.OnceSchedule:
    if schedule.past not in _PASTS:
        raise InvalidInput(
            f"{schedule.past!r} is none of the choices", field="schedule.past", mend="send or skip", code="CHOICE"
        )
    once = message_pb2.OnceSchedule(time_zone=schedule.time_zone, past=_PASTS[schedule.past])
    given = [one for one in (schedule.time, schedule.local_time, schedule.next, schedule.after) if one]
    if len(given) != 1:
        raise InvalidInput(
            "not exactly one time is given",
            field="schedule",
            mend="one of time, local_time, next and after",
            code="VALUE_TYPE",
        )
    if schedule.time is not None:
        once.time.CopyFrom(values.timestamp(schedule.time, "schedule.time"))
    elif schedule.after is not None:
        once.after.CopyFrom(values.duration(schedule.after))
    elif schedule.next:
        once.next = schedule.next
    else:
        once.local_time = _wall(schedule.local_time)
    return once


def _wall(wall: str | datetime) -> str:
    return wall.isoformat() if isinstance(wall, datetime) else wall
