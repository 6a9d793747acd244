"""A store's folder: its lock, its format file, its parts."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

from core.errors import StoreError
from core.storage.environment import DATA_FILE, LENGTH_STEP
from core.storage.failures import damaged

FORMAT: Final = 3
FORMAT_FILE: Final = "format"
LOCK_FILE: Final = "lock"
LOG_FOLDER: Final = "log"
PAGES_FOLDER: Final = "pages"
_FORMAT_DRAFT: Final = "format.draft"
_FORMAT_WORDS: Final = "muster-store"
_OURS: Final = frozenset({FORMAT_FILE, LOCK_FILE, LOG_FOLDER, PAGES_FOLDER, _FORMAT_DRAFT})


class FolderLock:
    """Exclusive use of a folder, held until released or until the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock at once.

        Raises:
            StoreError: STORE_LOCKED, naming the folder and who holds it; STORE_WRITE_FAILED.
        """
        path = folder / LOCK_FILE
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise StoreError(
                f"cannot lock {folder}: {error}", mend="check the folder's owner", code="STORE_WRITE_FAILED"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().decode("ascii", "replace").strip() or "unknown"
            self._file.close()
            raise StoreError(
                f"{folder} is in use by process {holder}", mend="stop that process, or use its API", code="STORE_LOCKED"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n".encode())
        self._file.flush()

    def release(self) -> None:
        """Let others in. Idempotent."""
        self._file.close()


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_format(folder: Path) -> None:
    """Declare a store complete: durable, and the last step of its making."""
    draft = folder / _FORMAT_DRAFT
    with draft.open("w", encoding="ascii") as file:
        file.write(f"{_FORMAT_WORDS} {FORMAT}\n")
        file.flush()
        os.fsync(file.fileno())
    for part in (LOG_FOLDER, PAGES_FOLDER):
        with (folder / part / DATA_FILE).open("rb") as data:
            os.fsync(data.fileno())
        sync_folder(folder / part)
    sync_folder(folder)
    draft.rename(folder / FORMAT_FILE)
    sync_folder(folder)


def check_format(folder: Path) -> None:
    """Make sure that a folder holds a complete store of a format that this program knows; touches nothing.

    Raises:
        StoreError: STORE_NOT_FOUND where there is none or its making was interrupted, STORE_FORMAT_NEWER,
            STORE_FORMAT_OLDER, STORE_DAMAGED.
    """
    path = folder / FORMAT_FILE
    if not path.is_file():
        begun = (folder / LOG_FOLDER).exists() or (folder / PAGES_FOLDER).exists()
        raise StoreError(
            f"{folder} holds a store whose making was interrupted" if begun else f"{folder} holds no store",
            mend="create it again" if begun else "create it, or correct the path",
            code="STORE_NOT_FOUND",
        )
    words = path.read_bytes()[:64].decode("ascii", "replace").split()
    if len(words) != 2 or words[0] != _FORMAT_WORDS or not words[1].isdigit() or int(words[1]) < 1:
        raise damaged(path, "it is no format file")
    if int(words[1]) > FORMAT:
        raise StoreError(
            f"{folder} has format {words[1]}, and this program knows up to {FORMAT}",
            mend="use the release that wrote it, or a newer one",
            code="STORE_FORMAT_NEWER",
        )
    if int(words[1]) < FORMAT:
        raise StoreError(
            f"{folder} has format {words[1]}, and this program reads format {FORMAT}",
            mend="export the users and events with the release that wrote it, and import them into a new store",
            code="STORE_FORMAT_OLDER",
        )


def check_creatable(folder: Path) -> None:
    """Make sure that a store may be made in a folder: absent, empty, or with the traces of an interrupted making.

    Raises:
        StoreError: STORE_EXISTS, STORE_FOLDER_NOT_EMPTY, STORE_DAMAGED where data lacks its format file.
    """
    if not folder.exists():
        return
    if (folder / FORMAT_FILE).exists():
        raise StoreError(f"{folder} holds a store", mend="open it, or name another folder", code="STORE_EXISTS")
    if _was_written_to(folder):
        raise damaged(folder, f"it holds data, but its file `{FORMAT_FILE}` is missing")
    foreign = (
        sorted(entry.name for entry in folder.iterdir() if entry.name not in _OURS)
        if folder.is_dir()
        else [folder.name]
    )
    if foreign:
        raise StoreError(
            f"{folder} holds something else: {foreign[0]}",
            mend="name an absent or empty folder",
            code="STORE_FOLDER_NOT_EMPTY",
        )


def _was_written_to(folder: Path) -> bool:
    # The first write after its making lengthens a data file by a whole step: what is shorter holds nothing.
    files = (folder / part / DATA_FILE for part in (LOG_FOLDER, PAGES_FOLDER))
    return any(file.is_file() and file.stat().st_size >= LENGTH_STEP for file in files)


def remove_interrupted(folder: Path) -> None:
    """Remove the traces of an interrupted making; the caller holds the lock and has checked."""
    for part in (LOG_FOLDER, PAGES_FOLDER):
        if (folder / part).exists():
            shutil.rmtree(folder / part)
    (folder / _FORMAT_DRAFT).unlink(missing_ok=True)
