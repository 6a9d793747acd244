"""Promise: a vector that happens to have one row is no constant: what stands in it is said of that row only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyroaring import BitMap

from core.evaluator.bind import Binder, bind
from core.evaluator.costs import Schema
from core.evaluator.parse import parse
from core.evaluator.run import Plan
from core.evaluator.scoping import distinct_variables
from core.evaluator.vector import Builder, Vector, of_ints
from core.values import from_micros
from tests.conformance.populations import expected, outcome_of, populated
from tests.conformance.strategies import NOW, UserRow


def _event(**properties: Any) -> dict[str, Any]:
    return {**properties, "time": from_micros(NOW - 1)}


_VIP: UserRow = ({"tags": ["vip"]}, {})
_OTHERS: UserRow = ({"tags": [{"a": 1}], "z": [{"a": 1}, {}]}, {"A": [_event(n=[{"a": 1}])]})
_BARE: UserRow = ({"z": None}, {"A": [_event()]})


@pytest.mark.parametrize("rows", [[_VIP, _VIP], [_VIP], [_OTHERS, _BARE], [_BARE], [_VIP, _VIP, _OTHERS, _BARE]])
@pytest.mark.parametrize(
    "text",
    [
        'user.tags[0] == "vip"', 'user.tags[1] == "vip"', 'user.tags.map(t, t)[0] == "vip"', '[user.tags[0]].size() == 1',
        'user.tags.filter(t, t == user.tags[0])[0] == "vip"', 'events["A"].exists(e, e.n == user.tags[0])',
        'user.z != events["A"]', 'events["A"] == events["A"]', 'events["A"].exists(e, events["A"].exists(x, x == e.n))',
        'events["A"].exists(e, user.tags[0].exists(x, x == e.n))', 'events["A"][0].n == [user.tags[0]]',
    ],
)  # fmt: skip
def test_few_rows(text: str, rows: list[UserRow]) -> None:
    places = list(range(5, 5 + len(rows)))
    parsed, population = parse(text), populated(rows, places)
    wanted = expected(parsed, rows, [NOW] * len(rows), places)
    slow = Plan(parsed, Binder(Schema.of(parsed, population)).by_rows(distinct_variables(parsed.root)))
    for plan in (bind(parsed, population), slow):
        for among in (None, BitMap(places)):
            outcome = plan.run(population, among=among, now=NOW)
            assert {place: outcome_of(outcome, place) for place in places} == wanted


def test_only_a_constant_is_spread() -> None:
    one = of_ints(np.array([7]))
    assert list(one.take(np.array([0, 0])).data) == [7, 7] and not len(one.take(np.zeros(0, np.int64)))
    with pytest.raises(ValueError, match="1 rows where 3"):
        one.spread(3)
    with pytest.raises(ValueError, match="1 values for 2 rows"):
        Builder(3).put(np.array([0, 2]), one)
    assert list(one.for_all().spread(3).data) == [7, 7, 7]
    with pytest.raises(ValueError, match="2 rows where one"):
        Vector(np.zeros(2, np.uint8), np.zeros(2, np.int64)).for_all()
