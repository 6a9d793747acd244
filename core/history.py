"""A project as it was: versions of past instants, and stores restored to them.

The version of an instant is the nearest checkpoint before it and the log from there up to the last group of that
instant or an earlier one; applying them decides nothing. It shares no memory with the live versions, so that the
writer is never waited for nor kept waiting.

A line is a checkpoint in memory and the log applied to it so far. It only ever goes on; a time before its end takes
another line, or a copy of a version that the line has passed and that is still kept.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Final

from core.errors import FailedPrecondition, InvalidInput
from core.group import replay, steps_of, to_log
from core.messaging.campaign_pause import pause_campaign
from core.messaging.effects import Defined
from core.requests import Requests
from core.storage.checkpoints import Checkpoint
from core.storage.store import Store
from core.values import from_micros
from core.version import Version

RESTORED: Final = "restored"
"""Why a message is paused in a restored store: what it sent after that instant is not known there."""
_LINES: Final = 2
_VERSIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back a project can be asked, and what that takes of the disk.

    Arguments:
        earliest: the first instant that can be had, micros UTC of the project's clock.
        checkpoints: those kept, each with the project's instant of it, oldest first.
        log_bytes, page_bytes: of the disk; the pages are those of the present state and of all checkpoints.
        disk_bytes: what the store's files take, with the room in them that is free to be written again.
    """

    earliest: int
    checkpoints: list[tuple[Checkpoint, int]]
    log_bytes: int
    page_bytes: int
    disk_bytes: int


@dataclass(slots=True)
class _Line:
    """`versions` are those that were asked for, by position, the one asked for last at the end."""

    checkpoint: Checkpoint
    end: Version
    versions: dict[int, Version]

    def leads_from(self, base: Checkpoint) -> bool:
        """Whether it has what a checkpoint has."""
        return self.checkpoint == base or (not base.apart and self.end.position >= base.position)


class History:
    """The past of one open store. Thread-safe; one past version is made at a time.

    Arguments:
        lines: how many checkpoints are held in memory at most.
        versions: how many versions of each are kept at most; they share most of what they hold.
    """

    def __init__(self, store: Store, *, lines: int = _LINES, versions: int = _VERSIONS) -> None:
        self._store = store
        self._lines: list[_Line] = []
        self._most_lines = lines
        self._most_versions = versions
        self._making = threading.Lock()

    def reach(self) -> Reach:
        """How far back it goes."""
        store = self._store
        first = store.log.first_position
        kept = [(one, store.log.now_at(one.position)) for one in store.pages.checkpoints() if one.position >= first]
        return Reach(kept[0][1], kept, store.log.used_bytes, store.pages.used_bytes, store.disk_bytes)

    def at(self, instant: int) -> Version:
        """The project as it was at an instant: after the last group made at or before it, with `now` that instant.

        Arguments:
            instant: micros UTC of the project's clock.

        Raises:
            FailedPrecondition: HISTORY_GONE, with the earliest instant that can be had.
            StoreError: where the store is damaged.
        """
        with self._making:
            base, position = self._place(instant)
            line = self._line(base, position)
            version = line.versions.pop(position, None)
            if version is None:
                version = line.end = self._replayed(line.end, position)
            line.versions[position] = version
            while len(line.versions) > self._most_versions:
                del line.versions[next(iter(line.versions))]
            return version.seen_at(instant)

    def apart(self, instant: int, field: str = "at") -> Version:
        """As `at`, but a version that is the caller's own: it may be forked, and what is decided on it goes nowhere."""
        base, position = self._place(instant, field)
        return self._replayed(self._loaded(base), position).seen_at(instant)

    def steps(self, after: int, upto: int) -> Iterator[tuple[int, list[object]]]:
        """What was committed after a log position, up to an instant: positions and the steps of each group.

        Arguments:
            upto: micros UTC of the project's clock.
        """
        for position, record in self._store.log.records(after):
            if record.now > upto:
                return
            yield position, steps_of(record.payload)

    def restore(self, instant: int, destination: Path) -> None:
        """Write the store as it was at an instant, with its live messages and campaigns paused (`restored`).

        Arguments:
            instant: micros UTC of the project's clock.
            destination: absent or an empty folder; its parent exists.

        Raises:
            FailedPrecondition: HISTORY_GONE; StoreError: as `core.storage.store.Store.extract`.
        """
        base, position = self._place(instant)
        draft = self._replayed(self._loaded(base), position).fork()
        for campaign in draft.campaigns.live():
            pause_campaign(draft, campaign, RESTORED)
        for definition in draft.messages.live():
            paused = replace(
                definition,
                state="paused",
                pause_reason=RESTORED,
                paused_at=draft.now,
                revision=definition.revision + 1,
            )
            draft.do(Defined(paused))

        def pause(store: Store) -> None:
            if draft.steps:
                store.log.append([to_log(draft)], now=draft.now)

        self._store.extract(destination, base, position, further=pause)

    def _place(self, instant: int, field: str = "at") -> tuple[Checkpoint, int]:
        """The checkpoint to begin with, and the log position to go up to."""
        position = self._store.log.position_at(instant)
        kept = self._store.pages.checkpoints()
        base = next((one for one in reversed(kept) if one.position <= position), None)
        if base is None:
            earliest = from_micros(self.reach().earliest).isoformat().replace("+00:00", "Z")
            raise FailedPrecondition(
                "the project's history does not reach back so far",
                field=field,
                mend=f"the earliest that can be had is {earliest}",
                code="HISTORY_GONE",
            )
        return base, position

    def _line(self, base: Checkpoint, position: int) -> _Line:
        """The line that has the version at a position or goes on to it, from a checkpoint."""
        known = [one for one in self._lines if one.leads_from(base)]
        found = next((one for one in known if position in one.versions), None) or next(
            (one for one in known if one.end.position <= position), None
        )
        line = found or _Line(base, self._loaded(base), {})
        # The line used last stands last; the one unused for longest goes, with all that it holds.
        self._lines = [*(one for one in self._lines if one is not line), line][-self._most_lines :]
        return line

    def _loaded(self, base: Checkpoint) -> Version:
        pages = self._store.pages
        return Version.load(
            lambda prefix: pages.scan(prefix, at_position=base.position),
            lambda prefix: pages.scan_in_place(prefix, at_position=base.position),
            base.position,
        )

    def _replayed(self, version: Version, position: int) -> Version:
        if version.position == position:
            return version
        records = takewhile(lambda one: one[0] <= position, self._store.log.read(version.position))
        return replay(version, records, Requests())


def check_past(instant: int, now: int, field: str) -> None:
    """Refuse an instant that is still to come.

    Arguments:
        instant, now: micros UTC.
        field: where the instant was given.

    Raises:
        InvalidInput: TIME_IN_FUTURE.
    """
    if instant > now:
        raise InvalidInput(
            "that instant is still to come",
            field=field,
            mend=f"a time up to {from_micros(now).isoformat().replace('+00:00', 'Z')}, or leave it away for the present",
            code="TIME_IN_FUTURE",
        )
