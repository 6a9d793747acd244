"""Promise: `asap` measures the way of those who came to match, and says so where one of them never came."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import asap
from benchmarks.asap_client import Carried, Sent
from benchmarks.options import Options
from benchmarks.progress import Bar
from benchmarks.report import Figures
from benchmarks.rounds import WrongAnswer

SENT = Sent(
    events=1_000,
    seconds=10.0,
    probes={"early": (100.0, 100.1), "a": (103.0, 103.1), "b": (104.0, 104.2)},
    dues={"soon": 101.0, "c": 105.0},
)
CARRIED = Carried(recipients=5, probes={"a": 103.2, "b": 104.25}, dues={"soon": 101.5, "c": 105.75})


def test_a_small_run(corpora: Path) -> None:
    with Bar("test") as bar:
        load = asap.Load(seconds=8, messages=6, events=100, batch=20)
        report = asap.run(Options(profiles=2_000, corpora=corpora), load, bar)
    figures = report.figures
    assert figures["probes"] == pytest.approx(8 * 5 * 0.8, abs=3)
    for name in ("commit_to_stream", "send_to_stream", "moment_to_stream"):
        assert figures[f"{name}_median_ms"] <= figures[f"{name}_p99_ms"] <= figures[f"{name}_longest_ms"]  # type: ignore[operator]
    assert figures["send_to_stream_median_ms"] > 0  # type: ignore[operator]
    assert all(one.bound in asap.ASKED for one in report.targets)
    assert not list(corpora.glob(".run-*")), "what a run needs goes with it"


def test_waits_are_told_from_answers_requests_and_moments_after_the_run_has_settled() -> None:
    figures = asap.figures_of(SENT, CARRIED)
    assert figures["probes"] == 2
    assert figures["commit_to_stream_longest_ms"] == pytest.approx(100)
    assert figures["send_to_stream_longest_ms"] == pytest.approx(250)
    assert figures["moment_to_stream_median_ms"] == pytest.approx(750)


@pytest.mark.parametrize("lost", ["probes", "dues"])
def test_who_never_came_is_a_wrong_answer(lost: str) -> None:
    with pytest.raises(WrongAnswer, match="1 never came"):
        kept = {user: at for user, at in getattr(CARRIED, lost).items() if user not in ("a", "c")}
        asap.figures_of(SENT, replace(CARRIED, **{lost: kept}))


@pytest.mark.parametrize(
    ("changed", "verdicts"),
    [
        ({}, [True, True]),
        ({"commit_to_stream_p99_ms": 250.1}, [False, True]),
        ({"moment_to_stream_longest_ms": 1_000.1}, [True, False]),
    ],
)
def test_bounds(changed: Figures, verdicts: list[bool]) -> None:
    figures: Figures = {"commit_to_stream_p99_ms": 250.0, "moment_to_stream_longest_ms": 1_000.0}
    assert [one.ok for one in asap.targets(figures | changed)] == verdicts
