"""Refuses what must not enter: the check of every record before anything is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np

from core.errors import InvalidInput
from core.profiles.batch import UNTIMED, ChangeBatch, EventBatch, Places, Read, join
from core.profiles.records import (
    MAX_BATCH,
    MAX_ID_BYTES,
    MAX_PROPERTIES,
    MAX_PROPERTIES_PER_EVENT,
    EventRecord,
    Operation,
    ProfileChange,
    RecordError,
)
from core.values import (
    MAX_DEPTH,
    MAX_MICROS,
    MAX_NAME_BYTES,
    MIN_MICROS,
    Value,
    check_value,
    is_plain,
    pack,
    utf8_length,
)

TIME_PROPERTIES: Final = frozenset({"$last_seen", "$created"})
"""Reserved properties whose RFC 3339 strings become timestamps when they are stored."""

_NUMBERS: Final = (int, float)
_WITH_PROPERTIES: Final = frozenset(set(Operation) - {Operation.UNSET, Operation.DELETE})
_T = TypeVar("_T", EventRecord, ProfileChange)


def check_id(distinct_id: str, field: str = "distinct_id") -> None:
    """Refuse an id that is empty, too long, or no valid Unicode.

    Raises:
        InvalidInput: EMPTY_ID, ID_TOO_LONG, VALUE_NOT_UNICODE.
    """
    if not distinct_id:
        raise InvalidInput("the id is empty", field=field, mend=f"1 to {MAX_ID_BYTES} bytes of UTF-8", code="EMPTY_ID")
    if utf8_length(distinct_id, field) > MAX_ID_BYTES:
        raise InvalidInput(
            f"the id is over {MAX_ID_BYTES} bytes",
            field=field,
            mend=f"1 to {MAX_ID_BYTES} bytes of UTF-8",
            code="ID_TOO_LONG",
        )


def _check_name(name: str, field: str) -> None:
    if not name:
        raise InvalidInput("the name is empty", field=field, mend=f"1 to {MAX_NAME_BYTES} bytes", code="EMPTY_NAME")
    if utf8_length(name, field) > MAX_NAME_BYTES:
        raise InvalidInput(
            f"the name is over {MAX_NAME_BYTES} bytes",
            field=field,
            mend=f"1 to {MAX_NAME_BYTES} bytes",
            code="NAME_TOO_LONG",
        )


def _check_properties(properties: dict[str, Value], most: int, depth: int = 0) -> None:
    if len(properties) > most:
        raise InvalidInput(
            f"{len(properties)} properties", field="properties", mend=f"send at most {most}", code="TOO_MANY_PROPERTIES"
        )
    for name, value in properties.items():
        if not (_is_good_name(name) and is_plain(value)):
            field = f"properties.{name}"
            _check_name(name, field)
            check_value(value, field, depth)


@lru_cache(maxsize=16_384)
def _is_good_name(name: str) -> bool:
    """Whether a name passes; names come again and again, and are checked once."""
    try:
        _check_name(name, "name")
    except InvalidInput:
        return False
    return True


def insert_id_of(properties: dict[str, Value]) -> str:
    """The insert id of an event sent without one: a hash of its properties, so that only an exact copy is a copy."""
    return hashlib.blake2b(pack(sorted(properties.items())), digest_size=12).hexdigest()


def _event(event: EventRecord, now: int) -> None:
    if not _is_good_name(event.name):
        _check_name(event.name, "name")
    check_id(event.distinct_id)
    if utf8_length(event.insert_id, "insert_id") > MAX_ID_BYTES:
        raise InvalidInput(
            f"the insert id is over {MAX_ID_BYTES} bytes", field="insert_id", mend="send a UUID", code="ID_TOO_LONG"
        )
    time = now if event.time is None else event.time
    if not MIN_MICROS <= time <= MAX_MICROS:
        raise InvalidInput(
            "the time is out of range", field="time", mend="years 0001 to 9999, UTC", code="TIME_OUT_OF_RANGE"
        )
    _check_properties(event.properties, MAX_PROPERTIES_PER_EVENT)


def _change(change: ProfileChange, now: int) -> None:
    check_id(change.distinct_id)
    if change.operation in _WITH_PROPERTIES:
        # What is appended will stand one level deeper, in its list.
        _check_properties(change.properties, MAX_PROPERTIES, int(change.operation == Operation.APPEND))
        if change.operation == Operation.ADD:
            for name, value in change.properties.items():
                if type(value) not in _NUMBERS:
                    raise InvalidInput(
                        "what is added is no number",
                        field=f"properties.{name}",
                        mend="send an int or a double",
                        code="NOT_A_NUMBER",
                    )
        if change.operation == Operation.MERGE:
            for name, value in change.properties.items():
                if type(value) is not dict:
                    raise InvalidInput(
                        "what is merged is no map", field=f"properties.{name}", mend="send a map", code="NOT_A_MAP"
                    )
    elif change.operation == Operation.UNSET:
        for index, name in enumerate(change.names):
            _check_name(name, f"names[{index}]")
    elif change.operation != Operation.DELETE:
        raise InvalidInput("no operation is given", field="operation", mend=", ".join(Operation), code="NO_OPERATION")


def _checked(
    records: Sequence[tuple[int, _T | RecordError]],
    check: Callable[[_T, int], None],
    now: int,
    first: int,
    errors: list[RecordError],
) -> tuple[list[_T], list[int]]:
    good: list[_T] = []
    places: list[int] = []
    for place, item in records:
        index = first + place
        if isinstance(item, RecordError):
            errors.append(RecordError(index, item.code, item.field, item.message, item.mend))
            continue
        try:
            check(item, now)
            good.append(item)
            places.append(place)
        except InvalidInput as error:
            errors.append(RecordError(index, error.code, error.field, error.message, error.mend))
        except RecursionError:
            errors.append(
                RecordError(
                    index, "VALUE_TOO_DEEP", "properties", "nested too deep", f"nest at most {MAX_DEPTH} levels"
                )
            )
    return good, places


def check_batch(
    events: Read[EventBatch, EventRecord], changes: Read[ChangeBatch, ProfileChange], now: int
) -> tuple[EventBatch, ChangeBatch, Places, list[RecordError]]:
    """Sort a batch into what may enter and what may not.

    Arguments:
        events, changes: as read; a RecordError stands for a record that could not even be read.
        now: the project's clock in micros, given to events without a time.

    Returns:
        The good events and changes; the index in the batch of each good change, uint32[n]; the errors.

    Raises:
        InvalidInput: BATCH_TOO_LARGE, for the batch as a whole.
    """
    if len(events) + len(changes) > MAX_BATCH:
        raise InvalidInput(
            f"{len(events) + len(changes)} records in one batch",
            field="events" if events else "updates",
            mend=f"send at most {MAX_BATCH} at once",
            code="BATCH_TOO_LARGE",
        )
    errors: list[RecordError] = []
    good_events, places = _checked(events.rest, _event, now, 0, errors)
    event_rows, _ = join(events.rows, events.places, EventBatch.of(good_events), np.array(places, np.uint32))
    untimed = event_rows.times == UNTIMED
    if untimed.any():
        event_rows = replace(event_rows, times=np.where(untimed, now, event_rows.times))
    good_changes, places = _checked(changes.rest, _change, now, len(events), errors)
    change_rows, change_places = join(
        changes.rows, changes.places, ChangeBatch.of(good_changes), np.array(places, np.uint32)
    )
    return event_rows, change_rows, change_places + np.uint32(len(events)), errors
