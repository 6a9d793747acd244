"""Promise: `size` charges events with what they cost and nothing else, finds the law, and prints no figure of a wrong answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import size
from benchmarks.__main__ import FAILED, main
from benchmarks.corpora import disk_bytes
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.sequels import history_count
from benchmarks.size import Size
from tests.benchmarks.test_report import HOLDS, report


def arguments(corpora: Path) -> list[str]:
    size = ["--profiles", "2000", "--events", "100000", "--rounds", "1"]
    return ["size", *size, "--corpora", str(corpora), "--json"]


def test_a_small_run_has_three_sizes_in_one_proportion(corpora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(arguments(corpora))
    found = json.loads(capsys.readouterr().out)
    assert (found["corpus"]["profiles"], found["corpus"]["events"]) == (2_000, 100_000)
    figures = found["figures"]
    assert 0 < figures["matched"] < 2_000
    assert 10 < figures["disk_bytes_an_event"] < 1_000
    assert 0 < figures["open_s"] <= figures["first_answer_s"]
    assert figures["behaviour_median_ms"] > 0 and figures["behaviour_exponent"] is not None
    assert all(line["x"] == [1_000, 10_000, 100_000] for panel in found["panels"] for line in panel["lines"])
    assert all(one["bound"] in size.ASKED for one in found["targets"])
    assert status == (0 if all(one["ok"] for one in found["targets"]) else 3)
    assert any("1,000 events of 20 people" in note for note in found["notes"])


def test_there_are_ten_events_a_profile_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def run(options: Options, events: int, bar: object) -> Report:
        asked.append((options.profiles, events))
        return report(HOLDS)

    monkeypatch.setattr(size, "run", run)
    for given in ([], ["--profiles", "1000"], ["--events", "1000000000"]):
        assert main(["size", *given]) == 0
    assert asked == [(20_000_000, 200_000_000), (1_000, 10_000), (20_000_000, 1_000_000_000)]


def test_a_wrong_answer_fails_the_run(
    corpora: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = history_count
    monkeypatch.setattr(size, "history_count", lambda history: honest(history) + 1)
    assert main(arguments(corpora)) == FAILED
    out, err = capsys.readouterr()
    assert out == "" and "WRONG_ANSWER" in err


@pytest.mark.parametrize("law", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_law_is_found(law: float) -> None:
    events = [100, 1_000, 10_000]
    assert size.exponent(events, [3.0 * count**law for count in events]) == pytest.approx(law, abs=1e-9)


@pytest.mark.parametrize(("events", "costs"), [([10], [1.0]), ([10, 10], [1.0, 2.0]), ([10, 20], [0.0, 2.0])])
def test_no_exponent_where_there_is_no_law(events: list[int], costs: list[float]) -> None:
    assert size.exponent(events, costs) is None


def sized(events: int, disk: float, opened: float, asked: float) -> Size:
    return Size(
        events // 10, events, 1, 10**6, round(disk * events), opened * events, asked * events, 0.1, 0.05, 0.2, 1.0
    )


@pytest.mark.parametrize(
    ("disk", "opened", "asked", "holds"),
    [(24.0, 1.0, 0.2, [True, True]), (24.1, -0.3, 1.1, [False, False]), (20.0, 1.1, 0.1, [True, False])],
)
def test_the_largest_size_is_judged_by_the_worse_look(
    disk: float, opened: float, asked: float, holds: list[bool]
) -> None:
    found = [sized(1_000, 500.0, 90.0, 90.0), sized(10_000, disk, opened, asked)]
    figures = size.figures_of(found)
    assert [one.ok for one in size.targets(figures)] == holds
    assert figures["open_exponent"] == pytest.approx(0, abs=1e-9)


def test_what_noise_leaves_below_nothing_is_no_point() -> None:
    (bytes_, _) = size.panels([sized(1_000, 20.0, -1.0, -2.0), sized(10_000, 20.0, 0.5, 0.1)])
    assert [list(line.y) for line in bytes_.lines] == [[20.0, 20.0], [None, 0.5]]


def test_room_ahead_costs_no_disk(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 24)
    assert disk_bytes(tmp_path) < 1 << 16
