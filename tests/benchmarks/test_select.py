"""Promise: `select` measures exactly the users who match, and says so where others come."""

from __future__ import annotations

from pathlib import Path

import muster
import numpy as np
import pytest

from benchmarks import people, select
from benchmarks.options import Options
from benchmarks.progress import Bar
from benchmarks.rounds import WrongAnswer

PROFILES = 3_000


def test_a_small_run_gives_rates_and_judges_them(corpora: Path) -> None:
    with Bar("test") as bar:
        report = select.run(Options(profiles=PROFILES, rounds=1, corpora=corpora), bar)
    figures = report.figures
    assert figures["matched"] == len(select.matching(people.generate(PROFILES, 7))) > 1_000
    for kind in (select.ORDINALS, select.IDS):
        assert figures[f"{kind}_per_second_median"] == pytest.approx(
            figures["matched"] / figures[f"{kind}_median_ms"] * 1e3  # type: ignore[operator]
        )
    assert {one.figure for one in report.targets} == {"ordinals_per_second_median", "ids_per_second_median"}
    assert not list(corpora.glob(".run-*")), "what a run needs goes with it"


def test_the_bounds_are_the_issues() -> None:
    good = select.figures_of({"ordinals": [0.05], "ids": [1 / 3]}, 1_000_000)
    assert (good["ordinals_per_second_median"], good["ids_per_second_median"]) == (20_000_000, 3_000_000)


class Lying:
    """A client whose audiences miss the last user."""

    def __init__(self, ordinals: list[int], ids: list[str]) -> None:
        self.audiences = self
        self._ordinals, self._ids = ordinals, ids

    def ordinals(self, expression: str) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
        return np.array(self._ordinals, np.uint32)

    def select(self, expression: str) -> list[str]:
        return self._ids


@pytest.mark.parametrize(("ordinals", "ids"), [([1], ["user-1", "user-4"]), ([1, 4], ["user-1", "user-5"])])
def test_other_users_are_a_wrong_answer(ordinals: list[int], ids: list[str]) -> None:
    client: muster.Client = Lying(ordinals, ids)  # type: ignore[assignment]
    with pytest.raises(WrongAnswer, match="not the users who match"):
        select._ask(client, np.array([1, 4], np.uint32), 1, lambda: None)


def test_every_round_asks_a_new_text_for_the_same_users() -> None:
    texts = [select.targeting(number) for number in range(50)]
    assert len(set(texts)) == len(texts)
