"""Promise: `live` measures waits and memory under load, judges them as the issue does, and passes over no failure."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from benchmarks import live, people
from benchmarks.live_client import Asked, Sent, questions, send
from benchmarks.options import Options
from benchmarks.progress import Bar
from core.errors import Unavailable
from core.evaluator import answers
from core.version import Version
from tests.benchmarks.test_sweep import version_of

SENT = Sent(events=600, updates=120, refused=0, longest_ms=5.0, seconds=60.0)


def test_a_short_run_has_counts_events_and_memory(corpora: Path) -> None:
    with Bar("test") as bar:
        report = live.run(
            Options(profiles=3_000, corpora=corpora), live.Load(5, messages=8, events=200, updates=50, batch=50), bar
        )
    figures = report.figures
    assert figures["counts"] and figures["count_median_ms"] <= figures["count_p99_ms"] <= figures["count_longest_ms"]  # type: ignore[operator]
    assert figures["events_per_second"] > 100  # type: ignore[operator]
    assert figures["anonymous_last_mib"] > 10  # type: ignore[operator]
    assert all(one.bound in live.ASKED for one in report.targets)
    assert any("5 s" in note for note in report.notes), "a shorter run says that it is one"
    assert not list(corpora.glob(".run-*"))


def test_targeting_of_all_messages_is_good_and_nowhere_the_same_twice() -> None:
    texts = [live.targeting(number) for number in range(live.ASKED_MESSAGES)]
    assert len(set(texts)) > 0.9 * len(texts)
    version: Version = version_of(people.generate(500, 7))
    for text in {*texts[:8], *itertools.islice(questions(7), 6)}:
        answers.count(version, text.replace("has(user.email)", "has(user.score)"), {})


def test_no_question_is_asked_twice() -> None:
    asked = list(itertools.islice(questions(7), 3_000))
    assert len(set(asked)) == len(asked)


def memory(*mib: float) -> list[tuple[float, float]]:
    return [(float(second), one) for second, one in enumerate(mib)]


def test_the_first_part_of_a_run_does_not_count() -> None:
    waits = [900.0] * 20 + [10.0] * 80
    figures = live.figures_of(SENT, Asked(waits), memory(*[50.0] * 20, *[100.0] * 80))
    assert (figures["counts"], figures["count_longest_ms"]) == (80, 10.0)
    assert figures["anonymous_growth_share"] == pytest.approx(0, abs=1e-9)
    assert [one.ok for one in live.targets(figures)] == [True, True]
    assert (figures["events_per_second"], figures["updates_per_second"]) == (10.0, 2.0)


def test_growth_and_slow_counts_fall_short() -> None:
    growing = memory(*(100.0 + second for second in range(100)))
    figures = live.figures_of(SENT, Asked([10.0] * 90 + [60.0] * 10), growing)
    assert figures["anonymous_growth_mib_a_minute"] == pytest.approx(60)
    assert figures["anonymous_growth_share"] == pytest.approx(79 / 120)
    assert [one.ok for one in live.targets(figures)] == [False, False]


def test_memory_of_this_process_and_of_none() -> None:
    assert live.anonymous_mib(os.getpid()) > 1
    with pytest.raises(Unavailable) as error:
        live.anonymous_mib(2**22 + 1)
    assert error.value.code == "SERVER_DIED"


async def test_a_server_that_is_away_ends_the_sender() -> None:
    task = live.Task("send", "127.0.0.1:1", 1, 7, 10, 10, 5, 10)
    with pytest.raises(BaseExceptionGroup, match="unhandled errors"):
        await send(task)
