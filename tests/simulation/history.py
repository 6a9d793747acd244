"""A generated history: users, what they do, and messages that judge them, all on a grid of time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final

from core.profiles.records import EventRecord, Operation, ProfileChange
from core.values import from_micros
from tests.core.project import DAY, HOUR, START, Project

GRID: Final = 6 * HOUR
"""Every time and every duration is a multiple of this, so answers change only there, or a microsecond later."""

TARGETING: Final = {
    "always": "true",
    "plan": 'user.plan == "free"',
    "two": 'events["Buy"].size() >= 2',
    "lapsed": 'events["Buy"].size() >= 2 && !events["Buy"].exists(e, e.time > now - duration("240h"))',
    "spent": 'events["Buy"].filter(e, e.time > now - duration("120h")).map(e, e.amount).sum() > 40.0',
    "errs": 'events["Buy"].exists_one(e, e.amount > 30.0 && e.time <= now - duration("24h"))',
    "seen": 'user.seen < now - duration("72h") && user.plan == "free"',
    "exactly": "user.seen + duration('96h') == now",
    "between": 'now - user.seen >= duration("36h") && now - user.seen < duration("60h")',
    "not yet": 'now < timestamp("1997-05-29T00:00:00Z") || events["Visit"].size() > 2',
    "evening": 'now.getHours("Europe/Berlin") >= 20 && events["Visit"].exists(e, e.time > now - duration("18h"))',
    "monday": "now.getDayOfWeek() == 1 && has(user.seen)",
    "newest": 'events["Visit"].exists(v, !events["Buy"].exists(b, b.time > v.time))',
    "choice": 'user.plan == "free" ? events["Buy"].size() > 0 : user.seen < now - duration("24h")',
}


@dataclass(slots=True)
class Batch:
    """What arrives while the clock stands at an instant."""

    at: int
    events: list[Any] = field(default_factory=list)
    changes: list[Any] = field(default_factory=list)
    imported: bool = False


def history(seed: int, users: int, days: int, batches: int) -> list[Batch]:
    """Batches in order of their instants, some before their events' times and some after."""
    chance = random.Random(seed)
    instants = sorted(START + chance.randrange(days * DAY // GRID) * GRID for _ in range(batches))
    found = []
    for number, at in enumerate(instants):
        batch = Batch(at, imported=chance.random() < 0.15)
        for place in range(chance.randrange(6)):
            time = at + chance.choice([0, 0, 0, -1, -8, -30, 2, 9, 25]) * GRID
            properties = {"amount": chance.choice([10.0, 25.0, 35, "none"])} if chance.random() < 0.9 else {}
            name = chance.choice(["Buy", "Buy", "Visit"])
            batch.events.append(EventRecord(name, _user(chance, users), time, f"{number}.{place}", properties))
        for _ in range(chance.randrange(4)):
            known: dict[str, Any] = {
                "plan": chance.choice(["free", "paid"]),
                "seen": from_micros(at - chance.randrange(12) * GRID),
            }
            name = chance.choice(sorted(known))
            if chance.random() < 0.15:
                batch.changes.append(ProfileChange(_user(chance, users), Operation.UNSET, {}, [name]))
            else:
                batch.changes.append(ProfileChange(_user(chance, users), Operation.SET, {name: known[name]}))
        found.append(batch)
    return found


def _user(chance: random.Random, users: int) -> str:
    return f"u{chance.randrange(users)}"


def play(project: Project, batches: list[Batch], until: int, step: int | None) -> None:
    """Give a project its batches at their instants, moving the clock by `step` at most; None: as far as may be."""
    for batch in [*batches, Batch(until)]:
        while project.now < batch.at:
            project.move(batch.at if step is None else min(project.now + step, batch.at))
        if batch.events or batch.changes:
            project.ingest(batch.events, batch.changes, imported=batch.imported)
