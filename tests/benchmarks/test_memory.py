"""Promise: `memory` tells what a profile costs, and of a limit whether the server serves within it, or why it cannot tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks import memory
from benchmarks.__main__ import FAILED, main
from core.errors import Unavailable


def arguments(corpora: Path) -> list[str]:
    return ["memory", "--profiles", "2000", "--rounds", "1", "--corpora", str(corpora), "--json"]


class Unlimited:
    """A group that bounds nothing."""

    procs: Any = None

    def peak_bytes(self) -> int:
        """Made up."""
        return 5 << 20


@contextmanager
def unlimited(memory_bytes: int) -> Iterator[Unlimited]:
    assert memory_bytes > 0
    yield Unlimited()


@contextmanager
def impossible(memory_bytes: int) -> Iterator[Unlimited]:
    raise Unavailable("not here", code="NO_CGROUP")
    yield Unlimited()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes a gigabyte, as far as the benchmark is told; its limit is no real one."""
    monkeypatch.setattr(memory, "disk_bytes", lambda folder: 1 << 30)
    monkeypatch.setattr(memory, "limited", unlimited)


def ran(corpora: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    status = main(arguments(corpora))
    return status, json.loads(capsys.readouterr().out)


def test_a_small_store_cannot_be_limited(corpora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = ran(corpora, capsys)
    assert found["figures"]["anonymous_peak_mib"] > 10
    per_profile, limited = found["targets"]
    assert per_profile["ok"] is False and limited["ok"] is None  # two thousand people bear the whole interpreter
    assert "ask for more profiles" in limited["why"] and status == 3
    assert all(one["bound"] in memory.ASKED for one in found["targets"])


def test_answers_within_the_limit_are_counted(corpora: Path, large: None, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = ran(corpora, capsys)
    assert found["figures"]["limited_answers"] == len(memory.questions(0))
    assert found["figures"]["limited_peak_mib"] == 5 and found["figures"]["limit_mib"] == 512
    assert found["targets"][1]["ok"] is True


def test_no_group_is_told(
    corpora: Path, large: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "limited", impossible)
    _, found = ran(corpora, capsys)
    assert (found["targets"][1]["ok"], found["targets"][1]["why"]) == (None, "not here")


def test_a_server_that_does_not_live_falls_short(
    corpora: Path, large: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = memory._ask

    def dies(scratch: Path, name: str, *rest: Any) -> tuple[float, list[int]]:
        if name == "limited":
            raise Unavailable("the server ended: out of memory", code="SERVER_DIED")
        return honest(scratch, name, *rest)

    monkeypatch.setattr(memory, "_ask", dies)
    _, found = ran(corpora, capsys)
    assert found["targets"][1]["ok"] is False
    assert "within the limit the server ended: out of memory" in found["notes"]


def test_other_answers_fail_the_run(
    corpora: Path, large: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = memory._ask

    def errs(scratch: Path, name: str, *rest: Any) -> tuple[float, list[int]]:
        peak, answers = honest(scratch, name, *rest)
        return peak, [*answers[1:], answers[0] + (name == "limited")]

    monkeypatch.setattr(memory, "_ask", errs)
    assert main(arguments(corpora)) == FAILED
    assert "WRONG_ANSWER" in capsys.readouterr().err
