"""Promise: what an expression needs is a necessary condition: nobody who matches is passed over, whatever the expression."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from pyroaring import BitMap

from core.evaluator.bind import bind
from core.evaluator.necessary import Able, Happened, OneOf, needs_of
from core.evaluator.parse import parse
from tests.conformance.populations import PLACES, populated
from tests.conformance.strategies import Case, cases


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(depth=3, future=True))
def test_whoever_matches_is_able_to(case: Case) -> None:
    text, rows, now = case
    parsed, population = parse(text), populated(rows, PLACES[: len(rows)])
    able = Able(population).to(parsed)
    matching = bind(parsed, population).select(population, now=now)
    assert able is None or matching <= able, text


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ('user.plan == "free" && "CH" == user.country', (OneOf("plan", ("free",)), OneOf("country", ("CH",)))),
        ('user["a b"] in ["x", "y"]', (OneOf("a b", ("x", "y")),)),
        ("user.vip && user.age > 3", (OneOf("vip", (True,)),)),
        ('events["A"].exists(e, e.x > 1) && events.B.exists_one(e, e.x > 1)', (Happened("A"), Happened("B"))),
        ('events["A"].size() > 0 && size(events["B"]) >= 2 && events["C"].size() == 1', tuple(map(Happened, "ABC"))),
        ('events["A"].filter(e, e.x > 1).filter(e, e.y > 1).size() >= 3', (Happened("A"),)),
        ("user.age == 3", ()),
        ("user.age in [1, 2]", ()),
        ('!(user.plan == "free")', ()),
        ('user.plan == "free" || user.plan == "pro"', ()),
        ('user.plan != "free"', ()),
        ('events["A"].size() >= 0 && events["B"].size() > -1 && !events["C"].exists(e, true)', ()),
        ('events["A"].all(e, e.x > 1) && events["B"].size() < 3', ()),
        ("user.tags.exists(t, t == 1)", ()),
    ],
)
def test_needs(text: str, needs: tuple[object, ...]) -> None:
    assert needs_of(parse(text)) == needs


def test_sets_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [({"plan": plan}, {}) for plan in ("free", "pro", "free")]
    population = populated(rows, PLACES[:3])
    asked: Counter[object] = Counter()
    column = population.column("plan")
    assert column is not None
    honest = type(column).value_bitmap

    def counted(self: object, value: object) -> BitMap | None:
        asked[value] += 1
        return honest(self, value)  # type: ignore[arg-type]

    monkeypatch.setattr(type(column), "value_bitmap", counted)
    able = Able(population)
    for age in range(5):
        found = able.to(parse(f'user.plan == "free" && user.age > {age}'))
        assert found is not None
        assert sorted(found) == [PLACES[0], PLACES[2]]
    assert asked == {"free": 1}
    assert able.to(parse('user.plan == "free" && user.none == "x"')) == BitMap()
