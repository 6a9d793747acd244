"""The profile package's part of the log: validated records, and how each is applied.

Applying is deterministic, so that the log needs to hold no result of these steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from core.bitmaps.cells import Data
from core.codec import record
from core.profiles.batch import MOST_NAMES, ChangeBatch, EventBatch, Places, chain
from core.profiles.ingest import People, add_events, change_profiles, delete_user, issue_users, merge_users
from core.profiles.records import RecordError
from core.profiles.touched import Touched
from core.values import MAX_MICROS

_MOST_ROWS: Final = 1 << 17
_MOST_BYTES: Final = 64 << 20
"""Bounds of what recovery stores at once: of memory, as more gains little."""


class Changing(People, Protocol):
    """The version that a group is changing. `now` is micros UTC; `imports` maps an import to its next offset."""

    now: int
    touched: Touched
    imports: dict[str, int]


@record("events_added")
@dataclass(frozen=True, slots=True)
class EventsAdded:
    """Events to store, every one with its time.

    Those before `oldest_live` (micros), and all of an import, trigger nothing.
    """

    batch: EventBatch
    imported: bool
    oldest_live: int


@dataclass(frozen=True, slots=True)
class EventsReplayed:
    """The events of several steps, all judged: never in the log, but what recovery makes of it. See `Gathered`.

    Arguments:
        arrivals: int64[n], micros UTC, the project's clock when each event came.
    """

    batch: EventBatch
    arrivals: Data


class Gathered:
    """The events of consecutive steps, to be stored at once.

    Their order and the clock of each are kept, so that this is the same as storing them step by step, as long as
    nothing between asks for users or events: a day's page is then written once for many records.
    """

    def __init__(self) -> None:
        self._batches: list[EventBatch] = []
        self._nows: list[int] = []
        self._rows = self._bytes = self._names = 0

    def has_room(self, step: EventsAdded) -> bool:
        """Whether a step's events can be stored at once with those that are here."""
        return (
            self._rows + len(step.batch) <= _MOST_ROWS
            and self._bytes + len(step.batch.heap) <= _MOST_BYTES
            and self._names + len(step.batch.names) <= MOST_NAMES
        )

    def add(self, step: EventsAdded, now: int) -> None:
        """Take a step's events, that came at an instant."""
        self._batches.append(step.batch)
        self._nows.append(now)
        self._rows += len(step.batch)
        self._bytes += len(step.batch.heap)
        self._names += len(step.batch.names)

    def take(self) -> list[EventsReplayed]:
        """What was gathered, as one step; none where there is nothing. Gathering begins anew."""
        batches, nows = self._batches, self._nows
        self._batches, self._nows = [], []
        self._rows = self._bytes = self._names = 0
        if not batches:
            return []
        return [EventsReplayed(chain(batches), np.repeat(np.array(nows, np.int64), [len(one) for one in batches]))]


@record("profiles_changed")
@dataclass(frozen=True, slots=True)
class ProfilesChanged:
    """Changes to apply in order; `places` (uint32[n]) are their indexes in the batch."""

    batch: ChangeBatch
    places: Places
    imported: bool


@record("users_merged")
@dataclass(frozen=True, slots=True)
class UsersMerged:
    """Two ids become one user."""

    distinct_id: str
    other_id: str


@record("user_deleted")
@dataclass(frozen=True, slots=True)
class UserDeleted:
    """A user is deleted."""

    ordinal: int


@record("users_issued")
@dataclass(frozen=True, slots=True)
class UsersIssued:
    """Ids that become users with nothing known of them."""

    distinct_ids: list[str]


@record("import_advanced")
@dataclass(frozen=True, slots=True)
class ImportAdvanced:
    """Everything of an import below this offset is taken."""

    import_id: str
    next_offset: int


ProfileStep = EventsAdded | EventsReplayed | ProfilesChanged | UsersMerged | UserDeleted | UsersIssued | ImportAdvanced


def apply(work: Changing, step: ProfileStep) -> int | bool | list[RecordError] | None:
    """Apply a step.

    Returns:
        EventsAdded, EventsReplayed: how many were duplicates; ProfilesChanged: what the present values did not allow;
        UsersMerged: whether two histories became one; otherwise None.
    """
    if isinstance(step, EventsAdded):
        return add_events(
            work,
            step.batch,
            np.full(len(step.batch), work.now, np.int64),
            work.touched,
            oldest_live=MAX_MICROS + 1 if step.imported else step.oldest_live,
        )
    if isinstance(step, EventsReplayed):
        return add_events(work, step.batch, step.arrivals, work.touched, oldest_live=MAX_MICROS + 1)
    if isinstance(step, ProfilesChanged):
        return change_profiles(work, step.batch, step.places, work.touched, live=not step.imported)
    if isinstance(step, UsersMerged):
        return merge_users(work, step.distinct_id, step.other_id, work.touched)
    if isinstance(step, UserDeleted):
        delete_user(work, step.ordinal, work.touched)
    elif isinstance(step, UsersIssued):
        issue_users(work, step.distinct_ids, work.touched, live=False)
    else:
        work.imports = {**work.imports, step.import_id: step.next_offset}
    return None
