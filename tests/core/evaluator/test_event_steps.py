"""Promise: counts and sums straight from event chunks are the row matcher's, doubles to the last bit, however many are asked."""

from __future__ import annotations

import random
from typing import Any, Final

import numpy as np
import pytest
from pyroaring import BitMap

from core.bitmaps.population import Population
from core.evaluator.bind import Binder, bind
from core.evaluator.costs import Schema
from core.evaluator.event_counts import EventCounts
from core.evaluator.event_sums import EventSums
from core.evaluator.parse import Parsed, parse
from core.evaluator.run import Plan
from core.evaluator.scoping import distinct_variables
from core.values import MICROS_PER_DAY, from_micros
from tests.conformance.populations import expected, outcome_of, populated
from tests.conformance.strategies import NOW, UserRow

_LAPSED: Final = 'events["Purchase"].size() >= 2 && !events["Purchase"].exists(e, e.time > now - duration("2160h"))'
_RICH: Final = 'events["Purchase"].map(e, e.amount).sum() > 200.0'
COUNTS: Final = (
    'events["Purchase"].exists(e, e.amount > 50.0)', 'events.Purchase.all(e, e.amount > 5.0)',
    'events["Purchase"].exists_one(e, e.amount > 80.0)', 'events["Purchase"].size() > 2', '2 == size(events.Purchase)',
    'events["Purchase"].filter(e, e.time > now - duration("240h") && e.amount > 20.0).size() >= 2',
    'events["Purchase"].filter(e, has(e.amount)).size() != 1', 'events["Purchase"].filter(e, e.kind == "a").size() < dyn(2.5)',
    'events["Purchase"].exists(e, e.kind in ["a", "c"] || e.amount == 7)', 'events["Never"].size() == 0',
    'events["Purchase"].all(e, e.time <= now - duration("48h") || e.amount > 1.0)', 'events["Never"].all(e, e.x == 1)',
    'events["Purchase"].exists(e, e.kind in ["p", "q", "r", "s", "t", "u", "v", "c"])',
    'events["Purchase"].filter(e, e.any in [7, 8, 9, 10, 11, 0.5, null, "x", true]).size() > 0',
    'events["Purchase"].exists(e, e["time"] >= now - duration("0s"))', 'events["Purchase"].exists(now, now.time > timestamp(0))',
)  # fmt: skip
SUMS: Final = (
    _RICH, "sum(events.Purchase.map(e, e.amount)) <= 100", 'events["Purchase"].filter(e, has(e.amount)).map(e, e.amount).sum() > 99.5',
    "events.Purchase.map(e, has(e.amount) && e.amount < 90.0, e.amount * 2.0).sum() >= 50.0", "events.Never.map(e, e.x).sum() == 0",
    'events["Purchase"].filter(f, f.time > now - duration("720h")).map(e, e.whole).sum() > 3', "0 < events.Purchase.map(e, e.whole).sum()",
    'events["Purchase"].map(e, e.big).sum() > 0', 'events["Purchase"].map(e, e.any).sum() > 1.5', "events.Purchase.map(e, 1u).sum() == 2u",
    'events["Purchase"].map(e, e.time - now).sum() < duration("1s")', 'events["Purchase"].map(e, [e.amount][0]).sum() != 0.0',
)  # fmt: skip


def _event(dice: random.Random) -> dict[str, Any]:
    """A purchase of the last 200 days or of tomorrow; some lack things, some have them of another type."""
    moment = NOW - dice.choice([0, 1, 1, 40, 90, 200, -1]) * MICROS_PER_DAY + dice.randrange(-2, 3)
    event: dict[str, Any] = {"time": from_micros(moment), "whole": dice.randrange(-3, 9), "big": 2**62 - 1}
    if dice.random() < 0.93:
        event["amount"] = dice.choice([0.1, 0.2, 0.3, 1e16, -1e16, 33.3, -0.0, 7, 99.9, 60.0])
    if dice.random() < 0.9:
        event["kind"] = dice.choice("abc")
    event["any"] = dice.choice([1, 1, 1, 2, 0.5, "x", None] if dice.random() < 0.5 else [1, 1, 1])
    return event


def _made(seed: int, users: int) -> tuple[list[UserRow], list[int], Population]:
    dice = random.Random(seed)
    rows: list[UserRow] = []
    for _ in range(users):
        events = sorted((_event(dice) for _ in range(dice.choice([0, 1, 2, 3, 7]))), key=lambda event: event["time"])
        rows.append(({}, {"Purchase": events} if events else {}))
    places = sorted(dice.sample(range(150_000), users))
    return rows, places, populated(rows, places)


_ROWS, _PLACES, _POPULATION = _made(1, 300)


def _agree(parsed: Parsed, plan: Plan, *, own: bool, few: bool) -> None:
    dice = random.Random(2)
    chosen = dice.sample(range(len(_PLACES)), 7) if few else range(len(_PLACES))
    places = [_PLACES[number] for number in sorted(chosen)]
    nows = [NOW + (dice.choice([0, 1, -1, 100]) * MICROS_PER_DAY if own else 0) for _ in places]
    rows = [_ROWS[number] for number in sorted(chosen)]
    now = (np.array(places, np.uint32), np.array(nows, np.int64)) if own else NOW
    outcome = plan.run(_POPULATION, among=BitMap(places), now=now)
    wanted = expected(parsed, rows, nows, places)
    assert {place: outcome_of(outcome, place) for place in places} == wanted


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("text", [_LAPSED, *COUNTS, *SUMS])
def test_as_the_row_matcher(text: str, own: bool, few: bool) -> None:
    parsed = parse(text)
    rows = Binder(Schema.of(parsed, _POPULATION)).by_rows(distinct_variables(parsed.root))
    for plan in (bind(parsed, _POPULATION), Plan(parsed, rows)):
        _agree(parsed, plan, own=own, few=few)


@pytest.mark.parametrize("seed", range(20))
def test_sums_are_exact(seed: int) -> None:
    """Doubles are added in the order of time: the sum of one user is compared with itself, to the last bit."""
    rows, places, population = _made(seed + 10, 12)
    for place, (_, events) in zip(places, rows, strict=True):
        amounts = [event.get("amount") for event in events.get("Purchase", []) if event["time"] <= from_micros(NOW)]
        if not amounts or any(type(amount) is not float for amount in amounts):
            continue
        total = amounts[0]
        for amount in amounts[1:]:
            total += amount
        parsed = parse(f'events["Purchase"].map(e, e.amount).sum() == dyn({total!r})')
        assert place in bind(parsed, population).select(population, now=NOW), (amounts, total)


@pytest.mark.parametrize("text", COUNTS)
def test_conditions_on_one_event_are_counted_from_chunks(text: str) -> None:
    assert isinstance(bind(parse(text), _POPULATION).root, EventCounts)


@pytest.mark.parametrize("text", SUMS)
def test_sums_come_from_chunks(text: str) -> None:
    assert isinstance(bind(parse(text), _POPULATION).root, EventSums)


def test_conditions_on_more_than_one_event_are_not() -> None:
    for text in (
        "events.Purchase.exists(e, e.amount > user.limit)",
        "events.Purchase.exists(e, events.Purchase.exists(f, f.amount > e.amount))",
        "events.Purchase.map(e, e.amount + user.extra).sum() > 1",
        "events.Purchase.size() > user.limit",
        "events.Purchase.filter(e, e.amount > 1).map(e, user.x).sum() > 1",
    ):
        assert not isinstance(bind(parse(text), _POPULATION).root, EventCounts | EventSums), text
