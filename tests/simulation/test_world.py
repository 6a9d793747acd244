"""Promise: whatever happens, every user is accounted for, nothing is sent twice by a guess, and a crash loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.engine import verify
from tests.simulation.world import World

pytestmark = pytest.mark.usefixtures("unsynced")

SEEDS = range(8)
STEPS = 150


@pytest.mark.parametrize("seed", SEEDS)
def test_reconciliation_holds_after_every_step(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    try:
        for number in range(STEPS):
            try:
                world.step()
            except BaseException as error:
                error.add_note(f"seed {seed}, step {number}, after {dict(world.done)}")
                raise
    finally:
        world.project.close()
    assert verify(world.project.folder) == []
