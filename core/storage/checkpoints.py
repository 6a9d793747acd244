"""The list of checkpoints: which are complete, which one was begun and never finished."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

from core.storage.environment import Environment
from core.storage.pagekeys import NUMBER

CHECKPOINTS: Final = b"checkpoints"
STATE: Final = b"state"
UNFINISHED: Final = b"unfinished"
UNCOLLECTED: Final = b"uncollected"
_ROW: Final = struct.Struct(">QqQ?")
_CHECKSUM: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True, order=True)
class Checkpoint:
    """A complete checkpoint.

    Arguments:
        number: counts checkpoints; a later one has a higher number, also at the same position.
        position: the last log record that its pages contain.
        at: when it was made, micros UTC of the machine's clock.
        log_bytes: how much log there is between it and the checkpoint before.
        apart: whether its pages hold what the log before it does not lead to.
    """

    number: int
    position: int
    at: int
    log_bytes: int = 0
    apart: bool = False


def put_row(environment: Environment, transaction: Any, checkpoint: Checkpoint) -> None:
    """Enter a checkpoint into the list: from the commit on it is complete."""
    key = NUMBER.pack(checkpoint.number)
    row = _ROW.pack(checkpoint.position, checkpoint.at, checkpoint.log_bytes, checkpoint.apart)
    transaction.put(key, _CHECKSUM.pack(zlib.crc32(row, zlib.crc32(key))) + row, db=environment.database(CHECKPOINTS))


def rows(environment: Environment, transaction: Any) -> list[Checkpoint]:
    """All complete checkpoints, oldest first.

    Raises:
        StoreError: STORE_DAMAGED.
    """
    found: list[Checkpoint] = []
    for key, value in transaction.cursor(environment.database(CHECKPOINTS)):
        if len(key) != NUMBER.size or len(value) != _CHECKSUM.size + _ROW.size:
            raise environment.damaged("the list of checkpoints is not readable")
        (checksum,) = _CHECKSUM.unpack(value[: _CHECKSUM.size])
        row = bytes(value[_CHECKSUM.size :])
        if zlib.crc32(row, zlib.crc32(bytes(key))) != checksum:
            raise environment.damaged(f"the entry of checkpoint {NUMBER.unpack(key)[0]} has a wrong checksum")
        found.append(Checkpoint(NUMBER.unpack(key)[0], *_ROW.unpack(row)))
    return found


def get_mark(environment: Environment, transaction: Any, mark: bytes) -> int | None:
    """The number kept under a mark of the state database, or None."""
    value = transaction.get(mark, db=environment.database(STATE))
    return None if value is None else int(NUMBER.unpack(value)[0])


def set_mark(environment: Environment, transaction: Any, mark: bytes, number: int | None) -> None:
    """Keep a number under a mark, or with None remove it."""
    database = environment.database(STATE)
    if number is None:
        transaction.delete(mark, db=database)
    else:
        transaction.put(mark, NUMBER.pack(number), db=database)


@dataclass(frozen=True, slots=True)
class Spacing:
    """How far apart the checkpoints that are kept are at most: a time between two is reached by the log after the first.

    Arguments:
        micros: of time.
        log_bytes: of log, which bounds the work of reaching a time between.
    """

    micros: int
    log_bytes: int


CLOSE: Final = Spacing(0, 0)
"""Keep each."""


def retained(checkpoints: list[Checkpoint], horizon: int, spacing: Spacing, pinned: set[int]) -> list[Checkpoint]:
    """Which checkpoints are kept.

    The newest is always kept, and the newest of those at or before the horizon, from which the log leads to any
    later time. Of those between as many as the spacing asks for, each that the log does not lead to, and whichever a
    reader has pinned.

    Arguments:
        checkpoints: all of them, oldest first.
        horizon: micros UTC.
        spacing: how far apart they are; zeros keep all within the horizon.
        pinned: numbers in use.
    """
    if not checkpoints:
        return []
    base = max((i for i, one in enumerate(checkpoints) if one.at <= horizon), default=0)
    kept: list[Checkpoint] = []
    last_at: int | None = None
    log_bytes = 0
    for index, one in enumerate(checkpoints):
        log_bytes += one.log_bytes
        far = last_at is None or one.at - last_at >= spacing.micros or log_bytes >= spacing.log_bytes
        due = index >= base and (far or one.apart)
        if due:
            last_at, log_bytes = one.at, 0
        if due or index == len(checkpoints) - 1 or one.number in pinned:
            kept.append(one)
    return kept
