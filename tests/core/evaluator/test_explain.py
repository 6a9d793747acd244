"""Promise: an explanation cuts an expression at its logic, and each leaf says its verdict, why it errs and what it read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings

from core.evaluator.evidence import Computed
from core.evaluator.match import Explanation, Row, explain, match
from core.evaluator.parse import parse
from core.values import MICROS_PER_DAY, from_micros
from tests.conformance.strategies import NOW, Case, cases


def _lines(part: Explanation, depth: int = 0) -> Iterator[tuple[int, str, str]]:
    yield depth, part.verdict, part.text
    for below in part.parts:
        yield from _lines(below, depth + 1)


def test_the_logic_is_taken_apart() -> None:
    text = 'user.plan == "(" && !(user.age > 3 || user.zip == 1) && !!(events["A"].size() > 1 && (user["Last login"] < now))'
    row = Row({"plan": "(", "age": 2, "Last login": from_micros(0)}, {"A": [{}]}, NOW)
    found = explain(parse(text), row)
    assert list(_lines(found)) == [
        (0, "does_not_match", text),
        (1, "matches", 'user.plan == "("'),
        (1, "errs", "!(user.age > 3 || user.zip == 1)"),
        (2, "errs", "(user.age > 3 || user.zip == 1)"),
        (3, "does_not_match", "user.age > 3"),
        (3, "errs", "user.zip == 1"),
        (1, "does_not_match", 'events["A"].size() > 1'),
        (1, "matches", '(user["Last login"] < now)'),
    ]
    leaves = {part.text: part for part in (found.parts[0], *found.parts[1].parts[0].parts, *found.parts[2:])}
    assert leaves["user.zip == 1"].reason == "user.zip is missing"
    assert leaves["user.age > 3"].values == ("user.age = 2",)
    assert leaves['events["A"].size() > 1'].values == ("events.A: 1 event",)
    assert leaves['(user["Last login"] < now)'].values == (
        'user["Last login"] = 1970-01-01T00:00:00Z',
        "now = 2024-03-09T16:00:00Z",
    )


def test_a_saved_audience_is_explained_by_its_own_text() -> None:
    parsed = parse("true && audiences.rich", audiences={"rich": parse("user.money > 10 || has(user.yacht)")})
    audience = explain(parsed, Row({}, {}, NOW)).parts[1]
    assert (audience.verdict, audience.position) == ("does_not_match", 8)
    assert list(_lines(audience.parts[0])) == [
        (0, "errs", "user.money > 10 || has(user.yacht)"),
        (1, "errs", "user.money > 10"),
        (1, "does_not_match", "has(user.yacht)"),
    ]


def _computed(parts: tuple[Computed, ...], depth: int = 0) -> Iterator[tuple[int, str, str]]:
    for part in parts:
        yield depth, part.text, part.value
        yield from _computed(part.parts, depth + 1)


def _bought(day: int, **properties: object) -> dict[str, Any]:
    return {"time": from_micros(day * MICROS_PER_DAY), **properties}


def test_every_part_of_a_leaf_has_its_value() -> None:
    row = Row({"age": 2}, {"Buy": [_bought(1, amount=20.0), _bought(2, amount=5.0), _bought(3)]}, NOW)
    leaf = explain(parse('events["Buy"].filter(e, has(e.amount) && e.amount > 10.0).size() + 1 >= user.age * 2'), row)
    assert list(_computed(leaf.computed)) == [
        (0, 'size(events["Buy"].filter(e, has(e.amount) && (e.amount > 10.0))) + 1', "2"),
        (1, 'size(events["Buy"].filter(e, has(e.amount) && (e.amount > 10.0)))', "1"),
        (2, 'events["Buy"].filter(e, has(e.amount) && (e.amount > 10.0))', "1 event"),
        (3, 'events["Buy"]', "3 events"),
        (0, "user.age * 2", "4"),
        (1, "user.age", "2"),
    ]
    erring = explain(parse("user.age / user.zero > 1"), Row({"age": 2, "zero": 0}, {}, NOW))
    assert [(part.errs, part.value) for part in erring.computed] == [(True, "division by zero")]


def test_a_leaf_shows_the_events_that_decide() -> None:
    events = [_bought(day, amount=float(day), shop="north") for day in range(1, 8)]
    events[2] = _bought(3, shop="north")
    row = Row({}, {"Buy": events}, NOW)
    (found,) = explain(parse('events["Buy"].filter(e, e.amount < 3.0).map(e, e.shop).size() >= 2'), row).evidence
    assert (found.event, found.condition, found.count, found.satisfying) == ("Buy", "e.amount < 3.0", 7, 2)
    assert [(one.time, one.values, one.satisfies) for one in found.events] == [
        (from_micros(7 * MICROS_PER_DAY), ("amount = 7.0", 'shop = "north"'), "no"),
        (from_micros(2 * MICROS_PER_DAY), ("amount = 2.0", 'shop = "north"'), "yes"),
        (from_micros(1 * MICROS_PER_DAY), ("amount = 1.0", 'shop = "north"'), "yes"),
    ]
    (every,) = explain(parse('events["Buy"].all(e, e.amount > 2.0)'), row).evidence
    assert [one.satisfies for one in every.events] == ["yes", "no", "no"]
    (size,) = explain(parse('size(events["Buy"]) > 100'), row).evidence
    assert (size.condition, size.count, size.satisfying) == ("", 7, 7)
    assert [one.satisfies for one in size.events] == ["not_asked"] * 3
    (none,) = explain(parse("events.Sell.exists(e, e.amount > 1.0)"), row).evidence
    assert (none.count, none.events) == (0, ())
    (errs,) = explain(parse('events["Buy"].exists(e, e.amount > 90.0)'), Row({}, {"Buy": [events[2]]}, NOW)).evidence
    assert [(one.values, one.satisfies) for one in errs.events] == [(("amount is missing",), "errs")]


def _every(part: Explanation) -> Iterator[Explanation]:
    yield part
    for below in part.parts:
        yield from _every(below)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(depth=3))
def test_explanations_agree_with_the_matcher(case: Case) -> None:
    text, rows, now = case
    parsed = parse(text)
    for user, events in rows:
        row = Row(user, events, now)
        answer = match(parsed, row)
        found = explain(parsed, row)
        assert (found.verdict == "matches") == (answer is True)
        assert (found.verdict == "does_not_match") == (answer is False)
        for part in _every(found):
            assert text[part.position : part.position + len(part.text)] == part.text
            assert match(parse(part.text), row) == answer if part.text == text else True
            if part is not found and part.text and "v" not in part.text:
                own = match(parse(part.text), row)
                assert (part.verdict == "matches") == (own is True), part.text
