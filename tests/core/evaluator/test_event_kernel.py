"""Promise: the kernel that counts events straight from pages answers as the interpreter does, with either set of loops."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from core.bitmaps.population import Population
from core.evaluator import event_counts
from core.evaluator.bind import Binder, bind
from core.evaluator.costs import Schema
from core.evaluator.event_kernel import Tally
from core.evaluator.parse import parse
from core.evaluator.ranges import bounds_of
from core.evaluator.run import Plan
from core.evaluator.scoping import distinct_variables
from core.evaluator.vector import INT
from core.values import MICROS_PER_DAY, Value, from_micros

NOW = 20_000 * MICROS_PER_DAY + 43_200_000_000
USERS = (0, 1, 2, 70_000, 70_001, 200_000)
amounts = st.one_of(
    st.sampled_from([0.25, 49.99, 50.0, 50.01, 1e300, -0.0, 0.0, 7.0]),
    st.integers(-(10**4), 10**4).map(lambda n: n / 100),
)
wholes = st.one_of(st.integers(-3, 3), st.integers(0, 300), st.sampled_from([2**62, -(2**62), 100_000]))
kinds: dict[str, st.SearchStrategy[Value]] = {
    "amount": amounts,
    "whole": wholes,
    "kind": st.sampled_from(["a", "b", "c"]),
    "flag": st.booleans(),
    "seen": st.integers(-3, 3).map(lambda hours: from_micros(NOW + hours * 3_600_000_000)),
    "any": st.one_of(amounts, wholes, st.sampled_from([None, True, "a"]), st.just([1])),
}
properties = st.fixed_dictionaries({}, optional=kinds)
full = st.fixed_dictionaries(kinds)
moments = st.one_of(
    st.integers(-4, 1).map(lambda day: NOW + day * MICROS_PER_DAY),
    st.integers(-(10**12), 10**10).map(lambda ago: NOW + ago),
)
events = st.tuples(st.sampled_from(USERS), moments)


@st.composite
def populations(draw) -> Population:  # type: ignore[no-untyped-def]
    """Events of few users on few days, in several batches, some taken out or moved since."""
    population = Population()
    population.issue(USERS[-1] + 1)
    of_all = draw(st.booleans())
    for batch in range(draw(st.integers(1, 3))):
        made = draw(st.lists(st.tuples(events, full if of_all else properties), min_size=1, max_size=40))
        population.writable_events("E").append_records(
            np.array([user for (user, _), _ in made], np.uint32),
            np.array([moment for (_, moment), _ in made], np.int64),
            np.full(len(made), NOW, np.int64),
            [""] * len(made),
            [f"{batch}-{number}" for number in range(len(made))],
            [item for _, item in made],
        )
    if draw(st.booleans()):
        population.writable_events("E").remap(0, 70_000)
    if draw(st.booleans()):
        population.writable_events("E").remove([1])
    return population


_CONSTANTS = {
    "amount": ("50.0", "0.0", "49.99", "7", "7u", "1e400", "-3", "100.005"),
    "whole": ("2", "-1", "2.5", "300", "0.0", "100000", "1u"),
    "kind": ('"a"', '"zz"', "dyn(null)", "dyn(5)"),
    "flag": ("true", "false", "1"),
    "seen": ("now", 'now - duration("1h")', "timestamp(0)"),
    "any": ("1", '"a"', "dyn(null)", "true", "0.25", "dyn([1])"),
    "time": ("now", 'now - duration("24h")', 'now - duration("36h30m")', "timestamp(0)"),
    "never": ("1",),
}
_OPERATORS = ("==", "!=", "<", "<=", ">", ">=")


@st.composite
def leaves(draw) -> str:  # type: ignore[no-untyped-def]
    name = draw(st.sampled_from(sorted(_CONSTANTS)))
    constants = [constant for constant in _CONSTANTS[name] if constant != "1e400"]
    form = draw(st.integers(0, 9))
    if form == 0:
        return f"has(e.{name})"
    if form == 1:
        return "e.flag"
    if form == 2:
        return f"dyn(e.{name}) in [{', '.join(f'dyn({c})' for c in draw(st.lists(st.sampled_from(constants), min_size=1, max_size=3)))}]"
    operator, constant = draw(st.sampled_from(_OPERATORS)), draw(st.sampled_from(constants))
    return f"e.{name} {operator} {constant}" if form < 8 else f"{constant} {operator} e.{name}"


conditions = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} && {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} || {pair[1]})"),
        inner.map(lambda one: f"!({one})"),
    ),
    max_leaves=4,
)
questions = st.one_of(
    st.tuples(st.sampled_from(["exists", "all", "exists_one"]), conditions).map(
        lambda q: f'events["E"].{q[0]}(e, {q[1]})'
    ),
    st.tuples(
        conditions, st.sampled_from(_OPERATORS), st.sampled_from(["0", "1", "2", "dyn(2.5)", "dyn(3u)", "-1", "254"])
    ).map(lambda q: f'events["E"].filter(e, {q[0]}).size() {q[1]} {q[2]}'),
    st.sampled_from(_OPERATORS).map(lambda operator: f'events["E"].size() {operator} 2'),
)


@settings(max_examples=400, deadline=None)
@given(populations(), questions, st.booleans())
def test_as_the_interpreter(population: Population, text: str, portable: bool) -> None:
    parsed = parse(text)
    by_rows = Binder(Schema.of(parsed, population)).by_rows(distinct_variables(parsed.root))
    among = BitMap(USERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_counts, "Tally", partial(Tally, portable=portable))
        few = bind(parsed, population).run(population, among, NOW)  # user by user
        everybody = bind(parsed, population).run(population, None, NOW)  # all events of a block
    wanted = Plan(parsed, by_rows).run(population, among, NOW)
    for found in (few, everybody):
        true, false = found.true & among, found.false & among
        assert (list(true), list(false)) == (list(wanted.true), list(wanted.false)), text


def _many(count: int, rows: int) -> Population:
    population = Population()
    population.issue(65_536)
    dice = np.random.default_rng(rows)
    users, times = dice.integers(0, count, rows).astype(np.uint32), NOW - dice.integers(0, 3 * MICROS_PER_DAY, rows)
    prices = np.round(dice.random(rows) * 100) / 100 + 0.0
    cells = {
        "amount": (np.arange(rows), np.full(rows, 4, np.uint8), prices.view(np.int64)),
        "raw": (np.arange(rows), np.full(rows, 4, np.uint8), dice.random(rows).view(np.int64)),
        "small": (np.flatnonzero(dice.random(rows) < 0.9), None, None),
        "wide": (np.arange(rows), np.full(rows, INT, np.uint8), dice.integers(-(2**62), 2**62, rows)),
    }
    places = cells["small"][0]
    cells["small"] = (places, np.full(len(places), INT, np.uint8), dice.integers(0, 200, len(places)))
    identities = np.arange(rows, dtype=np.uint64)
    population.writable_events("E").append(users, times, np.full(rows, NOW), identities, None, cells)
    return population


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize(
    "condition",
    [
        "e.amount > 0.5",
        "e.raw < 0.5",
        "e.small >= 100",
        "e.wide > 0",
        'e.time > now - duration("30h")',
        "has(e.small)",
        "!(e.small == 7)",
    ],
)
def test_rows_beyond_words_and_strides(condition: str, portable: bool) -> None:
    """Blocks that begin and end anywhere in a page, with more rows than go through a program together."""
    population = _many(3_000, 9_000)
    for question in (f"filter(e, {condition}).size() >= 2", f"exists(e, {condition})", f"all(e, {condition})"):
        parsed = parse(f'events["E"].{question}')
        by_rows = Binder(Schema.of(parsed, population)).by_rows(distinct_variables(parsed.root))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(event_counts, "Tally", partial(Tally, portable=portable))
            found = bind(parsed, population).run(population, None, NOW)
            few = bind(parsed, population).run(population, BitMap(range(100, 3_000, 290)), NOW)
        wanted = Plan(parsed, by_rows).run(population, None, NOW)
        assert found.true == wanted.true and found.false == wanted.false, question
        assert few.true == wanted.true & few.judged and few.false == wanted.false & few.judged, question


def test_counts_stop_at_255() -> None:
    population = _many(2, 2_000)
    for limit, matches in ((254, True), (255, False), (900, True), (2_000, False)):
        found = bind(parse(f'events["E"].size() > {limit}'), population).select(population, BitMap([0, 1]), NOW)
        assert bool(found) == (matches or limit == 255), limit


def test_what_is_no_condition_is_refused() -> None:
    bounds = bounds_of("_>_", INT, 1)
    for operations in ([1], [-1], [0, -1], [0, 0], [0] * 17 + [-1] * 16):
        with pytest.raises(ValueError):
            Tally([], [(0, bounds)], operations, NOW, "exists")
    with pytest.raises(ValueError, match="counts from 3 to 2"):
        Tally([], [], [], NOW, "size", 3, 2)
