"""Checks an LMDB data file before it is mapped.

A process that touches a mapped page beyond the end of the file dies by SIGBUS, and LMDB does not look first.
The layout is that of LMDB 0.9 on 64-bit machines (struct MDB_page, MDB_meta and MDB_db of mdb.c).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import StoreError
from core.storage.failures import damaged

_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_META_PAGE_FLAG: Final = 0x08
_PAGE_SIZES: Final = frozenset(1 << n for n in range(9, 17))
_NO_PAGE: Final = (1 << 64) - 1
# page number, pad, flags, lower, upper | magic, version, address, map size
_HEAD: Final = struct.Struct("=QHHHHIIQQ")
# pad, flags, depth, branch pages, leaf pages, overflow pages, entries, root
_TREE: Final = struct.Struct("=IHHQQQQQ")
_TAIL: Final = struct.Struct("=QQ")  # last page, transaction
_META_BYTES: Final = _HEAD.size + 2 * _TREE.size + _TAIL.size


@dataclass(frozen=True, slots=True)
class Meta:
    """What a meta page says: bytes per page, last page in use, number of the transaction that wrote it."""

    page_size: int
    last_page: int
    transaction: int

    @property
    def bytes_needed(self) -> int:
        """The least length of a file in which every page exists."""
        return (self.last_page + 1) * self.page_size


def _read_meta(path: Path, number: int, data: bytes) -> Meta:
    _, _, flags, _, _, magic, version, _, _ = _HEAD.unpack_from(data)
    if magic != _MAGIC or not flags & _META_PAGE_FLAG:
        raise damaged(path, f"meta page {number} is no meta page")
    if version != _DATA_VERSION:
        raise damaged(path, f"meta page {number} has LMDB data version {version}, not {_DATA_VERSION}")
    free, main = (_TREE.unpack_from(data, _HEAD.size + n * _TREE.size) for n in range(2))
    last_page, transaction = _TAIL.unpack_from(data, _HEAD.size + 2 * _TREE.size)
    page_size = free[0]
    if page_size not in _PAGE_SIZES:
        raise damaged(path, f"meta page {number} gives a page size of {page_size}")
    for tree in (free, main):
        root = tree[-1]
        if root != _NO_PAGE and root > last_page:
            raise damaged(path, f"meta page {number} has a root beyond the last page")
    return Meta(page_size, last_page, transaction)


def _check_turns(path: Path, first: Meta, second: Meta) -> None:
    """Two meta pages are written in turns: transaction n goes to page n mod 2, so that they hold n and n - 1.

    Were the number of the newer one changed, LMDB would take the older for it and forget the last commit in silence.
    """
    if first.transaction == second.transaction == 0:
        return  # as made, nothing was committed yet
    in_turn = first.transaction % 2 == 0 and second.transaction % 2 == 1
    if not in_turn or abs(first.transaction - second.transaction) != 1:
        raise damaged(path, f"its meta pages are of transactions {first.transaction} and {second.transaction}")


def check_data_file(path: Path) -> Meta:
    """Make sure that a data file may be mapped.

    Arguments:
        path: an environment's `data.mdb`.

    Returns:
        The newer of its two meta pages.

    Raises:
        StoreError: STORE_TRUNCATED where the file is shorter than its meta page says, STORE_DAMAGED where a meta
            page is not one, or the two do not follow each other.
    """
    if not path.is_file():
        raise damaged(path, "the file is missing")
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        first_page = file.read(_META_BYTES)
        if len(first_page) < _META_BYTES:
            raise _truncated(path, length, _META_BYTES)
        first = _read_meta(path, 0, first_page)
        file.seek(first.page_size)
        second_page = file.read(_META_BYTES)
        if len(second_page) < _META_BYTES:
            raise _truncated(path, length, 2 * first.page_size)
        second = _read_meta(path, 1, second_page)
    _check_turns(path, first, second)
    newer = max(first, second, key=lambda meta: meta.transaction)
    if length < newer.bytes_needed:
        raise _truncated(path, length, newer.bytes_needed)
    return newer


def _truncated(path: Path, length: int, needed: int) -> StoreError:
    return StoreError(
        f"{path} has {length} bytes of at least {needed}: it was cut short",
        mend="restore a backup of this store",
        code="STORE_TRUNCATED",
    )
