"""The engine of one project: orders commands, commits groups, publishes versions. No rule lives here.

One writer thread takes what is waiting, decides it as a group (core/group.py), appends the group to the log in
one durable transaction, publishes the new version, and only then answers. Readers pin `version` and see only
that. Checkpoints run in a thread of their own, from a version that no longer changes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core import commands
from core.bitmaps.population import Population
from core.errors import Exhausted, MusterError, StoreError, Unavailable
from core.group import Asked, Broken, decide, replay, to_log, was_unwatched
from core.history import History, check_past
from core.lanes import Lanes, Waiting
from core.messaging.accounts import Account, accounts
from core.messaging.campaign_definitions import CampaignDefinition
from core.messaging.definitions import MessageDefinition
from core.messaging.judge import Defective
from core.profiles.identity import Users
from core.requests import Requests
from core.settings import Settings, check_settings
from core.simulation import Progress, Question, Simulated, simulate
from core.storage.checkpoints import Spacing
from core.storage.faults import NO_FAULTS, Faults
from core.storage.store import KEPT_SPACING, Store
from core.version import ClockMoved, Version

_log = logging.getLogger(__name__)
_MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Bounds of an engine.

    Arguments:
        group_records: about how many records are committed together.
        queue_records: how many may wait before requests are refused.
        checkpoint_bytes: log bytes after which a checkpoint starts.
        checkpoint_seconds: time after which one starts if anything changed.
        horizon_seconds: how long old checkpoints and log are kept.
        spacing: how far apart old checkpoints are kept.
        store_bytes: where the store takes more of the disk, its oldest history goes sooner; 0: no bound.
    """

    group_records: int = 20_000
    queue_records: int = 1_000_000
    checkpoint_bytes: int = 64 << 20
    checkpoint_seconds: float = 300.0
    horizon_seconds: float = 30 * 86_400.0
    store_bytes: int = 0
    spacing: Spacing = KEPT_SPACING


class Closed(Unavailable):
    """The engine is closed."""

    code = "ENGINE_CLOSED"


def _weight(command: commands.Command) -> int:
    if isinstance(command, commands.Ingest):
        return 1 + len(command.events) + len(command.changes)
    if isinstance(command, commands.TakeFeedback):
        return 1 + len(command.feedback)
    return 1


