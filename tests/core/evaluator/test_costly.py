"""Promise: no expression takes memory or time without bound, and what is beyond the bounds errs alike in both evaluators."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from core.errors import Exhausted, ExpressionTooCostly
from core.evaluator import answers, arithmetic, asking, compiled_row, interpret
from core.evaluator.bind import Binder, bind
from core.evaluator.costs import Schema
from core.evaluator.limits import MOST_UNFOLDED
from core.evaluator.match import Erred, Row, match
from core.evaluator.parse import parse
from core.evaluator.run import Plan
from core.evaluator.scoping import distinct_variables
from core.evaluator.space import Space
from core.profiles.records import Operation, ProfileChange
from core.values import from_micros
from tests.conformance.populations import PLACES, expected, outcome_of, populated
from tests.conformance.strategies import NOW, Case, UserRow, cases
from tests.core.project import HOOK, Project


@contextmanager
def _limits(**limits: int) -> Iterator[None]:
    """Other limits than `core.evaluator.limits` has, wherever they are used."""
    with ExitStack() as stack:
        for module in (interpret, compiled_row, arithmetic):
            for name, value in limits.items():
                if hasattr(module, name):
                    stack.enter_context(patch.object(module, name, value))
        yield


def _agree(text: str, rows: list[UserRow], now: int = NOW) -> dict[int, bool | None]:
    """What both evaluators say of these users, by the quick plan and by rows."""
    places = PLACES[: len(rows)]
    parsed, population = parse(text), populated(rows, places)
    wanted = dict(expected(parsed, rows, [now] * len(rows), places))
    slow = Plan(parsed, Binder(Schema.of(parsed, population)).by_rows(distinct_variables(parsed.root)))
    for plan in (bind(parsed, population), slow):
        outcome = plan.run(population, among=BitMap(places), now=now)
        assert {place: outcome_of(outcome, place) for place in places} == wanted, text
    return wanted


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(depth=1, future=True), st.integers(1, 12), st.integers(1, 12), st.integers(1, 20))
def test_tight_limits(case: Case, unfolded: int, joined: int, cells: int) -> None:
    text, rows, now = case
    with _limits(MOST_UNFOLDED=unfolded, MOST_JOINED=joined, CELLS_PER_PORTION=cells):
        _agree(text, rows, now)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(depth=3, future=True), st.integers(1, 40))
def test_small_portions(case: Case, cells: int) -> None:
    """However the rows are cut into portions, the answers are the same."""
    text, rows, now = case
    with _limits(CELLS_PER_PORTION=cells):
        _agree(text, rows, now)


def _lists(*lengths: int) -> UserRow:
    return {f"l{place}": list(range(length)) for place, length in enumerate(lengths, 1)}, {}


def test_how_far_macros_may_nest() -> None:
    pairs = "user.l1.exists(x, user.l2.exists(y, x + y < 0))"
    assert MOST_UNFOLDED == 400 * 250
    rows = [
        _lists(400, 250),
        _lists(401, 250),
        _lists(250, 400),
        _lists(MOST_UNFOLDED, 1),
        _lists(0, MOST_UNFOLDED + 1),
    ]
    assert list(_agree(pairs, rows).values()) == [False, None, False, False, False]
    # The outermost list is data, of any length; and what does not reach the inner one does not err.
    assert list(_agree("user.l1.exists(x, x < 0)", [_lists(MOST_UNFOLDED + 1)]).values()) == [False]
    guarded = "user.l1.all(x, x >= 0 || user.l2.exists(y, x + y < 0))"
    assert list(_agree(guarded, [_lists(401, 250)]).values()) == [True]
    assert list(_agree(f"{pairs} || user.l1[0] == 0", rows[:2]).values()) == [True, True]


def test_events_before_a_window_count() -> None:
    """How long a list is does not depend on how much of it is read."""
    old = [{"time": from_micros(NOW - 10**12 - step), "l": [1]} for step in range(40)]
    new = {"time": from_micros(NOW - 1), "l": list(range(30))}
    rows: list[UserRow] = [({}, {"A": [*reversed(old[:count]), new]}) for count in (0, 2, 3, 40)]
    window = 'e.time > now - duration("1h")'
    with _limits(MOST_UNFOLDED=90):
        for text in (
            f'events["A"].exists(e, {window} && e.l.exists(y, y < 0))',
            f'events["A"].filter(e, {window} && e.l.exists(y, y >= 0)).size() == 0',
            f'events["A"].map(e, {window}, e.l.filter(y, y < 0).size()).sum() > 0',
        ):
            assert list(_agree(text, rows).values()) == [False, False, None, None], text
        # A filter's own length is what it lets through.
        text = f'events["A"].filter(e, {window}).map(e, e.l.filter(y, y < 0).size()).sum() > 0'
        assert list(_agree(text, rows).values()) == [False] * 4
        inner = f'user.l.exists(x, events["A"].exists(e, {window} && e.l == x))'
        assert list(_agree(inner, [({"l": [1] * 3}, events) for _, events in rows]).values()) == [
            False, False, False, None,
        ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"user.l1.exists(x{depth}, " for depth in range(25)) + "true" + ")" * 25,
        "user.l1.map(x, user.l1.map(y, user.l1.map(z, user.l1.map(w, user.l1)))).size() > 0",
        "[user.s]" + ".map(a, a + a)" * 24 + ".size() > 0",
        "[user.l1]" + ".map(a, a + a)" * 24 + ".size() > 0",
        "user.l1.map(x, user.l1.map(y, user.s + user.s)).size() > 0",
        "[user.l1]" + ".map(a, [a, a])" * 28 + " == [user.l1]" + ".map(a, [a, a])" * 28,
        "[user.l1]" + ".map(a, [a, a])" * 28 + ".exists(a, a in [a])",
    ],
)  # fmt: skip
def test_what_would_never_end_errs(text: str) -> None:
    rows: list[UserRow] = [({"l1": list(range(100)), "s": "s" * 20_000}, {})] * 3
    assert set(_agree(text, rows).values()) == {None}


def test_the_row_matcher_tells_where_and_why() -> None:
    text = "user.l1.all(x, user.l2.all(y, y >= 0))"
    verdict = match(parse(text), Row(_lists(401, 250)[0], {}, NOW))
    assert isinstance(verdict, Erred) and "100,000" in verdict.message
    assert text[verdict.position :].startswith((".all(y", "(y")) or "user.l2" in text[verdict.position :]


_MEMORY = """
import resource
from core.evaluator.bind import bind
from core.evaluator.parse import parse
from tests.conformance.populations import populated
from tests.conformance.strategies import NOW
rows = [({"l": list(range(100)), "t": ["a"] * 100}, {})] * 2000
population = populated(rows, range(len(rows)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for text in (
    "user.l.exists(x, user.l.exists(y, x + y == 1000))",
    'user.l.map(x, user.t.filter(y, y == "b" || x < 0)).exists(x, x == [1])',
    "user.l.map(x, user.l.map(y, [x, y])).size() == 1",
    "user.l.exists(x, user.l.exists(y, user.l.exists(z, x + y + z == 1000)))",
    "user.l.map(x, user.l.map(y, user.l.map(z, z))).size() == 1",
):
    outcome = bind(parse(text), population).run(population, now=NOW)
    assert not outcome.true, text
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_is_bounded() -> None:
    """2,000 users with 10,000 pairs each: all at once would take gigabytes."""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", _MEMORY], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300, f"{done.stdout} MB"


def test_a_question_is_refused_before_it_takes_hours(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.ingest([], [ProfileChange(name, Operation.SET, {"l": [1] * 50}) for name in "abcd"])
    text = "user.x == 1 || user.l.exists(x, user.l.exists(y, x + y < 0))"
    with patch.object(answers, "CELLS_PER_QUESTION", 9_999), patch.object(asking, "CELLS_PER_QUESTION", 9_999):
        for ask in (
            lambda: answers.count(project.version, text, {}),
            lambda: answers.select(project.version, text, {}),
            lambda: asking.leaf_counts(project.version.population, parse(text), NOW),
        ):
            with pytest.raises(ExpressionTooCostly) as refused:
                ask()
            error = refused.value
            assert isinstance(error, Exhausted) and error.code == "EXPRESSION_TOO_COSTLY" and error.mend
            assert 0 <= error.position < len(text)
    assert answers.count(project.version, text, {}).count == 0
    project.close()


def test_one_users_data_does_not_stop_ingestion(tmp_path: Path) -> None:
    """A user beyond the bounds errs and so does not match; everybody else is judged as ever."""
    project = Project(tmp_path / "project")
    project.message("m", "user.l.all(x, user.l.exists(y, x == y))", content=HOOK)
    small: list[Any] = list(range(20))
    project.ingest(
        [], [ProfileChange("a", Operation.SET, {"l": small}), ProfileChange("b", Operation.SET, {"l": small * 16})]
    )
    project.ingest(
        [], [ProfileChange("b", Operation.SET, {"l": small * 15}), ProfileChange("c", Operation.SET, {"l": small * 16})]
    )
    assert project.places("m") == {"a": "queued", "b": "queued"}
    assert project.engine.health() == ""
    project.close()


def test_nothing_of_a_run_is_left_to_be_found() -> None:
    """Results by text of millions of texts would wait for the collector of cycles, and the next question's beside them."""
    texts = (
        'user.a.endsWith("x")',
        'events["e"].exists(e, e.a.contains("x") || e.b)',
        'size(user.a + "b") > [1, 2][0]',
    )
    population = populated([({"a": "tax", "b": [1, "x"]}, {})], PLACES[:1])
    plans = [bind(parse(text), population) for text in texts]
    gc.collect()
    gc.disable()
    try:
        for plan in plans:
            assert plan.count(population, now=NOW) in (0, 1)
            assert [one for one in gc.get_objects() if isinstance(one, Space)] == []
    finally:
        gc.enable()
