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
import numpy.typing as npt
from pyroaring import BitMap

from core.bitmaps.population import Population
from core.errors import InvalidInput
from core.profiles.identity import NOBODY, Ordinals, Users
from core.profiles.operations import outcome
from core.profiles.records import Operation, ProfileChange, RecordError
from core.profiles.touched import Touched
from core.profiles.validate import TIME_PROPERTIES
from core.values import ABSENT, Value


class People(Protocol):
    """What of a version this package reads and, on a fork, changes."""

    population: Population
    users: Users


def issue_users(people: People, distinct_ids: Sequence[str], touched: Touched, *, live: bool) -> Ordinals:
    """The ordinals of ids, new users being made for those that nobody has."""
    before = people.users.issued
    ordinals = people.users.resolve(distinct_ids)
    people.population.issue(people.users.issued)
    touched.issue(BitMap(range(before, people.users.issued)), live=live)
    return ordinals


def add_events(
    people: People,
    names: Sequence[str],
    distinct_ids: list[str],
    times: npt.NDArray[np.int64],
    insert_ids: list[str],
    properties: list[dict[str, Value]],
    now: int,
    touched: Touched,
    *,
    oldest_live: int,
) -> int:
    """Store validated events, the first copy of each identity winning.

    Arguments:
        names, distinct_ids, times, insert_ids, properties: columns of n events; `times` in micros.
        now: the clock at arrival, in micros.
        oldest_live: events before this instant do not trigger.

    Returns:
        How many were duplicates.
    """
    places_of: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places_of[name].append(place)
    before = people.users.issued
    ordinals = people.users.resolve(distinct_ids)
    people.population.issue(people.users.issued)
    live_users = BitMap()
    stored = 0
    for name, places in places_of.items():
        users, when = ordinals[places], times[places]
        taken = people.population.writable_events(name).append_records(
            users,
            when,
            np.full(len(places), now, np.int64),
            [distinct_ids[place] for place in places],
            [insert_ids[place] for place in places],
            [properties[place] for place in places],
        )
        stored += int(np.count_nonzero(taken))
        live = taken & (when >= oldest_live)
        for flag, rows in ((True, live), (False, taken & ~live)):
            if rows.any():
                touched.event(name, BitMap(users[rows]), live=flag)
        live_users |= BitMap(users[live])
    issued = BitMap(range(before, people.users.issued))
    touched.issue(issued & live_users, live=True)
    touched.issue(issued - live_users, live=False)
    return len(names) - stored


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
    first = 0
    for last, change in enumerate(changes):
        if change.operation == Operation.DELETE:
            errors += _change_values(people, changes[first:last], places[first:last], touched, live=live)
            ordinal = people.users.find(change.distinct_id)
            if ordinal != NOBODY:
                delete_user(people, ordinal, touched)
            first = last + 1
    errors += _change_values(people, changes[first:], places[first:], touched, live=live)
    return errors


def _change_values(
    people: People, changes: Sequence[ProfileChange], places: Sequence[int], touched: Touched, *, live: bool
) -> list[RecordError]:
    """Changes without deletions: worked out one after the other, written together."""
    errors: list[RecordError] = []
    if not changes:
        return errors
    pending: dict[str, dict[int, Value]] = defaultdict(dict)
    columns = people.population.columns

    def read(name: str) -> Value:
        value = pending[name].get(ordinal, pending) if name in pending else pending
        if value is not pending:
            return value
        column = columns.get(name)
        return ABSENT if column is None else column.get(ordinal)

    ordinals = issue_users(people, [change.distinct_id for change in changes], touched, live=live).tolist()
    for place, change, ordinal in zip(places, changes, ordinals, strict=True):
        try:
            for name, value in outcome(change, read).items():
                pending[name][ordinal] = _as_time(name, value)
        except InvalidInput as error:
            errors.append(RecordError(place, error.code, error.field, error.message, error.mend))
    for name, values in pending.items():
        users = np.fromiter(values, np.uint32, len(values))
        people.population.writable_column(name).set_many(users, list(values.values()))
        touched.property(name, BitMap(users), live=live)
    return errors


def delete_user(people: People, ordinal: int, touched: Touched) -> None:
    """Remove a user: values, events and ids. The ordinal is never used again."""
    people.population.remove_user(ordinal)
    touched.delete(ordinal, people.users.ids_of(ordinal))
    people.users.delete(ordinal)


def merge_users(people: People, distinct_id: str, other_id: str, touched: Touched) -> bool:
    """Make two ids one user.

    The user of `distinct_id` stays. Where both have a property its value wins; a property only the other has
    is taken over; events, ids and deliveries of both are united.

    Returns:
        Whether two users with history of their own became one.
    """
    known = people.users.find(distinct_id) != NOBODY
    stays = int(issue_users(people, [distinct_id], touched, live=True)[0])
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
    for name, table in list(population.event_tables.items()):
        if table.has_user(goes):
            population.writable_events(name).remap(goes, stays)
            touched.event(name, BitMap([stays]), live=True)
    population.remove_user(goes)
    people.users.merge(stays, goes)
    touched.merge(goes, stays)
    return known
