"""Promise: what the engine decides by sets, indexes and crossings is what judging every user at every instant would decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.evaluator.match import Row, match
from core.evaluator.parse import Parsed, parse
from core.messaging.effects import BACKFILLED, MATCHED_AT_LAUNCH
from core.profiles.records import EventRecord, Operation
from core.settings import LATE_AFTER
from core.values import from_micros
from tests.core.project import DAY, HOOK, START, Project
from tests.simulation.history import GRID, TARGETING, Batch, history, play

pytestmark = pytest.mark.usefixtures("unsynced")

DAYS = 40


@dataclass(slots=True)
class Person:
    """One user of the twin."""

    properties: dict[str, Any] = field(default_factory=dict)
    events: dict[tuple[str, int, str], tuple[int, dict[str, Any]]] = field(default_factory=dict)


class Twin:
    """Judges every user anew whenever anything may have changed, one after the other, by the row matcher."""

    def __init__(self, targeting: dict[str, Parsed]) -> None:
        self.targeting = targeting
        self.people: dict[str, Person] = {}
        self.decided: dict[str, dict[str, tuple[str, int]]] = {key: {} for key in targeting}
        self.now = START

    def matches(self, key: str, person: Person, now: int) -> bool:
        events: dict[str, list[dict[str, Any]]] = {}
        for (name, time, _), (_arrival, properties) in sorted(
            person.events.items(), key=lambda one: (one[0][1], one[1][0])
        ):
            if time <= now:
                events.setdefault(name, []).append({**properties, "time": from_micros(time)})
        return bool(match(self.targeting[key], Row(person.properties, events, now)))

    def judge(self, names: set[str], state: str) -> None:
        for key, decided in self.decided.items():
            for name in names - decided.keys():
                if self.matches(key, self.people[name], self.now):
                    decided[name] = (state, self.now)

    def take(self, batch: Batch) -> None:
        live: set[str] = set()
        late: set[str] = set()
        for event in batch.events:
            self.store(event)
            is_live = not batch.imported and event.time >= self.now - LATE_AFTER
            (live if is_live else late).add(event.distinct_id)
        for change in batch.changes:
            person = self.people.setdefault(change.distinct_id, Person())
            if change.operation == Operation.UNSET:
                for name in change.names:
                    person.properties.pop(name, None)
            person.properties.update(change.properties)
            (late if batch.imported else live).add(change.distinct_id)
        self.judge(live, "queued")
        self.judge(late - live, f"skipped:{BACKFILLED}")

    def store(self, event: EventRecord) -> None:
        assert event.time is not None
        person = self.people.setdefault(event.distinct_id, Person())
        person.events.setdefault((event.name, event.time, event.insert_id), (self.now, event.properties))

    def move(self, to: int) -> None:
        for point in range(self.now // GRID * GRID, to + GRID, GRID):
            for instant in (point, point + 1):
                if self.now < instant <= to:
                    self.now = instant
                    self.judge(set(self.people), "queued")
        self.now = to


@pytest.mark.parametrize("seed", range(4))
def test_every_decision_is_the_twins(tmp_path: Path, seed: int) -> None:
    batches = history(100 + seed, users=7, days=DAYS, batches=30)
    keys = {key.replace(" ", "-"): targeting for key, targeting in TARGETING.items()}
    twin = Twin({key: parse(targeting) for key, targeting in keys.items()})
    with Project(tmp_path / "project") as project:
        for key, targeting in keys.items():
            project.message(key, targeting, content=HOOK)
        for batch in batches:
            twin.move(batch.at)
            twin.take(batch)
        twin.move(START + DAYS * DAY)
        play(project, batches, START + DAYS * DAY, None)
        for key in keys:
            instants = project.instants(key)
            assert {name: (place, instants[name]) for name, place in project.places(key).items()} == twin.decided[key]
    assert {state for found in twin.decided.values() for state, _ in found.values()} == {"queued", "skipped:backfilled"}


@pytest.mark.parametrize(("existing", "state"), [("send", "queued"), ("skip", f"skipped:{MATCHED_AT_LAUNCH}")])
def test_a_launch_in_the_middle(tmp_path: Path, existing: Any, state: str) -> None:
    batches = history(50, users=7, days=DAYS, batches=30)
    keys = {key.replace(" ", "-"): targeting for key, targeting in TARGETING.items()}
    twin = Twin({key: parse(targeting) for key, targeting in keys.items()})
    middle = START + 20 * DAY + 1
    with Project(tmp_path / "project") as project:
        early = [batch for batch in batches if batch.at < middle]
        play(project, early, middle, None)
        for key, targeting in keys.items():
            project.message(key, targeting, content=HOOK, launch=existing)
        for batch in early:
            twin.now = batch.at
            twin.take(batch)
        twin.now, twin.decided = middle, {key: {} for key in keys}
        twin.judge(set(twin.people), state)
        late = [batch for batch in batches if batch.at >= middle]
        for batch in late:
            twin.move(batch.at)
            twin.take(batch)
        twin.move(START + DAYS * DAY)
        play(project, late, START + DAYS * DAY, None)
        for key in keys:
            instants = project.instants(key)
            assert {name: (place, instants[name]) for name, place in project.places(key).items()} == twin.decided[key]
