"""Promise: results are kept one beside the other, a run that fails is a row that says so, and README says what the file says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks import everything, plots, results
from benchmarks.__main__ import FAILED, main
from benchmarks.report import FALLS_SHORT, Line, Panel, Report
from benchmarks.results import Ran, Results
from core.errors import StoreError
from tests.benchmarks.test_report import FIGURES, HOLDS, SHORT, UNKNOWN, report


def ran(made: Report) -> Ran:
    """A run that gave this report."""
    return Ran("2026-03-02T09:00:00Z", 12.0, json.loads(made.to_json()))


FELL = Ran("2026-03-03T09:00:00Z", 1.0, None, "status 1: PEER_MISSING: polars is not installed")
SWEPT = Report(
    name="nothing --sweep",
    corpus={"profiles": 3},
    seed=7,
    machine={"cpu": "any", "cores": 1, "memory_mib": 1024, "system": "Linux"},
    versions={},
    figures=FIGURES,
    targets=(HOLDS,),
    panels=[Panel("by size", "profiles", "ms", [Line("muster", [1e5, 1e6], [1.0, None])], mark=3e5)],
)


def whole() -> Results:
    """One run of each kind."""
    made = report(HOLDS, SHORT, UNKNOWN, aims=(SHORT,))
    sized = {"cpu": "any", "cores": 1, "memory_mib": 1024, "system": "Linux"}
    first = Report(**{**{key: getattr(made, key) for key in made.__slots__}, "machine": sized})
    return {"nothing": ran(first), "nothing --sweep": ran(SWEPT), "size": FELL}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    written = results.write(tmp_path / "new", whole())
    assert {file.name for file in written} == {"results.json", "results.md", "results.svg", "nothing-sweep.svg"}
    assert all(file.stat().st_size for file in written)
    assert results.read(tmp_path / "new") == whole()


def test_the_table_has_every_bound_verdict_and_failure() -> None:
    told = results.table(whole())
    for line in (
        "| nothing | ok | ratio | 0.05 | at most 1/15 |",
        "| nothing | short | rate | 120,000 | at least 200,000 |",
        "| nothing | cannot be told | absent | – | 1/30 (the peer is not installed) |",
        "| nothing | short (aim) | rate | 120,000 | at least 200,000 |",
        "| size | failed |  |  | status 1: PEER_MISSING: polars is not installed |",
        "Failed: status 1: PEER_MISSING: polars is not installed",
        "![nothing --sweep](nothing-sweep.svg)",
    ):
        assert line in told.splitlines()


def test_nothing_run_yet(tmp_path: Path) -> None:
    assert results.read(tmp_path) == {}
    assert "Nothing was run yet" in results.table({})


@pytest.mark.parametrize("text", ["{", "[]", '{"runs": {"audience": {"what": 1}}}', '{"runs": 3}'])
def test_a_file_that_is_no_results_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(StoreError) as error:
        results.read(tmp_path)
    assert error.value.code == "RESULTS_UNREADABLE" and "results.json" in error.value.field


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as error:
        results.write(tmp_path / "file", {})
    assert error.value.code == "RESULTS_UNWRITABLE"


def test_fresh_runs_replace_older_ones_in_the_order_of_the_commands() -> None:
    known = whole()
    fresh = {"size": ran(SWEPT), "gone": FELL}
    found = results.merged(known, fresh, ["size", "nothing", "nothing --sweep"])
    assert list(found) == ["size", "nothing", "nothing --sweep"]
    assert found["size"] == fresh["size"]


@pytest.mark.parametrize(
    ("bounds", "value", "margin"),
    [
        ({"most": 0.1, "least": None, "ok": True}, 0.05, 2.0),
        ({"most": 0.1, "least": None, "ok": False}, 0.2, 0.5),
        ({"most": None, "least": 100, "ok": True}, 150, 1.5),
        ({"most": None, "least": 100, "ok": None}, 150, None),
        ({"most": 1.0, "least": None, "ok": None}, None, None),
    ],
)
def test_a_margin_is_above_one_where_the_bound_is_held(
    bounds: dict[str, float | None], value: float | None, margin: float | None
) -> None:
    found = results.margin(bounds, value)
    assert found == (None if margin is None else pytest.approx(margin))


def test_the_same_results_give_the_same_plots(tmp_path: Path) -> None:
    rows = [{"label": "a: b", "ok": False, "margin": 0.3, "told": "3"}]
    for name in ("a.svg", "b.svg"):
        plots.bounds(rows, "any machine", tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


class Faked:
    """What stands in the place of benchmarks' processes: answers by the first word of what is run."""

    def __init__(self, answers: dict[str, tuple[int, str, str]]) -> None:
        self.answers = answers
        self.asked: list[list[str]] = []

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        words = command[command.index("benchmarks") + 1 :]
        self.asked.append(words)
        return subprocess.CompletedProcess(command, *self.answers[words[0]])


def run_all(monkeypatch: pytest.MonkeyPatch, *arguments: str, **answers: tuple[int, str, str]) -> tuple[int, Faked]:
    """Run `all` with faked benchmarks."""
    faked = Faked(answers)
    monkeypatch.setattr(everything.subprocess, "run", faked)
    return main(["all", *arguments]), faked


def test_one_that_fails_is_a_row_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = json.dumps({**json.loads(SWEPT.to_json()), "panels": []})
    where = ("--results", str(tmp_path))
    status, faked = run_all(
        monkeypatch,
        "ingest",
        "audience",
        *where,
        "--profiles",
        "9",
        audience=(1, "", "Traceback\nbang\n"),
        ingest=(0, made, ""),
    )
    assert status == FAILED
    assert faked.asked[0][:2] == ["audience", "--json"], "in the order of the commands"
    assert all(words[-2:] == ["--profiles", "9"] for words in faked.asked)
    found = results.read(tmp_path)
    assert found["audience"].failed == "status 1: bang"
    assert found["ingest"].report is not None
    assert "bang" in (tmp_path / "results.md").read_text()
    assert "wrote results.json" in capsys.readouterr().out
    status, _ = run_all(monkeypatch, "ingest", *where, ingest=(3, made.replace("true", "false"), ""))
    assert status == FALLS_SHORT
    assert results.read(tmp_path)["audience"].failed, "what did not run again stays"


def test_an_unknown_name_runs_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, faked = run_all(monkeypatch, "audiense")
    assert (status, faked.asked) == (2, [])
    assert "audience" in capsys.readouterr().err


def test_readme_says_what_the_results_say() -> None:
    """`muster bench` writes the block; whoever edits one of the two by hand is told here."""
    text = results.README.read_text(encoding="utf-8")
    assert results.readme_block(results.read(results.FOLDER)) in text


def test_the_table_beside_the_results_is_theirs() -> None:
    found = results.read(results.FOLDER)
    assert found, "no results are committed"
    assert (results.FOLDER / "results.md").read_text(encoding="utf-8") == results.table(found)


def test_readme_is_refreshed_between_its_marks(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    assert not results.refresh_readme(file, {})
    file.write_text("no marks")
    assert not results.refresh_readme(file, {})
    file.write_text(f"before\n{results.BEGIN}\nformer\n{results.END}\nafter\n")
    assert results.refresh_readme(file, whole())
    told = file.read_text()
    assert told.startswith("before\n") and told.endswith("\nafter\n") and "former" not in told
    assert "120,000" in told and "any, 1 cores, 1 GiB, Linux" in told
