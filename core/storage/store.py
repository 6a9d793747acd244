"""A project's store: one folder with the log, the pages, a lock and a format number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from core.storage.backup import write_backup, write_draft
from core.storage.checkpoints import CHECKPOINTS, STATE, Checkpoint, Spacing
from core.storage.environment import Environment
from core.storage.failures import damaged, store_error
from core.storage.faults import NO_FAULTS, Faults
from core.storage.folder import (
    LOG_FOLDER,
    PAGES_FOLDER,
    FolderLock,
    check_creatable,
    check_format,
    remove_interrupted,
    sync_folder,
    write_format,
)
from core.storage.log import RECORDS, Log
from core.storage.pages import Pages
from core.storage.pagescan import PAGES
from core.storage.scrub import Scrub

LOG_DATABASES: Final = (RECORDS,)
PAGES_DATABASES: Final = (PAGES, CHECKPOINTS, STATE)
LOG_MAP_SIZE: Final = 64 << 30
PAGES_MAP_SIZE: Final = 256 << 30
MAP_LIMIT: Final = 16 << 40
KEPT_SPACING: Final = Spacing(6 * 3600 * 1_000_000, 512 << 20)
"""How far apart checkpoints are kept within the horizon."""
Further = Callable[["Store"], None]


def _nothing(_: Store) -> None:
    pass


class Store:
    """An open store, made by `create` or `open`; exclusive to this process. Thread-safe."""

    def __init__(self, folder: Path, lock: FolderLock, log: Environment, pages: Environment) -> None:
        self._folder = folder
        self._lock = lock
        self._environments = (log, pages)
        self._closed = False
        self.log = Log(log)
        self.pages = Pages(pages)
        self.scrub = Scrub(pages)
        if self.pages.position > self.log.last_position:
            raise damaged(
                folder, f"its checkpoint is at {self.pages.position}, its log ends at {self.log.last_position}"
            )

    @property
    def folder(self) -> Path:
        """Where the store is."""
        return self._folder

    @classmethod
    def create(
        cls,
        folder: Path | str,
        *,
        log_map_size: int = LOG_MAP_SIZE,
        pages_map_size: int = PAGES_MAP_SIZE,
        map_limit: int = MAP_LIMIT,
        faults: Faults = NO_FAULTS,
    ) -> Store:
        """Make an empty store and open it.

        Arguments:
            folder: absent, empty, or with the traces of an interrupted making; its parent exists.
            log_map_size, pages_map_size: as for `open`.

        Raises:
            StoreError: STORE_EXISTS, STORE_FOLDER_NOT_EMPTY, STORE_LOCKED, DISK_FULL, STORE_WRITE_FAILED.
        """
        folder = Path(folder)
        check_creatable(folder)
        try:
            folder.mkdir(exist_ok=True)
            lock = FolderLock(folder)
            try:
                check_creatable(folder)  # another process may have been faster
                remove_interrupted(folder)
                for environment in _environments(folder, (log_map_size, pages_map_size), map_limit, True, faults):
                    environment.close()
                write_format(folder)
                sync_folder(folder.absolute().parent)
            finally:
                lock.release()
        except OSError as error:
            raise store_error(error, folder, "make the store") from error
        return cls.open(
            folder, log_map_size=log_map_size, pages_map_size=pages_map_size, map_limit=map_limit, faults=faults
        )

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        log_map_size: int = LOG_MAP_SIZE,
        pages_map_size: int = PAGES_MAP_SIZE,
        map_limit: int = MAP_LIMIT,
        faults: Faults = NO_FAULTS,
    ) -> Store:
        """Open a store for this process alone.

        Arguments:
            log_map_size, pages_map_size: bytes of address space reserved at first; disk is used as it is needed.
            map_limit: up to where a full map grows, by doubling.
            faults: told of each write, for tests.

        Raises:
            StoreError: STORE_NOT_FOUND, STORE_LOCKED, STORE_FORMAT_NEWER, STORE_FORMAT_OLDER, STORE_TRUNCATED,
                STORE_DAMAGED, STORE_OPEN_FAILED. Nothing was touched.
        """
        folder = Path(folder)
        check_format(folder)
        lock = FolderLock(folder)
        opened: list[Environment] = []
        try:
            for environment in _environments(folder, (log_map_size, pages_map_size), map_limit, False, faults):
                opened.append(environment)
            return cls(folder, lock, *opened)
        except BaseException:
            for environment in opened:
                environment.close()
            lock.release()
            raise

    def collect(self, horizon: int, *, spacing: Spacing = KEPT_SPACING, most_bytes: int = 0) -> None:
        """Drop checkpoints and log that no time from the horizon on needs.

        Arguments:
            horizon: micros UTC; every time from here on stays restorable, by a checkpoint and the log after it.
            spacing: how far apart checkpoints are kept; the newest is always kept.
            most_bytes: where the store takes more of the disk, the oldest history goes before the horizon; 0: no bound.

        Raises:
            StoreError: as a checkpoint; what was not collected is collected the next time.
        """
        kept = self.pages.collect(horizon, spacing=spacing)
        self._truncate(kept)
        while most_bytes and len(kept) > 1 and self.used_bytes > most_bytes:
            left = self.pages.collect(kept[1].at, spacing=spacing)
            if len(left) == len(kept):  # somebody reads the oldest
                break
            kept = left
            self._truncate(kept)

    def _truncate(self, kept: list[Checkpoint]) -> None:
        """Keep the log from the oldest checkpoint's own record on, which tells of which instant that is."""
        if kept:
            self.log.truncate_before(kept[0].position)

    @property
    def used_bytes(self) -> int:
        """What the store takes on the disk, without the room in its files that is free to be written again."""
        return sum(environment.used_bytes for environment in self._environments)

    @property
    def disk_bytes(self) -> int:
        """What the store's files take on the disk."""
        return sum(environment.disk_bytes for environment in self._environments)

    def backup(self, destination: Path | str) -> None:
        """Write a consistent, compacted copy while running; it can be opened as a store.

        Arguments:
            destination: absent or an empty folder; its parent exists.

        Raises:
            StoreError: BACKUP_DESTINATION, DISK_FULL, STORE_WRITE_FAILED. The destination is as it was.
        """
        log, pages = self._environments
        # The pages first: a log copied later has all that they contain, as long as nothing of it is truncated.
        with self.log.keep:
            write_backup(Path(destination), pages=pages, log=log)

    def extract(self, destination: Path | str, base: Checkpoint, upto: int, *, further: Further = _nothing) -> None:
        """Write the store as it was, while running: one checkpoint and the log after it, up to a position.

        Arguments:
            destination: absent or an empty folder; its parent exists.
            base: a checkpoint that is kept.
            upto: the last position that is taken; not before the checkpoint's.
            further: gets the new store and may append to its log.

        Raises:
            StoreError: BACKUP_DESTINATION, DISK_FULL, STORE_WRITE_FAILED. The destination is as it was.
        """

        def fill(draft: Path) -> Path:
            folder = draft / "store"
            with Store.create(folder) as store, self.log.keep:
                pages = self.pages.scan(b"", at_position=base.position)
                store.log.begin_at(base.position)
                _copy_records(self.log, store.log, base.position - 1, upto)
                store.pages.checkpoint(base.position, pages, at=base.at, apart=True)
                further(store)
            return folder

        write_draft(Path(destination), fill)

    def close(self) -> None:
        """Wait for whoever reads or writes, then close and unlock. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.scrub.stop()
        for environment in self._environments:
            environment.close()
        self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _copy_records(source: Log, target: Log, after: int, upto: int) -> None:
    for position, record in source.records(after):
        if position > upto:
            break
        target.append([record.payload], now=record.now)


def _environments(
    folder: Path, sizes: tuple[int, int], map_limit: int, create: bool, faults: Faults
) -> Iterator[Environment]:
    """The log's and the pages' environment, opened (or, with `create`, made) when asked for; `sizes` of their maps."""
    names = (LOG_FOLDER, LOG_DATABASES), (PAGES_FOLDER, PAGES_DATABASES)
    for (name, databases), size in zip(names, sizes, strict=True):
        if create:
            (folder / name).mkdir()
        yield Environment(folder / name, databases, map_size=size, map_limit=map_limit, create=create, faults=faults)
