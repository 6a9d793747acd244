"""Promise: `behaviour` asks the same of the same events everywhere, and prints no figure where answers differ."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import behaviour
from benchmarks.__main__ import FAILED, main
from benchmarks.history import DAYS, SHARES, History
from benchmarks.peers.duckdb_events import DuckEvents
from benchmarks.people import NOW
from benchmarks.sequels import Sequel, history_count
from core.values import MICROS_PER_DAY, MICROS_PER_SECOND

HAS_CHDB = find_spec("chdb") is not None


def arguments(corpora: Path) -> list[str]:
    size = ["--profiles", "2000", "--events", "100000", "--rounds", "2"]
    return ["behaviour", *size, "--corpora", str(corpora), "--json"]


@pytest.fixture(scope="module")
def found(corpora: Path) -> tuple[int, dict[str, Any]]:
    """One run's exit status and JSON."""
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("click.echo", lambda text, **_: printed.append(text))
        status = main(arguments(corpora))
    (line,) = printed
    return status, json.loads(line)


def test_the_object_says_what_was_measured_on_what(found: tuple[int, dict[str, Any]]) -> None:
    _, report = found
    assert report["name"] == "behaviour"
    assert (report["corpus"]["profiles"], report["corpus"]["events"]) == (2_000, 100_000)
    assert 0 < report["figures"]["matched"] < 2_000
    assert report["figures"]["purchases"] == 8_000
    for name in ("muster", "duckdb", *(["clickhouse"] if HAS_CHDB else [])):
        assert 0 < report["figures"][f"{name}_least_ms"] <= report["figures"][f"{name}_median_ms"]


def test_targets_are_the_issues_words(found: tuple[int, dict[str, Any]]) -> None:
    status, report = found
    assert report["targets"]
    for one in report["targets"]:
        assert one["bound"] in behaviour.ASKED
        assert one["figure"] in report["figures"]
    assert status == (0 if all(one["ok"] for one in report["targets"]) else 3)


@pytest.mark.skipif(HAS_CHDB, reason="chdb is installed")
def test_an_absent_peer_is_said_and_does_not_hold(found: tuple[int, dict[str, Any]]) -> None:
    status, report = found
    (bound,) = [one for one in report["targets"] if "ClickHouse" in one["bound"]]
    assert bound["ok"] is None and "not installed" in bound["why"] and status == 3


def test_a_wrong_answer_fails_the_run(
    corpora: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = DuckEvents.count
    monkeypatch.setattr(DuckEvents, "count", lambda self, sequel: honest(self, sequel) + (sequel.number == 2))
    assert main(arguments(corpora)) == FAILED
    out, err = capsys.readouterr()
    assert out == "" and "round 2: duckdb" in err


def test_an_answer_that_all_share_and_the_events_do_not_give_fails_too(
    corpora: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = history_count
    monkeypatch.setattr(behaviour, "history_count", lambda history: honest(history) - 1)
    assert main(arguments(corpora)) == FAILED
    assert "WRONG_ANSWER" in capsys.readouterr().err


@pytest.mark.parametrize("most", [1, 7_000, 10**9])
def test_slices_have_every_day_of_every_name_once(most: int) -> None:
    history = History(90_000, 1_000, 7)
    slices = history.slices(most)
    assert [day for part in slices for day in part] == [(name, day) for name in SHARES for day in range(DAYS)]
    sizes = [sum(len(history.day(*day).ordinals) for day in part) for part in slices]
    largest = max(SHARES.values()) * 90_000 / DAYS
    assert all(
        most - 2 <= size <= most + largest + 2 or len(part) == 1
        for size, part in zip(sizes[:-1], slices[:-1], strict=True)
    )
    assert len(slices) == {1: DAYS * len(SHARES), 10**9: 1}.get(most, len(slices))


def test_a_history_is_what_it_says() -> None:
    history = History(90_000, 1_000, 7)
    days = {name: list(history.days(name)) for name in SHARES}
    assert sum(len(day.ordinals) for name in days for day in days[name]) == 90_000
    assert history.digest() == History(90_000, 1_000, 7).digest() != History(90_000, 1_000, 8).digest()
    for name, drawn in days.items():
        assert len(drawn) == DAYS
        for number, day in enumerate(drawn):
            first = NOW - (DAYS - number) * MICROS_PER_DAY
            assert first <= day.times.min() and day.times.max() < first + MICROS_PER_DAY
            assert not (day.times % MICROS_PER_SECOND).any() and (day.arrivals > day.times).all()
            assert day.ordinals.max() < 1_000, name
    shares = np.sort(np.bincount(np.concatenate([day.ordinals for day in days["Page view"]]), minlength=1_000))
    assert shares[-1] > 5 * np.median(shares) > 0


@pytest.mark.parametrize("number", [0, 1, 9_999])
def test_every_round_asks_the_same(number: int) -> None:
    """No amount lies between the rounds' bounds and no time between their windows' ends."""
    first, other = Sequel(0), Sequel(number)
    assert other.now == first.now
    assert (other.cel != first.cel) == (number > 0)
    for one, two in ((first.counted_after, other.counted_after), (first.none_after, other.none_after)):
        assert one // MICROS_PER_SECOND == two // MICROS_PER_SECOND
    assert round(float(first.amount) * 100) == int(float(other.amount) * 100)
