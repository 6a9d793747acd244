"""Promise: set kernels say of every user what the row matcher says: all users at once, a few, or each at an own instant."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from core.bitmaps.gathered import Gathered
from core.bitmaps.population import Population
from core.evaluator.bind import Binder, bind
from core.evaluator.costs import Schema
from core.evaluator.parse import Parsed, parse
from core.evaluator.run import Plan
from core.evaluator.scoping import distinct_variables
from tests.conformance import oracle
from tests.conformance.deviations import known_deviation
from tests.conformance.populations import PLACES, expected, outcome_of, populated
from tests.conformance.strategies import NOW, Case, cases, visible

_SLOW = list(HealthCheck)
_STEPS = (0, 1, 3_600_000_000, 86_400_000_000)
_instants = st.lists(st.sampled_from([NOW + step for step in _STEPS]), min_size=6, max_size=6)


def _by_rows(parsed: Parsed, population: Population) -> Plan:
    """The plan without any quick step."""
    return Plan(parsed, Binder(Schema.of(parsed, population)).by_rows(distinct_variables(parsed.root)))


@settings(max_examples=150, deadline=None, suppress_health_check=_SLOW)
@given(cases(future=True), st.booleans())
def test_all_users_at_one_instant(case: Case, patched: bool) -> None:
    text, rows, now = case
    places = PLACES[: len(rows)]
    parsed, population = parse(text), populated(rows, places, patched=patched)
    outcome = bind(parsed, population).run(population, now=now)
    wanted = expected(parsed, rows, [now] * len(rows), places)
    assert {place: outcome_of(outcome, place) for place in places} == wanted, text
    assert outcome.judged == population.live
    # Users without anything all get one answer.
    nobody = expected(parsed, [({}, {})], [now], [2])[2]
    rest = population.live - BitMap(places)
    assert (outcome.true & rest, outcome.false & rest) == (
        rest if nobody is True else BitMap(),
        rest if nobody is False else BitMap(),
    )
    assert bind(parsed, population).select(population, now=now) == outcome.true


@settings(max_examples=150, deadline=None, suppress_health_check=_SLOW)
@given(cases(future=True), st.sets(st.integers(0, 5)))
def test_a_few_users(case: Case, chosen: set[int]) -> None:
    text, rows, now = case
    places = PLACES[: len(rows)]
    parsed, population = parse(text), populated(rows, places)
    among = BitMap(place for number, place in enumerate(places) if number in chosen)
    outcome = bind(parsed, population).run(population, among=among | BitMap([900_000]), now=now)
    assert outcome.judged == among
    wanted = expected(parsed, rows, [now] * len(rows), places)
    assert {place: outcome_of(outcome, place) for place in among} == {place: wanted[place] for place in among}, text
    assert outcome.true | outcome.false <= among


@settings(max_examples=150, deadline=None, suppress_health_check=_SLOW)
@given(cases(future=True), st.sets(st.integers(0, 5)))
def test_a_few_users_gathered(case: Case, chosen: set[int]) -> None:
    """Users taken out of a population, side by side, get the answers that they get where they stand."""
    text, rows, now = case
    places = PLACES[: len(rows)]
    parsed, population = parse(text), populated(rows, places)
    among = BitMap(place for number, place in enumerate(places) if number in chosen)
    gathered = Gathered(population, np.array(sorted({*places, 7}), np.uint32))
    outcome = bind(parsed, population).run(gathered, among=gathered.within(among), now=now)
    wanted = expected(parsed, rows, [now] * len(rows), places)
    true, false = gathered.without(outcome.true), gathered.without(outcome.false)
    assert gathered.without(outcome.judged) == among
    assert true == BitMap(place for place in among if wanted[place] is True), text
    assert false == BitMap(place for place in among if wanted[place] is False), text


@settings(max_examples=150, deadline=None, suppress_health_check=_SLOW)
@given(cases(future=True), _instants)
def test_each_user_at_an_own_instant(case: Case, nows: list[int]) -> None:
    text, rows, _ = case
    places = PLACES[: len(rows)]
    nows = nows[: len(rows)]
    parsed, population = parse(text), populated(rows, places)
    now = np.array(places, np.uint32), np.array(nows, np.int64)
    wanted = expected(parsed, rows, nows, places)
    for plan in (bind(parsed, population), _by_rows(parsed, population)):
        outcome = plan.run(population, now=now)
        assert outcome.judged == BitMap(places)
        assert {place: outcome_of(outcome, place) for place in places} == wanted, (text, nows)


@settings(max_examples=150, deadline=None, suppress_health_check=_SLOW)
@given(cases(future=True))
def test_one_user_at_a_time(case: Case) -> None:
    """A user alone, so that every vector has one row, gets the answer that the user gets among others."""
    text, rows, now = case
    places = PLACES[: len(rows)]
    parsed, population = parse(text), populated(rows, places)
    wanted = expected(parsed, rows, [now] * len(rows), places)
    for plan in (bind(parsed, population), _by_rows(parsed, population)):
        alone = {place: plan.run(population, among=BitMap([place]), now=now) for place in places}
        assert {place: outcome_of(outcome, place) for place, outcome in alone.items()} == wanted, text


_AROUND = (
    'audiences["one"]', '!audiences.one && audiences["few"]', "audiences.one == audiences.few", "user.b1 || audiences.one",
    "audiences.few ? audiences.one : user.b1", "user.l1.exists(user, audiences.one && user == user)", "audiences.one in [true]",
    'events["A"].exists(e, audiences.few && e.time < now)', 'events["A"].filter(e, audiences.one).size() == size(events["A"])',
)  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=_SLOW)
@given(cases(future=True), st.sampled_from(_AROUND), st.sets(st.integers(0, 5)))
def test_saved_audiences(case: Case, around: str, chosen: set[int]) -> None:
    text, rows, now = case
    places = PLACES[: len(rows)]
    few = BitMap(place for number, place in enumerate(places) if number in chosen) | BitMap([3])
    parsed = parse(around, audiences={"one": parse(text), "few": few})
    population = populated(rows, places)
    wanted = expected(parsed, rows, [now] * len(rows), places)
    for plan in (bind(parsed, population), _by_rows(parsed, population)):
        outcome = plan.run(population, among=BitMap(places), now=now)
        assert {place: outcome_of(outcome, place) for place in places} == wanted, (text, around)


@settings(max_examples=150, deadline=None, suppress_health_check=_SLOW)
@given(cases(depth=3, future=True))
def test_the_interpreter_alone(case: Case) -> None:
    """Whatever a quicker step answers, the step that computes by rows answers alike."""
    text, rows, now = case
    places = PLACES[: len(rows)]
    parsed, population = parse(text), populated(rows, places)
    outcome = _by_rows(parsed, population).run(population, among=BitMap(places), now=now)
    wanted = expected(parsed, rows, [now] * len(rows), places)
    assert {place: outcome_of(outcome, place) for place in places} == wanted, text


@settings(max_examples=150, deadline=None, suppress_health_check=_SLOW)
@given(cases(future=True))
def test_google_agrees(case: Case) -> None:
    text, rows, now = case
    places = PLACES[: len(rows)]
    parsed, population = parse(text), populated(rows, places)
    outcome = bind(parsed, population).run(population, among=BitMap(places), now=now)
    for place, (user, events) in zip(places, rows, strict=True):
        if known_deviation(text, user, events) is None:
            assert outcome_of(outcome, place) is oracle.judge(text, user, visible(events, now), now), (text, user)


def test_at_least_half_of_the_cases_do_not_err() -> None:
    answers: Counter[bool | None] = Counter()

    @settings(max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=_SLOW)
    @given(cases(future=True))
    def collect(case: Case) -> None:
        text, rows, now = case
        places = PLACES[: len(rows)]
        population = populated(rows, places)
        outcome = bind(parse(text), population).run(population, among=BitMap(places), now=now)
        answers.update(outcome_of(outcome, place) for place in places)

    collect()
    assert answers[True] + answers[False] >= answers.total() / 2, answers
    assert min(answers[True], answers[False], answers[None]) > answers.total() / 50, answers
