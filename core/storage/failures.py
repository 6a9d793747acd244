"""Turns what the disk and LMDB report into StoreError with a stable code, in one place."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

import lmdb

from core.errors import StoreError

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.NotFoundError,
)


def _lmdb_errno(error: lmdb.Error) -> int:
    # py-lmdb keeps the system's errno in `code` for errors that LMDB merely passes on.
    if isinstance(error, lmdb.DiskError):
        return errno.ENOSPC
    code = getattr(error, "code", 0)
    return abs(code) if isinstance(code, int) else 0


def is_io_error(error: lmdb.Error | OSError) -> bool:
    """Whether all that is known is that the disk did not do it."""
    return (error.errno if isinstance(error, OSError) else _lmdb_errno(error)) == errno.EIO


def is_no_room(error: lmdb.Error | OSError) -> bool:
    """Whether the disk, the quota or the file size limit is what failed."""
    number = error.errno if isinstance(error, OSError) else _lmdb_errno(error)
    return number in _NO_ROOM


def store_error(error: lmdb.Error | OSError, path: Path, doing: str, code: str = "STORE_WRITE_FAILED") -> StoreError:
    """The StoreError for a failure below.

    Arguments:
        path: the file or folder concerned.
        doing: what was attempted, as in "append to the log".
        code: for a failure of no more precise kind.
    """
    if is_no_room(error):
        return StoreError(
            f"could not {doing}: no room on the disk of {path}",
            mend="make room on the disk, then repeat; nothing was half written",
            code="DISK_FULL",
        )
    if isinstance(error, lmdb.MapFullError):
        return StoreError(
            f"could not {doing}: {path} has reached its map limit",
            mend="open the store with a larger map limit",
            code="STORE_MAP_FULL",
        )
    if isinstance(error, _DAMAGE):
        return damaged(path, f"{doing} failed: {error}")
    return StoreError(
        f"could not {doing} in {path}: {error}",
        mend="look at the disk and the system log, then repeat",
        code=code,
    )


def damaged(path: Path, what: str) -> StoreError:
    """The error for bytes that are not what was written."""
    return StoreError(f"{path} is damaged: {what}", mend="restore a backup of this store", code="STORE_DAMAGED")
