"""Copies an open store: into a sibling folder first, which takes the destination's place once complete."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from core.errors import StoreError
from core.storage.environment import Environment
from core.storage.failures import store_error
from core.storage.folder import LOCK_FILE, LOG_FOLDER, PAGES_FOLDER, FolderLock, sync_folder, write_format


def write_backup(destination: Path, *, pages: Environment, log: Environment) -> None:
    """Copy the pages, then the log.

    Arguments:
        pages, log: of one open store, whose log is not truncated meanwhile.
        destination: as for `write_draft`, which also says what is raised.
    """
    write_draft(destination, lambda draft: _fill(draft, pages, log))


def write_draft(destination: Path, fill: Callable[[Path], Path]) -> None:
    """Write a store beside its destination first, which it takes once it is complete.

    Arguments:
        destination: absent or an empty folder; its parent exists.
        fill: makes a complete store in the folder it gets, or in one inside it, and returns which.

    Raises:
        StoreError: BACKUP_DESTINATION, STORE_LOCKED where another backup to it is under way, DISK_FULL,
            STORE_WRITE_FAILED.
    """
    destination = destination.absolute()
    parent = destination.parent
    if not parent.is_dir() or (destination.exists() and (not destination.is_dir() or any(destination.iterdir()))):
        raise StoreError(
            f"{destination} is not empty, or the folder that it is to stand in is missing",
            field="destination",
            mend="name an absent or empty folder in an existing one",
            code="BACKUP_DESTINATION",
        )
    draft = parent / f".{destination.name}.partial"
    try:
        draft.mkdir(exist_ok=True)
        lock = FolderLock(draft)
        try:
            _empty(draft)
            fill(draft).rename(destination)
            sync_folder(parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)  # what is left of it, where it is not the destination by now
            lock.release()
    except OSError as error:
        raise store_error(error, destination, "write the backup") from error


def _empty(draft: Path) -> None:
    # A backup that was killed left its draft behind; nobody holds its lock, so it is ours to replace.
    for entry in draft.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != LOCK_FILE:
            entry.unlink()


def _fill(draft: Path, pages: Environment, log: Environment) -> Path:
    for environment, name in ((pages, PAGES_FOLDER), (log, LOG_FOLDER)):
        (draft / name).mkdir()
        environment.copy(draft / name)
    write_format(draft)
    return draft
