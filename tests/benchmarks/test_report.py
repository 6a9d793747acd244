"""Promise: a report says what was asked and what was found, and its exit status is 0 only where every bound is known to hold."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from benchmarks.report import ALL_HOLD, FALLS_SHORT, Figures, Report, Target, target

FIGURES: Figures = {"ratio": 0.05, "rate": 120_000, "absent": None}
HOLDS = Target("ratio", "at most 1/15", True)
SHORT = Target("rate", "at least 200,000", False)
UNKNOWN = Target("absent", "1/30", None, "the peer is not installed")


def report(*targets: Target, aims: tuple[Target, ...] = ()) -> Report:
    """A report on nothing."""
    return Report(
        name="nothing",
        corpus={"key": "none", "profiles": 3},
        seed=7,
        machine={"cpu": "any", "cores": 1},
        versions={"python": "3"},
        figures=FIGURES,
        targets=targets,
        aims=aims,
        notes=["a note"],
    )


@pytest.mark.parametrize(
    ("targets", "status"),
    [
        ((HOLDS,), ALL_HOLD),
        ((HOLDS, SHORT), FALLS_SHORT),
        ((HOLDS, UNKNOWN), FALLS_SHORT),
    ],
)
def test_exit_status(targets: tuple[Target, ...], status: int) -> None:
    assert report(*targets).exit_status == status


def test_exit_statuses_are_those_that_callers_rely_on() -> None:
    assert (ALL_HOLD, FALLS_SHORT) == (0, 3)


def test_an_aim_that_falls_short_is_said_and_does_not_decide() -> None:
    found = report(HOLDS, aims=(SHORT,))
    assert found.exit_status == ALL_HOLD
    assert json.loads(found.to_json())["aims"][0]["ok"] is False


def test_json_is_one_object_on_one_line() -> None:
    text = report(HOLDS, UNKNOWN).to_json()
    assert "\n" not in text
    found = json.loads(text)
    assert {"name", "corpus", "seed", "machine", "versions", "figures", "targets"} <= found.keys()
    assert found["figures"]["absent"] is None
    assert found["targets"][1] == {
        "figure": "absent",
        "bound": "1/30",
        "ok": None,
        "why": "the peer is not installed",
        "most": None,
        "least": None,
    }


@pytest.mark.parametrize(
    ("figure", "bounds", "ok"),
    [
        ("ratio", {"most": 0.05}, True),
        ("ratio", {"most": 0.04}, False),
        ("rate", {"least": 120_000}, True),
        ("rate", {"least": 120_001}, False),
        ("absent", {"most": 1.0}, None),
    ],
)
def test_a_target_is_judged_by_its_figure(figure: str, bounds: dict[str, float], ok: bool | None) -> None:
    assert target(FIGURES, figure, "some bound", **bounds).ok is ok  # type: ignore[arg-type]


def test_tables_show_every_figure_bound_and_reason() -> None:
    out = io.StringIO()
    report(HOLDS, UNKNOWN, aims=(SHORT,)).print_tables(Console(file=out, width=200))
    shown = out.getvalue()
    for text in (
        "ratio",
        "0.05",
        "120,000",
        "at most 1/15",
        "holds",
        "unknown",
        "the peer is not installed",
        "short aim",
    ):
        assert text in shown
    assert "a note" in shown
