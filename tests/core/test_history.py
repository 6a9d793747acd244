"""Promise: a project can be asked, and restored, as it was at any instant of its history; an older one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.engine import Engine, EngineConfig, verify
from core.errors import FailedPrecondition, InvalidInput
from core.evaluator import answers
from core.messaging import reading
from core.storage.checkpoints import CLOSE
from core.values import from_micros
from tests.core.project import DAY, FREE, HOUR, START, Project, contents, live_a_little

ALL = EngineConfig(checkpoint_bytes=1 << 40, checkpoint_seconds=1e9, spacing=CLOSE)
"""Checkpoints only when asked for, and each is kept."""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project(tmp_path / "project", config=ALL) as opened:
        yield opened


def lived(project: Project, checkpoints: set[int]) -> dict[int, dict[str, Any]]:
    """Live through a few days; what the project held at the end of each, by instant."""
    states = {}
    live_a_little(project)
    for day in range(3, 9):
        project.move(START + day * DAY)
        project.set(f"u{day}", plan="free", n=day)
        project.track(f"u{day}", "Visit", page=f"p{day}")
        if day % 2:
            project.send_all()
        if day in checkpoints:
            project.engine.checkpoint()
        if day == 6:
            project.merge("u5", "u4")
        states[project.now] = contents(project.version)
    return states


@pytest.mark.parametrize("checkpoints", [set(), {3}, {4, 5}, {3, 4, 5, 6, 7, 8}])
def test_the_past_is_what_it_was(project: Project, checkpoints: set[int]) -> None:
    states = lived(project, checkpoints)
    instants = [*states, *reversed(states), *states]
    for instant in instants:
        assert contents(project.engine.at(instant)) == states[instant]
    between = project.engine.at(START + 5 * DAY + HOUR)
    assert between.now == START + 5 * DAY + HOUR
    assert {**contents(between), "now": 0} == {**states[START + 5 * DAY], "now": 0}


def test_an_audience_is_as_it_was(project: Project) -> None:
    for day in range(4):
        project.set(f"u{day}", plan="free")
        project.move(START + (day + 1) * DAY)
    project.set("u0", plan="paid")
    for day in range(4):
        assert answers.count(project.engine.at(START + day * DAY), FREE, {}).count == day + 1
    assert answers.count(project.engine.at(project.now), FREE, {}).count == 3


def test_the_past_is_read_while_the_project_goes_on(project: Project) -> None:
    project.set("a", plan="free")
    past = project.engine.at(START)
    project.move(START + DAY)
    project.set("b", plan="free")
    old = project.engine.at(START)
    project.set("c", plan="new value", other=1)
    project.engine.checkpoint()
    assert past.users.issued == old.users.issued == 1
    assert project.version.users.issued == 3
    assert project.profile("c") == {"plan": "new value", "other": 1}


def test_what_is_to_come_and_what_is_gone_is_refused(project: Project) -> None:
    with pytest.raises(InvalidInput) as caught:
        project.engine.at(START + 1)
    assert (caught.value.code, caught.value.field) == ("TIME_IN_FUTURE", "at")
    with pytest.raises(FailedPrecondition) as gone:
        project.engine.at(START - 1)
    assert gone.value.code == "HISTORY_GONE"
    assert "1997-05-19T00:00:00Z" in gone.value.mend


def test_pruning_moves_the_earliest_and_keeps_the_rest(project: Project) -> None:
    states = lived(project, {3, 4, 5, 6, 7})
    assert project.engine.history.reach().earliest == START
    project.engine.prune(START + 5 * DAY + HOUR)
    assert project.engine.history.reach().earliest == START + 5 * DAY
    with pytest.raises(FailedPrecondition) as caught:
        project.engine.at(START + 5 * DAY - 1)
    assert from_micros(START + 5 * DAY).date().isoformat() in caught.value.mend
    for day in range(6, 9):
        assert contents(project.engine.at(START + day * DAY)) == states[START + day * DAY]
    project.close()
    assert verify(project.folder) == []


def test_a_store_that_takes_too_much_loses_its_oldest_history(tmp_path: Path) -> None:
    config = EngineConfig(checkpoint_bytes=1 << 40, checkpoint_seconds=1e9, store_bytes=1 << 20, spacing=CLOSE)
    with Project(tmp_path / "small", config=config) as project:
        for day in range(12):
            for part in range(4):
                project.ingest([], [])
                for number in range(10):
                    project.set(f"u{number}", text=f"{day}{part}" * 4_000)
            project.move(START + (day + 1) * DAY)
            project.engine.checkpoint()
        reach = project.engine.history.reach()
        assert reach.earliest > START
        assert len(reach.checkpoints) == 1 or reach.log_bytes + reach.page_bytes <= 1 << 20
        assert project.profile("u3")["text"] == "113" * 4_000


@pytest.mark.parametrize("checkpoints", [set(), {4}, {5}])
def test_a_store_is_restored_to_an_instant_with_its_messages_paused(
    project: Project, tmp_path: Path, checkpoints: set[int]
) -> None:
    states = lived(project, checkpoints)
    instant = START + 5 * DAY + HOUR
    project.engine.history.restore(instant, tmp_path / "restored")
    assert contents(project.version) == states[project.now]
    expected = states[START + 5 * DAY]
    assert verify(tmp_path / "restored") == []
    with Project(tmp_path / "restored") as restored:
        found = contents(restored.version)
        for part in ("now", "settings", "users", "audiences", "issued", "imports", "schema"):
            assert found[part] == expected[part]
        assert restored.state("hi") == "paused:restored"
        assert restored.places("hi") == {
            row.distinct_id: f"{row.state}:{row.reason}".rstrip(":")
            for rows in reading.deliveries(project.engine.at(instant), "hi")
            for row in rows
        }
        restored.set("new", plan="free")
        assert "new" not in restored.places("hi")
        assert contents(restored.engine.at(START + 5 * DAY))["users"] is not None


def test_a_bulk_load_is_part_of_the_past_only_from_its_own_instant_on(project: Project) -> None:
    project.set("a", plan="free")
    project.move(START + DAY)
    project.engine.load(lambda population, users: users.load_bulk(["x", "y"]))
    project.move(START + 2 * DAY)
    project.set("b", plan="free")
    project.engine.checkpoint()
    project.engine.checkpoint()
    assert project.engine.at(START).users.issued == 1
    assert project.engine.at(START + DAY).users.issued == 3
    assert project.engine.at(START + DAY + 1).users.issued == 3


def test_a_project_on_real_time_is_asked_up_to_the_present(tmp_path: Path) -> None:
    from core import commands
    from core.profiles.records import Operation, ProfileChange
    from core.settings import Settings

    time = [START]
    Engine.create(tmp_path / "real", Settings("test", "5eed", clock="real"), START)
    engine = Engine.open(tmp_path / "real", clock=lambda: time[0])
    try:
        for number in range(3):
            time[0] = START + (number + 1) * HOUR
            change = ProfileChange(f"u{number}", Operation.SET, {"plan": "free"})
            engine.submit(commands.Ingest([], [change])).result(timeout=60)
        time[0] += HOUR
        assert engine.at(time[0]).users.issued == 3
        assert engine.at(START + 2 * HOUR).users.issued == 2
        assert engine.at(START + 2 * HOUR - 1).users.issued == 1
        with pytest.raises(InvalidInput):
            engine.at(time[0] + 1)
    finally:
        engine.close()
