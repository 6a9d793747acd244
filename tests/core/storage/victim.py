"""Run by test_kill.py: writes to a store and reports what was acknowledged, until it is killed.

Arguments: append or checkpoint, then the folder.
"""

from __future__ import annotations

import random
import sys

from core.storage.checkpoints import CLOSE
from core.storage.store import Store


def record(position: int) -> bytes:
    """What stands at a position: of a length and content that follow from it."""
    return random.Random(position).randbytes(position * 37 % 5000)


def page(checkpoint: int) -> bytes:
    """What every page of a checkpoint holds."""
    return b"%d|" % checkpoint * 50


PAGE_KEYS = [b"%05d" % n for n in range(6_000)]


def append(store: Store) -> None:
    """Append groups for ever; a line for each acknowledged position."""
    while True:
        first = store.log.last_position + 1
        print(store.log.append([record(n) for n in range(first, first + 1 + first % 7)]), flush=True)


def checkpoint(store: Store) -> None:
    """Make checkpoints for ever, each of all pages; a line for each that was acknowledged."""
    while True:
        number = store.log.append([b"x"])
        store.pages.checkpoint(number, ((key, page(number)) for key in PAGE_KEYS), at=number)
        print(number, flush=True)
        store.collect(number - 2, spacing=CLOSE)


if __name__ == "__main__":
    opened = Store.open(sys.argv[2])
    print("open", flush=True)
    {"append": append, "checkpoint": checkpoint}[sys.argv[1]](opened)
