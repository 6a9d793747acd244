"""One LMDB environment: checked before mapping, grown when full, reopened after a panic, errors translated."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import lmdb

from core.errors import StoreError
from core.storage.datafile import check_data_file
from core.storage.failures import damaged, is_io_error, store_error
from core.storage.faults import Faults, Point
from core.storage.gate import Gate
from core.storage.mapping import MappedPage, Mapping, place_of

T = TypeVar("T")
DATA_FILE: Final = "data.mdb"
MAX_READERS: Final = 510
# The file is lengthened ahead of its use in steps of this many bytes; the room ahead is sparse and costs no disk.
LENGTH_STEP: Final = 1 << 24
# What a transaction takes besides its puts: the list of free pages, the trees' roots.
_SPARE_PAGES: Final = 256
# Of the file that values are used in place of, this much is mapped at least: address space, no memory.
_LEAST_MAPPING: Final = 1 << 30


class Environment:
    """An open LMDB environment with named databases. Thread-safe: any thread may read, writers take turns.

    Arguments:
        folder: the environment's own folder.
        databases: names of its databases.
        map_size: bytes of address space to reserve; grown by doubling up to `map_limit`.
        create: whether an absent environment is made; otherwise it is an error.
        faults: told of each write as it passes.
        readonly: to read without changing a byte; the caller sees to it that nobody writes.

    Raises:
        StoreError: STORE_TRUNCATED, STORE_DAMAGED, or STORE_OPEN_FAILED (the address space is limited, say).
    """

    def __init__(
        self,
        folder: Path,
        databases: tuple[bytes, ...],
        *,
        map_size: int,
        map_limit: int,
        create: bool,
        faults: Faults,
        readonly: bool = False,
    ) -> None:
        self._folder = folder
        self._names = databases
        self._map_size = map_size
        self._map_limit = map_limit
        self._faults = faults
        self._readonly = readonly
        self._gate = Gate()
        self._writing = threading.Lock()
        self._closed = False
        self._panicked = False
        self._mapping: Mapping | None = None
        self._mapping_lock = threading.Lock()
        self._known_length = 0  # of the data file, which never gets shorter
        self._open(create)

    @property
    def path(self) -> Path:
        """The environment's folder, for errors."""
        return self._folder

    @property
    def map_size(self) -> int:
        """Bytes of address space reserved at present."""
        return self._map_size

    def _open(self, create: bool) -> None:
        if not create:
            check_data_file(self._folder / DATA_FILE)
        try:
            self._env = lmdb.open(
                str(self._folder),
                map_size=self._map_size,
                max_dbs=len(self._names),
                max_readers=MAX_READERS,
                create=create,
                readonly=self._readonly,
                lock=not self._readonly,
            )
            self._databases = {name: self._env.open_db(name, create=create) for name in self._names}
        except (lmdb.Error, OSError) as error:
            raise store_error(error, self._folder, "open the environment", "STORE_OPEN_FAILED") from error
        self._page_size: int = self._env.stat()["psize"]

    def database(self, name: bytes) -> Any:
        """The handle of a database, for use inside `read` and `write`."""
        return self._databases[name]

    @contextmanager
    def read(self) -> Iterator[Any]:
        """A short read transaction whose values are memoryviews, valid until it ends.

        Raises:
            StoreError: STORE_CLOSED; STORE_DAMAGED where LMDB finds its own pages broken; STORE_READ_FAILED.
        """
        with self._gate.shared():
            self._check_open()
            try:
                with self._env.begin(buffers=True) as transaction:
                    yield transaction
            except lmdb.Error as error:
                raise store_error(error, self._folder, "read", "STORE_READ_FAILED") from error

    def place_of(self, value: memoryview) -> int:
        """Where in the data file a value stands, as an offset; -1 where LMDB keeps it among others and may move it.

        Arguments:
            value: as a transaction that is still open gave it.
        """
        return place_of(value, self._page_size)

    def in_place(self, start: int, size: int) -> MappedPage | None:
        """Bytes of the data file as a buffer that outlives every transaction and this environment; None beyond its end.

        The caller knows that a value stands there, and sees to it that it is not deleted while the buffer is held.

        Raises:
            StoreError: STORE_READ_FAILED, where the address space is limited.
        """
        end = start + size
        with self._mapping_lock:
            mapping = self._mapping
            if end > self._known_length or mapping is None or mapping.length < end:
                try:
                    with (self._folder / DATA_FILE).open("rb") as file:
                        self._known_length = os.fstat(file.fileno()).st_size
                        if end > self._known_length:
                            return None
                        if mapping is None or mapping.length < end:
                            mapping = Mapping(file.fileno(), max(_LEAST_MAPPING, 2 * end))
                except OSError as error:
                    raise store_error(error, self._folder, "map the data file", "STORE_READ_FAILED") from error
                self._mapping = mapping
        return mapping.page(start, size)

    def write(self, place: str, work: Callable[[Any], T], *, put_bytes: int = 0, puts: int = 0) -> T:
        """Run `work` in a write transaction and commit it durably.

        Arguments:
            place: name of the write, for the fault seam and errors.
            work: gets the transaction. It is run again after the map had to grow, so it must be repeatable.
            put_bytes: about how many bytes it puts.
            puts: how many keys it puts or deletes.

        Returns:
            What `work` returned.

        Raises:
            StoreError: DISK_FULL, STORE_MAP_FULL, STORE_WRITE_FAILED, STORE_DAMAGED, STORE_CLOSED. Nothing of the
                transaction is visible then, save where the commit itself failed at its last step: see `Log`.
        """
        with self._writing:
            self._check_open()
            try:
                if self._panicked:
                    self._reopen()
                self._faults.reach(place, Point.BEGIN)
                self._lengthen(put_bytes, puts)
                while True:
                    try:
                        result = self._commit(place, work)
                        break
                    except lmdb.MapFullError:
                        if not self._grow():
                            raise
                self._faults.reach(place, Point.COMMITTED)
                return result
            except (lmdb.Error, OSError) as error:
                # After a failed write of its meta page LMDB refuses all further writes until it is opened anew.
                self._panicked = self._panicked or not isinstance(error, lmdb.MapFullError)
                cause = self._no_room(put_bytes) if is_io_error(error) else None
                raise store_error(cause or error, self._folder, f"write ({place})") from error

    def _no_room(self, put_bytes: int) -> OSError | None:
        # Where a write stops half-way because the disk is full, LMDB reports EIO; the disk says more.
        try:
            disk = os.statvfs(self._folder)
        except OSError:  # the disk is in worse trouble, and the first error says so
            return None
        full = disk.f_bavail * disk.f_frsize < put_bytes + _SPARE_PAGES * self._page_size
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if full else None

    def _commit(self, place: str, work: Callable[[Any], T]) -> T:
        transaction = self._env.begin(write=True, buffers=True)
        try:
            result = work(transaction)
            self._faults.reach(place, Point.SYNC)
            transaction.commit()
        except BaseException:
            transaction.abort()
            raise
        return result

    def _lengthen(self, put_bytes: int, puts: int) -> None:
        # LMDB may number pages at the end of the file that it never writes (taken and given back within one
        # transaction): the file would be shorter than its meta page says, and look cut off after a crash. So the
        # file is made longer first. Per put: a path of the tree may be copied, and half of a page stays empty.
        path = self._folder / DATA_FILE
        last_page: int = self._env.info()["last_pgno"]
        depth = max(self._depths(), default=0) + 2
        needed = (last_page + 1 + _SPARE_PAGES + puts * depth) * self._page_size + 2 * put_bytes
        if path.stat().st_size >= needed:
            return
        os.truncate(path, (needed // LENGTH_STEP + 1) * LENGTH_STEP)

    def _depths(self) -> Iterator[int]:
        with self._env.begin() as transaction:
            for database in self._databases.values():
                yield transaction.stat(database)["depth"]

    def _grow(self) -> bool:
        # Called by the one writer, with no write transaction open.
        size = min(self._map_size * 2, self._map_limit)
        if size <= self._map_size:
            return False
        with self._gate.alone():
            self._env.set_mapsize(size)
        self._map_size = size
        return True

    def _reopen(self) -> None:
        with self._gate.alone():
            self._env.close()
            self._open(create=False)
        self._panicked = False

    @property
    def used_bytes(self) -> int:
        """Bytes of the file that hold something; the rest of it is free to be written again."""
        with self.read() as transaction:
            found = [transaction.stat(database) for database in self._databases.values()]
        pages = sum(one["branch_pages"] + one["leaf_pages"] + one["overflow_pages"] for one in found)
        return int(pages) * self._page_size

    @property
    def disk_bytes(self) -> int:
        """Bytes of the disk that the file takes."""
        return (self._folder / DATA_FILE).stat().st_blocks * 512

    def copy(self, folder: Path) -> None:
        """Write a compacted, consistent copy into an existing empty folder while others read and write.

        A map that has to grow meanwhile waits for the copy, and the writer with it.

        Raises:
            StoreError: DISK_FULL or STORE_WRITE_FAILED.
        """
        with self._gate.shared():
            self._check_open()
            try:
                self._env.copy(str(folder), compact=True)
                with (folder / DATA_FILE).open("rb") as file:
                    os.fsync(file.fileno())
            except (lmdb.Error, OSError) as error:
                raise store_error(error, folder, "copy the environment") from error
        check_data_file(folder / DATA_FILE)

    def damaged(self, what: str) -> StoreError:
        """The error for a record of this environment that is not what was written."""
        return damaged(self._folder, what)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._folder} is closed", mend="open the store", code="STORE_CLOSED")

    def close(self) -> None:
        """Wait for readers and the writer, then close. Idempotent."""
        with self._writing, self._gate.alone():
            if not self._closed:
                self._closed = True
                self._env.close()