class Engine:
    """One project's state machine over its store. Thread-safe."""

    def __init__(
        self, store: Store, version: Version, requests: Requests, clock: Callable[[], int], config: EngineConfig
    ):
        self._store = store
        self._version = version
        self._history = History(store)
        self._requests = requests
        self._clock = clock
        self._config = config
        self._ready = threading.Condition()
        self._waiting = Lanes(config.group_records)
        self._closing = False
        self._stopped = ""
        self._listeners: list[Callable[[Version], None]] = []
        self._log_bytes = 0
        self._commit_seconds = 0.0
        self._last_checkpoint = time.monotonic()
        self._checkpoint: threading.Thread | None = None
        self._checkpoint_failed: tuple[Version, dict[bytes, bytes | None]] | None = None
        self._checkpoint_made: Version | None = None
        self._writer = threading.Thread(target=self._write, name=f"engine-{version.settings.name}", daemon=True)

    # Opening and closing

    @classmethod
    def create(cls, folder: Path, settings: Settings, now: int) -> None:
        """Make a project's store, with its first checkpoint.

        Arguments:
            folder: must not hold a store.
            now: where the project's clock starts, micros UTC.

        Raises:
            InvalidInput: for the settings; StoreError: where the folder cannot be used.
        """
        check_settings(settings)
        store = Store.create(folder)
        try:
            version = Version(settings, now)
            position = store.log.append([to_log(version.fork())], now=now)
            store.pages.checkpoint(position, version.dirty_pages(), at=int(time.time() * _MICROS))
        finally:
            store.close()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        clock: Callable[[], int],
        config: EngineConfig | None = None,
        faults: Faults = NO_FAULTS,
    ) -> Engine:
        """Open a project's store: its checkpoint, then the log's tail, recorded decisions and all.

        Arguments:
            clock: gives the present in micros UTC; asked only for projects on real time.
            faults: told of each write to the disk, for tests.

        Raises:
            StoreError: STORE_NOT_FOUND, STORE_LOCKED, STORE_DAMAGED, STORE_TRUNCATED, STORE_FORMAT_NEWER,
                STORE_FORMAT_OLDER.
        """
        store = Store.open(folder, faults=faults)
        try:
            version, requests = recover(store)
        except BaseException:
            store.close()
            raise
        engine = cls(store, version, requests, clock, config or EngineConfig())
        engine._writer.start()
        store.scrub.start()
        try:
            # Hand-offs that began before a crash and were never acknowledged: nobody knows, and that is recorded.
            engine.submit(commands.Lose(None)).result()
        except BaseException:
            engine.close()
            raise
        return engine

    def close(self) -> None:
        """Commit what waits, make a checkpoint, close the store. Idempotent."""
        with self._ready:
            if self._closing:
                return
            self._closing = True
            self._ready.notify_all()
        self._writer.join()
        if self._checkpoint is not None:
            self._checkpoint.join()
        if not self._stopped:
            try:
                self._make_checkpoint(self._version)
            except StoreError as error:
                _log.warning("no checkpoint at close, the log has everything: %s", error)
        self._store.close()

    # Asking

    @property
    def version(self) -> Version:
        """The newest durable version. Hold it to read consistently; it never changes."""
        return self._version

    def submit(self, command: commands.Command, request_id: str = "") -> Future[Any]:
        """Ask for a command.

        Arguments:
            request_id: where set, a repetition within 24 hours gets the first answer and changes nothing.

        Returns:
            A future resolved after the durable commit, or failed with the command's MusterError.
        """
        future: Future[Any] = Future()
        records = _weight(command)
        with self._ready:
            if self._closing:
                future.set_exception(Closed("the engine is closed", mend="try again after the restart"))
            elif self._waiting.is_bulk(command) and self._waiting.bulk_records + records > self._config.queue_records:
                future.set_exception(
                    Exhausted(
                        "too much is waiting to be committed", mend="send less at once, and retry", code="QUEUE_FULL"
                    )
                )
            else:
                self._waiting.put(Waiting(Asked(command, request_id), future, records))
                self._ready.notify_all()
        return future

    def tick(self) -> None:
        """Let a project on real time decide what time alone decides; does not wait."""
        with self._ready:
            if not self._closing and not self._waiting and self._version.settings.clock == "real":
                self._waiting.put(Waiting(Asked(commands.Lose([])), Future(), 1))
                self._ready.notify_all()

    def on_commit(self, listener: Callable[[Version], None]) -> Callable[[], None]:
        """Call `listener` with each new version, from the writer thread: it must return at once.

        Returns:
            A function that ends it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def import_offset(self, import_id: str) -> int:
        """Where an import goes on."""
        return self._version.imports.get(import_id, 0)

    def health(self) -> str:
        """Why nothing more should be done with this project: writes are stopped or its store is damaged; or ""."""
        return self._stopped or self._store.scrub.damage

    @property
    def waiting(self) -> int:
        """Records waiting to be committed."""
        return self._waiting.bulk_records

    @property
    def commit_seconds(self) -> float:
        """How long the last commit took."""
        return self._commit_seconds

    def backup(self, destination: Path) -> int:
        """Write a consistent copy of the store while running.

        Returns:
            Its size in bytes.
        """
        self._store.backup(destination)
        return sum(item.stat().st_size for item in destination.rglob("*") if item.is_file())

    def checkpoint(self) -> None:
        """Make a checkpoint now and wait for it."""
        self._exclusively(lambda: self._make_checkpoint(self._version))

    def load(self, fill: Callable[[Population, Users], None]) -> None:
        """Bulk load: change the population outside the log and make a checkpoint of it, as one step.

        Nothing is judged; a crash before the checkpoint is whole leaves the store as it was.
        """

        def run() -> None:
            draft = self._version.fork()
            try:
                fill(draft.population, draft.users)
                draft.population.issue(draft.users.issued)
                position = self._store.log.append([to_log(self._version.fork())], now=draft.now)
                self._make_checkpoint(draft.publish(position), apart=True)
            except BaseException:
                self._discard()
                raise

        self._exclusively(run)

    # The past

    @property
    def history(self) -> History:
        """The project as it was."""
        return self._history

    def at(self, instant: int) -> Version:
        """The project as it was at an instant; takes a while, and holds nobody up.

        Arguments:
            instant: micros UTC of the project's clock.

        Raises:
            InvalidInput: TIME_IN_FUTURE; FailedPrecondition: HISTORY_GONE, with the earliest that can be had.
        """
        present = self._version
        self._check_past(instant, present, "at")
        # Since the last group nothing happened.
        return present.seen_at(instant) if instant >= present.now else self._history.at(instant)

    def restore(self, instant: int, destination: Path) -> None:
        """Write the store as it was at an instant, its live messages paused.

        Arguments:
            instant: micros UTC of the project's clock.
            destination: absent or an empty folder; its parent exists.

        Raises:
            InvalidInput: TIME_IN_FUTURE; FailedPrecondition: HISTORY_GONE; StoreError: as `backup`.
        """
        present = self._version
        self._check_past(instant, present, "at")
        self._history.restore(instant, destination)

    def simulate(self, question: Question, progress: Progress) -> Simulated:
        """Decide messages over a span of time in a copy of the project; takes a while, and holds nobody up.

        Raises:
            InvalidInput: TIME_IN_FUTURE, and what `core.simulation.simulate` raises.
        """
        present = self._version
        if question.start > present.now:
            self._check_past(question.start, present, "start_time")
        return simulate(self._history, present, question, progress)

    def _check_past(self, instant: int, present: Version, field: str) -> None:
        now = max(present.now, self._clock()) if present.settings.clock == "real" else present.now
        check_past(instant, now, field)

    def prune(self, horizon: int) -> None:
        """Drop the history that no time from an instant on needs.

        Arguments:
            horizon: micros UTC of the project's clock.

        Raises:
            StoreError: as a checkpoint.
        """
        kept = [one for one, now in self._history.reach().checkpoints if now <= horizon]
        self._collect(kept[-1].at if kept else 0)

    # The writer

    def _exclusively(self, action: Callable[[], None]) -> None:
        """Run something between groups, in the writer thread, and wait for it."""
        future: Future[Any] = Future()
        with self._ready:
            if self._closing:
                raise Closed("the engine is closed", mend="try again after the restart")
            self._waiting.put(Waiting(Asked(action), future, 0))  # type: ignore[arg-type]
            self._ready.notify_all()
        future.result()

    def _take(self) -> list[Waiting] | None:
        with self._ready:
            while not self._waiting:
                if self._closing:
                    return None
                self._ready.wait()
            return self._waiting.take()

    def _write(self) -> None:
        while (group := self._take()) is not None:
            if not group:
                continue
            action = group[0].asked.command
            if callable(action):
                try:
                    action()
                    group[0].future.set_result(None)
                except BaseException as error:  # noqa: BLE001 - it is the caller's, who waits for it
                    group[0].future.set_exception(error)
                continue
            started = time.monotonic()
            self._commit(group)
            self._commit_seconds = time.monotonic() - started
            self._settle_checkpoint()
            self._maybe_checkpoint()

    def _commit(self, group: list[Waiting]) -> None:
        now = self._clock() if self._version.settings.clock == "real" else self._version.now
        try:
            position, draft = self._decide_and_append(group, now)
        except StoreError as error:
            self._stopped = str(error)
            _log.error("commit failed, its requests fail: %s", error)
            self._fail(group, Unavailable(f"nothing was changed: {error.message}", mend=error.mend, code=error.code))
            return
        except MusterError as error:
            self._fail(group, error)
            return
        except Exception:  # noqa: BLE001 - the writer outlives a defect: the next group may not meet it
            self._stopped = "a group of commands failed unexpectedly; the server's log has the trace"
            _log.exception("a group of %d commands failed unexpectedly, nothing was changed", len(group))
            self._fail(group, MusterError("an internal error; nothing was changed", mend="report it"))
            return
        self._stopped = ""
        self._requests.absorb(draft.now)
        self._version = draft.publish(position)
        for item in group:
            if item.asked.error is not None:
                item.future.set_exception(item.asked.error)
            else:
                item.future.set_result(item.asked.answer)
        for listener in list(self._listeners):
            try:
                listener(self._version)
            except Exception:  # noqa: BLE001 - what is committed is committed, whatever a listener makes of it
                _log.exception("a listener failed at position %d", position)

    def _fail(self, group: list[Waiting], error: MusterError) -> None:
        """Discard what a group did, and fail each of its requests: by its own error where it has one."""
        self._discard()
        for item in group:
            item.future.set_exception(item.asked.error or error)

    def _decide_and_append(self, group: list[Waiting], now: int) -> tuple[int, Any]:
        asked = [item.asked for item in group]
        unwatched = was_unwatched(self._version, now)
        defective: list[MessageDefinition | CampaignDefinition] = []
        while True:
            try:
                draft = decide(self._version, now, asked, self._requests, defective, unwatched=unwatched)
                break
            except Broken as broken:
                _log.error("a %s failed unexpectedly and is refused", broken, exc_info=broken.asked.error)
                asked = [one for one in asked if one is not broken.asked]
            except Defective as found:
                _log.exception("judging %s failed unexpectedly: it is paused", found)
                defective.append(found.definition)
            self._discard()
            for one in asked:
                one.answer = one.error = None
        if all(isinstance(step, ClockMoved) for step in draft.steps) and draft.settings.clock == "real":
            # Time passed and nothing was decided: recovery finds the same from the instant before.
            return self._version.position, draft
        if not draft.steps:
            return self._version.position, draft
        record = to_log(draft)
        position = self._store.log.append([record], now=draft.now)
        self._log_bytes += len(record)
        return position, draft

    def _discard(self) -> None:
        self._requests.discard()
        self._version.users.restore_table()

    # Checkpoints

    def _maybe_checkpoint(self) -> None:
        if self._log_bytes == 0 or (self._checkpoint is not None and self._checkpoint.is_alive()):
            return
        age = time.monotonic() - self._last_checkpoint
        if self._log_bytes >= self._config.checkpoint_bytes or age >= self._config.checkpoint_seconds:
            self._start_checkpoint()

    def _start_checkpoint(self) -> None:
        """Write a checkpoint of the present version in a thread of its own, while the writer goes on."""
        if self._checkpoint is not None:
            self._checkpoint.join()
        self._settle_checkpoint()
        frozen, requests, log_bytes = self._version, self._requests.take_dirty(), self._log_bytes
        self._go_on_from(frozen)

        def run() -> None:
            try:
                self._save(frozen, requests, log_bytes)
                self._checkpoint_made = frozen
            except StoreError as error:
                _log.error("checkpoint at %d failed, the log has everything: %s", frozen.position, error)
                self._checkpoint_failed = (frozen, requests)
            self._wake()

        self._checkpoint = threading.Thread(target=run, name="checkpoint", daemon=True)
        self._checkpoint.start()

    def _wake(self) -> None:
        """Let the writer settle a checkpoint even where nothing is asked."""
        with self._ready:
            if not self._closing:
                self._waiting.put(Waiting(Asked(self._settle_checkpoint), Future(), 0))  # type: ignore[arg-type]
                self._ready.notify_all()

    def _make_checkpoint(self, frozen: Version, *, apart: bool = False) -> None:
        """Write a checkpoint of a version and wait for it; only then it is the present one.

        Arguments:
            apart: whether the log does not lead to that version.

        Raises:
            StoreError: the present version is as it was.
        """
        if self._checkpoint is not None:
            self._checkpoint.join()
        self._settle_checkpoint()
        requests = self._requests.take_dirty()
        try:
            self._save(frozen, requests, self._log_bytes, apart)
        except BaseException:
            self._requests.soil(requests)
            raise
        self._go_on_from(frozen)
        self._checkpoint_made = frozen
        self._settle_checkpoint()

    def _save(self, frozen: Version, requests: dict[bytes, bytes | None], log_bytes: int, apart: bool = False) -> None:
        at = int(time.time() * _MICROS)
        pages = self._store.pages
        try:
            changed = frozen.dirty_pages(requests.items())
            pages.checkpoint(frozen.position, changed, at=at, log_bytes=log_bytes, apart=apart)
        except StoreError:
            if pages.position < frozen.position:
                raise
            # It failed after its last step: the disk has the whole checkpoint.
        try:
            horizon = at - int(self._config.horizon_seconds * _MICROS)
            self._collect(horizon)
        except StoreError as error:
            _log.warning("old checkpoints are not collected yet: %s", error)

    def _collect(self, horizon: int) -> None:
        self._store.collect(horizon, spacing=self._config.spacing, most_bytes=self._config.store_bytes)

    def _go_on_from(self, frozen: Version) -> None:
        """Make a version with nothing to save the present one: a checkpoint of `frozen` has it."""
        draft = frozen.fork()
        draft.clean()
        self._version = draft.publish(frozen.position)
        self._log_bytes = 0
        self._last_checkpoint = time.monotonic()

    def _settle_checkpoint(self) -> None:
        """Go on from how the last checkpoint ended: use its pages in place, or mark again what it did not save."""
        made, self._checkpoint_made = self._checkpoint_made, None
        if made is not None:
            draft = self._version.fork()
            try:
                draft.adopt(made, self._store.pages.get_in_place)
                self._version = draft.publish(self._version.position)
            except StoreError as error:
                _log.error("the pages of the checkpoint at %d stay in memory: %s", made.position, error)
        failed, self._checkpoint_failed = self._checkpoint_failed, None
        if failed is not None:
            draft = self._version.fork()
            draft.soil(failed[0])
            self._requests.soil(failed[1])
            self._version = draft.publish(self._version.position)


def recover(store: Store) -> tuple[Version, Requests]:
    """The newest version that a store holds: its checkpoint and the log's tail."""
    position = store.pages.position
    version = Version.load(store.pages.scan, store.pages.scan_in_place, position)
    requests = Requests.load(store.pages.scan)
    return replay(version, store.log.read(position), requests), requests


@dataclass(frozen=True, slots=True)
class Verified:
    """What a store holds and what is wrong with it. `accounts` are empty where the store itself is damaged."""

    problems: list[str]
    accounts: list[Account]


def verify(folder: Path) -> list[str]:
    """What is wrong with a store that no server has open; empty where all is well. See `examine`."""
    return examine(folder).problems


def examine(folder: Path) -> Verified:
    """Check a store that no server has open: every record and page, then, recovered in memory, every message's accounts.

    Raises:
        StoreError: STORE_NOT_FOUND, STORE_LOCKED, STORE_FORMAT_NEWER, STORE_FORMAT_OLDER: nothing could be checked.
    """
    from core.storage.verify import verify as verify_store

    problems = [str(problem) for problem in verify_store(folder)]
    if problems:
        return Verified(problems, [])
    store = Store.open(folder)
    try:
        version, _ = recover(store)
    except MusterError as error:
        return Verified([str(error)], [])
    finally:
        store.close()
    found = list(accounts(version))
    for one in found:
        problems += [f"message {one.key}, occurrence {one.occurrence}: {text}" for text in one.problems]
    return Verified(problems, found)
