"""Promise: who caused a match is found for many users exactly as for one: nobody is passed over unseen."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.bitmaps.gathered import Gathered
from core.messaging import cause
from core.messaging.cause import Stirred, cause_of, causes_of
from core.messaging.compiled import compile_message
from core.profiles.records import EventRecord
from tests.core.project import DAY, HOUR, START, Project, email


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / "store")
    yield made
    made.close()


def test_many_are_found_as_one_by_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(11)
    project.message("m", 'events["A"].size() > 0 && events["B"].size() > 0', content=email(subject="{{ event.n }}"))
    for step in range(4):
        at = START + step * HOUR
        if step:
            project.move(at)
        project.ingest(
            [
                EventRecord(
                    draw.choice("ABC"), f"u{draw.randrange(60)}", at + draw.randrange(-80, 30) * HOUR, "", {"n": n}
                )
                for n in range(80)
            ]
        )
    view = project.version
    compiled = compile_message(view, view.messages.get("m"))
    ordinals = np.arange(view.users.issued, dtype=np.uint32)
    instants = np.array([START + draw.randrange(4) * HOUR for _ in ordinals], np.int64)
    one_by_one = {
        ordinal: found
        for ordinal, instant in zip(ordinals.tolist(), instants.tolist(), strict=True)
        if (found := cause_of(view, compiled, ordinal, instant)) is not None
    }
    assert 10 < len(one_by_one) < len(ordinals)
    monkeypatch.setattr(cause, "_FEW", 0)
    assert causes_of(view, compiled, (ordinals, instants)) == one_by_one
    at_once = np.flatnonzero(instants == view.now).astype(np.uint32)
    users = ordinals[::2].copy()
    stirred = Stirred(view, np.array([view.now], np.int64), Gathered(view.population, users))
    both = np.intersect1d(at_once, users).astype(np.uint32)
    assert causes_of(view, compiled, (both, np.full(len(both), view.now, np.int64)), stirred) == {
        ordinal: found for ordinal, found in one_by_one.items() if ordinal in both
    }


def test_a_launch_looks_at_nobody_whom_no_event_stirred(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.ingest([EventRecord("A", f"u{n}", START, "", {}) for n in range(400)])
    project.reach(*(f"u{n}" for n in range(400)))
    project.move(START + DAY)
    monkeypatch.setattr(cause, "cause_of", lambda *_: pytest.fail("a user was looked at"))
    project.message("m", 'events["A"].size() > 0', content=email(subject="{{ event.n | default('') }}"))
    assert len(project.version.messages.ledger("m").state("queued")) == 400
