"""Promise: `start` times starts that find everything again, after a kill as well, and prints no figure where one does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import start
from benchmarks.__main__ import FAILED, main


def arguments(corpora: Path) -> list[str]:
    size = ["--profiles", "2000", "--events", "20000", "--tail", "4000", "--rounds", "1"]
    return ["start", *size, "--corpora", str(corpora), "--json"]


def test_a_small_run_tells_both_figures(corpora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(arguments(corpora))
    found = json.loads(capsys.readouterr().out)
    figures = found["figures"]
    assert 0 < figures["serving_s"] <= figures["first_answer_s"]
    assert 0 < figures["killed_serving_s"] <= figures["killed_first_answer_s"]
    assert figures["tail_events"] == 4_000 and figures["tail_mib"] > 0
    assert figures["anonymous_mib"] > 0 and figures["killed_anonymous_mib"] > 0
    assert [one["bound"] in start.ASKED for one in found["targets"]] == [True, True]
    assert status == (0 if all(one["ok"] for one in found["targets"]) else 3)
    assert any("4,000 events acknowledged" in note for note in found["notes"])


def test_a_lost_event_fails_the_run(
    corpora: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = start._fill_log

    def forgetful(*given: Any) -> tuple[int, int]:
        sent, tail = honest(*given)
        return sent + 1, tail

    monkeypatch.setattr(start, "_fill_log", forgetful)
    assert main(arguments(corpora)) == FAILED
    out, err = capsys.readouterr()
    assert out == "" and "WRONG_ANSWER" in err
