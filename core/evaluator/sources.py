"""What vectors read: users, their events, and the fields of each, as heaps over one population.

The variable `user` is a map per row whose code is the user's ordinal, and `events` likewise; `user.age` is then a gather
from a column, `events["X"]` a list per row that is a range of the block's event rows, and `e.amount` a gather from the
event table's own column. Nothing is turned into Python values unless an expression asks for a whole map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from core.bitmaps.cells import Ordinals
from core.evaluator.event_rows import count_visible, rows_of_users
from core.evaluator.heaps import BlobHeap, Heap, SpanHeap, TextHeap
from core.evaluator.vector import (
    LIST,
    MAP,
    MISSING,
    REFERENCES,
    STRING,
    TIMESTAMP,
    Data,
    Index,
    Tags,
    Vector,
    distinct,
    errors,
)
from core.values import MIN_MICROS, from_micros

if TYPE_CHECKING:
    from core.bitmaps.column import Column
    from core.bitmaps.events import EventRows, EventTable
    from core.bitmaps.population import Population
    from core.evaluator.space import Space

BEFORE_ALL: Final = MIN_MICROS - 1
_PROFILE_CELLS: Final = 64
_EVENT_CELLS: Final = 32
"""What a whole profile and a whole event count for, as Python values, in the meter."""

Now = int | tuple[Ordinals, Data]
"""One instant for everybody, or sorted ordinals with an instant each; micros UTC."""


class Sources:
    """One population at one `now`, seen by vectors.

    Arguments:
        now: None only where no expression may use it and no event exists.
    """

    def __init__(self, population: Population, now: Now, space: Space) -> None:
        self.population = population
        self.space = space
        self._now = now
        self._read: dict[tuple[str, int, bytes], tuple[EventRows, Vector]] = {}

    def next_block(self) -> None:
        """Forget the event rows of the block before."""
        self._read.clear()

    def now_of(self, ordinals: Index) -> Data:
        """The instant of each user, or one for all. For a user who has none it is any of the others'."""
        if isinstance(self._now, tuple):
            known, instants = self._now
            places = np.searchsorted(known, ordinals)
            found: Data = instants[np.minimum(places, len(known) - 1)]
            return found
        return np.full(1, self._now, np.int64)

    def instant(self) -> int | None:
        """The one instant for everybody, or None where each user has one."""
        return None if isinstance(self._now, tuple) else self._now

    def own_instants(self, below: int) -> tuple[Index, Data]:
        """The users that have an instant of their own and an ordinal below a bound, and those instants."""
        if not isinstance(self._now, tuple):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        ordinals, instants = self._now
        count = int(np.searchsorted(ordinals, below))
        return ordinals[:count].astype(np.int64), instants[:count]

    def latest(self) -> int:
        """The latest instant that any user has."""
        return int(self._now[1].max()) if isinstance(self._now, tuple) else self._now

    def every_now(self) -> Vector:
        """The instants of all users, in no particular order."""
        instants = self._now[1] if isinstance(self._now, tuple) else np.full(1, self._now, np.int64)
        return Vector(np.full(len(instants), TIMESTAMP, np.uint8), instants)

    def any_now(self) -> Vector:
        """One user's instant, for what does not depend on it, or everybody's."""
        return Vector(np.full(1, TIMESTAMP, np.uint8), np.full(1, self.latest(), np.int64), constant=True)

    def nows(self, ordinals: Index) -> Vector:
        """The variable `now` of each row."""
        if self.instant() is not None:
            return self.any_now()
        return Vector(np.full(len(ordinals), TIMESTAMP, np.uint8), self.now_of(ordinals))

    def users(self, ordinals: Index) -> Vector:
        """The variable `user` of each row."""
        base = self.space.register_lasting("user", lambda: UserHeap(self))
        return Vector(np.full(len(ordinals), MAP, np.uint8), ordinals + base)

    def event_maps(self, ordinals: Index) -> Vector:
        """The variable `events` of each row."""
        base = self.space.register_lasting("events", lambda: EventMapHeap(self))
        return Vector(np.full(len(ordinals), MAP, np.uint8), ordinals + base)

    def property_of(self, name: str, ordinals: Index) -> Vector:
        """One property of each user; MISSING where it has none."""
        column = self.population.column(name)
        if column is None or not len(ordinals):
            return errors(len(ordinals), MISSING)
        blocks = ordinals >> 16
        first = int(blocks[0])
        if bool((blocks == first).all()):
            return self._of_block(column, first, ordinals & 0xFFFF)
        tags = np.zeros(len(ordinals), np.uint8)
        data = np.zeros(len(ordinals), np.int64)
        for block in np.unique(blocks).tolist():
            rows = np.flatnonzero(blocks == block)
            part = self._of_block(column, block, ordinals[rows] & 0xFFFF)
            tags[rows], data[rows] = part.tags, part.data
        return Vector(tags, data)

    def _of_block(self, column: Column, number: int, places: Index) -> Vector:
        block = column.blocks.get(number)
        if block is None:
            return errors(len(places), MISSING)
        cells = block.cells(places.astype(np.uint16))
        return self.referring(*cells, ("column", column.name), column.strings, column.blobs)

    def referring(self, tags: Tags, data: Data, owner: tuple[str, ...], strings: Any, blobs: Any) -> Vector:
        """Stored tags and data as a vector: codes become references into the owner's dictionaries."""
        refers = REFERENCES[tags]
        if not bool(refers.any()):
            return Vector(tags, data)
        space = self.space
        texts = tags == STRING
        if bool(texts.any()):
            base = space.register_lasting((*owner, "strings"), lambda: TextHeap(space, strings))
            data = np.where(texts, data + base, data)
        others = refers & ~texts
        if bool(others.any()):
            base = space.register_lasting((*owner, "blobs"), lambda: BlobHeap(space, blobs.values_of))
            data = np.where(others, data + base, data)
        return Vector(tags, data)

    def events_of(self, name: str, ordinals: Index, after: int = BEFORE_ALL) -> Vector:
        """The list of each user's visible events of one name.

        Arguments:
            ordinals: repeats allowed where rows are elements of something else.
            after: leave out events at or before this instant; the caller knows that they cannot matter.
        """
        counts = np.zeros(len(ordinals), np.int64)
        starts = counts
        flat = errors(0, MISSING)
        table = self.population.events(name)
        if table is not None and len(ordinals):
            rows, flat = self._rows(table, ordinals, after)
            starts = np.searchsorted(rows.ordinals, ordinals, "left").astype(np.int64)
            ends = np.searchsorted(rows.ordinals, ordinals, "right")
            # A user's events are in the order of time, so that the visible ones are the first of them.
            visible = rows.times <= self.now_of(rows.ordinals.astype(np.int64))
            seen = np.zeros(len(visible) + 1, np.int64)
            np.cumsum(visible, out=seen[1:])
            counts = seen[ends] - seen[starts]
        base = self.space.register(SpanHeap(self.space, starts, counts, flat))
        return Vector(np.full(len(ordinals), LIST, np.uint8), np.arange(len(ordinals), dtype=np.int64) + base)

    def event_counts(self, name: str, ordinals: Index) -> Data:
        """How many visible events of one name each user has; repeats allowed."""
        table = self.population.events(name)
        if table is None or not len(ordinals):
            return np.zeros(len(ordinals), np.int64)
        users = distinct(ordinals)
        return count_visible(table, users, self.now_of(users))[np.searchsorted(users, ordinals)]

    def rows_of(self, table: EventTable, rows: EventRows, places: Index) -> Vector:
        """Some events (int64 positions in the rows) as maps."""
        base = self.space.register(EventHeap(self, table, rows))
        return Vector(np.full(len(places), MAP, np.uint8), places + base)

    def _rows(self, table: EventTable, ordinals: Index, after: int) -> tuple[EventRows, Vector]:
        users = ordinals if bool((ordinals[1:] > ordinals[:-1]).all()) else distinct(ordinals)
        key = (table.name, after, users.tobytes())
        found = self._read.get(key)
        if found is None:
            rows = rows_of_users(table, users, after, int(self.now_of(users).max()))
            size = len(rows.ordinals)
            base = self.space.register_for_block(EventHeap(self, table, rows))
            flat = Vector(np.full(size, MAP, np.uint8), np.arange(size, dtype=np.int64) + base)
            found = self._read[key] = (rows, flat)
        return found


