"""Promise: each time a user comes to match, an occurrence opens, as judging everybody at every instant would find."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.evaluator.match import Row, match
from core.evaluator.parse import Parsed, parse
from core.messaging import reading
from core.messaging.effects import BACKFILLED, MATCHED_AT_LAUNCH
from core.messaging.schedules import WhenMet
from core.messaging.windows import SendWindow
from core.profiles.records import Operation
from core.settings import LATE_AFTER
from core.values import from_micros
from tests.core.project import DAY, HOOK, HOUR, START, Project, contents
from tests.simulation.history import GRID, TARGETING, Batch, history, play

pytestmark = pytest.mark.usefixtures("unsynced")

DAYS = 40
GAPS = {"none": 0, "short": 2 * GRID, "long": 20 * GRID}
STEPS = {"hours": 17 * HOUR, "daily": DAY, "weekly": 7 * DAY, "once": None}
NEW = "(new)"
"""As what was touched of a user who was not there before."""
Opening = tuple[str, int]


@dataclass(slots=True)
class Person:
    """One user of the twin."""

    properties: dict[str, Any] = field(default_factory=dict)
    events: dict[tuple[str, int, str], tuple[int, dict[str, Any]]] = field(default_factory=dict)


@dataclass(slots=True)
class Course:
    """What one message has come to for one user."""

    inside: bool = False
    waiting: bool = False
    end: int = -(1 << 62)
    openings: list[Opening] = field(default_factory=list)

    def judge(self, holds: bool, now: int, gap: int, state: str) -> None:
        """The user matches now, or does not."""
        if not holds:
            self.inside = self.waiting = False
            return
        came, self.inside = not self.inside, True
        if now < self.end:
            self.waiting = self.waiting or came
        elif came or self.waiting:
            self.openings.append((state, now))
            self.waiting, self.end = False, now + gap


class Twin:
    """Judges every user anew whenever anything may have changed, one after the other, by the row matcher."""

    def __init__(self, messages: dict[str, tuple[Parsed, int]]) -> None:
        self.messages = messages
        self.people: dict[str, Person] = {}
        self.courses: dict[str, dict[str, Course]] = {key: {} for key in messages}
        self.now = START

    def matches(self, parsed: Parsed, person: Person) -> bool:
        events: dict[str, list[dict[str, Any]]] = {}
        for (name, time, _), (_arrival, properties) in sorted(
            person.events.items(), key=lambda one: (one[0][1], one[1][0])
        ):
            if time <= self.now:
                events.setdefault(name, []).append({**properties, "time": from_micros(time)})
        return bool(match(parsed, Row(person.properties, events, self.now)))

    def judge(self, key: str, names: set[str], state: str) -> None:
        parsed, gap = self.messages[key]
        for name in names & self.people.keys():
            course = self.courses[key].setdefault(name, Course())
            course.judge(self.matches(parsed, self.people[name]), self.now, gap, state)

    def judge_all(self, state: str = "queued") -> None:
        for key in self.messages:
            self.judge(key, set(self.people), state)

    def take(self, batch: Batch, *, judge: bool = True) -> None:
        live: set[tuple[str, str]] = set()
        late: set[tuple[str, str]] = set()
        known = set(self.people)
        for event in batch.events:
            person = self.people.setdefault(event.distinct_id, Person())
            person.events.setdefault((event.name, event.time, event.insert_id), (self.now, event.properties))
            is_live = not batch.imported and event.time >= self.now - LATE_AFTER
            (live if is_live else late).add((event.distinct_id, event.name))
        for change in batch.changes:
            person = self.people.setdefault(change.distinct_id, Person())
            names = change.names if change.operation == Operation.UNSET else list(change.properties)
            for name in names:
                person.properties.pop(name, None)
                (late if batch.imported else live).add((change.distinct_id, name))
            person.properties.update(change.properties)
        fresh = {name for name, _ in live} - known
        live |= {(name, NEW) for name in fresh}
        late |= {(name, NEW) for name, _ in late if name not in fresh | known}
        for key, (parsed, _) in self.messages.items() if judge else ():
            read = {NEW, *(parsed.properties or ()), *parsed.events}
            now, then = ({user for user, name in some if name in read} for some in (live, late))
            self.judge(key, now, "queued")
            self.judge(key, then - now, f"skipped:{BACKFILLED}")

    def move(self, to: int) -> None:
        for point in range(self.now // GRID * GRID, to + GRID, GRID):
            for instant in (point, point + 1):
                if self.now < instant <= to:
                    self.now = instant
                    self.judge_all()
        self.now = to

    def openings(self, key: str) -> dict[str, list[Opening]]:
        return {name: course.openings for name, course in self.courses[key].items() if course.openings}


def messages() -> dict[str, tuple[str, int]]:
    """Each targeting with each gap."""
    return {
        f"{key.replace(' ', '-')}-{name}": (targeting, gap)
        for key, targeting in TARGETING.items()
        for name, gap in GAPS.items()
    }


def openings(project: Project, key: str) -> dict[str, list[Opening]]:
    """What opened for whom, in order, by state and instant; the k-th is of the k-th occurrence."""
    found: dict[str, list[tuple[int, Opening]]] = {}
    for rows in reading.deliveries(project.version, key):
        for row in rows:
            opening = (f"{row.state}:{row.reason}".rstrip(":"), row.decided_at)
            found.setdefault(row.distinct_id, []).append((row.occurrence, opening))
    for of_user in found.values():
        of_user.sort()
        assert [number for number, _ in of_user] == list(range(len(of_user)))
    return {name: [opening for _, opening in of_user] for name, of_user in found.items()}


@pytest.mark.parametrize("seed", range(3))
def test_every_opening_is_the_twins(tmp_path: Path, seed: int) -> None:
    batches = history(200 + seed, users=6, days=DAYS, batches=30)
    twin = Twin({key: (parse(targeting), gap) for key, (targeting, gap) in messages().items()})
    with Project(tmp_path / "project") as project:
        for key, (targeting, gap) in messages().items():
            project.message(key, targeting, content=HOOK, schedule=WhenMet(gap))
        for batch in batches:
            twin.move(batch.at)
            twin.take(batch)
        twin.move(START + DAYS * DAY)
        play(project, batches, START + DAYS * DAY, None)
        for key in messages():
            assert openings(project, key) == twin.openings(key), key
        again = [len(one) for key in messages() for one in twin.openings(key).values()]
        assert max(again) > 5
        assert {state for key in messages() for one in twin.openings(key).values() for state, _ in one} == {
            "queued",
            f"skipped:{BACKFILLED}",
        }


@pytest.mark.parametrize(("existing", "state"), [("send", "queued"), ("skip", f"skipped:{MATCHED_AT_LAUNCH}")])
def test_a_launch_counts_as_entry(tmp_path: Path, existing: Any, state: str) -> None:
    batches = history(60, users=6, days=DAYS, batches=30)
    twin = Twin({key: (parse(targeting), gap) for key, (targeting, gap) in messages().items()})
    middle = START + 20 * DAY + 1
    with Project(tmp_path / "project") as project:
        early, late = ([one for one in batches if (one.at < middle) == before] for before in (True, False))
        play(project, early, middle, None)
        for batch in early:
            twin.now = batch.at
            twin.take(batch, judge=False)
        twin.now = middle
        twin.judge_all(state)
        for key, (targeting, gap) in messages().items():
            project.message(key, targeting, content=HOOK, schedule=WhenMet(gap), launch=existing)
        for batch in late:
            twin.move(batch.at)
            twin.take(batch)
        twin.move(START + DAYS * DAY)
        play(project, late, START + DAYS * DAY, None)
        for key in messages():
            assert openings(project, key) == twin.openings(key), key


def decisions(folder: Path, batches: list[Batch], step: int | None) -> dict[str, Any]:
    """All that is known of each message after a play in steps."""
    with Project(folder) as project:
        for key, (targeting, gap) in messages().items():
            limits: dict[str, Any] = {"max_recipients": 3} if len(key) % 3 == 0 else {"most_per_user": len(key) % 3}
            if len(key) % 2:
                limits["send_window"] = SendWindow(9 * 60, 16 * 60)
            project.message(key, targeting, content=HOOK, schedule=WhenMet(gap, START + 35 * DAY), **limits)
        play(project, batches, START + DAYS * DAY, step)
        found = contents(project.version)["messages"]
        with project.copy(folder.with_name(f"{folder.name}-crashed")) as crashed:
            assert contents(crashed.version)["messages"] == found
        project.engine.checkpoint()
        with project.copy(folder.with_name(f"{folder.name}-saved")) as saved:
            assert contents(saved.version)["messages"] == found
        for key in found:
            assert reading.report(project.version, key).reconciled
        return found


@pytest.mark.parametrize("seed", range(2))
def test_far_and_fine_moves_open_the_same(tmp_path: Path, seed: int) -> None:
    batches = history(300 + seed, users=10, days=DAYS, batches=25)
    found = {name: decisions(tmp_path / name, batches, step) for name, step in STEPS.items()}
    for key, of_it in found["once"].items():
        for name in STEPS:
            assert found[name][key] == of_it, (name, key)
    assert any(definition.state == "paused" for definition, *_ in found["once"].values())


def test_a_merge_opens_nothing_for_who_was_inside(tmp_path: Path) -> None:
    with Project(tmp_path / "project") as project:
        for name in "ab":
            project.set(name, plan="free")
        project.message("free", 'user.plan == "free"', content=HOOK, schedule=WhenMet())
        project.merge("a", "b")
        project.set("a", plan="free")
        project.set("b", plan="free", age=3)
        states = [(row.occurrence, row.state) for rows in reading.deliveries(project.version, "free") for row in rows]
        assert sorted(states) == [(0, "queued"), (0, "skipped")]
        project.set("a", plan="paid")
        project.set("a", plan="free")
        assert len(project.version.messages.ledger("free", 1).selected) == 1
