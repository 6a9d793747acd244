"""Promise: every leaf of an expression accounts for every user, and a name never seen is told with the nearest that was."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from pyroaring import BitMap

from core.bitmaps.population import Population
from core.errors import InvalidExpression
from core.evaluator import answers
from core.evaluator.asking import LeafCount, explain_user, leaf_counts, warnings
from core.evaluator.audience import AudienceDefinition, Audiences, AudienceSaved
from core.evaluator.cel_values import CelError
from core.evaluator.compiled_row import Frame, compile_node, condition
from core.evaluator.match import Row, match
from core.evaluator.outline import Part, outline
from core.evaluator.parse import parse
from core.values import from_micros
from tests.conformance.populations import populated
from tests.conformance.strategies import NOW, Case, UserRow, cases, visible

_ROWS: list[UserRow] = [
    ({"plan": "free", "age": 20, "Last login": from_micros(NOW - 10)}, {"Purchase": [{"time": from_micros(NOW - 5), "amount": 3.0}]}),
    ({"plan": "pro", "age": "old"}, {"Purchase": [{"time": from_micros(NOW - 4)}]}),
    ({"plan": "free"}, {}),
    ({"age": 2**63 - 1}, {}),
]  # fmt: skip


@dataclass
class _View:
    population: Population = field(default_factory=lambda: populated(_ROWS, range(len(_ROWS))))
    now: int = NOW
    audiences: Audiences = field(default_factory=Audiences)


def test_each_leaf_tells_what_it_matched_and_lost() -> None:
    text = 'user.plan == "free" && !(user.age + 1 > 20 || events["Purchase"].exists(e, e.amount > 1.0))'
    assert leaf_counts(_View().population, parse(text), NOW) == [
        LeafCount('user.plan == "free"', 0, 2, 1, 1, 0, 0),
        LeafCount("user.age + 1 > 20", 25, 1, 0, 1, 1, 1),
        LeafCount('events["Purchase"].exists(e, e.amount > 1.0)', 46, 1, 2, 1, 0, 0),
    ]


def _naive(part: Part, rows: list[UserRow], now: int) -> LeafCount:
    """The same, user by user with the row matcher."""
    tally = dict.fromkeys(("true", "false", "missing", "type", "overflow", "other"), 0)
    for place, (user, events) in enumerate(rows):
        frame = Frame(Row(user, visible(events, now), now, ordinal=place))
        try:
            tally[str(condition(compile_node(part.node)(frame), 0)).lower()] += 1
        except CelError as error:
            tally[error.kind] += 1
    other = tally["overflow"] + tally["other"]
    return LeafCount(part.text, part.position, tally["true"], tally["false"], tally["missing"], tally["type"], other)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(depth=2, future=True))
def test_leaf_counts_are_the_row_matchers(case: Case) -> None:
    text, rows, now = case
    parsed = parse(text)
    found = leaf_counts(populated(rows, range(len(rows))), parsed, now)
    assert found == [_naive(part, rows, now) for part in outline(parsed).leaves()]


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(future=True))
def test_a_user_is_explained_from_the_store(case: Case) -> None:
    text, rows, now = case
    parsed = parse(text)
    view = _View(populated(rows, range(len(rows))), now)
    for place, (user, events) in enumerate(rows):
        answer = match(parsed, Row(user, visible(events, now), now))
        found = explain_user(view, parsed, place)
        assert found.verdict == ("matches" if answer is True else "does_not_match" if answer is False else "errs")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('user.plan == "free" && events.Purchase.exists(e, e.time < now && e["amount"] > 1.0)', []),
        ("user.paln == 1", [("paln", 4, "plan")]),
        ('has(user.Plan) || "agee" in user', [("Plan", 3, "plan"), ("agee", 25, "age")]),
        ('events["purchase"].size() > 1', [("purchase", 6, "Purchase")]),
        ("events.Purchase.map(e, e.amuont).sum() > 1.0", [("amuont", 24, "amount")]),
        ("events.Purchase.filter(e, has(e.amount)).exists(f, f.tiem < now)", [("tiem", 52, "time")]),
        ("events.Purchase[0].amnt == 1", [("amnt", 18, "amount")]),
        ("user.zzzzzz == 1 && user.zzzzzz == 2", [("zzzzzz", 4, "")]),
        ("events.Nothing.exists(e, e.whatever == 1)", [("Nothing", 6, "")]),
        ("[1].exists(user, user == 1)", []),
    ],
)  # fmt: skip
def test_names_never_seen(text: str, told: list[tuple[str, int, str]]) -> None:
    found = warnings(_View().population, parse(text))
    assert [(one.name, one.position, one.nearest) for one in found] == told
    assert all(repr(one.name) in one.message and one.nearest in one.message for one in found)


def test_names_in_a_saved_audience_are_told_where_it_is_named() -> None:
    parsed = parse("true && audiences.late", audiences={"late": parse("user.lgoin < now && user.agge > 1")})
    assert [(one.name, one.position) for one in warnings(_View().population, parsed)] == [("lgoin", 17), ("agge", 17)]


def test_count_select_and_explain() -> None:
    view = _View()
    view.audiences.save(AudienceSaved(AudienceDefinition("free", "", 'user.plan == "free"', None, 0)))
    view.audiences.save(AudienceSaved(AudienceDefinition("vip", "", None, BitMap([1, 2]), 0)))
    text = 'audiences["free"] && (!audiences["vip"] || user.age > params.least)'
    counted = answers.count(view, text, {"least": 1}, explain=True)
    assert (counted.count, counted.total, counted.now, counted.warnings) == (1, 4, NOW, [])
    assert [(leaf.text, leaf.matched) for leaf in counted.leaves] == [
        ('audiences["free"]', 2),
        ('audiences["vip"]', 2),
        ("user.age > params.least", 2),
    ]
    assert "column blocks" in counted.plan and "listed users" in counted.plan
    short = answers.count(view, text, {"least": 1})
    assert (short.count, short.leaves, short.plan) == (1, [], "")
    assert answers.select(view, text, {"least": 1}) == BitMap([0])
    explanation, told = answers.explain(view, "user.age > 1 && user.agee == 2", {}, 2)
    assert explanation.verdict == "errs" and [one.nearest for one in told] == ["age"]
    with pytest.raises(InvalidExpression) as refused:
        answers.count(view, 'audiences["fere"]', {})
    assert refused.value.code == "UNKNOWN_AUDIENCE"
