"""Applies events, profile changes, merges and deletions to the population.

Everything here is deterministic: the log holds the validated records, and applying them again to the same
version gives the same version and the same answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.bitmaps.cells import Data, Tags, bitmap_of
from core.bitmaps.event_identity import identities_of_spans
from core.bitmaps.population import Population
from core.errors import InvalidInput
from core.profiles.batch import Cells, ChangeBatch, EventBatch
from core.profiles.changes import work_out
from core.profiles.identity import NOBODY, Ordinals, Users
from core.profiles.operations import outcome
from core.profiles.records import OPERATIONS, Operation, ProfileChange, RecordError
from core.profiles.touched import Touched
from core.profiles.validate import TIME_PROPERTIES, insert_id_of
from core.values import ABSENT, Value, ValueType, to_micros


class People(Protocol):
    """What of a version this package reads and, on a fork, changes."""

    population: Population
    users: Users


_DELETION, _BY_COLUMN, _BY_RECORD = range(3)
_SET: Final = OPERATIONS.index(Operation.SET)
_KIND: Final = np.array(
    [
        _DELETION
        if operation == Operation.DELETE
        else _BY_COLUMN
        if operation in (Operation.SET, Operation.SET_ONCE, Operation.ADD, Operation.UNSET)
        else _BY_RECORD
        for operation in OPERATIONS
    ],
    np.uint8,
)
"""How a change is applied, by operation."""


def issue_users(people: People, distinct_ids: Sequence[str], touched: Touched, *, live: bool) -> Ordinals:
    """The ordinals of ids, new users being made for those that nobody has."""
    before = people.users.issued
    ordinals = people.users.resolve(distinct_ids)
    people.population.issue(people.users.issued)
    touched.issue(BitMap(range(before, people.users.issued)), live=live)
    return ordinals


def _issued(
    people: People,
    heap: bytes,
    starts: npt.NDArray[np.uint32],
    lengths: npt.NDArray[np.uint8],
    touched: Touched,
    *,
    live: bool,
) -> Ordinals:
    """`issue_users` for ids in a heap."""
    before = people.users.issued
    ordinals = people.users.resolve_spans(heap, starts, lengths)
    people.population.issue(people.users.issued)
    touched.issue(BitMap(range(before, people.users.issued)), live=live)
    return ordinals


def add_events(people: People, batch: EventBatch, arrivals: Data, touched: Touched, *, oldest_live: int) -> int:
    """Store good events, the first copy of each identity winning.

    Arguments:
        batch: every event with its time.
        arrivals: the clock at each one's arrival, int64[n], micros.
        oldest_live: events before this instant do not trigger.

    Returns:
        How many were duplicates.
    """
    before = people.users.issued
    ordinals = people.users.resolve_spans(batch.heap, batch.id_starts, batch.id_lengths)
    people.population.issue(people.users.issued)
    identities = _identities(batch)
    starts, lengths = batch.insert_starts.astype(np.uint64), batch.insert_lengths.astype(np.uint32)
    taken = np.zeros(len(batch), bool)
    row_of = np.zeros(len(batch), np.uint32)
    cells_of: dict[int, list[Cells]] = defaultdict(list)
    for cells in batch.cells():
        cells_of[cells.group].append(cells)
    for kind, name in enumerate(batch.names):
        rows = np.flatnonzero(batch.kinds == kind)
        if not len(rows):
            continue
        row_of[rows] = np.arange(len(rows), dtype=np.uint32)
        table = people.population.writable_events(name)
        taken[rows] = table.append(
            ordinals[rows],
            batch.times[rows],
            arrivals[rows],
            identities[rows],
            (batch.heap, starts[rows], lengths[rows]),
            {
                cells.name: (
                    row_of[cells.places].astype(np.int64),
                    cells.tags,
                    batch.encoded(cells.tags, cells.data, *table.dictionaries(cells.name)),
                )
                for cells in cells_of[kind]
            },
        )
        for live in (True, False):
            users = ordinals[rows[taken[rows] & ((batch.times[rows] >= oldest_live) == live)]]
            if len(users):
                touched.event(name, bitmap_of(users), live=live)
    issued = BitMap(range(before, people.users.issued))
    if issued:
        live_users = bitmap_of(ordinals[taken & (batch.times >= oldest_live)])
        touched.issue(issued & live_users, live=True)
        touched.issue(issued - live_users, live=False)
    return len(batch) - int(np.count_nonzero(taken))


def _identities(batch: EventBatch) -> npt.NDArray[np.uint64]:
    heap, starts, lengths = batch.heap, batch.insert_starts, batch.insert_lengths
    without = np.flatnonzero(lengths == 0)
    if len(without):
        texts = [insert_id_of(properties).encode() for properties in batch.properties(without)]
        sizes = np.array([len(text) for text in texts], np.uint32)
        starts, lengths = starts.copy(), lengths.astype(np.uint32)
        starts[without] = len(heap) + np.cumsum(sizes, dtype=np.uint32) - sizes
        lengths[without] = sizes
        heap += b"".join(texts)
    return identities_of_spans(heap, batch.id_starts, batch.id_lengths, starts, lengths)


def _as_time(name: str, value: Value) -> Value:
    if name in TIME_PROPERTIES and type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value  # the property is not declared to parse: an unreadable string stays what it is
        return moment if moment.tzinfo is not None else value
    return value


def change_profiles(
    people: People, batch: ChangeBatch, places: npt.NDArray[np.uint32], touched: Touched, *, live: bool
) -> list[RecordError]:
    """Apply good changes in order.

    Arguments:
        places: the index in the request of each change, uint32[n], for errors.
        live: whether the changes may trigger.

    Returns:
        Those that the present values did not allow; nothing of such a change is done.
    """
    errors: list[RecordError] = []
    kinds = _KIND[batch.operations]
    edges = [0, *(np.flatnonzero(kinds[1:] != kinds[:-1]) + 1).tolist(), len(batch)]
    for first, last in pairwise(edges):
        kind = kinds[first]
        if kind == _BY_COLUMN and _change_columns(people, batch, first, last, touched, live=live):
            continue
        changes = batch.records(first, last)
        if kind == _DELETION:
            for change in changes:
                ordinal = people.users.find(change.distinct_id)
                if ordinal != NOBODY:
                    delete_user(people, ordinal, touched)
        else:
            errors += _change_values(people, changes, places[first:last].tolist(), touched, live=live)
    return errors


def _change_columns(people: People, batch: ChangeBatch, first: int, last: int, touched: Touched, *, live: bool) -> bool:
    """Apply rows first to last, which set, set once, add and unset, a property at a time.

    Returns:
        False where the present values refuse one: then nothing is done but that new users are made.
    """
    ordinals = _issued(
        people, batch.heap, batch.id_starts[first:last], batch.id_lengths[first:last], touched, live=live
    )
    outcomes: list[tuple[str, Ordinals, Tags, Data]] = []
    for cells in batch.cells():
        begin, end = np.searchsorted(cells.places, (first, last))
        if begin == end:
            continue
        places = cells.places[begin:end]
        operations = batch.operations[places]
        users, whose = np.unique(ordinals[places - np.uint32(first)], return_inverse=True)
        column = people.population.column(cells.name)
        if column is None or bool((operations == _SET).all()):
            tags, data = np.zeros(len(users), np.uint8), np.zeros(len(users), np.int64)
        else:
            tags, data = column.cells(users)
        written = np.zeros(len(users), np.uint8)
        if not work_out(
            whose.astype(np.uint32), operations, cells.tags[begin:end], cells.data[begin:end], tags, data, written
        ):
            return False
        chosen = written != 0
        if chosen.any():
            outcomes.append((cells.name, users[chosen], tags[chosen], data[chosen]))
    for name, users, tags, data in outcomes:
        if name in TIME_PROPERTIES:
            tags, data = _as_times(batch, name, tags, data)
        column = people.population.writable_column(name)
        column.set_cells(users, tags, batch.encoded(tags, data, column.strings, column.blobs))
        touched.property(name, bitmap_of(users), live=live)
    return True


def _as_times(batch: ChangeBatch, name: str, tags: Tags, data: Data) -> tuple[Tags, Data]:
    """Cells of a reserved time property, those of readable strings made timestamps."""
    for row in np.flatnonzero(tags == ValueType.STRING).tolist():
        moment = _as_time(name, batch.values(tags[row : row + 1], data[row : row + 1])[0])
        if isinstance(moment, datetime):
            tags[row], data[row] = ValueType.TIMESTAMP, to_micros(moment)
    return tags, data


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
