"""Promise: whatever expression is understood, time alone changes a user's answer only at the instants that were foretold."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from core.evaluator.bind import bind
from core.evaluator.parse import parse
from core.evaluator.time_use import analyse, crossings, global_instants
from core.values import MICROS_PER_DAY, MICROS_PER_SECOND, to_micros
from tests.conformance.populations import outcome_of, populated, verdict
from tests.conformance.strategies import COMPARISONS, LENGTHS, NOW, ZONES, Case, UserRow, cases

AFTER, UPTO = NOW - 45 * MICROS_PER_DAY, NOW + 45 * MICROS_PER_DAY
_HOUR = 3600 * MICROS_PER_SECOND
_SHIFTS = sorted(
    {sign * shift for shift in (0, MICROS_PER_SECOND, 1_500_000, _HOUR, 24 * _HOUR, 36 * _HOUR) for sign in (1, -1)}
)
_WRITTEN = [to_micros(datetime.fromisoformat(text)) for text in ("2024-03-08T12:00:00Z", "2024-01-31T23:30:00Z")]


def _times(value: Any) -> list[int]:
    """Every timestamp in a row."""
    if isinstance(value, datetime):
        return [to_micros(value)]
    if isinstance(value, dict):
        value = list(value.values())
    return [time for item in value for time in _times(item)] if isinstance(value, list) else []


def _moments(row: UserRow, foretold: list[int]) -> list[int]:
    """Instants at which an answer could change if the analysis were wrong, and those around what it foretells."""
    user, events = row
    near = [
        time + one + two for time in (*_times(user), *_times(events), *_WRITTEN) for one in _SHIFTS for two in _SHIFTS
    ]
    days = range(AFTER // _HOUR * _HOUR, UPTO, 6 * _HOUR)
    found = {moment + slack for moment in (*near, *foretold, *days) for slack in (-1, 0, 1)}
    return sorted(moment for moment in found if AFTER <= moment <= UPTO)


def _check(text: str, rows: list[UserRow]) -> None:
    parsed = parse(text)
    use = analyse(parsed)
    assume(not use.unknown)
    population = populated(rows, range(len(rows)))
    ordinals, instants = crossings(use, population, AFTER, UPTO)
    everywhere = global_instants(use, AFTER, UPTO)
    assert all(AFTER < instant <= UPTO for instant in (*instants.tolist(), *everywhere))
    for ordinal, row in enumerate(rows):
        foretold = sorted({*instants[ordinals == ordinal].tolist(), *everywhere})
        moments = _moments(row, foretold)
        answers = [verdict(parsed, row, moment) for moment in moments]
        for (before, one), (after, two) in pairwise(zip(moments, answers, strict=True)):
            foreseen = bisect_right(foretold, after) > bisect_right(foretold, before)
            assert one is two or foreseen, (text, row, before - NOW, after - NOW, one, two)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(depth=1, future=True))
def test_of_any_expression(case: Case) -> None:
    text, rows, _ = case
    _check(text, rows[:2])


@st.composite
def _timely(draw: Any) -> str:
    """A condition in which time matters."""
    pick = lambda *options: draw(st.sampled_from(options))  # noqa: E731
    length = f'duration("{pick(*LENGTHS)}")'
    sign, other, compare = pick("+", "-"), pick("+", "-"), pick(*COMPARISONS)
    moment = pick("user.t1", "user.t2", 'timestamp("2024-03-08T12:00:00Z")', f"(user.t1 {sign} {length})", "now")
    leaf = pick(
        f"{moment} {compare} now {other} {length}",
        f"now {compare} {moment}",
        f"now - {moment} {compare} {length}",
        f"{moment} - now {compare} {length}",
        f'events["A"].{pick("exists", "all", "exists_one")}(e, e.time {compare} now {sign} {length})',
        f"events.A.filter(e, has(e.i) && e.time {compare} now - {length}).size() {pick(*COMPARISONS)} {pick(0, 1, 2)}",
        f'events["B"].size() {compare} {pick(0, 1, 2)}',
        f'events["A"].exists(e, events["B"].exists(f, f.time {compare} e.time && now - f.time < {length}))',
        f"events.A.map(e, e.time).{pick('min', 'max')}() {compare} now - {length}",
        f'events["A"][{pick(0, 1)}].time {compare} now - {length}',
        f'now.{pick("getHours", "getDayOfWeek", "getDate", "getDayOfYear", "getMonth")}("{pick(*ZONES)}") {compare} {pick(0, 5, 12)}',
        f"(now {sign} {length}).getHours() {compare} 12",
    )
    return str(leaf)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    _timely(),
    st.sampled_from(["{}", "!({})", "{} && {}", "{} || user.b1", "({} ? user.b1 : {})"]),
    _timely(),
    cases(depth=0, future=True),
)
def test_of_conditions_on_time(one: str, form: str, two: str, case: Case) -> None:
    text = form.replace("{}", f"({one})", 1).replace("{}", f"({two})")
    _check(text, case[1][:2])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(_timely(), cases(depth=0, future=True), st.integers(-40, 40))
def test_the_set_path_moves_with_time_as_the_matcher_does(text: str, case: Case, day: int) -> None:
    parsed, rows = parse(text), case[1]
    population = populated(rows, range(len(rows)))
    now = NOW + day * MICROS_PER_DAY
    outcome = bind(parsed, population).run(population, now=now)
    assert [outcome_of(outcome, ordinal) for ordinal in range(len(rows))] == [verdict(parsed, row, now) for row in rows]
