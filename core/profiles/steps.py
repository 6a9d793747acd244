"""The profile package's part of the log: validated records, and how each is applied.

Applying is deterministic, so that the log needs to hold no result of these steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.codec import record
from core.profiles.batch import ChangeBatch, EventBatch, Places
from core.profiles.ingest import People, add_events, change_profiles, delete_user, issue_users, merge_users
from core.profiles.records import RecordError
from core.profiles.touched import Touched
from core.values import MAX_MICROS


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
            step.batch,
            work.now,
            work.touched,
            oldest_live=MAX_MICROS + 1 if step.imported else step.oldest_live,
        )
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
