"""A batch of events or of profile changes as columns: what a request is read into, what the log holds, what is applied.

Texts and packed values lie in the batch's heap, one after the other in no particular order; a cell of a string, list or
map holds where (`start << 32 | length`). Other cells are those of core/bitmaps/cells.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.cells import TYPES, Data, Tags
from core.bitmaps.strings import BlobTable, StringTable
from core.codec import record
from core.profiles.records import OPERATIONS, EventRecord, Operation, ProfileChange, RecordError
from core.values import ABSENT, Value, ValueType, from_micros, pack, to_micros, type_of, unpack

Places = NDArray[np.uint32]
MOST_NAMES: Final = 1 << 16
"""Event names of a batch: what the type of `kinds` and `groups` can tell apart."""
UNTIMED: Final = -(2**63)
"""The time of an event that was sent without one, until the batch is checked."""

_LENGTH: Final = 0xFFFFFFFF
_IN_HEAP: Final = (ValueType.STRING, ValueType.LIST, ValueType.MAP)
_HEAPED: Final = np.isin(np.arange(TYPES), _IN_HEAP)


class Cells(NamedTuple):
    """What a batch holds of one property, for events of one event name: `places` are rows of the batch, ascending."""

    name: str
    group: int
    places: Places
    tags: Tags
    data: Data


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """What events and profile changes have in common: n ids, and cells by property.

    Arguments:
        heap: the bytes of ids and of values that need more than a cell.
        id_starts, id_lengths: of n ids in the heap, uint32[n] and uint8[n].
        columns, groups, ends: of c properties the name, the place of the event's name (0 for profiles), and where
            its cells end, uint16[c] and uint32[c].
        places, tags, data: all cells by property: row, type and value, uint32[k], uint8[k] and int64[k].
    """

    heap: bytes
    id_starts: NDArray[np.uint32]
    id_lengths: NDArray[np.uint8]
    columns: list[str]
    groups: NDArray[np.uint16]
    ends: NDArray[np.uint32]
    places: Places
    tags: Tags
    data: Data

    def __len__(self) -> int:
        return len(self.id_starts)

    def ids(self) -> list[str]:
        """The rows' ids."""
        return self._texts(self.id_starts, self.id_lengths)

    def cells(self) -> Iterator[Cells]:
        """The cells, a property at a time."""
        first = 0
        for name, group, end in zip(self.columns, self.groups.tolist(), self.ends.tolist(), strict=True):
            yield Cells(name, group, self.places[first:end], self.tags[first:end], self.data[first:end])
            first = end

    def values(self, tags: Tags, data: Data) -> list[Value]:
        """The Python values of cells of this batch."""
        return [self._value(tag, cell) for tag, cell in zip(tags.tolist(), data.tolist(), strict=True)]

    def properties(self, rows: NDArray[np.integer]) -> list[dict[str, Value]]:
        """The properties of rows (ascending), in their order, each in the order of the columns."""
        found: list[dict[str, Value]] = [{} for _ in range(len(rows))]
        if not found:
            return found
        for cells in self.cells():
            at = np.minimum(np.searchsorted(rows, cells.places), len(rows) - 1)
            wanted = np.flatnonzero(rows[at] == cells.places)
            values = self.values(cells.tags[wanted], cells.data[wanted])
            for row, value in zip(at[wanted].tolist(), values, strict=True):
                found[row][cells.name] = value
        return found

    def encoded(self, tags: Tags, data: Data, strings: StringTable, blobs: BlobTable) -> Data:
        """The data of cells of this batch with codes of dictionaries for what lies in the heap; new entries enter."""
        texts = tags == ValueType.STRING
        packed = (tags == ValueType.LIST) | (tags == ValueType.MAP)
        if not (texts.any() or packed.any()):
            return data
        data = data.copy()
        spans = data[texts]
        data[texts] = strings.intern_spans(
            self.heap, (spans >> 32).astype(np.uint64), (spans & _LENGTH).astype(np.uint64)
        )
        for row in np.flatnonzero(packed).tolist():
            data[row] = blobs.intern(unpack(self._bytes(int(data[row]))))
        return data

    def _texts(self, starts: NDArray[np.integer], lengths: NDArray[np.integer]) -> list[str]:
        heap = self.heap
        return [
            heap[start : start + length].decode()
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
        ]

    def _bytes(self, cell: int) -> bytes:
        start = cell >> 32
        return self.heap[start : start + (cell & _LENGTH)]

    def _value(self, tag: int, cell: int) -> Value:
        if tag == ValueType.STRING:
            return self._bytes(cell).decode()
        if tag == ValueType.INT:
            return cell
        if tag == ValueType.DOUBLE:
            return np.int64(cell).view(np.float64).item()
        if tag == ValueType.BOOL:
            return cell != 0
        if tag == ValueType.TIMESTAMP:
            return from_micros(cell)
        if tag == ValueType.NULL:
            return None
        return ABSENT if tag == ValueType.ABSENT else unpack(self._bytes(cell))


