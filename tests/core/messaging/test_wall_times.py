"""Promise: nine o'clock is the right instant in every zone, over every change of its clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messaging.wall_times import instant_of, is_zone, readable_names, wall_of
from core.values import from_micros

ZONES = sorted(available_timezones() - {"localtime"})
YEARS = (2010, 2011, 2012, 2016, 2024, 2025, 2026)
"""Samoa left a day out at the end of 2011; several zones moved for good in the others."""


def changes(zone: ZoneInfo) -> Iterator[datetime]:
    """Noons in UTC before which, by at most a day, a zone changed its offset."""
    for year in YEARS:
        noon = datetime(year, 1, 1, 12, tzinfo=UTC)
        before = noon.astimezone(zone).utcoffset()
        while noon.year == year:
            noon += timedelta(1)
            offset = noon.astimezone(zone).utcoffset()
            if offset != before:
                yield noon
            before = offset


def twin(wall: datetime, zone: ZoneInfo) -> datetime:
    """By what `datetime` knows of folds, and minute by minute where the wall time is left out."""
    meant = [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    shown = [one for one in meant if one.astimezone(zone).replace(tzinfo=None) == wall]
    if shown:
        return min(shown)
    moment = min(meant)
    while moment.astimezone(zone).replace(tzinfo=None) < wall:
        moment += timedelta(minutes=1)
    return moment


@pytest.mark.parametrize("part", range(8))
def test_around_every_change_of_clocks(part: int) -> None:
    seen = 0
    for name in ZONES[part::8]:
        zone = ZoneInfo(name)
        for noon in changes(zone):
            local = noon.astimezone(zone).replace(tzinfo=None, minute=0)
            for quarters in range(-180, 8, 1 if name == "Pacific/Apia" else 3):
                wall = local + timedelta(minutes=15 * quarters)
                assert from_micros(instant_of(wall, name)) == twin(wall, zone), (name, wall)
                seen += 1
    assert seen > 1_000


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(lambda one: one.replace(second=0, microsecond=0)),
    st.sampled_from(ZONES),
)
def test_at_any_time(wall: datetime, name: str) -> None:
    assert from_micros(instant_of(wall, name)) == twin(wall, ZoneInfo(name))


def test_what_is_left_out_is_the_instant_of_the_change_and_what_comes_twice_the_first() -> None:
    spring = instant_of(datetime(2026, 3, 29, 2, 30), "Europe/Berlin")
    assert from_micros(spring) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    autumn = instant_of(datetime(2026, 10, 25, 2, 30), "Europe/Berlin")
    assert from_micros(autumn) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    missing_day = instant_of(datetime(2011, 12, 30, 9), "Pacific/Apia")
    assert from_micros(missing_day) == datetime(2011, 12, 30, 10, tzinfo=UTC)


def test_fixed_offsets_and_the_ends_of_time() -> None:
    assert from_micros(instant_of(datetime(2026, 1, 1, 9), "+05:30")) == datetime(2026, 1, 1, 3, 30, tzinfo=UTC)
    assert wall_of(instant_of(datetime(2026, 1, 1, 9), "-03:00"), "-03:00") == datetime(2026, 1, 1, 9)
    for wall in (datetime.min, datetime.max.replace(microsecond=0)):
        for name in ("Asia/Tokyo", "America/New_York"):
            instant_of(wall, name)


def test_what_is_a_zone() -> None:
    assert is_zone("Europe/Berlin") and is_zone("UTC")
    assert not any(map(is_zone, ("", "localtime", "Europe", "Berlin", "user", "../etc/passwd", "+02:00")))
    assert "+02:00" in readable_names() and "Europe/Berlin" in readable_names()
