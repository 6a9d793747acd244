"""The instants at which a part of the calendar begins in a time zone: minutes, hours, days, months, years."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from core.evaluator.zones import TIMESTAMP_GETTERS, Zone, zone_of
from core.values import MAX_MICROS, MICROS_PER_DAY, MICROS_PER_SECOND, MIN_MICROS, from_micros

Unit = Literal["minute", "hour", "day", "month", "year"]
UNIT_OF_GETTER: Final[dict[str, Unit | None]] = {
    "getFullYear": "year",
    "getMonth": "month",
    "getDate": "day",
    "getDayOfMonth": "day",
    "getDayOfWeek": "day",
    "getDayOfYear": "day",
    "getHours": "hour",
    "getMinutes": "minute",
    # Everybody would have to be judged every second, or a thousand times a second.
    "getSeconds": None,
    "getMilliseconds": None,
}
"""What must begin for a getter's answer on `now` to change; None where that is too often to be followed."""
_STEP: Final = {
    "minute": 60 * MICROS_PER_SECOND,
    "hour": 3600 * MICROS_PER_SECOND,
    "day": MICROS_PER_DAY,
    "month": MICROS_PER_DAY,
    "year": MICROS_PER_DAY,
}


def beginnings(unit: Unit, zone_name: str, after: int, upto: int) -> Iterator[int]:
    """Instants (micros UTC) in (after, upto] at which a new minute, hour, … begins in a zone, ascending.

    Changes of the zone's offset count too, as they can change any part of the clock.
    """
    after, upto = max(after, MIN_MICROS), min(upto, MAX_MICROS)
    if after >= upto:
        return
    zone = zone_of(zone_name)
    start = after
    for end in (*_changes(zone, after, upto), upto + 1):
        offset = zone(from_micros(start))
        for local in _local_beginnings(unit, start + offset, end - 1 + offset):
            yield local - offset
        if end <= upto:
            yield end
        start = end


def _local_beginnings(unit: Unit, after: int, upto: int) -> Iterator[int]:
    """The same on the clock on the wall, where no change of offset lies in between."""
    step = _STEP[unit]
    for local in range((after // step + 1) * step, upto + 1, step):
        if unit == "month" and TIMESTAMP_GETTERS["getDayOfMonth"](local):
            continue
        if unit == "year" and TIMESTAMP_GETTERS["getDayOfYear"](local):
            continue
        yield local


def _changes(zone: Zone, after: int, upto: int) -> list[int]:
    """The instants in (after, upto] from which the zone's offset is another than just before.

    Looks once a day: no zone ever changed its offset twice within a day.
    """
    found = []
    low, offset = after, zone(from_micros(after))
    while low < upto:
        high = min(low + MICROS_PER_DAY, upto)
        there = zone(from_micros(high))
        if there != offset:
            found.append(_change_between(zone, low, high, offset))
            offset = there
        low = high
    return found


def _change_between(zone: Zone, low: int, high: int, offset: int) -> int:
    """The first instant after `low` with another offset than `low` has; `high` has another."""
    while high - low > 1:
        middle = (low + high) // 2
        if zone(from_micros(middle)) == offset:
            low = middle
        else:
            high = middle
    return high