@record("event_batch")
@dataclass(frozen=True, slots=True)
class EventBatch(RecordBatch):
    """Events.

    Arguments:
        names, kinds: the event names, and the place among them of each row's, uint16[n].
        times: int64[n], micros UTC; UNTIMED before the batch is checked: at arrival.
        insert_starts, insert_lengths: of the insert ids in the heap, uint32[n] and uint8[n]; length 0: sent without.
    """

    names: list[str]
    kinds: NDArray[np.uint16]
    times: Data
    insert_starts: NDArray[np.uint32]
    insert_lengths: NDArray[np.uint8]

    @classmethod
    def of(cls, records: Sequence[EventRecord]) -> EventBatch:
        """The columns of records that are good."""
        writing = _Writing()
        names: dict[str, int] = {}
        kinds = np.array([names.setdefault(one.name, len(names)) for one in records], np.uint16)
        for row, one in enumerate(records):
            writing.add_id(one.distinct_id)
            for name, value in one.properties.items():
                writing.add_cell(row, name, int(kinds[row]), value)
        starts, lengths = writing.texts([one.insert_id for one in records])
        times = np.array([UNTIMED if one.time is None else one.time for one in records], np.int64)
        return cls(*writing.done(), list(names), kinds, times, starts, lengths)

    def insert_ids(self) -> list[str]:
        """The insert ids, "" where none was sent."""
        return self._texts(self.insert_starts, self.insert_lengths)

    def records(self) -> list[EventRecord]:
        """The rows as records again."""
        return [
            EventRecord(self.names[kind], sent_id, None if time == UNTIMED else time, insert_id, properties)
            for kind, sent_id, time, insert_id, properties in zip(
                self.kinds.tolist(),
                self.ids(),
                self.times.tolist(),
                self.insert_ids(),
                self.properties(np.arange(len(self))),
                strict=True,
            )
        ]


@record("change_batch")
@dataclass(frozen=True, slots=True)
class ChangeBatch(RecordBatch):
    """Profile changes, to be applied in order. What UNSET names is a cell of tag ABSENT.

    Arguments:
        operations: uint8[n], places in `OPERATIONS`.
    """

    operations: NDArray[np.uint8]

    @classmethod
    def of(cls, records: Sequence[ProfileChange]) -> ChangeBatch:
        """The columns of records that are good."""
        writing = _Writing()
        for row, one in enumerate(records):
            writing.add_id(one.distinct_id)
            for name in dict.fromkeys(one.names) if one.operation == Operation.UNSET else ():
                writing.add_cell(row, name, 0, ABSENT)
            for name, value in one.properties.items() if one.operation != Operation.UNSET else ():
                writing.add_cell(row, name, 0, value)
        return cls(*writing.done(), np.array([OPERATIONS.index(Operation(one.operation)) for one in records], np.uint8))

    def records(self, first: int = 0, last: int | None = None) -> list[ProfileChange]:
        """Rows as records again."""
        last = len(self) if last is None else last
        ids = self._texts(self.id_starts[first:last], self.id_lengths[first:last])
        found = []
        for sent_id, number, properties in zip(
            ids, self.operations[first:last].tolist(), self.properties(np.arange(first, last)), strict=True
        ):
            operation = OPERATIONS[number]
            if operation == Operation.UNSET:
                found.append(ProfileChange(sent_id, operation, {}, list(properties)))
            else:
                found.append(ProfileChange(sent_id, operation, properties))
        return found


