"""Events and profile updates as the protocol holds them, made from plain Python."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

from muster import values
from muster.errors import InvalidInput
from muster.v1 import ingest_pb2

Record: TypeAlias = ingest_pb2.Event | ingest_pb2.ProfileUpdate
"""What can be sent to a project: something that happened, or something that is known."""

R = TypeVar("R", ingest_pb2.Event, ingest_pb2.ProfileUpdate, Record)

MOST_RECORDS: Final = 10_000
"""Most records that the server takes in one request."""
MOST_BYTES: Final = 8 << 20
"""Bytes of records after which a request is full; well under what the server takes (32 MiB by default)."""


def event(
    name: str,
    distinct_id: str,
    properties: Mapping[str, Any] | None = None,
    *,
    time: datetime | None = None,
    insert_id: str | None = None,
) -> ingest_pb2.Event:
    """One thing a user did.

    An event's identity is (name, time, distinct id, insert id), and its first copy wins. With a time and no insert
    id, an exact copy is known as one, so sending a file twice changes nothing. Without a time each call is an event
    of its own: it gets a random insert id.

    Arguments:
        name: such as "Purchase".
        distinct_id: whose it is; 1 to 255 bytes of UTF-8.
        properties: see `muster.values` for what they can hold.
        time: when, aware; None: the project's clock when it arrives there.
        insert_id: tells events apart that are equal otherwise.

    Raises:
        InvalidInput: for what the protocol cannot hold. Limits are checked by the server.

    Example::

        >>> event("Purchase", "u1", {"amount": 9.9}).properties["amount"].double_value
        9.9
    """
    try:
        made = ingest_pb2.Event(name=name, distinct_id=distinct_id)
        if insert_id is not None:
            made.insert_id = insert_id
        elif time is None:
            made.insert_id = uuid.uuid4().hex
    except (TypeError, ValueError) as error:
        raise InvalidInput(str(error), mend="name, distinct_id and insert_id are str", code="VALUE_TYPE") from error
    if time is not None:
        made.time.CopyFrom(values.timestamp(time))
    if properties:
        values.write_properties(properties, made.properties)
    return made


def update(
    distinct_id: str,
    *,
    set: Mapping[str, Any] | None = None,
    set_once: Mapping[str, Any] | None = None,
    add: Mapping[str, float] | None = None,
    append: Mapping[str, Any] | None = None,
    union: Mapping[str, Sequence[Any]] | None = None,
    remove: Mapping[str, Any] | None = None,
    unset: Sequence[str] = (),
    merge: Mapping[str, Mapping[str, Any]] | None = None,
    delete: bool = False,
) -> list[ingest_pb2.ProfileUpdate]:
    """Changes of one profile: one record for each operation given, applied in the order of this signature.

    Arguments:
        distinct_id: whose profile; 1 to 255 bytes of UTF-8.
        set: writes properties.
        set_once: writes those that are absent.
        add: adds numbers; a missing one counts as 0.
        append: adds one value at the end of a list.
        union: adds to a list those values it lacks.
        remove: takes a value out of a list, all its copies.
        unset: removes properties.
        merge: merges maps one level deep, the update winning.
        delete: deletes the user: profile, events and ids.

    Raises:
        InvalidInput: for what the protocol cannot hold, or where no operation is given (NO_OPERATION).

    Example::

        >>> [change.WhichOneof("operation") for change in update("u1", add={"visits": 1}, set={"plan": "free"})]
        ['set', 'add']
    """
    if isinstance(unset, str):
        raise InvalidInput("unset is one text", field="unset", mend="a list of names", code="VALUE_TYPE")
    changes = []
    written = {"set": set, "set_once": set_once, "add": add, "append": append, "union": union, "remove": remove}
    for operation, properties in written.items():
        if properties is not None:
            changes.append(_change(distinct_id))
            getattr(changes[-1], operation).SetInParent()
            values.write_properties(properties, getattr(changes[-1], operation).properties, operation)
    if unset:
        changes.append(_change(distinct_id))
        changes[-1].unset.names.extend(unset)
    if merge is not None:
        changes.append(_change(distinct_id))
        changes[-1].merge.SetInParent()
        values.write_properties(merge, changes[-1].merge.properties, "merge")
    if delete:
        changes.append(_change(distinct_id))
        changes[-1].delete.SetInParent()
    if not changes:
        raise InvalidInput("the update changes nothing", mend="give an operation, such as set=…", code="NO_OPERATION")
    return changes


def _change(distinct_id: str) -> ingest_pb2.ProfileUpdate:
    try:
        return ingest_pb2.ProfileUpdate(distinct_id=distinct_id)
    except (TypeError, ValueError) as error:
        raise InvalidInput(str(error), field="distinct_id", mend="a str", code="VALUE_TYPE") from error


def checked(records: Iterable[R], kind: type[R]) -> Iterator[R]:
    """The records, each looked at.

    Raises:
        InvalidInput: VALUE_TYPE, where one is of another kind.
    """
    for place, record in enumerate(records):
        if not isinstance(record, kind):
            raise not_a_record(place, record)
        yield record


def not_a_record(place: int, thing: object) -> InvalidInput:
    """The error of a thing that is not what is to be sent there.

    Arguments:
        place: its 0-based place among those given.
    """
    return InvalidInput(
        f"record {place} is a {type(thing).__name__}",
        mend="an event as muster.event gives it, or one item of the list that muster.update gives",
        code="VALUE_TYPE",
    )


def batches(records: Iterable[R], most: int = MOST_RECORDS) -> Iterator[list[R]]:
    """The records in requests' worth: at most `most`, and about MOST_BYTES, in each."""
    batch: list[R] = []
    size = 0
    for record in records:
        weight = record.ByteSize()
        if batch and (len(batch) == most or size + weight > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += weight
    if batch:
        yield batch
