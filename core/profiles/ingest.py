"""Applies events, profile changes, merges and deletions to the population.

Everything here is deterministic: the log holds the validated records, and applying them again to the same
version gives the same version and the same answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import numpy as np
from pyroaring import BitMap

from core.bitmaps.population import Population
from core.errors import InvalidInput
from core.profiles.identity import NOBODY, Users
from core.profiles.operations import outcome
from core.profiles.records import EventRecord, Operation, ProfileChange, RecordError
from core.profiles.touched import Touched
from core.profiles.validate import TIME_PROPERTIES
from core.values import ABSENT, Value


class People(Protocol):
    """What of a version this package reads and, on a fork, changes."""

    population: Population
    users: Users


def _issue(people: People, distinct_ids: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    ordinals = people.users.resolve(distinct_ids)
    people.population.issue(people.users.issued)
    return ordinals


def add_events(
    people: People, events: Sequence[EventRecord], now: int, touched: Touched, *, imported: bool, oldest_live: int
) -> int:
    """Store validated events, the first copy of each identity winning.

    Arguments:
        now: the clock at arrival, in micros.
        imported: none of these may trigger.
        oldest_live: events before this instant do not trigger.

    Returns:
        How many were duplicates.
    """
    by_name: dict[str, list[EventRecord]] = defaultdict(list)
    for event in events:
        by_name[event.name].append(event)
    duplicates = 0
    for name, group in by_name.items():
        sent_ids = [event.distinct_id for event in group]
        ordinals = _issue(people, sent_ids)
        times = np.array([event.time for event in group], np.int64)
        taken = people.population.writable_events(name).append(
            ordinals,
            times,
            np.full(len(group), now, np.int64),
            sent_ids,
            [event.insert_id for event in group],
            [event.properties for event in group],
        )
        duplicates += int(len(group) - np.count_nonzero(taken))
        live = taken & (times >= oldest_live) & (not imported)
        for flag, rows in ((True, live), (False, taken & ~live)):
            if rows.any():
                touched.event(name, BitMap(ordinals[rows]), live=flag)
    return duplicates


def _as_time(name: str, value: Value) -> Value:
    if name in TIME_PROPERTIES and type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value  # the property is not declared to parse: an unreadable string stays what it is
        return moment if moment.tzinfo is not None else value
    return value


def change_profiles(
    people: People, changes: Sequence[ProfileChange], places: Sequence[int], touched: Touched, *, live: bool
) -> list[RecordError]:
    """Apply validated changes in order.

    Arguments:
        places: the index in the batch of each change, for errors.
        live: whether the changes may trigger.

    Returns:
        Those that the present values did not allow; nothing of such a change is done.
    """
    errors: list[RecordError] = []
    pending: dict[str, dict[int, Value]] = defaultdict(dict)

    def write() -> None:
        for name, values in pending.items():
            users = np.fromiter(values, np.uint32, len(values))
            people.population.writable_column(name).set_many(users, list(values.values()))
            touched.property(name, BitMap(users), live=live)
        pending.clear()

    ordinals = _issue(people, [change.distinct_id for change in changes]) if changes else []
    deleted = False
    for place, change, issued in zip(places, changes, ordinals, strict=True):
        # A deletion earlier in the batch frees ids, so that the ordinal found beforehand may be stale.
        ordinal = int(issued) if not deleted else int(_issue(people, [change.distinct_id])[0])
        if change.operation == Operation.DELETE:
            write()
            delete_user(people, ordinal, touched)
            deleted = True
            continue

        def read(name: str, ordinal: int = ordinal) -> Value:
            if name in pending and ordinal in pending[name]:
                return pending[name][ordinal]
            column = people.population.column(name)
            return ABSENT if column is None else column.get(ordinal)

        try:
            for name, value in outcome(change, read).items():
                pending[name][ordinal] = _as_time(name, value)
        except InvalidInput as error:
            errors.append(RecordError(place, error.code, error.field, error.message, error.mend))
    write()
    return errors


def delete_user(people: People, ordinal: int, touched: Touched) -> None:
    """Remove a user: values, events and ids. The ordinal is never used again."""
    people.population.remove_user(ordinal)
    people.users.delete(ordinal)
    touched.deleted.add(ordinal)


def merge_users(people: People, distinct_id: str, other_id: str, touched: Touched) -> bool:
    """Make two ids one user.

    The user of `distinct_id` stays. Where both have a property its value wins; a property only the other has
    is taken over; events, ids and deliveries of both are united.

    Returns:
        Whether two users with history of their own became one.
    """
    stays = int(_issue(people, [distinct_id])[0])
    goes = people.users.find(other_id)
    if goes == stays:
        return False
    if goes == NOBODY:
        people.users.bind_alias(other_id, stays)
        return False
    population = people.population
    for name, column in list(population.columns.items()):
        value = column.get(goes)
        if value is ABSENT:
            continue
        writable = population.writable_column(name)
        if writable.get(stays) is ABSENT:
            writable.set_many(np.array([stays], np.uint32), [value])
            touched.property(name, BitMap([stays]), live=True)
        writable.set_many(np.array([goes], np.uint32), [ABSENT])
    for name in list(population.event_tables):
        if population.writable_events(name).remap(goes, stays):
            touched.event(name, BitMap([stays]), live=True)
    population.remove_user(goes)
    people.users.merge(stays, goes)
    touched.merged.append((goes, stays))
    return True