_Columns = tuple[
    bytes,
    NDArray[np.uint32],
    NDArray[np.uint8],
    list[str],
    NDArray[np.uint16],
    NDArray[np.uint32],
    Places,
    Tags,
    Data,
]


class _Writing:
    """Columns in the making, record by record."""

    def __init__(self) -> None:
        self._heap = bytearray()
        self._ids: list[str] = []
        self._cells: dict[tuple[int, str], list[tuple[int, int, int]]] = {}

    def add_id(self, sent_id: str) -> None:
        self._ids.append(sent_id)

    def add_cell(self, row: int, name: str, group: int, value: Value) -> None:
        tag = type_of(value)
        cell = 0
        if tag in _IN_HEAP:
            cell = self._kept(value.encode() if tag == ValueType.STRING else pack(value))
        elif tag == ValueType.DOUBLE:
            cell = int(np.float64(value).view(np.int64))
        elif tag == ValueType.TIMESTAMP:
            cell = to_micros(value)
        elif tag in (ValueType.BOOL, ValueType.INT):
            cell = int(value)
        self._cells.setdefault((group, name), []).append((row, int(tag), cell))

    def _kept(self, text: bytes) -> int:
        start = len(self._heap)
        self._heap += text
        return start << 32 | len(text)

    def texts(self, found: Iterable[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        spans = np.array([self._kept(text.encode()) for text in found], np.int64)
        return (spans >> 32).astype(np.uint32), (spans & _LENGTH).astype(np.uint8)

    def done(self) -> _Columns:
        """The fields of RecordBatch."""
        starts, lengths = self.texts(self._ids)
        cells = np.array([cell for column in self._cells.values() for cell in column], np.int64).reshape(-1, 3)
        return (
            bytes(self._heap),
            starts,
            lengths,
            [name for _, name in self._cells],
            np.array([group for group, _ in self._cells], np.uint16),
            np.cumsum([len(column) for column in self._cells.values()], dtype=np.uint32),
            cells[:, 0].astype(np.uint32),
            cells[:, 1].astype(np.uint8),
            np.ascontiguousarray(cells[:, 2]),
        )


BatchT = TypeVar("BatchT", EventBatch, ChangeBatch)
RecordT = TypeVar("RecordT", EventRecord, ProfileChange)


@dataclass(frozen=True, slots=True)
class Read(Generic[BatchT, RecordT]):
    """A list of a request as it was read.

    Arguments:
        rows: records that are plainly good, and their `places` in the list, ascending.
        rest: other records with their places, ascending: yet to be checked, or why they could not be read.
    """

    rows: BatchT
    places: Places
    rest: Sequence[tuple[int, RecordT | RecordError]]

    def __len__(self) -> int:
        return len(self.places) + len(self.rest)


NO_EVENTS: Final = EventBatch.of([])
NO_CHANGES: Final = ChangeBatch.of([])
NO_PLACES: Final = np.zeros(0, np.uint32)
_BY_ROW: Final[dict[type, tuple[str, ...]]] = {
    EventBatch: ("kinds", "times", "insert_starts", "insert_lengths"),
    ChangeBatch: ("operations",),
}
"""The fields with an entry for each row, besides those of every batch."""


def chain(batches: Sequence[BatchT]) -> BatchT:
    """One batch of at least one, each one's rows after those before.

    In all, their heaps are under 2 GiB, and they name at most `MOST_NAMES` event names.
    """
    first = batches[0]
    if len(batches) == 1:
        return first
    rows = np.cumsum([0, *map(len, batches)], dtype=np.uint32)
    shifts = np.cumsum([0, *(len(one.heap) for one in batches)], dtype=np.uint32)

    def moved(field: str) -> NDArray[np.uint32]:
        return np.concatenate([getattr(one, field) + shift for one, shift in zip(batches, shifts[:-1], strict=True)])

    def joined(field: str) -> NDArray[Any]:
        return np.concatenate([getattr(one, field) for one in batches])

    own: dict[str, Any] = {}
    place_of: dict[str, int] = {}
    groups: list[list[int]] = [[0]] * len(batches)
    if isinstance(first, EventBatch):
        events = [one for one in batches if isinstance(one, EventBatch)]
        groups = [[place_of.setdefault(name, len(place_of)) for name in one.names] for one in events]
        kinds = [np.array(group, np.uint16)[one.kinds] for one, group in zip(events, groups, strict=True)]
        own = {"names": list(place_of), "kinds": np.concatenate(kinds), "times": joined("times")}
        own |= {"insert_starts": moved("insert_starts"), "insert_lengths": joined("insert_lengths")}
    else:
        own = {"operations": joined("operations")}
    columns: dict[tuple[int, str], list[Cells]] = {}
    for one, group, row, shift in zip(batches, groups, rows[:-1], shifts[:-1].tolist(), strict=True):
        for cells in one.cells():
            in_heap = _HEAPED[cells.tags].astype(np.int64)
            cells = cells._replace(places=cells.places + row, data=cells.data + (in_heap * shift << 32))
            columns.setdefault((group[cells.group], cells.name), []).append(cells)
    fields: dict[str, Any] = {
        "heap": b"".join([one.heap for one in batches]),
        "id_starts": moved("id_starts"),
        "id_lengths": joined("id_lengths"),
        **_fields({key: _united(parts) for key, parts in columns.items()}),
    }
    return type(first)(**fields, **own)


def join(left: BatchT, left_places: Places, right: BatchT, right_places: Places) -> tuple[BatchT, Places]:
    """One batch of two, by their places in one list, and the places of its rows."""
    if not len(right):
        return left, left_places
    if not len(left):
        return right, right_places
    both = np.concatenate([left_places, right_places])
    order = np.argsort(both, kind="stable")
    row_of = np.empty(len(order), np.uint32)
    row_of[order] = np.arange(len(order), dtype=np.uint32)
    chained = chain([left, right])
    by_row = ("id_starts", "id_lengths", *_BY_ROW[type(left)])
    fields: dict[str, Any] = {field: getattr(chained, field)[order] for field in by_row}
    columns = {(cells.group, cells.name): _by_row(cells, row_of) for cells in chained.cells()}
    return replace(chained, **fields, **_fields(columns)), both[order]


def _fields(columns: Mapping[tuple[int, str], Cells]) -> dict[str, Any]:
    """The fields of a RecordBatch that say its cells."""
    return {
        "columns": [name for _, name in columns],
        "groups": np.array([group for group, _ in columns], np.uint16),
        "ends": np.cumsum([len(cells.places) for cells in columns.values()], dtype=np.uint32),
        "places": np.concatenate([NO_PLACES, *(cells.places for cells in columns.values())]),
        "tags": np.concatenate([np.zeros(0, np.uint8), *(cells.tags for cells in columns.values())]),
        "data": np.concatenate([np.zeros(0, np.int64), *(cells.data for cells in columns.values())]),
    }


def _united(parts: Sequence[Cells]) -> Cells:
    """One property's cells of several batches, one after the other."""
    if len(parts) == 1:
        return parts[0]
    places, tags, data = (np.concatenate([part[at] for part in parts]) for at in (2, 3, 4))
    return parts[0]._replace(places=places, tags=tags, data=data)


def _by_row(cells: Cells, row_of: Places) -> Cells:
    """One property's cells, after its rows got other numbers."""
    places = row_of[cells.places]
    order = np.argsort(places)
    return cells._replace(places=places[order], tags=cells.tags[order], data=cells.data[order])
