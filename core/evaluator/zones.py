"""CEL's getters on timestamps and durations: `getHours()`, `getDayOfWeek("Europe/Berlin")` and so on.

A zone is a name of the IANA database or a fixed offset such as `+02:00`. Names are looked up in the `tzdata` package
where the system has none. Parts are computed with whole numbers, because a zone can push an instant out of the years 1
to 9999 that `datetime` knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from core.evaluator.cel_values import CelError
from core.values import MICROS_PER_DAY, MICROS_PER_SECOND, from_micros, to_micros

_FIXED: Final = re.compile(r"([+-]?)([0-9]{1,2}):([0-9]{1,2})")
_ERA_DAYS: Final = 146_097
"""Days of 400 years, after which the calendar repeats."""
_FIRST_SAFE: Final = datetime(1, 1, 3, tzinfo=UTC)
_LAST_SAFE: Final = datetime(9999, 12, 29, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)

Zone = Callable[[datetime], int]
"""Gives the offset from UTC in micros at an instant."""


@lru_cache(maxsize=1024)
def zone_of(name: str) -> Zone:
    """A zone by name or fixed offset; "" is UTC.

    Raises:
        CelError: `other` where there is no such zone.
    """
    fixed = _FIXED.fullmatch(name)
    if fixed is not None:
        minutes = int(fixed[2]) * 60 + int(fixed[3])
        offset = (-minutes if fixed[1] == "-" else minutes) * 60 * MICROS_PER_SECOND
        return lambda moment: offset
    if not name or name == "UTC":
        return lambda moment: 0
    if name == "localtime":
        raise CelError("other", "the zone 'localtime' differs by machine")
    try:
        zone = ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise CelError("other", f"there is no time zone {name[:40]!r}") from None
    return lambda moment: _offset(zone, moment)


def _offset(zone: ZoneInfo, moment: datetime) -> int:
    if moment > _LAST_SAFE:
        # The rules of the far future repeat with the calendar.
        moment -= timedelta(days=_ERA_DAYS)
    local = max(moment, _FIRST_SAFE).astimezone(zone)
    offset = local.utcoffset()
    assert offset is not None
    return offset // _MICROSECOND


def local_micros(moment: datetime, zone: Zone) -> int:
    """What the clock on the wall shows, as if it were UTC, in micros since the epoch."""
    return to_micros(moment) + zone(moment)


def _calendar(local: int) -> tuple[int, datetime]:
    """Year and a datetime with the right month, day and clock; its own year may be 400 off at the ends of time."""
    for eras in (0, 1, -1):
        try:
            shown = from_micros(local + eras * _ERA_DAYS * MICROS_PER_DAY)
        except OverflowError:
            continue
        return shown.year - 400 * eras, shown
    raise CelError("overflow", "a timestamp outside the years 1 to 9999")


def _year(local: int) -> int:
    return _calendar(local)[0]


def _month(local: int) -> int:
    return _calendar(local)[1].month - 1


def _date(local: int) -> int:
    return _calendar(local)[1].day


def _day_of_month(local: int) -> int:
    return _calendar(local)[1].day - 1


def _day_of_week(local: int) -> int:
    return (local // MICROS_PER_DAY + 4) % 7


def _day_of_year(local: int) -> int:
    return _calendar(local)[1].timetuple().tm_yday - 1


def _hours(local: int) -> int:
    return local % MICROS_PER_DAY // (3600 * MICROS_PER_SECOND)


def _minutes(local: int) -> int:
    return local // (60 * MICROS_PER_SECOND) % 60


def _seconds(local: int) -> int:
    return local // MICROS_PER_SECOND % 60


def _milliseconds(local: int) -> int:
    return local // 1000 % 1000


TIMESTAMP_GETTERS: Final[dict[str, Callable[[int], int]]] = {
    "getFullYear": _year,
    "getMonth": _month,
    "getDate": _date,
    "getDayOfMonth": _day_of_month,
    "getDayOfWeek": _day_of_week,
    "getDayOfYear": _day_of_year,
    "getHours": _hours,
    "getMinutes": _minutes,
    "getSeconds": _seconds,
    "getMilliseconds": _milliseconds,
}
"""From local micros. Months, days of the month (but `getDate`), of the week (Sunday) and of the year count from 0."""


def _toward_zero(length: timedelta, unit: timedelta) -> int:
    return length // unit if length >= timedelta() else -(-length // unit)


def _rest_in_milliseconds(length: timedelta) -> int:
    whole = _toward_zero(length, timedelta(milliseconds=1))
    return whole % 1000 if whole >= 0 else -(-whole % 1000)


DURATION_GETTERS: Final[dict[str, Callable[[timedelta], int]]] = {
    "getHours": lambda length: _toward_zero(length, _HOUR),
    "getMinutes": lambda length: _toward_zero(length, _MINUTE),
    "getSeconds": lambda length: _toward_zero(length, _SECOND),
    "getMilliseconds": _rest_in_milliseconds,
}
"""Whole units of the whole length, but for `getMilliseconds`, which gives the part below a second."""

__all__ = ["DURATION_GETTERS", "TIMESTAMP_GETTERS", "Zone", "local_micros", "zone_of"]
