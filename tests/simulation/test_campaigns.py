"""Promises: a campaign lets in whom judging every user at every instant would, and its messages go to those; one far move of
the clock decides what any finer sequence of moves would."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from core.evaluator.match import Row, match
from core.evaluator.parse import parse
from core.messaging.campaign_definitions import JOURNEY_ENTERED
from core.messaging.effects import BACKFILLED
from core.profiles.records import Operation
from core.settings import LATE_AFTER
from core.values import from_micros
from tests.core.project import DAY, HOOK, HOUR, START, Project, contents
from tests.simulation.history import GRID, TARGETING, Batch, history, play

pytestmark = pytest.mark.usefixtures("unsynced")

DAYS: Final = 40
SCHEDULED: Final = START + 21 * DAY + GRID
EXIT: Final = 'events["Visit"].size() >= 3'
MESSAGES: Final = {
    "at-once": "true",
    "later": 'events["$journey_entered"].exists(e, e.time <= now - duration("72h"))',
    "free": 'user.plan == "free"',
    "not-bought": '!events["Buy"].exists(e, e.time > now - duration("96h"))',
}


def campaigns(project: Project, control_percent: float = 0, rate_limit: int = 0) -> dict[str, str]:
    """A campaign for each targeting, each with all messages; entry by the campaign's key."""
    entries = {f"c{number}": targeting for number, targeting in enumerate(TARGETING.values())}
    for number, (key, entry) in enumerate(entries.items()):
        names = []
        for name, targeting in MESSAGES.items():
            project.message(f"{key}-{name}", targeting, content=HOOK, launch=None)
            names.append(f"{key}-{name}")
        project.message(f"{key}-once", "true", at=SCHEDULED, content=HOOK, launch=None)
        project.campaign(
            key,
            entry,
            [*names, f"{key}-once"],
            exit=EXIT if number % 2 else "",
            control_percent=control_percent,
            rate_limit=rate_limit if number % 3 else 0,
        )
    return entries


class Person:
    """One user of the twin."""

    def __init__(self) -> None:
        self.properties: dict[str, Any] = {}
        self.events: dict[tuple[str, int, str], dict[str, Any]] = {}

    def matches(self, expression: Any, now: int) -> bool:
        events: dict[str, list[dict[str, Any]]] = {}
        for (name, time, _), properties in sorted(self.events.items(), key=lambda one: one[0][1]):
            if time <= now:
                events.setdefault(name, []).append({**properties, "time": from_micros(time)})
        return bool(match(expression, Row(self.properties, events, now)))


class Twin:
    """Judges every user anew whenever anything may have changed, one after the other, by the row matcher."""

    def __init__(self, entries: dict[str, str]) -> None:
        self.entries = {key: parse(entry) for key, entry in entries.items()}
        self.messages = {name: parse(targeting) for name, targeting in MESSAGES.items()}
        self.exit = parse(EXIT)
        self.people: dict[str, Person] = {}
        self.entered: dict[str, dict[str, int]] = {key: {} for key in entries}
        self.left_out: dict[str, set[str]] = {key: set() for key in entries}
        self.decided: dict[str, dict[str, tuple[str, int]]] = {
            f"{key}-{name}": {} for key in entries for name in [*MESSAGES, "once"]
        }
        self.now = START

    def judge(self, names: set[str], live: bool) -> None:
        fresh: set[str] = set()
        for key, entry in self.entries.items():
            for name in names - self.entered[key].keys() - self.left_out[key]:
                if self.people[name].matches(entry, self.now):
                    if live:
                        self.entered[key][name] = self.now
                        event = {"campaign_id": key}
                        self.people[name].events[JOURNEY_ENTERED, self.now, key] = event
                        fresh.add(name)
                    else:
                        self.left_out[key].add(name)
        for number, key in enumerate(self.entries):
            for message, targeting in self.messages.items():
                decided = self.decided[f"{key}-{message}"]
                for name in (names | fresh) & self.entered[key].keys() - decided.keys():
                    if self.people[name].matches(targeting, self.now):
                        decided[name] = (self.outcome(number, name) if live else f"skipped:{BACKFILLED}", self.now)

    def outcome(self, number: int, name: str) -> str:
        return "skipped:exited" if number % 2 and self.people[name].matches(self.exit, self.now) else "queued"

    def fire(self) -> None:
        for number, key in enumerate(self.entries):
            for name in self.entered[key]:
                self.decided[f"{key}-once"][name] = (self.outcome(number, name), self.now)

    def take(self, batch: Batch) -> None:
        live: set[str] = set()
        late: set[str] = set()
        for event in batch.events:
            assert event.time is not None
            person = self.people.setdefault(event.distinct_id, Person())
            person.events.setdefault((event.name, event.time, event.insert_id), event.properties)
            is_live = not batch.imported and event.time >= self.now - LATE_AFTER
            (live if is_live else late).add(event.distinct_id)
        for change in batch.changes:
            person = self.people.setdefault(change.distinct_id, Person())
            for name in change.names if change.operation == Operation.UNSET else ():
                person.properties.pop(name, None)
            person.properties.update(change.properties)
            (late if batch.imported else live).add(change.distinct_id)
        self.judge(live, True)
        self.judge(late - live, False)

    def move(self, to: int) -> None:
        for point in range(self.now // GRID * GRID, to + GRID, GRID):
            for instant in (point, point + 1):
                if self.now < instant <= to:
                    self.now = instant
                    self.judge(set(self.people), True)
                    if instant == SCHEDULED:
                        self.fire()
        self.now = to


@pytest.mark.parametrize("seed", range(3))
def test_every_entry_and_decision_is_the_twins(tmp_path: Path, seed: int) -> None:
    batches = history(200 + seed, users=7, days=DAYS, batches=30)
    with Project(tmp_path / "project") as project:
        entries = campaigns(project)
        twin = Twin(entries)
        for batch in batches:
            twin.move(batch.at)
            twin.take(batch)
        twin.move(START + DAYS * DAY)
        play(project, batches, START + DAYS * DAY, None)
        for key in entries:
            assert project.entered(key) == twin.entered[key]
        for key, decided in twin.decided.items():
            instants = project.instants(key)
            assert {name: (place, instants[name]) for name, place in project.places(key).items()} == decided, key
    outcomes = {state for found in twin.decided.values() for state, _ in found.values()}
    assert outcomes >= {"queued", "skipped:exited"}
    assert any(twin.left_out.values())


@pytest.mark.parametrize("seed", range(2))
def test_far_and_fine_moves_decide_the_same(tmp_path: Path, seed: int) -> None:
    batches = history(300 + seed, users=12, days=DAYS, batches=20)
    found = {}
    for name, step in {"hours": 17 * HOUR, "daily": DAY, "weekly": 7 * DAY, "once": None}.items():
        with Project(tmp_path / name) as project:
            entries = campaigns(project, 30, 2 * DAY)
            play(project, batches, START + DAYS * DAY, step)
            whole = contents(project.version)
            messages = {key: (places, decided) for key, (_, places, decided, *_) in whole["messages"].items()}
            entered = {key: project.entered(key) for key in entries}
            found[name] = (messages, entered, whole["campaigns"])
    assert found["daily"] == found["once"]
    assert found["weekly"] == found["once"]
    assert found["hours"] == found["once"]
    assert (
        len({instant for _, entered, _ in found.values() for one in entered.values() for instant in one.values()}) > 20
    )
