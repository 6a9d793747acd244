"""Promise: `decide` measures launches whose ledger and queue hold exactly the users who match, before and after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import decide, people
from benchmarks.options import Options
from benchmarks.progress import Bar
from benchmarks.rounds import WrongAnswer

PROFILES = 3_000


def test_a_small_run_gives_rates_and_judges_them(corpora: Path) -> None:
    with Bar("test") as bar:
        report = decide.run(Options(profiles=PROFILES, rounds=2, corpora=corpora), bar)
    figures = report.figures
    assert figures["matched"] == len(decide.matching(people.generate(PROFILES, 7)))
    assert figures["matched"] == pytest.approx(PROFILES / 2, rel=0.02)
    assert figures["users_per_second_median"] == pytest.approx(
        figures["matched"] / figures["launch_median_ms"] * 1e3  # type: ignore[operator]
    )
    assert [one.bound in decide.ASKED for one in report.targets] == [True]
    assert not list(corpora.glob(".run-*")), "what a run needs goes with it"


def test_other_users_in_the_store_are_a_wrong_answer(corpora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = decide.check_store
    monkeypatch.setattr(
        decide, "check_store", lambda store, count, expected: honest(store, count, np.delete(expected, 5))
    )
    with Bar("test") as bar, pytest.raises(WrongAnswer, match="after the kill"):
        decide.run(Options(profiles=PROFILES, rounds=1, corpora=corpora), bar)


def test_every_round_asks_a_new_text_for_the_same_users() -> None:
    who = people.generate(PROFILES, 7)
    middle = decide.middle_of(who)
    texts = [decide.targeting(number, middle) for number in range(50)]
    assert len(set(texts)) == len(texts)
    bounds = [float(text.split(">")[1]) for text in texts]
    assert all((who.ltv > bound).sum() == len(decide.matching(who)) for bound in bounds)
