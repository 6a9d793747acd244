"""Promise: the sweep asks what it says it asks, of both systems alike, and judges cost as the issue bounds it."""

from __future__ import annotations

import json

import polars as pl
import pytest

from benchmarks import people, sweep, sweep_size
from benchmarks.options import Options
from benchmarks.predicates import KINDS, Shares, conjunction
from benchmarks.progress import Bar
from benchmarks.rounds import WrongAnswer
from benchmarks.sweep_size import Measured, Task, frame_of, version_of
from core.errors import Unavailable
from core.evaluator import answers
from core.version import Version

PROFILES = 150_000


@pytest.fixture(scope="module")
def held() -> tuple[pl.DataFrame, Version]:
    """The same people in both systems."""
    who = people.generate(PROFILES, 7)
    return frame_of(who), version_of(who)


def count(frame: pl.DataFrame, expression: pl.Expr) -> int:
    return frame.lazy().filter(expression).select(pl.len()).collect().item()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0001, 0.05, 0.3, 0.6, 0.69, 0.8, 0.9, 0.93, 0.97, 0.995])
def test_each_kind_leaves_at_least_its_share_and_means_the_same_in_both(
    kind: str, share: float, held: tuple[pl.DataFrame, Version]
) -> None:
    frame, version = held
    one = KINDS[kind](Shares(frame), share)
    found = count(frame, one.polars)
    assert answers.count(version, one.cel, {}).count == found
    assert found >= PROFILES * share * 0.995, one.cel


@pytest.mark.parametrize("predicates", sweep.PREDICATES)
@pytest.mark.parametrize("selectivity", sweep.SELECTIVITIES)
def test_a_conjunction_has_the_selectivity_asked_for(
    predicates: int, selectivity: float, held: tuple[pl.DataFrame, Version]
) -> None:
    frame, version = held
    made = conjunction(frame, Shares(frame), predicates, selectivity)
    first, later = made.asked(0), made.asked(9_999)
    assert first.cel != later.cel
    found = count(frame, first.polars)
    assert found == made.matched == count(frame, later.polars) == answers.count(version, later.cel, {}).count
    assert found == pytest.approx(PROFILES * selectivity, rel=0.05, abs=30)


def test_a_small_run_asks_every_question_of_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "FACTORS", (0.2, 1.0))
    monkeypatch.setattr(sweep, "PREDICATES", (1, 7))
    with Bar("test") as bar:
        report = sweep.run(Options(profiles=20_000, rounds=1), bar)
    assert report.figures["combinations"] == 2 * (2 * len(sweep.SELECTIVITIES) + len(KINDS))
    assert all(one.bound in sweep.ASKED for one in report.targets)
    assert {line.name for panel in report.panels for line in panel.lines} >= {
        "Muster",
        "polars",
        "Muster, 7 predicates",
    }
    assert all(len(line.x) == len(line.y) > 0 for panel in report.panels for line in panel.lines)
    json.loads(report.to_json())


def test_sizes_are_the_issues() -> None:
    sizes = sweep.sizes_of(sweep.ASKED_PROFILES)
    assert (sizes[0], sizes[-1]) == (100_000, 50_000_000)


def measured(profiles: int, selectivity: float, muster: float, polars: float = 10.0) -> Measured:
    return Measured(profiles, "", 1, selectivity, 0, muster, polars, "")


def test_growth_is_the_exponent_between_the_ends() -> None:
    linear = [measured(1_000, 0.5, 1.0), measured(10_000, 0.5, 99.0), measured(100_000, 0.5, 100.0)]
    squared = [measured(1_000, 0.9, 1.0), measured(100_000, 0.9, 10_000.0)]
    assert sweep.growths(linear + squared) == pytest.approx([1.0, 2.0])
    assert sweep.growths(linear[:1]) == []


def test_the_weak_spot_is_a_bump_over_the_dearer_neighbour() -> None:
    found = [measured(1_000, 0.05, 1.0), measured(1_000, 0.1, 3.0), measured(1_000, 0.2, 2.0)]
    assert sweep.weak_spot(found) == pytest.approx(1.5)
    assert sweep.weak_spot(found[:2]) is None


def test_one_slower_combination_is_enough_to_fall_short() -> None:
    found = [
        measured(size, share, cost)
        for size in (1_000, 2_000)
        for share, cost in ((0.05, 1.0), (0.1, 1.0), (0.2, 10.1 if size == 2_000 else 1.0))
    ]
    figures = sweep.figures_of(found)
    assert (figures["slower_than_polars"], figures["combinations"]) == (1, 6)
    assert [one.ok for one in sweep.targets(figures)] == [False, False, True]


def test_different_counts_are_a_wrong_answer(held: tuple[pl.DataFrame, Version]) -> None:
    frame, version = held
    asked = [conjunction(frame, Shares(frame), 2, 0.1).asked(0)] * 2
    with pytest.raises(WrongAnswer, match="differently"):
        sweep_size._timed(version, frame.head(100), asked)


def test_a_size_that_dies_is_named() -> None:
    with pytest.raises(Unavailable, match="0 profiles"):
        sweep._measured(Task(0, 7, 1, [1], [0.5]), lambda: None)
