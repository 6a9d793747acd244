"""Promise: the command's exit status is the report's, 2 for wrong arguments, 1 for a run that failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import audience
from benchmarks.__main__ import FAILED, main
from tests.benchmarks.test_report import HOLDS, SHORT, UNKNOWN, report


@pytest.mark.parametrize(("targets", "status"), [((HOLDS,), 0), ((HOLDS, SHORT), 3), ((UNKNOWN,), 3)])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_status_is_the_reports(
    targets: tuple[object, ...],
    status: int,
    form: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(audience, "run", lambda options, bar: report(*targets))  # type: ignore[arg-type]
    assert main(["audience", *form]) == status
    out = capsys.readouterr().out
    if form:
        assert json.loads(out)["name"] == "nothing"
    else:
        assert "at most 1/15" in out or targets == (UNKNOWN,)


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["audience", "--rounds", "0"], ["audience", "--profiles", "-1"], ["audience", "--what"]]
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("benchmarks: ") and told.count("\n") == 1, "one line, with where to look"


def test_help_names_the_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "audience" in out
    assert "ingest" in out


def test_a_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("benchmarks.__main__.find_spec", lambda name: None if name == "polars" else object())
    assert main(["audience"]) == FAILED
    assert "PEER_MISSING: polars is not installed" in capsys.readouterr().err


def test_a_folder_that_cannot_be_used_fails_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["audience", "--profiles", "10", "--corpora", str(tmp_path / "file" / "below")]) == FAILED
    assert capsys.readouterr().err.count("\n") == 1
