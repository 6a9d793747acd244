"""Answers the commands that concern users: checks first, then hands steps to the group at work."""

from __future__ import annotations

from typing import Any, Protocol

from core.commands import DeleteUser, Ingest, MergeUsers
from core.errors import FailedPrecondition, NotFound
from core.profiles.batch import NO_CHANGES, NO_EVENTS, NO_PLACES, Read
from core.profiles.identity import NOBODY
from core.profiles.records import IngestResult
from core.profiles.steps import (
    Changing,
    EventsAdded,
    ImportAdvanced,
    ProfilesChanged,
    ProfileStep,
    UserDeleted,
    UsersMerged,
)
from core.profiles.validate import check_batch, check_id
from core.settings import Settings


class Work(Changing, Protocol):
    """The version that a group is changing, with its log."""

    settings: Settings

    def do(self, step: ProfileStep) -> Any:
        """Apply a step and record it for the log."""


def ingest(work: Work, command: Ingest) -> IngestResult:
    """Take the good records of a batch, name the bad ones.

    Raises:
        InvalidInput: BATCH_TOO_LARGE; FailedPrecondition: OFFSET_GAP.
    """
    count = len(command.events) + len(command.changes)
    next_offset = 0
    if command.import_id:
        known = work.imports.get(command.import_id, 0)
        if command.offset > known:
            raise FailedPrecondition(
                f"the batch starts at {command.offset}, and only what is below {known} is taken",
                field="offset",
                mend=f"go on at {known}",
                code="OFFSET_GAP",
            )
        if command.offset < known:
            return IngestResult(0, 0, [], known)
        next_offset = known + count
    sent_events, sent_changes = command.events, command.changes
    if not isinstance(sent_events, Read):
        sent_events = Read(NO_EVENTS, NO_PLACES, list(enumerate(sent_events)))
    if not isinstance(sent_changes, Read):
        sent_changes = Read(NO_CHANGES, NO_PLACES, list(enumerate(sent_changes)))
    events, changes, places, errors = check_batch(sent_events, sent_changes, work.now)
    duplicates = 0
    if len(events):
        duplicates = work.do(EventsAdded(events, command.imported, work.now - work.settings.late_after))
    refused = work.do(ProfilesChanged(changes, places, command.imported)) if len(changes) else []
    if command.import_id and count:
        work.do(ImportAdvanced(command.import_id, next_offset))
    errors = sorted([*errors, *refused], key=lambda error: error.index)
    return IngestResult(count - len(errors) - duplicates, duplicates, errors, next_offset)


def merge(work: Work, command: MergeUsers) -> bool:
    """Make two ids one user.

    Raises:
        InvalidInput: EMPTY_ID, ID_TOO_LONG.
    """
    check_id(command.distinct_id)
    check_id(command.other_id, "other_id")
    return bool(work.do(UsersMerged(command.distinct_id, command.other_id)))


def delete(work: Work, command: DeleteUser) -> None:
    """Delete a user.

    Raises:
        NotFound: USER_NOT_FOUND.
    """
    check_id(command.distinct_id)
    ordinal = work.users.find(command.distinct_id)
    if ordinal == NOBODY:
        raise NotFound(
            f"there is no user {command.distinct_id!r}",
            field="distinct_id",
            mend="ids are case-sensitive; who was deleted before is gone already",
            code="USER_NOT_FOUND",
        )
    work.do(UserDeleted(ordinal))
