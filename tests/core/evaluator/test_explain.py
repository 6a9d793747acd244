"""Promise: an explanation cuts an expression at its logic, and each leaf says its verdict, why it errs and what it read."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings

from core.evaluator.match import Explanation, Row, explain, match
from core.evaluator.parse import parse
from core.values import from_micros
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