class UserHeap(Heap):
    """Profiles as maps; the code is the ordinal."""

    def __init__(self, sources: Sources) -> None:
        super().__init__(sources.space)
        self._sources = sources

    def fields(self, codes: Index, name: str) -> Vector:
        return self._sources.property_of(name, codes)

    def values(self, codes: Index) -> list[Any]:
        self.space.meter.take(_PROFILE_CELLS * len(codes))
        maps: list[dict[str, Any]] = [{} for _ in range(len(codes))]
        for name, column in self._sources.population.columns.items():
            tags = self._sources.property_of(name, codes).tags
            rows = np.flatnonzero(tags != MISSING)
            for row, value in zip(rows.tolist(), column.gather(codes[rows].astype(np.uint32)), strict=True):
                maps[row][name] = value
        return maps


class EventMapHeap(Heap):
    """The variable `events` as maps from event name to list; the code is the ordinal."""

    def __init__(self, sources: Sources) -> None:
        super().__init__(sources.space)
        self._sources = sources

    def fields(self, codes: Index, name: str) -> Vector:
        return self._sources.events_of(name, codes)

    def values(self, codes: Index) -> list[Any]:
        sources = self._sources
        maps: list[dict[str, Any]] = [{} for _ in range(len(codes))]
        for name in sources.population.event_tables:
            for row, events in enumerate(sources.space.decode(sources.events_of(name, codes))):
                if events:
                    maps[row][name] = events
        return maps


class EventHeap(Heap):
    """The events of a slice as maps; the code is the row in the slice."""

    def __init__(self, sources: Sources, table: EventTable, rows: EventRows) -> None:
        super().__init__(sources.space)
        self._sources, self._table, self._rows = sources, table, rows
        self._fields: dict[str, Vector] = {}

    def fields(self, codes: Index, name: str) -> Vector:
        if name == "time":
            return Vector(np.full(len(codes), TIMESTAMP, np.uint8), self._rows.times[codes])
        stored = self._fields.get(name)
        if stored is None:
            stored = self._fields[name] = self._column(name)
        return stored.take(codes)

    def _column(self, name: str) -> Vector:
        column = self._table.cells(self._rows, name)
        if column is None:
            return errors(len(self._rows.ordinals), MISSING)
        tags, data = column
        table = self._table
        return self._sources.referring(tags, data, ("events", table.name, name), table.strings(name), table.blobs(name))

    def values(self, codes: Index) -> list[Any]:
        self.space.meter.take(_EVENT_CELLS * len(codes))
        maps: list[dict[str, Any]] = [{} for _ in range(len(codes))]
        for name in self._table.property_names():
            vector = self.fields(codes, name)
            kept = np.flatnonzero(vector.tags != MISSING)
            for row, value in zip(kept.tolist(), self.space.decode(vector.take(kept)), strict=True):
                maps[row][name] = value
        for row, micros in enumerate(self._rows.times[codes].tolist()):
            maps[row]["time"] = from_micros(micros)
        return maps
