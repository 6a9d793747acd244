"""Promise: a user's answer changes with time at the crossings found and at no other instant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluator.match import Row, match
from core.evaluator.parse import parse
from core.evaluator.time_use import (
    Calendar,
    Constant,
    EventSource,
    PropertySource,
    TimeLeaf,
    analyse,
    crossings,
    global_instants,
    launch_problems,
)
from core.values import MICROS_PER_DAY, MICROS_PER_SECOND, from_micros, to_micros

NOW = to_micros(datetime.fromisoformat("2024-03-09T16:00:00+00:00"))
HOUR = 3600 * MICROS_PER_SECOND

UNDERSTOOD = (
    'user.t < now - duration("1h")', 'user.t <= now - duration("1h")', 'user.t + duration("2h") > now', "now >= user.t",
    "now == user.t", 'now != user.t + duration("1s")', 'now - user.t > duration("1h")', 'now - user.t <= duration("1h")',
    'user.t - now < duration("3h")', 'duration("1h") < now - user.t', 'user["t"] > now + duration("24h") - duration("1h")',
    'events["A"].exists(e, e.time > now - duration("2h"))', 'events["A"].all(e, e.time < now - duration("2h"))',
    'events.A.filter(e, e.time >= now - duration("24h") && e.i > 1).size() >= 2', 'events["A"].size() == 2',
    'events["A"].map(e, e.time).max() < now - duration("1h")', 'events["A"][0].time <= now - duration("1h")',
    'events["A"].filter(e, e.i > 1).exists(f, now - f.time < duration("1h"))', 'timestamp("2024-03-09T15:00:00Z") < now',
    'user.t > now - duration("1h") && events["A"].exists(e, e.time > user.t && e.time < now - duration("1h"))',
    'now.getHours("Europe/Berlin") == 17 || now.getDayOfWeek() == 0', 'now.getMonth("Asia/Kathmandu") == 2',
    '(now + duration("30m")).getHours() == 16', '!(user.t < now) || now.getMinutes() == 30',
)  # fmt: skip
UNKNOWN = (
    ("int(now) > 5", 4), ("timestamp(user.s) < now", 20), ("user.l.exists(x, x < now)", 21), ("now in user.l", 0),
    ("now.getSeconds() == 1", 0), ("now.getHours(user.zone) == 1", 0), ("user.m.t < now", 11), ("now - user.t > user.x", 0),
    ('events["A"].exists(e, e.due < now)', 30), ("(now - user.t).getHours() > 2", 1), ("user.l[0] < now", 12),
)  # fmt: skip


class _Times:
    """A time index of one user, ordinal 0, in place of a column's and of an event table's."""

    def __init__(self, times: list[int]) -> None:
        self._times = times

    def time_between(self, after: int, upto: int) -> tuple[Any, Any]:
        found = [time for time in self._times if after < time <= upto]
        return np.zeros(len(found), np.uint32), np.array(found, np.int64)

    between = time_between


class _Population:
    def __init__(self, times: list[int], event_times: list[int]) -> None:
        self._columns, self._tables = {"t": _Times(times)}, {"A": _Times(event_times)}

    def column(self, name: str) -> _Times | None:
        return self._columns.get(name)

    def events(self, name: str) -> _Times | None:
        return self._tables.get(name)


_near = st.integers(-3, 3).flatmap(
    lambda hours: st.sampled_from([-1, 0, 1, 7]).map(lambda slack: NOW + hours * HOUR + slack)
)


@pytest.mark.parametrize("text", UNDERSTOOD)
def test_answers_change_only_at_crossings(text: str) -> None:
    parsed = parse(text)
    use = analyse(parsed)
    assert not use.unknown and not launch_problems(parsed)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(_near, max_size=1), st.lists(_near, max_size=3).map(sorted), _near)
    def check(times: list[int], event_times: list[int], after: int) -> None:
        upto = after + 5 * HOUR
        population: Any = _Population(times, event_times)
        ordinals, instants = crossings(use, population, after, upto)
        assert ordinals.dtype == np.uint32 and instants.dtype == np.int64
        assert instants.tolist() == sorted(set(instants.tolist()))
        changes = sorted({*instants.tolist(), *global_instants(use, after, upto)})
        assert all(after < change <= upto for change in changes)
        user = {"t": from_micros(times[0])} if times else {}
        events: list[dict[str, Any]] = [
            {"time": from_micros(time), "i": place} for place, time in enumerate(event_times)
        ]

        def verdict(now: int) -> bool:
            seen = [event for event in events if event["time"] <= from_micros(now)]
            return match(parsed, Row(user, {"A": seen}, now)) is True

        for start, end in _spans(after, upto, changes):
            assert len({verdict(moment) for moment in _moments(start, end)}) == 1, (start - NOW, end - NOW)

    check()


def _spans(after: int, upto: int, changes: list[int]) -> Iterator[tuple[int, int]]:
    edges = [after, *changes, upto + 1]
    return ((start, end) for start, end in pairwise(edges) if start < end)


def _moments(start: int, end: int) -> set[int]:
    inside = {start + (end - start) * part // 7 for part in range(7)}
    return {start, end - 1, *inside}


@pytest.mark.parametrize(("text", "position"), UNKNOWN)
def test_unknown_uses_are_named_with_their_position(text: str, position: int) -> None:
    assert [use.position for use in analyse(parse(text)).unknown] == [position]
    (problem,) = launch_problems(parse(text))
    assert (problem.code, problem.position) == ("TIME_USE_UNKNOWN", position) and problem.mend


def test_leaves_say_which_instants() -> None:
    assert TimeLeaf(PropertySource("t"), (HOUR + 1,), 7) in analyse(parse('user.t < now - duration("1h")')).leaves
    assert TimeLeaf(PropertySource("t"), (HOUR,), 7) in analyse(parse('user.t <= now - duration("1h")')).leaves
    assert TimeLeaf(EventSource("A"), (0,), -1) in analyse(parse("events.A.size() > 1")).leaves
    assert analyse(parse('now.getHours("+01:00") == 1')).leaves == (TimeLeaf(Calendar("hour", "+01:00"), (0,), 12),)
    assert analyse(parse("timestamp(7) < now")).leaves == (TimeLeaf(Constant(7 * MICROS_PER_SECOND), (1,), 13),)


def test_a_saved_audience_changes_with_time_too() -> None:
    parsed = parse("true && audiences.late", audiences={"late": parse('user.t < now - duration("1h") || int(now) > 5')})
    use = analyse(parsed)
    assert TimeLeaf(PropertySource("t"), (HOUR + 1,), 17) in use.leaves
    assert [unknown.position for unknown in use.unknown] == [17]


def test_calendar_follows_changes_of_summer_time() -> None:
    after = to_micros(datetime.fromisoformat("2024-03-30T12:00:00+01:00"))
    days = global_instants(analyse(parse('now.getDate("Europe/Berlin") == 1')), after, after + 2 * MICROS_PER_DAY)
    assert [from_micros(day).isoformat() for day in days] == [
        "2024-03-30T23:00:00+00:00",
        "2024-03-31T01:00:00+00:00",  # the clocks change
        "2024-03-31T22:00:00+00:00",
    ]


def test_months_and_years() -> None:
    after = to_micros(datetime.fromisoformat("2023-11-30T23:30:00+00:00"))
    use = analyse(parse('now.getFullYear() == 2024 || now.getMonth("+01:00") == 1'))
    found = [from_micros(instant) for instant in global_instants(use, after, after + 70 * MICROS_PER_DAY)]
    assert found == [
        datetime.fromisoformat(f"{day}+00:00") for day in ("2023-12-31T23:00", "2024-01-01T00:00", "2024-01-31T23:00")
    ]
    assert timedelta(days=70) > found[-1] - found[0]
