"""Checkpoints: the folded state as pages, each in as many versions as retained checkpoints need.

A page is written under its key and the number of its checkpoint, in many short transactions; one last small
transaction enters the checkpoint into the list and so makes it current. Until then readers see the one before.

A page that is long enough to stand in pages of the file by itself can be used in place. LMDB copies the trees that
lead to a value when it changes them, never the value: its bytes stay as they are, where they are, until the value is
deleted. So no transaction is held open: a version that somebody holds a buffer of is not deleted, that is all.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from core.errors import InvalidInput, NotFound, StoreError
from core.storage import pagekeys, places
from core.storage.checkpoints import (
    CHECKPOINTS,
    CLOSE,
    UNCOLLECTED,
    UNFINISHED,
    Checkpoint,
    Spacing,
    get_mark,
    put_row,
    retained,
    rows,
    set_mark,
)
from core.storage.collection import collect_superseded, remove_version
from core.storage.environment import Environment
from core.storage.mapping import MappedPage
from core.storage.pagescan import PAGES, copied, find_page, scan_pages, wrong_checksum
from core.storage.pagevalues import HEAD_BYTES, head_of, seal

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_KEY_BYTES: Final = 4096
MAX_PAGE_BYTES: Final = 1 << 30
# Shorter values stand among others in LMDB's pages, on every machine.
_LONG_BYTES: Final = 4096
_SLICE_PAGES: Final = 4096
_SLICE_BYTES: Final = 8 << 20
# The list of checkpoints and its marks: a handful of small keys.
_SMALL_PUTS: Final = 4


class Pages:
    """The checkpoints of an open store. One thread makes and collects them; any thread reads.

    What an unfinished checkpoint left behind is never read, and removed before the next one is made.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._making = threading.Lock()
        self._pinning = threading.Lock()
        self._pinned: Counter[int] = Counter()
        self._checkpoints: list[Checkpoint] = []
        self._held: WeakValueDictionary[bytes, MappedPage] = WeakValueDictionary()
        self._copied = copied(environment)
        self._refresh()

    def _refresh(self) -> int | None:
        """Learn from the disk which checkpoints are complete, and the number of an unfinished one."""
        with self._environment.read() as transaction:
            self._checkpoints = rows(self._environment, transaction)
            return get_mark(self._environment, transaction, UNFINISHED)

    @property
    def position(self) -> int:
        """Log position of the current checkpoint; 0 where there is none."""
        return self._checkpoints[-1].position if self._checkpoints else 0

    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints that can be read, oldest first."""
        return list(self._checkpoints)

    @property
    def used_bytes(self) -> int:
        """What all versions of all pages take on the disk."""
        return self._environment.used_bytes

    # Writing

    def checkpoint(
        self,
        position: int,
        pages: Iterable[tuple[bytes, Buffer | None]],
        *,
        at: int,
        log_bytes: int = 0,
        apart: bool = False,
    ) -> Checkpoint:
        """Fold changed pages into a new checkpoint and make it current, atomically.

        Arguments:
            position: the last log record that the pages contain; not before the current checkpoint's.
            pages: (key, bytes, or None where the page is gone), keys strictly ascending; pages not named stay.
            at: when, micros UTC.
            log_bytes, apart: see `Checkpoint`.

        Raises:
            InvalidInput: CHECKPOINT_BACKWARDS, PAGES_OUT_OF_ORDER, PAGE_KEY, PAGE_TOO_LONG.
            StoreError: DISK_FULL, STORE_MAP_FULL, STORE_WRITE_FAILED. The checkpoint before stays current.
        """
        with self._making:
            self._remove_unfinished()
            if position < self.position:
                raise InvalidInput(
                    f"a checkpoint at {position} after one at {self.position}",
                    field="position",
                    mend="checkpoints follow the log",
                    code="CHECKPOINT_BACKWARDS",
                )
            number = self._checkpoints[-1].number + 1 if self._checkpoints else 1
            self._mark("pages.begin", UNFINISHED, number)
            try:
                self._write_pages(number, position, pages)
                return self._switch(Checkpoint(number, position, at, log_bytes, apart))
            except BaseException:
                # Where the disk does not answer even now, the next checkpoint or the next opening tries again.
                with suppress(StoreError):
                    self._remove_unfinished()
                raise

    def _write_pages(self, number: int, position: int, pages: Iterable[tuple[bytes, Buffer | None]]) -> None:
        batch: list[tuple[bytes, bytes]] = []
        size = 0
        last: bytes | None = None
        for key, payload in pages:
            _check_page(key, payload, last)
            last = key
            stored = pagekeys.version_of(pagekeys.stem_of(key), number)
            value = seal(stored, position, key if pagekeys.is_cut(key) else b"", payload)
            batch.append((stored, value))
            size += len(value) + len(stored)
            if size >= _SLICE_BYTES or len(batch) >= _SLICE_PAGES:
                self._put(batch, size)
                batch, size = [], 0
        if batch:
            self._put(batch, size)

    def _put(self, batch: list[tuple[bytes, bytes]], size: int) -> None:
        def work(transaction: Any) -> None:
            cursor = transaction.cursor(self._environment.database(PAGES))
            cursor.putmulti(batch)
            for stored, value in batch:
                if len(value) >= _LONG_BYTES and cursor.set_key(stored):
                    places.note(self._environment, transaction, stored, cursor.value())

        self._environment.write("pages.slice", work, put_bytes=size, puts=2 * len(batch))

    def _switch(self, checkpoint: Checkpoint) -> Checkpoint:
        def work(transaction: Any) -> None:
            put_row(self._environment, transaction, checkpoint)
            set_mark(self._environment, transaction, UNFINISHED, None)

        # After a failure at the very last step the checkpoint may be complete all the same: then the disk decides,
        # in `_remove_unfinished`.
        self._environment.write("pages.switch", work, puts=_SMALL_PUTS)
        self._checkpoints = [*self._checkpoints, checkpoint]
        return checkpoint

    def _mark(self, place: str, mark: bytes, number: int | None) -> None:
        def work(transaction: Any) -> None:
            set_mark(self._environment, transaction, mark, number)

        self._environment.write(place, work, puts=_SMALL_PUTS)

    def _remove_unfinished(self) -> None:
        number = self._refresh()
        if number is not None:
            remove_version(self._environment, number)
            self._mark("pages.collect", UNFINISHED, None)

    def collect(self, horizon: int, *, spacing: Spacing = CLOSE) -> list[Checkpoint]:
        """Drop checkpoints that are no longer needed, and the page versions that only they needed.

        Arguments:
            horizon: micros UTC; any time from here on stays restorable (see `checkpoints.retained`).
            spacing: how far apart those within the horizon are kept.

        Returns:
            The checkpoints that are left.

        Raises:
            StoreError: as `checkpoint`. What was not collected is collected the next time.
        """
        with self._making:
            with self._pinning:
                kept = retained(self._checkpoints, horizon, spacing, set(self._pinned))
                dropped = [one for one in self._checkpoints if one not in kept]
                if dropped:
                    self._drop(dropped)
                    self._checkpoints = kept
            with self._environment.read() as transaction:
                uncollected = get_mark(self._environment, transaction, UNCOLLECTED) is not None
            if uncollected and collect_superseded(
                self._environment, [one.number for one in kept], lambda stored: stored in self._held
            ):
                self._mark("pages.collect", UNCOLLECTED, None)
            return list(kept)

    def _drop(self, dropped: list[Checkpoint]) -> None:
        def work(transaction: Any) -> None:
            for one in dropped:
                transaction.delete(pagekeys.NUMBER.pack(one.number), db=self._environment.database(CHECKPOINTS))
            set_mark(self._environment, transaction, UNCOLLECTED, 1)

        self._environment.write("pages.drop", work, puts=len(dropped) + _SMALL_PUTS)

    # Reading

    def scan(self, prefix: bytes, *, at_position: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """The pages whose keys begin with a prefix, in key order, of one checkpoint throughout.

        Read in short transactions; values are copies. The checkpoint is kept while the iteration lasts.

        Arguments:
            at_position: log position of a retained checkpoint; None for the current one.

        Raises:
            NotFound: CHECKPOINT_GONE where there is no such checkpoint.
            StoreError: STORE_DAMAGED, with the key, where a checksum does not fit.
        """
        with self._pin(at_position) as number:
            yield from scan_pages(self._environment, prefix, number, self._copied)

    def scan_in_place(self, prefix: bytes, *, at_position: int | None = None) -> Iterator[tuple[bytes, Buffer]]:
        """The same, but long pages lie in the file's mapping, and it is not read whether they are what was written.

        Yields:
            (key, page): bytes for a short page, as `scan` gives them; a memoryview for a long one, aligned to 64
            bytes. The page is kept as long as a buffer of it is held, and may be read after the store is closed.
        """
        with self._pin(at_position) as number:
            yield from scan_pages(self._environment, prefix, number, self._in_place)

    def get(self, key: bytes, *, at_position: int | None = None) -> bytes | None:
        """One page's bytes; None where there is none. Arguments and errors as `scan`."""
        with self._pin(at_position) as number:
            return find_page(self._environment, key, number, self._copied)

    def get_in_place(self, key: bytes, *, at_position: int | None = None) -> Buffer | None:
        """One page as `scan_in_place` gives it; None where there is none."""
        with self._pin(at_position) as number:
            return find_page(self._environment, key, number, self._in_place)

    def _in_place(self, transaction: Any, stored: bytes) -> Buffer | None:
        held = self._held.get(stored)
        if held is not None:
            return memoryview(held)
        environment = self._environment
        where = places.noted(environment, transaction, stored)
        found = self._at(stored, *where) if where is not None else None
        if found is None:
            value = transaction.get(stored, db=environment.database(PAGES))
            place = environment.place_of(value)
            if place < 0:
                return self._copied(transaction, stored)
            found = self._at(stored, place, len(value))
            if found is None:
                raise wrong_checksum(environment, stored)
        self._held[stored] = found
        return memoryview(found)

    def _at(self, stored: bytes, place: int, size: int) -> MappedPage | None:
        """The payload of the value that stands at a place of the file; None where another does, or it is damaged."""
        value = self._environment.in_place(place, size)
        head = None if value is None else head_of(stored, memoryview(value))
        if head is None or not head.present:
            return None
        return self._environment.in_place(place + HEAD_BYTES, head.payload_bytes)

    @contextmanager
    def _pin(self, at_position: int | None) -> Iterator[int]:
        with self._pinning:
            number = self._number_at(at_position)
            self._pinned[number] += 1
        try:
            yield number
        finally:
            with self._pinning:
                self._pinned[number] -= 1
                if not self._pinned[number]:
                    del self._pinned[number]

    def _number_at(self, position: int | None) -> int:
        if position is None:
            return self._checkpoints[-1].number if self._checkpoints else 0
        for one in reversed(self._checkpoints):
            if one.position == position:
                return one.number
        known = [one.position for one in self._checkpoints]
        raise NotFound(
            f"there is no checkpoint at position {position}",
            field="at_position",
            mend=f"the earliest is at {known[0]}" if known else "there is none yet",
            code="CHECKPOINT_GONE",
        )


def _check_page(key: bytes, payload: Buffer | None, last: bytes | None) -> None:
    if not key or len(key) > MAX_KEY_BYTES:
        raise InvalidInput(
            f"a page key of {len(key)} bytes", field="pages", mend=f"1 to {MAX_KEY_BYTES} bytes", code="PAGE_KEY"
        )
    if last is not None and key <= last:
        raise InvalidInput(
            f"page {key!r} comes after {last!r}",
            field="pages",
            mend="send keys strictly ascending",
            code="PAGES_OUT_OF_ORDER",
        )
    if payload is not None and (size := memoryview(payload).nbytes) > MAX_PAGE_BYTES:
        raise InvalidInput(
            f"page {key!r} has {size} bytes",
            field="pages",
            mend=f"at most {MAX_PAGE_BYTES} bytes",
            code="PAGE_TOO_LONG",
        )
