"""Promise: `audience` asks the same question of the same people everywhere, and prints no figure where answers differ."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks import audience
from benchmarks.__main__ import FAILED, main
from benchmarks.peers.polars_frame import PolarsFrame

HAS_CHDB = find_spec("chdb") is not None


def arguments(corpora: Path, *more: str) -> list[str]:
    return ["audience", "--profiles", "20000", "--rounds", "2", "--corpora", str(corpora), *more]


@pytest.fixture(scope="module")
def found(corpora: Path) -> tuple[int, dict[str, Any]]:
    """One run's exit status and JSON."""
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("click.echo", lambda text, **_: printed.append(text))
        status = main(arguments(corpora, "--json"))
    (line,) = printed
    return status, json.loads(line)


def test_the_object_says_what_was_measured_on_what(found: tuple[int, dict[str, Any]]) -> None:
    _, report = found
    assert report["name"] == "audience"
    assert report["corpus"]["profiles"] == 20_000
    assert report["seed"] == 7
    assert report["machine"].keys() >= {"cpu", "cores", "memory_mib"}
    assert report["versions"].keys() >= {"python", "polars", "duckdb", "chdb"}
    assert 0 < report["figures"]["matched"] < 20_000
    for name in ("muster", "polars", "duckdb", "floor"):
        assert 0 < report["figures"][f"{name}_least_ms"] <= report["figures"][f"{name}_median_ms"]


def test_targets_are_the_issues_words(found: tuple[int, dict[str, Any]]) -> None:
    _, report = found
    assert report["targets"]
    for one in report["targets"] + report["aims"]:
        assert one["bound"] in audience.ASKED
        assert one["figure"] in report["figures"]


def test_the_exit_status_follows_the_targets(found: tuple[int, dict[str, Any]]) -> None:
    status, report = found
    assert status == (0 if all(one["ok"] for one in report["targets"]) else 3)


@pytest.mark.skipif(HAS_CHDB, reason="chdb is installed")
def test_an_absent_peer_is_said_and_does_not_hold(found: tuple[int, dict[str, Any]]) -> None:
    status, report = found
    assert report["versions"]["chdb"] == "not installed"
    assert report["figures"]["clickhouse_bitmaps_median_ms"] is None
    (bound,) = [one for one in report["targets"] if "ClickHouse" in one["bound"]]
    assert bound["ok"] is None
    assert "not installed" in bound["why"]
    assert status == 3


@pytest.mark.skipif(not HAS_CHDB, reason="chdb is not installed")
def test_clickhouse_takes_part(found: tuple[int, dict[str, Any]]) -> None:
    _, report = found
    assert report["figures"]["clickhouse_bitmaps_median_ms"] > 0
    assert report["figures"]["clickhouse_table_median_ms"] > 0


def test_a_wrong_answer_fails_the_run(
    corpora: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = PolarsFrame.count
    monkeypatch.setattr(PolarsFrame, "count", lambda self, question: honest(self, question) + (question.number == 2))
    assert main(arguments(corpora, "--json")) == FAILED
    out, err = capsys.readouterr()
    assert out == ""
    assert "WRONG_ANSWER" in err
    assert "round 2: polars" in err


def test_an_answer_that_all_share_and_the_people_do_not_give_fails_too(
    corpora: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = audience.people_count
    monkeypatch.setattr(audience, "people_count", lambda who: honest(who) - 1)
    assert main(arguments(corpora)) == FAILED
    assert "WRONG_ANSWER" in capsys.readouterr().err


def test_tables_are_for_readers(
    corpora: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    main(arguments(corpora))
    out = capsys.readouterr().out
    assert "muster_over_polars" in out
    assert "polars' time" in out
