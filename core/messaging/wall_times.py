"""Wall times: which instant is nine o'clock in a zone, a zone that moves its clocks included."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import available_timezones

from core.evaluator.zones import Zone, zone_of
from core.values import MAX_MICROS, MIN_MICROS, from_micros

FARTHEST_OFFSET: Final = timedelta(hours=25)
"""No clock on a wall is farther from UTC than this, a day that a zone skipped included."""

_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1)


@lru_cache(maxsize=1)
def _known_names() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime"}  # which differs by machine


@lru_cache(maxsize=1)
def readable_names() -> list[str]:
    """All that may stand in `$timezone`: the database's names, and offsets of whole minutes up to 14 hours."""
    minutes = [f"{hour:02}:{minute:02}" for hour in range(15) for minute in range(60)]
    return sorted(_known_names()) + [sign + one for sign in "+-" for one in minutes]


def is_zone(name: str) -> bool:
    """Whether a zone of that name is in the IANA database."""
    return name in _known_names()


def instant_of(wall: datetime, zone: str) -> int:
    """The instant, in micros UTC, at which clocks in a zone show a wall time.

    One that comes twice is meant the first time. One that is left out, as clocks go forward over it, is the instant of
    that change: the next wall time that exists.

    Arguments:
        wall: naive.
        zone: an IANA name, or a fixed offset such as `+02:00`.
    """
    return _instant_of((wall - _EPOCH) // _MICROSECOND, zone)


@lru_cache(maxsize=65_536)
def _instant_of(wall: int, name: str) -> int:
    zone = zone_of(name)
    day = FARTHEST_OFFSET // _MICROSECOND
    before, after = _offset(zone, wall - day), _offset(zone, wall + day)
    first = min(wall - before, wall - after)
    last = max(wall - before, wall - after)
    # Of the offsets near by, the one that really shows this wall time; of two, the one that comes first.
    for instant in (first, last):
        if instant + _offset(zone, instant) == wall:
            return _clamped(instant)
    return _clamped(_passing(zone, first, last, wall))


def _passing(zone: Zone, low: int, high: int, wall: int) -> int:
    """The first instant in (low, high] at which the wall clock shows `wall` or more."""
    while high - low > 1:
        middle = (low + high) // 2
        if middle + _offset(zone, middle) >= wall:
            high = middle
        else:
            low = middle
    return high


def _offset(zone: Zone, instant: int) -> int:
    return zone(from_micros(_clamped(instant)))


def _clamped(instant: int) -> int:
    return min(max(instant, MIN_MICROS), MAX_MICROS)


def wall_of(instant: int, zone: str) -> datetime:
    """What clocks in a zone show at an instant (micros UTC): naive."""
    moment = from_micros(instant)
    return (moment + zone_of(zone)(moment) * _MICROSECOND).replace(tzinfo=None)
