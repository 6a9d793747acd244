"""Promise: whom a group touched is judged alike side by side and where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import commands
from core.messaging import gathering
from tests.core.project import HOOK, Project

TARGETING = (
    'user.plan == "free" && user.age > 30',
    'events["Buy"].filter(e, e.amount > 10.0).size() >= 2 && !has(user.gone)',
    '!events["Buy"].exists(e, e.amount > 50.0) && user.age < 40',
    'audiences["old"] || user.plan == "pro"',
    'audiences["staff"] && user.age > 0',
    '"x" in user || user == {"plan": "free", "age": 35}',
)


def story(project: Project) -> list[object]:
    """What becomes of everybody, after several groups that touch a few users each."""
    for number in range(12):
        project.set(f"u{number}", age=25 + number)
    project.ask(commands.SaveAudience("old", expression="user.age > 33"))
    project.ask(commands.SaveAudience("staff", ids=["u1", "u2"]))
    for number, text in enumerate(TARGETING):
        project.message(f"m{number}", text, content=HOOK, launch="skip")
    for number in range(0, 12, 2):
        project.set(f"u{number}", plan="free" if number % 4 else "pro", age=30 + number)
    for number in range(0, 12, 3):
        for amount in (5.0, 20.0, 60.0):
            project.track(f"u{number}", "Buy", amount=amount)
    project.set("u3", gone=True)
    project.set("new", plan="free", age=35)
    return [project.places(f"m{number}") for number in range(len(TARGETING))]


def test_side_by_side_and_in_place(tmp_path: Path, unsynced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with Project(tmp_path / "beside") as project:
        beside = story(project)
    monkeypatch.setattr(gathering, "_MOST_GATHERED", -1)
    with Project(tmp_path / "in place") as project:
        assert story(project) == beside
    assert all(beside), "every message has somebody, so that there is something to compare"
