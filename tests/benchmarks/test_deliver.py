"""Promise: `deliver` measures hand-offs of which every one was acknowledged exactly once, and says so where one was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import deliver, people
from benchmarks.deliver_worker import Delivered
from benchmarks.options import Options
from benchmarks.progress import Bar
from benchmarks.rounds import WrongAnswer

PROFILES = 3_000
RECIPIENTS = 1_200


def run(corpora: Path) -> deliver.Report:
    with Bar("test") as bar:
        return deliver.run(Options(profiles=PROFILES, rounds=1, corpora=corpora), RECIPIENTS, bar)


def test_a_small_run_gives_rates_and_judges_them(corpora: Path) -> None:
    report = run(corpora)
    figures = report.figures
    who = people.generate(PROFILES, 7)
    assert figures["recipients"] == (who.ltv >= deliver.bound_of(who, RECIPIENTS)).sum() >= RECIPIENTS
    for kind in deliver.CONTENTS:
        assert 0 < figures[f"{kind}_per_second_median"] <= figures[f"{kind}_per_second_best"]  # type: ignore[operator]
    assert [one.bound in deliver.ASKED for one in (*report.targets, *report.aims)] == [True, True]
    assert not list(corpora.glob(".run-*")), "what a run needs goes with it"


def test_an_acknowledgement_too_few_is_a_wrong_answer(corpora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = deliver._carry

    def forgetful(*given: object) -> Delivered:
        done = honest(*given)  # type: ignore[arg-type]
        return Delivered(done.seconds, done.acknowledged, done.keys - 1, done.batches, done.worker_seconds)

    monkeypatch.setattr(deliver, "_carry", forgetful)
    with pytest.raises(WrongAnswer, match="hand-offs of"):
        run(corpora)
