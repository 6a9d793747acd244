"""Checks every record and page of a store that nobody has open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from lmdb.verify import VerifyError
from lmdb.verify import verify as verify_structure

from core.errors import StoreError
from core.storage import pagekeys
from core.storage.checkpoints import UNFINISHED, Checkpoint, get_mark, rows
from core.storage.datafile import check_data_file
from core.storage.environment import DATA_FILE, Environment
from core.storage.faults import NO_FAULTS
from core.storage.folder import LOG_FOLDER, PAGES_FOLDER, FolderLock, check_format
from core.storage.log import KEY, RECORDS, open_record
from core.storage.pagescan import PAGES
from core.storage.pagevalues import unseal
from core.storage.store import LOG_DATABASES, LOG_MAP_SIZE, MAP_LIMIT, PAGES_DATABASES, PAGES_MAP_SIZE

_SLICE_ROWS: Final = 4096
_SLICE_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a store: a stable code, the part concerned, what is wrong in one sentence."""

    code: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} [{self.code}]"


def verify(folder: Path | str) -> list[Problem]:
    """Check a store: files, LMDB's structure, checksums, gaps, checkpoints. Changes nothing but the lock file.

    Arguments:
        folder: of a store that no process has open.

    Returns:
        What is wrong; empty where all is well. Where a part's structure is broken its contents are not read.

    Raises:
        StoreError: STORE_NOT_FOUND, STORE_LOCKED, STORE_FORMAT_NEWER, STORE_FORMAT_OLDER: nothing could be checked.
    """
    folder = Path(folder)
    try:
        check_format(folder)
    except StoreError as error:
        if error.code != "STORE_DAMAGED":
            raise
        return [Problem(error.code, "format", error.message)]
    lock = FolderLock(folder)
    try:
        broken = [*_structure(folder, LOG_FOLDER), *_structure(folder, PAGES_FOLDER)]
        return broken or list(_contents(folder))
    finally:
        lock.release()


def _structure(folder: Path, part: str) -> Iterator[Problem]:
    path = folder / part / DATA_FILE
    try:
        check_data_file(path)
        for text in verify_structure(str(path), subdir=False):
            yield Problem("STORE_DAMAGED", part, text)
    except StoreError as error:
        yield Problem(error.code, part, error.message)
    except (VerifyError, OSError) as error:
        yield Problem("STORE_DAMAGED", part, str(error))


def _contents(folder: Path) -> Iterator[Problem]:
    bounds = _Bounds()
    with _opened(folder / LOG_FOLDER, LOG_DATABASES, LOG_MAP_SIZE) as log:
        yield from _check_log(log, bounds)
    with _opened(folder / PAGES_FOLDER, PAGES_DATABASES, PAGES_MAP_SIZE) as pages:
        try:
            with pages.read() as transaction:
                checkpoints = rows(pages, transaction)
                unfinished = get_mark(pages, transaction, UNFINISHED)
        except StoreError as error:
            yield Problem(error.code, PAGES_FOLDER, error.message)
            return
        yield from _check_checkpoints(checkpoints, bounds)
        yield from _check_pages(pages, checkpoints, unfinished)


@contextmanager
def _opened(folder: Path, databases: tuple[bytes, ...], map_size: int) -> Iterator[Environment]:
    environment = Environment(
        folder, databases, map_size=map_size, map_limit=MAP_LIMIT, create=False, faults=NO_FAULTS, readonly=True
    )
    try:
        yield environment
    finally:
        environment.close()


@dataclass(slots=True)
class _Bounds:
    first: int = 0
    last: int = 0
    now: int | None = None


def _rows(environment: Environment, database: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a database, copied out in short transactions."""
    start = b""
    while True:
        found: list[tuple[bytes, bytes]] = []
        size = 0
        with environment.read() as transaction:
            cursor = transaction.cursor(environment.database(database))
            more = cursor.set_range(start) if start else cursor.first()
            while more and size < _SLICE_BYTES and len(found) < _SLICE_ROWS:
                found.append((bytes(cursor.key()), bytes(cursor.value())))
                size += len(found[-1][1])
                more = cursor.next()
            start = bytes(cursor.key()) if more else b""
        yield from found
        if not start:
            return


def _check_log(log: Environment, bounds: _Bounds) -> Iterator[Problem]:
    for key, value in _rows(log, RECORDS):
        if len(key) != KEY.size:
            yield Problem("STORE_DAMAGED", LOG_FOLDER, f"a record's key has {len(key)} bytes")
            continue
        (position,) = KEY.unpack(key)
        if bounds.last and position != bounds.last + 1:
            yield Problem("STORE_LOG_GAP", LOG_FOLDER, f"after position {bounds.last} comes {position}")
        record = open_record(key, memoryview(value))
        if record is None:
            yield Problem("STORE_DAMAGED", LOG_FOLDER, f"the record at position {position} has a wrong checksum")
        elif bounds.now is not None and record.now < bounds.now:
            yield Problem("STORE_DAMAGED", LOG_FOLDER, f"the record at position {position} is of an earlier instant")
        bounds.now = bounds.now if record is None else record.now
        bounds.first = bounds.first or position
        bounds.last = position


def _check_checkpoints(checkpoints: list[Checkpoint], bounds: _Bounds) -> Iterator[Problem]:
    for earlier, later in pairwise(checkpoints):
        if later.position < earlier.position:
            yield Problem(
                "STORE_DAMAGED", PAGES_FOLDER, f"checkpoint {later.number} is before checkpoint {earlier.number}"
            )
    position = checkpoints[-1].position if checkpoints else 0
    if position > bounds.last:
        yield Problem("STORE_DAMAGED", PAGES_FOLDER, f"the checkpoint is at {position}, the log ends at {bounds.last}")
    oldest = checkpoints[0].position if checkpoints else 0
    if bounds.first > oldest + 1:
        yield Problem(
            "STORE_LOG_GAP", LOG_FOLDER, f"the log begins at {bounds.first}, the oldest checkpoint is at {oldest}"
        )


def _check_pages(pages: Environment, checkpoints: list[Checkpoint], unfinished: int | None) -> Iterator[Problem]:
    newest = checkpoints[-1].number if checkpoints else 0
    positions = {one.number: one.position for one in checkpoints}
    for stored, value in _rows(pages, PAGES):
        key = pagekeys.take_apart(stored)
        if key is None:
            yield Problem("STORE_DAMAGED", PAGES_FOLDER, f"{stored!r} is no page key")
            continue
        name = f"page {key.head!r} of checkpoint {key.number}"
        page = unseal(stored, memoryview(value))
        if page is None:
            yield Problem("STORE_DAMAGED", PAGES_FOLDER, f"{name} has a wrong checksum")
        elif key.number > newest:
            if key.number != unfinished:
                yield Problem("STORE_DAMAGED", PAGES_FOLDER, f"{name} belongs to no checkpoint")
        elif page.position != positions.get(key.number, page.position):
            yield Problem("STORE_DAMAGED", PAGES_FOLDER, f"{name} has position {page.position}, not its checkpoint's")
