"""The profile package's part of the log: validated records, and how each is applied.

Applying is deterministic, so that the log needs to hold no result of these steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.codec import record
from core.profiles.ingest import People, add_events, change_profiles, delete_user, issue_users, merge_users
from core.profiles.records import EventRecord, ProfileChange, RecordError
from core.profiles.touched import Touched
from core.values import MAX_MICROS, Value


class Changing(People, Protocol):
    """The version that a group is changing. `now` is micros UTC; `imports` maps an import to its next offset."""

    now: int
    touched: Touched
    imports: dict[str, int]


@record("events_added")
@dataclass(frozen=True, slots=True)
class EventsAdded:
    """Events to store, as columns of equal length; `times`: int64[n], micros.

    Those before `oldest_live` (micros), and all of an import, trigger nothing.
    """

    names: list[str]
    distinct_ids: list[str]
    times: npt.NDArray[np.int64]
    insert_ids: list[str]
    properties: list[dict[str, Value]]
    imported: bool
    oldest_live: int

    @classmethod
    def of(cls, events: Sequence[EventRecord], *, imported: bool, oldest_live: int) -> EventsAdded:
        """The step for validated records."""
        return cls(
            [event.name for event in events],
            [event.distinct_id for event in events],
            np.array([event.time for event in events], np.int64),
            [event.insert_id for event in events],
            [event.properties for event in events],
            imported,
            oldest_live,
        )


@record("profiles_changed")
@dataclass(frozen=True, slots=True)
class ProfilesChanged:
    """Changes to apply in order, as columns of equal length; `places` are their indexes in the batch.

    `names` has an entry where the operation is UNSET, and is empty elsewhere.
    """

    distinct_ids: list[str]
    operations: list[str]
    properties: list[dict[str, Value]]
    names: list[list[str]]
    places: list[int]
    imported: bool

    @classmethod
    def of(cls, changes: Sequence[ProfileChange], places: list[int], *, imported: bool) -> ProfilesChanged:
        """The step for validated records."""
        return cls(
            [change.distinct_id for change in changes],
            [str(change.operation) for change in changes],
            [change.properties for change in changes],
            [change.names for change in changes],
            places,
            imported,
        )

    def changes(self) -> list[ProfileChange]:
        """The records again."""
        return list(map(ProfileChange, self.distinct_ids, self.operations, self.properties, self.names))


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


ProfileStep = EventsAdded | ProfilesChanged | UsersMerged | UserDeleted | UsersIssued | ImportAdvanced


def apply(work: Changing, step: ProfileStep) -> int | bool | list[RecordError] | None:
    """Apply a step.

    Returns:
        EventsAdded: how many were duplicates; ProfilesChanged: what the present values did not allow;
        UsersMerged: whether two histories became one; otherwise None.
    """
    if isinstance(step, EventsAdded):
        return add_events(
            work,
            step.names,
            step.distinct_ids,
            step.times,
            step.insert_ids,
            step.properties,
            work.now,
            work.touched,
            oldest_live=MAX_MICROS + 1 if step.imported else step.oldest_live,
        )
    if isinstance(step, ProfilesChanged):
        return change_profiles(work, step.changes(), step.places, work.touched, live=not step.imported)
    if isinstance(step, UsersMerged):
        return merge_users(work, step.distinct_id, step.other_id, work.touched)
    if isinstance(step, UserDeleted):
        delete_user(work, step.ordinal, work.touched)
    elif isinstance(step, UsersIssued):
        issue_users(work, step.distinct_ids, work.touched, live=False)
    else:
        work.imports = {**work.imports, step.import_id: step.next_offset}
    return None
