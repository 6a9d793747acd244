"""Records of a batch: protobuf's events and profile updates to core's, an unreadable one to its error."""

from __future__ import annotations

from collections.abc import Iterable

from muster.v1 import ingest_pb2

from core.errors import InvalidInput
from core.profiles.records import EventRecord, Operation, ProfileChange, RecordError
from server.convert.times import micros
from server.convert.values import properties

_NO_OPERATION = ", ".join(operation.value for operation in Operation)


def _unreadable(error: InvalidInput) -> RecordError:
    # Core sets the index: it alone knows what stands before this record in the batch.
    return RecordError(0, error.code, error.field, error.message, error.mend)


def event(message: ingest_pb2.Event) -> EventRecord | RecordError:
    """One event, or why it cannot be read."""
    try:
        return EventRecord(
            message.name,
            message.distinct_id,
            micros(message.time, "time") if message.HasField("time") else None,
            message.insert_id,
            properties(message.properties),
        )
    except InvalidInput as error:
        return _unreadable(error)


def change(message: ingest_pb2.ProfileUpdate) -> ProfileChange | RecordError:
    """One profile change, or why it cannot be read."""
    kind = message.WhichOneof("operation")
    if kind is None:
        return RecordError(0, "NO_OPERATION", "operation", "the update has no operation", f"set one of {_NO_OPERATION}")
    try:
        if kind == "unset":
            return ProfileChange(message.distinct_id, Operation.UNSET, {}, list(message.unset.names))
        if kind == "delete":
            return ProfileChange(message.distinct_id, Operation.DELETE)
        return ProfileChange(message.distinct_id, Operation(kind), properties(getattr(message, kind).properties), [])
    except InvalidInput as error:
        return _unreadable(error)


def errors(found: Iterable[RecordError]) -> list[ingest_pb2.RecordError]:
    """Core's record errors as messages."""
    return [
        ingest_pb2.RecordError(
            index=error.index, code=error.code, field=error.field, message=error.message, mend=error.mend
        )
        for error in found
    ]
