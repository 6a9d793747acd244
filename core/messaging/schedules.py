"""When a message is sent: the five kinds of schedule, and what each may say.

*By match*: as users come to match (`Asap`, `WhenMet`). *By time*: at instants, to whoever matches then (`Once`,
`Recurring`). `OnSend` reaches whom a call names, and nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Final, Literal

from core.codec import record
from core.errors import InvalidInput
from core.messaging.recurrence import check_rule
from core.messaging.wall_times import instant_of, is_zone, wall_of
from core.values import MAX_MICROS, MIN_MICROS

USERS_ZONE: Final = "user"
"""In place of a zone's name: each user's own."""

Past = Literal["", "send", "skip"]
"""What becomes of users in whose zone the wall time is past at the launch; "" where it is not said."""

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@record("asap")
@dataclass(frozen=True, slots=True)
class Asap:
    """Sent the first time a user goes from not matching to matching; once ever."""


@record("once")
@dataclass(frozen=True, slots=True)
class Once:
    """Sent to everybody who matches at one time, which is told in one of four ways.

    Arguments:
        at: an instant, micros UTC; where none of the others is set.
        wall: a wall time such as `2026-12-01T09:00`, in `zone`.
        next: a day of week and time, such as `monday 09:00`, in `zone`: the launch makes the next such a `wall`.
        after: micros: the launch makes an `at` so long after it.
        zone: of `wall` and `next`: "" for the project's, an IANA name, or `user` for each user's own.
        past: of zone `user`: what becomes of those for whom the time is past at the launch.
    """

    at: int = 0
    wall: str = ""
    next: str = ""
    after: int = 0
    zone: str = ""
    past: Past = ""


@record("recurring")
@dataclass(frozen=True, slots=True)
class Recurring:
    """Sent again and again, each time to everybody who matches at that time.

    Arguments:
        start: a wall time such as `2026-12-01T09:00`, in `zone`: no run is earlier, and all have its time of day.
        rule: an RRULE's value by RFC 5545, such as `FREQ=WEEKLY;BYDAY=MO,TH`.
        zone: "" for the project's, an IANA name, or `user` for each user's own.
    """

    start: str
    rule: str
    zone: str = ""


@record("when_met")
@dataclass(frozen=True, slots=True)
class WhenMet:
    """Sent each time a user goes from not matching to matching; the launch counts as an entry.

    Arguments:
        gap: micros; least time between a user's decision and the next. Who comes to match inside it is judged at its end.
        end: micros UTC; after it nothing opens. 0: never.
    """

    gap: int = 0
    end: int = 0


@record("on_send")
@dataclass(frozen=True, slots=True)
class OnSend:
    """Sent to whom a call names, as often as one does, and to nobody else."""


Schedule = Asap | Once | Recurring | WhenMet | OnSend
BY_MATCH: Final = (Asap, WhenMet)
BY_TIME: Final = (Once, Recurring)


def read_wall(text: str, field: str) -> datetime:
    """A wall time such as `2026-12-01T09:00`, naive.

    Raises:
        InvalidInput: WALL_TIME.
    """
    try:
        wall = datetime.fromisoformat(text)
    except ValueError:
        wall = None
    if wall is None or wall.tzinfo is not None or wall.microsecond:
        raise InvalidInput(
            f"{text!r} is no wall time", field=field, mend="such as 2026-12-01T09:00, without a zone", code="WALL_TIME"
        )
    return wall


def _read_next(text: str, field: str) -> tuple[int, time]:
    """The day of week, Monday 0, and time of `monday 09:00`.

    Raises:
        InvalidInput: NEXT_TIME.
    """
    day, _, clock = text.strip().partition(" ")
    try:
        return WEEKDAYS.index(day.lower()), time.fromisoformat(clock.strip())
    except ValueError:
        raise InvalidInput(
            f"{text!r} is no day of week and time", field=field, mend="such as monday 09:00", code="NEXT_TIME"
        ) from None


def check_schedule(schedule: object) -> None:
    """Refuse a schedule that cannot be read.

    Raises:
        InvalidInput: NO_SCHEDULE, TIME_OUT_OF_RANGE, WALL_TIME, NEXT_TIME, INVALID_DURATION, INVALID_TIME_ZONE,
            RECURRENCE_RULE, RULE_NEVER_RUNS, CHOICE; with the field.
    """
    if isinstance(schedule, Once):
        _check_once(schedule)
    elif isinstance(schedule, Recurring):
        _check_zone(schedule.zone, "message.recurring.time_zone")
        check_rule(read_wall(schedule.start, "message.recurring.start"), schedule.rule, "message.recurring.rule")
    elif isinstance(schedule, WhenMet):
        _check_when_met(schedule)
    elif not isinstance(schedule, Asap | OnSend):
        raise InvalidInput(
            "there is no schedule",
            field="message.schedule",
            mend="set asap, once, recurring, when_met or on_send",
            code="NO_SCHEDULE",
        )


def _check_when_met(schedule: WhenMet) -> None:
    if not 0 <= schedule.gap <= MAX_MICROS - MIN_MICROS:
        raise InvalidInput(
            "a negative duration",
            field="message.when_met.least_gap",
            mend="zero, or a positive duration",
            code="INVALID_DURATION",
        )
    if not MIN_MICROS <= schedule.end <= MAX_MICROS:
        raise InvalidInput(
            "the time is out of range",
            field="message.when_met.end_time",
            mend="years 0001 to 9999",
            code="TIME_OUT_OF_RANGE",
        )


def _check_once(schedule: Once) -> None:
    said = [name for name in ("wall", "next", "after") if getattr(schedule, name)]
    if len(said) + bool(schedule.at) > 1:
        raise InvalidInput(
            "more than one time is given",
            field="message.once",
            mend="one of time, local_time, next and after",
            code="NO_SCHEDULE",
        )
    if not MIN_MICROS <= schedule.at <= MAX_MICROS:
        raise InvalidInput(
            "the time is out of range", field="message.once.time", mend="years 0001 to 9999", code="TIME_OUT_OF_RANGE"
        )
    if not 0 <= schedule.after <= MAX_MICROS - MIN_MICROS:
        raise InvalidInput(
            "a negative duration", field="message.once.after", mend="a positive duration", code="INVALID_DURATION"
        )
    if schedule.wall:
        read_wall(schedule.wall, "message.once.local_time")
    if schedule.next:
        _read_next(schedule.next, "message.once.next")
    if schedule.past not in ("", "send", "skip"):
        raise InvalidInput(
            f"{schedule.past!r} is none of the choices", field="message.once.past", mend="send or skip", code="CHOICE"
        )
    if schedule.wall or schedule.next:
        _check_zone(schedule.zone, "message.once.time_zone")
    elif schedule.zone or schedule.past:
        raise InvalidInput(
            "an instant is the same in every zone",
            field="message.once.time_zone" if schedule.zone else "message.once.past",
            mend="give local_time in place of it",
            code="ZONE_OF_INSTANT",
        )


def _check_zone(name: str, field: str) -> None:
    if name not in ("", USERS_ZONE) and not is_zone(name):
        raise InvalidInput(
            f"{name!r} is no time zone",
            field=field,
            mend="an IANA name such as Europe/Berlin, `user` for each user's own, or none for the project's",
            code="INVALID_TIME_ZONE",
        )


def settled(schedule: Schedule, now: int, home: str) -> Schedule:
    """The schedule as a launch leaves it: what counts from the launch is a time of its own, the project's zone one by name.

    Arguments:
        now: of the launch, micros UTC.
        home: the project's zone. It also says which day is the next where each user's own zone is meant.
    """
    if isinstance(schedule, Recurring):
        return replace(schedule, zone=schedule.zone or home)
    if not isinstance(schedule, Once):
        return schedule
    if schedule.wall:
        return replace(schedule, zone=schedule.zone or home)
    if schedule.after:
        return replace(schedule, after=0, at=min(now + schedule.after, MAX_MICROS))
    if schedule.next:
        weekday, clock = _read_next(schedule.next, "message.once.next")
        own = schedule.zone or home
        zone = home if own == USERS_ZONE else own
        here = wall_of(now, zone)
        wall = datetime.combine(here.date() + timedelta((weekday - here.weekday()) % 7), clock)
        if instant_of(wall, zone) < now:
            wall += timedelta(7)
        return replace(
            schedule, next="", zone=own, wall=wall.isoformat(timespec="minutes" if not clock.second else "seconds")
        )
    return schedule
