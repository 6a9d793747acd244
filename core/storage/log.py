"""The command log: records numbered 1, 2, 3, … that are durable before anyone is answered.

Each record bears the instant of the project's clock at which it was made, which never goes back from one to the next.
So the log also tells what was the last record of any instant that it still reaches.
"""

from __future__ import annotations

import struct
import threading
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from core.errors import InvalidInput, StoreError
from core.storage.environment import Environment

RECORDS: Final = b"records"
MAX_RECORD_BYTES: Final = 1 << 30
KEY: Final = struct.Struct(">Q")
_HEAD: Final = struct.Struct(">Iq")
_SLICE_RECORDS: Final = 4096
_SLICE_BYTES: Final = 8 << 20
_KEY_OVERHEAD_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Record:
    """A stored record: the instant of the project's clock, micros UTC, and its payload."""

    now: int
    payload: bytes


def _checksum_of(key: bytes, now: int, payload: bytes | memoryview) -> int:
    """CRC-32 over a record's position, as stored, its instant and its payload."""
    return zlib.crc32(payload, zlib.crc32(now.to_bytes(8, "big", signed=True), zlib.crc32(key)))


class Log:
    """The log of an open store. One thread appends; any thread reads.

    After a failed append it may be unknown whether the record reached the disk. The log then shows only what was
    acknowledged, and takes the doubtful record out again before anything else is appended.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        # Held by a backup, which needs the log to keep what the copied pages do not have.
        self.keep = threading.Lock()
        self._appending = threading.Lock()
        self._doubtful = False
        self._last = self._end(last=True)

    def _end(self, *, last: bool) -> int:
        with self._environment.read() as transaction:
            cursor = transaction.cursor(self._environment.database(RECORDS))
            if not (cursor.last() if last else cursor.first()):
                return 0
            return self._position(cursor.key())

    def _position(self, key: memoryview) -> int:
        if len(key) != KEY.size:
            raise self._environment.damaged(f"a record's key has {len(key)} bytes")
        (position,) = KEY.unpack(key)
        return int(position)

    @property
    def last_position(self) -> int:
        """Position of the newest acknowledged record; 0 where there is none."""
        return self._last

    @property
    def first_position(self) -> int:
        """Position of the oldest record kept; 0 where there is none."""
        first = self._end(last=False)
        return first if first <= self._last else 0

    def append(self, groups: Sequence[bytes], *, now: int = 0) -> int:
        """Append records in one durable transaction: all or none.

        Arguments:
            groups: the records' bytes, each up to `MAX_RECORD_BYTES`; they get consecutive positions.
            now: the project's instant after them, micros UTC; not before that of any earlier record.

        Returns:
            The position of the last one. With no groups, the present last position.

        Raises:
            StoreError: DISK_FULL, STORE_MAP_FULL, STORE_WRITE_FAILED. Nothing was appended.
            InvalidInput: RECORD_TOO_LONG.
        """
        for index, group in enumerate(groups):
            if len(group) > MAX_RECORD_BYTES:
                raise InvalidInput(
                    f"a record of {len(group)} bytes",
                    field=f"groups[{index}]",
                    mend=f"at most {MAX_RECORD_BYTES} bytes",
                    code="RECORD_TOO_LONG",
                )
        with self._appending:
            if self._doubtful:
                self._settle()
            if not groups:
                return self._last
            rows: list[tuple[bytes, bytes]] = []
            for position, group in enumerate(groups, self._last + 1):
                key = KEY.pack(position)
                rows.append((key, _HEAD.pack(_checksum_of(key, now, group), now) + group))
            try:
                self._put(rows)
            except StoreError:
                self._doubtful = True
                # Where the disk does not answer even now, the next append tries again.
                with suppress(StoreError):
                    self._settle()
                raise
            self._last += len(groups)
            return self._last

    def _put(self, rows: list[tuple[bytes, bytes]]) -> None:
        def work(transaction: Any) -> None:
            cursor = transaction.cursor(self._environment.database(RECORDS))
            consumed, _ = cursor.putmulti(rows, overwrite=False, append=True)
            if consumed != len(rows):
                raise self._environment.damaged("the log has records beyond its end")

        put_bytes = sum(len(value) + _KEY_OVERHEAD_BYTES for _, value in rows)
        pages = sum(1 for _, value in rows if len(value) > _KEY_OVERHEAD_BYTES * 16)
        self._environment.write("log.append", work, put_bytes=put_bytes, puts=pages + 1)

    def _settle(self) -> None:
        if self._end(last=True) > self._last:
            self._delete(self._last + 1, None)
        self._doubtful = False

    def _delete(self, first: int, before: int | None) -> bool:
        """Delete a slice of records from `first` on; whether more may be left."""

        def work(transaction: Any) -> bool:
            cursor = transaction.cursor(self._environment.database(RECORDS))
            deleted = 0
            found = cursor.set_range(KEY.pack(first))
            while found and (before is None or self._position(cursor.key()) < before):
                if before is not None and deleted == _SLICE_RECORDS:
                    return True
                found = cursor.delete() and len(cursor.key()) > 0
                deleted += 1
            return False

        return self._environment.write("log.truncate", work, puts=_SLICE_RECORDS)

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        """The payloads of the acknowledged records after a position, in order; otherwise as `records`."""
        return ((position, record.payload) for position, record in self.records(after))

    def records(self, after: int) -> Iterator[tuple[int, Record]]:
        """The acknowledged records after a position, in order.

        Arguments:
            after: 0 for all. Records appended while reading are read too.

        Raises:
            StoreError: STORE_LOG_GAP where records after `after` are no longer kept; STORE_DAMAGED, with the
                position, where a record is missing or its checksum does not fit.
        """
        if after < self._last:
            first = self.first_position
            if first > after + 1:
                raise StoreError(
                    f"the log is kept from position {first} on, not from {after + 1}",
                    field="after",
                    mend=f"read after {first - 1} or later",
                    code="STORE_LOG_GAP",
                )
        while after < self._last:
            rows = self._slice(after)
            yield from rows
            after = rows[-1][0]

    def _slice(self, after: int) -> list[tuple[int, Record]]:
        rows: list[tuple[int, Record]] = []
        size = 0
        last = self._last
        with self._environment.read() as transaction:
            cursor = transaction.cursor(self._environment.database(RECORDS))
            found = cursor.set_range(KEY.pack(after + 1))
            while after < last and size < _SLICE_BYTES and len(rows) < _SLICE_RECORDS:
                after += 1
                if not found or self._position(cursor.key()) != after:
                    raise self._environment.damaged(f"the record at position {after} is missing")
                record = open_record(bytes(cursor.key()), cursor.value())
                if record is None:
                    raise self._environment.damaged(f"the record at position {after} has a wrong checksum")
                rows.append((after, record))
                size += len(record.payload)
                found = cursor.next()
        return rows

    def now_at(self, position: int) -> int:
        """The instant of the project's clock, micros UTC, that the record at a position bears.

        Raises:
            StoreError: STORE_DAMAGED where there is no such record.
        """
        with self._environment.read() as transaction:
            return self._now_at(transaction, position)

    def _now_at(self, transaction: Any, position: int) -> int:
        value = transaction.get(KEY.pack(position), db=self._environment.database(RECORDS))
        if value is None or len(value) < _HEAD.size:
            raise self._environment.damaged(f"the record at position {position} is missing")
        return int(_HEAD.unpack(value[: _HEAD.size])[1])

    def position_at(self, now: int) -> int:
        """The position of the last record made at or before an instant; 0 where the log does not reach back so far.

        Arguments:
            now: micros UTC of the project's clock.
        """
        with self._environment.read() as transaction:
            cursor = transaction.cursor(self._environment.database(RECORDS))
            if not cursor.first():
                return 0
            first = self._position(cursor.key())
            found = bisect_right(range(first, self._last + 1), now, key=lambda one: self._now_at(transaction, one))
            return first + found - 1 if found else 0

    def begin_at(self, position: int) -> None:
        """Number the first record of an empty log, which is a part of another: it comes next."""
        if self._last:
            raise ValueError("the log has records")
        self._last = position - 1

    @property
    def used_bytes(self) -> int:
        """What the records take on the disk."""
        return self._environment.used_bytes

    def truncate_before(self, position: int) -> None:
        """Forget the records before a position, in short transactions. The last record is always kept: it carries
        the count.

        Raises:
            StoreError: as `append`; what was deleted until then stays deleted.
        """
        with self.keep:
            before = min(position, self._last)
            while (first := self.first_position) and first < before and self._delete(first, before):
                pass


def open_record(key: bytes, value: memoryview) -> Record | None:
    """A stored record, copied out; None where its checksum does not fit."""
    if len(value) < _HEAD.size:
        return None
    payload = bytes(value[_HEAD.size :])
    checksum, now = _HEAD.unpack(value[: _HEAD.size])
    return Record(now, payload) if checksum == _checksum_of(key, now, payload) else None
