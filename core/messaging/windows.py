"""Send windows and quiet hours: when the wall clock where a user lives lets a message go out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from core.codec import record
from core.errors import InvalidInput
from core.messaging.wall_times import instant_of, wall_of
from core.values import MAX_MICROS

MINUTES_PER_DAY: Final = 24 * 60
_EVERY_DAY: Final = tuple(range(1, 8))
_MONTH: Final = 32  # stretches are worked out and kept for so many days at a time

_Instants = npt.NDArray[np.int64]


@record("send_window")
@dataclass(frozen=True, slots=True)
class SendWindow:
    """Stretches of the week in which a message may go out.

    Arguments:
        opens, closes: minutes since midnight on the user's wall; where `closes` is not later, on the next day.
        days: on which it opens, 1 for Monday to 7; empty: every day.
    """

    opens: int
    closes: int
    days: list[int] = field(default_factory=list)


@record("quiet_hours")
@dataclass(frozen=True, slots=True)
class QuietHours:
    """A stretch of each day in which no message goes out: minutes since midnight, as a window's."""

    starts: int
    ends: int

    @property
    def rest(self) -> SendWindow:
        """The rest of each day, as a window."""
        return SendWindow(self.ends, self.starts)


def opening(window: SendWindow, zone: str, instants: _Instants) -> _Instants:
    """The first instant, from each given on, at which a window is open in a zone: itself where it is.

    A window opens, and closes, as the wall clock first shows its time; a time that is left out as clocks go forward is
    the next that exists.

    Arguments:
        zone: an IANA name, or a fixed offset.
        instants: int64[n], micros UTC.
    """
    if not len(instants):
        return instants
    first = wall_of(int(instants.min()), zone).toordinal() - 2
    last = wall_of(int(instants.max()), zone).toordinal() + 9
    months = range(first // _MONTH, last // _MONTH + 1)
    parts = [_stretches(window.opens, window.closes, tuple(window.days) or _EVERY_DAY, zone, one) for one in months]
    starts, ends = _merged(np.concatenate([one for one, _ in parts]), np.concatenate([one for _, one in parts]))
    following = np.searchsorted(ends, instants, side="right")
    found: _Instants = np.maximum(instants, np.append(starts, MAX_MICROS)[following])
    return found


@lru_cache(maxsize=4096)
def _stretches(opens: int, closes: int, days: tuple[int, ...], zone: str, month: int) -> tuple[_Instants, _Instants]:
    """Where the stretches that open on some days start and end, ascending: micros UTC."""
    starts, ends = [], []
    for number in range(max(month * _MONTH, 1), min((month + 1) * _MONTH, date.max.toordinal() - 1)):
        day = date.fromordinal(number)
        if day.isoweekday() in days:
            midnight = datetime.combine(day, time())
            until = closes if closes > opens else closes + MINUTES_PER_DAY
            starts.append(instant_of(midnight + timedelta(minutes=opens), zone))
            ends.append(instant_of(midnight + timedelta(minutes=until), zone))
    return np.array(starts, np.int64), np.array(ends, np.int64)


def _merged(starts: _Instants, ends: _Instants) -> tuple[_Instants, _Instants]:
    """Stretches without those that clocks going forward left nothing of, and those that touch as one."""
    real = ends > starts
    starts, ends = starts[real], ends[real]
    if len(starts):
        apart = starts[1:] > ends[:-1]
        starts, ends = starts[np.append(True, apart)], ends[np.append(apart, True)]
    return starts, ends


def minute_of(text: str, field: str) -> int:
    """The minute of the day that a text such as `09:30` names; `24:00` is the day's end.

    Raises:
        InvalidInput: WALL_CLOCK.
    """
    hour, _, minute = text.partition(":")
    if len(text) == 5 and hour.isdecimal() and minute.isdecimal() and int(minute) < 60:
        found = int(hour) * 60 + int(minute)
        if found <= MINUTES_PER_DAY:
            return found
    raise InvalidInput(
        f"{text!r} is no time of day", field=field, mend="such as 09:30, from 00:00 to 24:00", code="WALL_CLOCK"
    )


def text_of(minute: int) -> str:
    """A minute of the day as `minute_of` reads it."""
    return f"{minute // 60:02}:{minute % 60:02}"


def check_windows(window: SendWindow | None, quiet: QuietHours | None) -> None:
    """Refuse what names no time of day or week, and what lets nothing out, ever.

    Raises:
        InvalidInput: WALL_CLOCK, DAY_OF_WEEK, WINDOW_NEVER_OPEN.
    """
    named: dict[str, int] = {}
    if window is not None:
        named |= {"send_window.from": window.opens, "send_window.to": window.closes}
        for place, day in enumerate(window.days):
            if not 1 <= day <= 7:
                raise InvalidInput(
                    f"day {day} of the week",
                    field=f"message.send_window.days[{place}]",
                    mend="monday to sunday",
                    code="DAY_OF_WEEK",
                )
    if quiet is not None:
        named |= {"quiet_hours.from": quiet.starts, "quiet_hours.to": quiet.ends}
        if quiet.starts % MINUTES_PER_DAY == quiet.ends % MINUTES_PER_DAY:
            raise InvalidInput(
                "the whole day is quiet",
                field="message.quiet_hours.to",
                mend="a time of day other than where they begin",
                code="WINDOW_NEVER_OPEN",
            )
    for name, minute in named.items():
        if not 0 <= minute <= MINUTES_PER_DAY:
            raise InvalidInput(
                f"minute {minute} of the day",
                field=f"message.{name}",
                mend="from 00:00 to 24:00",
                code="WALL_CLOCK",
            )
    if window is not None and quiet is not None and not (_minutes(window) & _minutes(quiet.rest)).any():
        raise InvalidInput(
            "the send window is open in the quiet hours only",
            field="message.send_window",
            mend="a window that begins before they do, or ends after",
            code="WINDOW_NEVER_OPEN",
        )


def _minutes(window: SendWindow) -> npt.NDArray[np.bool_]:
    """At which minutes of the week a window is open."""
    week = np.zeros(7 * MINUTES_PER_DAY, bool)
    length = (window.closes - window.opens - 1) % MINUTES_PER_DAY + 1
    for day in window.days or _EVERY_DAY:
        first = (day - 1) * MINUTES_PER_DAY + window.opens
        week[np.arange(first, first + length) % len(week)] = True
    return week
