"""Promise: whatever was acknowledged survives kill -9 at any moment, and an unfinished checkpoint is as if never begun."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from core.storage.store import Store
from core.storage.verify import verify
from tests.core.storage import victim

_ROUNDS = 10
_SEED = 20_260


def run_and_kill(what: str, folder: Path, seconds: float) -> int:
    """Let a victim work for a while, kill it, and tell the last position that it reported (0 for none)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.core.storage.victim", what, str(folder)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    time.sleep(seconds)
    process.kill()
    lines = process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    process.wait()
    whole = [line for line in lines if line.endswith(b"\n")]
    return int(whole[-1]) if whole else 0


def test_appends(folder: Path) -> None:
    Store.create(folder).close()
    chance = random.Random(_SEED)
    last = 0
    for _ in range(_ROUNDS):
        acknowledged = run_and_kill("append", folder, chance.uniform(0.0, 0.25))
        assert verify(folder) == []
        with Store.open(folder) as store:
            found = dict(store.log.read(0))
            assert len(found) == store.log.last_position >= max(acknowledged, last)
            assert all(payload == victim.record(position) for position, payload in found.items())
            last = store.log.last_position
    assert last > 0


def test_checkpoints(folder: Path) -> None:
    Store.create(folder).close()
    chance = random.Random(_SEED)
    last = 0
    for _ in range(_ROUNDS):
        acknowledged = run_and_kill("checkpoint", folder, chance.uniform(0.0, 0.3))
        assert verify(folder) == []
        with Store.open(folder) as store:
            assert store.pages.position >= max(acknowledged, last)
            for one in store.pages.checkpoints():
                pages = list(store.pages.scan(b"", at_position=one.position))
                assert [key for key, _ in pages] == victim.PAGE_KEYS
                assert {value for _, value in pages} == {victim.page(one.position)}
            last = store.pages.position
    assert last > 0
