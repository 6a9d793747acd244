"""Promise: one far move of the clock decides what any finer sequence of moves would: the same users, the same instants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.messaging.in_app_source import InAppSource
from core.messaging.schedules import Once, Recurring
from core.messaging.windows import SendWindow
from tests.core.project import DAY, HOOK, HOUR, START, Project, contents, email
from tests.simulation.history import GRID, TARGETING, Batch, history, play

pytestmark = pytest.mark.usefixtures("unsynced")

INSIDE = InAppSource("mini", body="{{ user.plan }}")
DAYS = 50
STEPS = {"hours": 17 * HOUR, "daily": DAY, "weekly": 7 * DAY, "once": None}


BY_TIME = {
    "daily": Recurring("1997-05-20T09:00", "FREQ=DAILY", "Europe/Berlin"),
    "weekly": Recurring("1997-05-19T18:30", "FREQ=WEEKLY;BYDAY=MO,SA", "user"),
    "monthly": Recurring("1997-05-01T00:00", "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=2"),
    "their-day": Once(wall="1997-06-10T09:00", zone="user"),
}


def decisions(folder: Path, batches: list[Batch], step: int | None) -> dict[str, Any]:
    """Who was selected by which message, when, and how it ended, of a play in steps."""
    with Project(folder) as project:
        for number, zone in enumerate(["Asia/Tokyo", "America/New_York", "Europe/Berlin", "nowhere"] * 2):
            project.set(f"u{number}", **{"$timezone": zone})
        for number, (key, targeting) in enumerate(TARGETING.items()):
            name = key.replace(" ", "-")
            project.message(name, targeting, content=HOOK)
            if number % 4 == 0:
                project.message(f"{name}-inside", targeting, content=INSIDE, expires_after=3 * DAY, max_recipients=5)
            if number % 3 == 0:
                project.message(f"{name}-few", targeting, content=email(subject="{{ user.plan }}"), max_recipients=3)
                project.message(f"{name}-once", targeting, at=START + 31 * DAY + GRID, content=HOOK)
        for key, schedule in BY_TIME.items():
            project.message(key, TARGETING["lapsed"], content=HOOK, schedule=schedule, most_per_user=len(key) % 3)
            project.message(f"{key}-inside", "true", content=INSIDE, schedule=schedule, expires_after=5 * DAY)
            project.message(f"{key}-few", "has(user.plan)", content=HOOK, schedule=schedule, max_recipients=4)
            window = SendWindow(10 * 60, 12 * 60, [1, 2, 3])
            project.message(f"{key}-window", "has(user.plan)", content=HOOK, schedule=schedule, send_window=window)
        play(project, batches, START + DAYS * DAY, step)
        found = contents(project.version)["messages"]
        return {
            key: (definition, places, decided, runs) for key, (definition, places, decided, runs, _) in found.items()
        }


@pytest.mark.parametrize("seed", range(2))
def test_far_and_fine_moves_decide_the_same(tmp_path: Path, seed: int) -> None:
    batches = history(seed, users=12, days=DAYS, batches=25)
    found = {name: decisions(tmp_path / name, batches, step) for name, step in STEPS.items()}
    assert found["daily"] == found["once"]
    assert found["weekly"] == found["once"]
    assert found["hours"] == found["once"]
    selected = {key for key, (_, _, decided, _) in found["once"].items() if decided}
    assert len(selected) > len(TARGETING)


@pytest.mark.parametrize("seed", [7])
def test_with_all_data_there_from_the_beginning(tmp_path: Path, seed: int) -> None:
    batches = history(seed, users=12, days=DAYS, batches=40)
    early = [Batch(START, batch.events, batch.changes, batch.imported) for batch in batches]
    found = {name: decisions(tmp_path / name, early, step) for name, step in STEPS.items()}
    assert found["daily"] == found["weekly"] == found["hours"] == found["once"]
    assert len({instant for _, _, decided, _ in found["once"].values() for *_, instant in decided}) > 10


def test_an_event_at_an_instant_precedes_the_clocks_arrival_there(project: Project) -> None:
    lapsed = 'events["Buy"].size() > 0 && !events["Buy"].exists(e, e.time > now - duration("240h"))'
    project.message("lapsed", lapsed, content=HOOK)
    for distinct_id in "abc":
        project.track(distinct_id, "Buy", at=START)
    project.move(START + 9 * DAY)
    project.track("b", "Buy", at=START + 10 * DAY)
    project.move(START + 10 * DAY)
    assert project.instants("lapsed") == {"a": START + 10 * DAY, "c": START + 10 * DAY}
    project.track("c", "Buy", at=START + 10 * DAY)
    project.move(START + 30 * DAY)
    assert project.instants("lapsed") == {
        **{"a": START + 10 * DAY, "b": START + 20 * DAY},
        "c": START + 10 * DAY,
    }
