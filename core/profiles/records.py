"""What a client may say about users: events and profile changes, and what is said back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from core.codec import record
from core.values import Value

MAX_BATCH: Final = 10_000
MAX_ID_BYTES: Final = 255
MAX_PROPERTIES: Final = 2_000
MAX_PROPERTIES_PER_EVENT: Final = 255


class Operation(StrEnum):
    """What a profile change does; the meanings are those of `apply` in core/profiles/operations.py."""

    SET = "set"
    SET_ONCE = "set_once"
    ADD = "add"
    APPEND = "append"
    UNION = "union"
    REMOVE = "remove"
    UNSET = "unset"
    MERGE = "merge"
    DELETE = "delete"


OPERATIONS: Final = tuple(Operation)
"""Operations by the number that stands for them in the log; the order never changes."""


@record("event")
@dataclass(slots=True)
class EventRecord:
    """One thing a user did. `time` is micros UTC; None before validation means "at arrival"."""

    name: str
    distinct_id: str
    time: int | None
    insert_id: str
    properties: dict[str, Value]


@record("change")
@dataclass(slots=True)
class ProfileChange:
    """One operation on one profile. `names` is for UNSET, `properties` for the others."""

    distinct_id: str
    operation: str
    properties: dict[str, Value] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)


@record("record_error")
@dataclass(slots=True)
class RecordError:
    """Why the record at `index` of a batch was not taken (events are counted first, then changes)."""

    index: int
    code: str
    field: str
    message: str
    mend: str


@record("ingested")
@dataclass(slots=True)
class IngestResult:
    """What became of a batch. `next_offset` is only of meaning for an import."""

    accepted: int
    duplicates: int
    errors: list[RecordError]
    next_offset: int = 0
