"""Promise: on generated expressions and rows the row matcher says what Google's CEL runtime says."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings

from core.evaluator.checker import FUNCTIONS
from core.evaluator.match import Row, match
from core.evaluator.parse import parse
from core.evaluator.resolve import OPERATORS, children
from core.evaluator.tree import Call, Macro, Node
from tests.conformance import oracle
from tests.conformance.deviations import known_deviation
from tests.conformance.strategies import Case, cases, expressions

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example]


def _verdict(text: str, row: Row) -> bool | None:
    answer = match(parse(text), row)
    return answer if isinstance(answer, bool) else None


@settings(max_examples=200, deadline=None, suppress_health_check=_SLOW)
@given(cases())
def test_generated_cases_agree(case: Case) -> None:
    text, rows, now = case
    for user, events in rows:
        if known_deviation(text, user, events) is None:
            assert _verdict(text, Row(user, events, now)) is oracle.judge(text, user, events, now), (text, user, events)


def test_the_generator_covers_the_language() -> None:
    used: Counter[str] = Counter()

    def note(node: Node) -> None:
        used[
            node.function if isinstance(node, Call) else node.kind if isinstance(node, Macro) else type(node).__name__
        ] += 1
        for child in children(node):
            note(child)

    @settings(max_examples=2500, deadline=None, database=None, derandomize=True, suppress_health_check=_SLOW)
    @given(expressions(3))
    def collect(text: str) -> None:
        note(parse(text).root)

    collect()
    wanted = {*OPERATORS, *FUNCTIONS, "exists", "all", "exists_one", "filter", "map", "Has", "ListOf", "MapOf"}
    assert wanted - used.keys() == set()


def test_at_least_half_of_the_cases_do_not_err() -> None:
    answers: Counter[bool | None] = Counter()

    @settings(max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=_SLOW)
    @given(cases())
    def collect(case: Case) -> None:
        text, rows, now = case
        answers.update(_verdict(text, Row(user, events, now)) for user, events in rows)

    collect()
    assert answers[True] + answers[False] >= answers.total() / 2, answers
    assert min(answers[True], answers[False], answers[None]) > answers.total() / 50, answers
