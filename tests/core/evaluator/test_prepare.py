"""Promise: a question answered by a prepared statement gets the answer that it gets compiled as it stands."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from core.bitmaps.population import Population
from core.errors import InvalidExpression
from core.evaluator.bind import bind
from core.evaluator.parse import Parsed, parse
from core.evaluator.prepare import Statements
from core.evaluator.tokens import tokens_of
from core.values import Value, from_micros
from tests.conformance.populations import PLACES, populated
from tests.conformance.strategies import NOW, Case, cases

_OTHERS = {
    "int": ("0", "1", "2", "10", "100", "999999999999999999"),
    "double": ("0.0", "0.5", "1.0", "2.5", "10.25"),
    "string": ('""', '"a"', "'ab'", '"1h"', '"24h"', '"1.5"', '"2024-03-08T12:00:00Z"', '"free"', '"UTC"', '"é😀"'),
}
Answer = tuple[BitMap, BitMap] | tuple[str, int, str]


def _other(text: str, chance: random.Random) -> str:
    """The text with some of its literals changed for others of their kind."""
    parts, end = [], 0
    for token in tokens_of(text):
        parts.append(text[end : token.start])
        kind = "string" if token.text[0] in "\"'" else "int" if token.text.isdigit() else "double"
        is_literal = kind == "string" or token.text.replace(".", "", 1).isdigit()
        parts.append(chance.choice(_OTHERS[kind]) if is_literal and chance.random() < 0.6 else token.text)
        end = token.end
    return "".join(parts) + text[end:]


def _plain(text: str, population: Population, now: int, params: Mapping[str, Value]) -> Answer:
    try:
        parsed = parse(text, params=params)
    except InvalidExpression as error:
        return error.code, error.position, error.message
    outcome = bind(parsed, population).run(population, now=now)
    return outcome.true, outcome.false


def _prepared(
    statements: Statements, text: str, population: Population, now: int, params: Mapping[str, Value]
) -> Answer:
    try:
        prepared = statements.prepare(text, params, dict)
    except InvalidExpression as error:
        return error.code, error.position, error.message
    outcome = bind(prepared.parsed, population).run(population, now=now, given=prepared.given)
    plan = bind(prepared.parsed, population)
    assert plan.select(population, now=now, given=prepared.given) == outcome.true
    assert plan.count(population, now=now, given=prepared.given) == len(outcome.true)
    return outcome.true, outcome.false


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(future=True), st.integers(0, 2**32))
def test_questions_that_differ_in_literals(case: Case, seed: int) -> None:
    text, rows, now = case
    population, statements, chance = populated(rows, PLACES[: len(rows)]), Statements(), random.Random(seed)
    for question in (text, _other(text, chance), _other(text, chance), text):
        assert _prepared(statements, question, population, now, {}) == _plain(question, population, now, {}), question


_PEOPLE = populated(
    [
        ({"plan": "free", "age": 20, "tags": ["a"], "seen": from_micros(NOW - 10)}, {"A": [{"time": from_micros(NOW - 9)}]}),
        ({"plan": "pro", "age": 31, "tags": ["b", "c"], "seen": from_micros(NOW)}, {}),
        ({"plan": "x", "age": 20.5}, {}),
    ],
    PLACES[:3],
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ("user.age > params.n", [{"n": 20}, {"n": 20.2}, {"n": 30}, {"n": None}, {"n": True}, {"n": "x"}]),
        ("user.plan in params.plans", [{"plans": ["free"]}, {"plans": ["pro", "x"]}, {"plans": ["free", 2]}, {"plans": []}]),
        ("user.seen < params.t", [{"t": from_micros(NOW)}, {"t": from_micros(NOW - 11)}, {"t": "2024-03-09T16:00:00Z"}]),
        ("user.seen < now - duration(params.d)", [{"d": "0s"}, {"d": "1h"}, {"d": "14d"}, {"d": "0s"}]),
        ("user[params.name] == params.value", [{"name": "plan", "value": "x"}, {"name": "age", "value": 20}, {"name": "plan", "value": "free"}]),
        ("events[params.name].size() == params.n", [{"name": "A", "n": 1}, {"name": "B", "n": 1}, {"name": "A", "n": 0}]),
        ("user.age == params.ages[1] && has(params.ages)", [{"ages": [1, 20]}, {"ages": [20, 31]}, {"ages": [20]}]),
        ("user.plan == params.by[params.key]", [{"by": {"a": "free", "b": "x"}, "key": "a"}, {"by": {"a": "free", "b": "x"}, "key": "b"}]),
        ("params.name in user", [{"name": "seen"}, {"name": "nothing"}]),
        ("user.plan.matches(params.p)", [{"p": "^p"}, {"p": "e+"}, {"p": "("}]),
        ("has(params.a) && user.age < 25", [{"a": 1}, {"b": 1}, {"a": "x"}]),
        ("user.plan == 'pro'", [{"unused": 1}, {"unused": 2}]),
        ("user.age > 20 && user.age > params.n", [{"n": 20}, {"n": -5}, {}]),
    ],
)  # fmt: skip
def test_questions_that_differ_in_parameters(text: str, questions: list[dict[str, Any]]) -> None:
    statements = Statements()
    for params in [*questions, *questions]:
        assert _prepared(statements, text, _PEOPLE, NOW, params) == _plain(text, _PEOPLE, NOW, params), params


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("user.age == -20", "user.age == -31"),
        ("user.age - 1 == 19", "user.age - 2 == 29"),
        ("user.age == - 20.5 || user.age == 31", "user.age == - 3.5 || user.age == 20"),
        ('user["plan"] == "x"', 'user["age"] == "x"'),
        ('"plan" in user && user.age < 30', '"no" in user && user.age < 40'),
        ('/* user.age */ true && user.age > 1', 'user.age > 1 // 20\n && user.age < 21'),
        ('user.age > 1 // 20 "\n && user.age < 21', 'user.age > 1 // 30 "\n && user.age < 31'),
        ('user.seen < now - duration("0s")', 'user.seen < now - duration("fourteen days")'),
        ('user.plan == r"x" && user.age > 1', 'user.plan == r"free" && user.age > 2'),
        ('user.plan == """x""" && user.age > 1', 'user.plan == """free""" && user.age > 2'),
        ("user.age == 20u", "user.age == 31u"),
        ("user.age == 0x14", "user.age == 0x1f"),
        ("user.age == 20", "user.age == 9999999999999999999"),
        ("user.age == 20.5e0", "user.age == 20.5e9"),
        ("user.tags == ['a']", "user.tags == ['b', 'c']"),
        ("user.tags.exists(x, x == 'a')", "user.tags.exists(x, x == 'c')"),
    ],
)  # fmt: skip
def test_shapes_and_what_only_looks_like_one(first: str, second: str) -> None:
    statements = Statements()
    for text in (first, second, first):
        assert _prepared(statements, text, _PEOPLE, NOW, {}) == _plain(text, _PEOPLE, NOW, {}), text


def test_another_literal_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    statements, seen = Statements(), []
    monkeypatch.setattr("core.evaluator.prepare.compiled", lambda text: seen.append(text) or _compiled(text))
    for age in range(20, 60):
        statements.prepare(f'user.age >= {age} && user.plan in ["x{age}", "free"] && user.ltv > {age}.5', {}, dict)
    assert len(seen) == 1


def _compiled(text: str) -> tuple[Any, bool]:
    from core.evaluator.parse import compiled

    return compiled(text)


def test_bounded() -> None:
    statements = Statements(size=4)
    kept: list[Parsed] = [statements.prepare(f"user.a{number} == 1", {}, dict).parsed for number in range(10)]
    assert statements.prepare("user.a9 == 2", {}, dict).parsed is kept[9]
    assert statements.prepare("user.a0 == 2", {}, dict).parsed is not kept[0]
