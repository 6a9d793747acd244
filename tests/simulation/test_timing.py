"""Promise: what timing gates let go, and when, is the same in whatever steps the clock moves, and as if users were alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import commands
from core.limits import FrequencyCap
from core.messaging import reading
from core.messaging.schedules import Recurring
from core.messaging.windows import QuietHours, SendWindow
from core.profiles.records import Operation, ProfileChange
from tests.core.project import DAY, HOOK, HOUR, START, Project, contents, email
from tests.simulation.history import TARGETING, Batch, history, play

pytestmark = pytest.mark.usefixtures("unsynced")

DAYS = 40
ZONES = ["America/New_York", "Asia/Kathmandu", "Europe/Berlin", "Middle/Earth"]
STEPS = {"hours": 17 * HOUR, "daily": DAY, "once": None}
FIELDS: list[dict[str, Any]] = [
    {"send_window": SendWindow(9 * 60, 17 * 60, [1, 3])},
    {"quiet_hours": QuietHours(20 * 60, 8 * 60), "control_percent": 30.0},
    {"send_window": SendWindow(22 * 60, 2 * 60), "expires_after": 10 * HOUR},
    {"send_window": SendWindow(6 * 60, 12 * 60), "quiet_hours": QuietHours(7 * 60, 11 * 60), "max_recipients": 4},
    {},
]


def settled(project: Project, *, capped: bool) -> None:
    """Users' zones and the project's holdout."""
    caps = [FrequencyCap(4, 3), FrequencyCap(1, 1, "email")] if capped else []
    project.ask(commands.UpdateSettings(time_zone="Europe/London", holdout_percent=20.0, frequency_caps=caps))
    known = [{"$timezone": zone, "$email": f"u{n}@example.com"} for n, zone in enumerate(ZONES)]
    users = [ProfileChange(f"u{n}", Operation.SET, one) for n, one in enumerate(known)]
    project.ingest([], users)


def decisions(folder: Path, batches: list[Batch], step: int | None, *, capped: bool = True) -> dict[str, Any]:
    """All that became of everybody, of a play in steps."""
    with Project(folder) as project:
        settled(project, capped=capped)
        for number, (key, targeting) in enumerate(TARGETING.items()):
            fields = FIELDS[number % len(FIELDS)]
            name = key.replace(" ", "-")
            project.message(name, targeting, content=HOOK, **fields)
            if number % 3 == 0:
                project.message(f"{name}-plan", targeting, content=email(subject="{{ user.plan }}"), **fields)
                project.message(f"{name}-once", targeting, at=START + 23 * DAY + HOUR, content=HOOK, **fields)
        weekdays = Recurring("1997-05-20T12:00", "FREQ=WEEKLY;BYDAY=TU,FR", "user")
        project.message("runs", "true", content=HOOK, most_per_user=3, schedule=weekdays, **FIELDS[0])
        project.message("often", 'user.plan == "free"', content=email(), schedule=weekdays, **FIELDS[3])
        drafts = [
            project.message(f"c{number}", "true", content=HOOK, launch=None, **FIELDS[number]).key for number in (4, 0)
        ]
        project.campaign("win", 'events["Buy"].size() > 0', drafts, rate_limit=50 * HOUR, control_percent=40.0)
        play(project, batches, START + DAYS * DAY, step)
        for message in project.version.messages.all():
            assert reading.report(project.version, message.key).reconciled
        return contents(project.version)["messages"]


@pytest.mark.parametrize("seed", range(3))
def test_far_and_fine_moves_let_the_same_users_go_at_the_same_instants(tmp_path: Path, seed: int) -> None:
    batches = history(300 + seed, users=10, days=DAYS, batches=25)
    found = {name: decisions(tmp_path / name, batches, step) for name, step in STEPS.items()}
    assert found["daily"] == found["once"]
    assert found["hours"] == found["once"]
    states = {place[1:] for _, places, *_ in found["once"].values() for place in places}
    assert {("queued", ""), ("held_out", ""), ("skipped", "expired")} <= states
    assert {("skipped", "no_longer_matches")} <= states
    assert decisions(tmp_path / "uncapped", batches, None, capped=False) != found["once"]
