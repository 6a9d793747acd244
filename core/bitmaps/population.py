"""One version of all users: their properties in columns, their events in tables by name."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.bitmaps.bulk import Codes, fill_column
from core.bitmaps.cells import Ordinals
from core.bitmaps.column import Column
from core.bitmaps.events import EventTable
from core.bitmaps.pagekeys import COLUMNS, EVENTS, STATE, parts_of
from core.bitmaps.user_set import UserSet
from core.errors import StoreError
from core.values import ABSENT, Value, ValueType, from_micros, pack, unpack

Scan = Callable[[bytes], Iterator[tuple[bytes, Any]]]
"""Gives the pages whose keys begin with a prefix, in key order."""


class Population:
    """A version of the data. Published versions never change; the writer changes a fork.

    Versions form one line: a fork goes on from the newest published version. A fork that is dropped leaves unused
    entries in the append-only dictionaries and nothing else.
    """

    def __init__(self) -> None:
        self.size = 0
        self.live = BitMap()
        self._columns: dict[str, Column] = {}
        self._tables: dict[str, EventTable] = {}
        self._own_columns: set[str] = set()
        self._own_tables: set[str] = set()
        self._dirty = True
        self._living: tuple[int, int, UserSet] | None = None

    def fork(self) -> Population:
        """A version to change; whatever is not written stays shared."""
        twin = Population()
        twin.size, twin.live = self.size, self.live.copy()
        twin._columns, twin._tables = dict(self._columns), dict(self._tables)
        twin._dirty, twin._living = self._dirty, self._living
        return twin

    @property
    def living(self) -> UserSet:
        """`live` as kernels read it, made once until it changes."""
        # Ordinals are only ever issued, and what is removed never comes back: the two numbers tell any two states apart.
        known, live = self._living, len(self.live)
        if known is None or known[0] != self.size or known[1] != live:
            known = self._living = (self.size, live, UserSet(self.live))
        return known[2]

    @property
    def columns(self) -> Mapping[str, Column]:
        """Properties by name."""
        return self._columns

    @property
    def event_tables(self) -> Mapping[str, EventTable]:
        """Events by name."""
        return self._tables

    def column(self, name: str) -> Column | None:
        """A property, None where no user ever had it."""
        return self._columns.get(name)

    def events(self, name: str) -> EventTable | None:
        """The events of a name, None where there never was one."""
        return self._tables.get(name)

    def writable_column(self, name: str) -> Column:
        """This version's own column, made at first use. Writer only."""
        if name not in self._own_columns:
            found = self._columns.get(name)
            self._columns[name] = Column(name) if found is None else found.fork()
            self._own_columns.add(name)
        return self._columns[name]

    def writable_events(self, name: str) -> EventTable:
        """This version's own event table, made at first use. Writer only."""
        if name not in self._own_tables:
            found = self._tables.get(name)
            self._tables[name] = EventTable(name) if found is None else found.fork()
            self._own_tables.add(name)
        return self._tables[name]

    def issue(self, size: int) -> None:
        """Ordinals below `size` are issued now; new ones are live. Never shrinks. Writer only."""
        if size > self.size:
            self.live.add_range(self.size, size)
            self.size = size
            self._dirty = True

    def remove_user(self, ordinal: int) -> None:
        """Remove a user's values and events; the ordinal is never issued again. Writer only."""
        gone = np.array([ordinal], np.uint32)
        for name, column in list(self._columns.items()):
            if column.has(ordinal):
                self.writable_column(name).set_many(gone, [ABSENT])
        for name, table in list(self._tables.items()):
            if table.has_user(ordinal):
                self.writable_events(name).remove([ordinal])
        self.live.discard(ordinal)
        self._dirty = True

    def profile(self, ordinal: int) -> dict[str, Value]:
        """A user's properties by name."""
        found = ((name, column.get(ordinal)) for name, column in self._columns.items())
        return {name: value for name, value in found if value is not ABSENT}

    def profiles(self, ordinals: Ordinals, names: Sequence[str] | None) -> list[dict[str, Value]]:
        """The properties of users (uint32[n]), all or those named, in the order of the ordinals."""
        rows: list[dict[str, Value]] = [{} for _ in range(len(ordinals))]
        for name in self._columns if names is None else names:
            column = self._columns.get(name)
            if column is not None:
                for row, value in zip(rows, column.gather(ordinals), strict=True):
                    if value is not ABSENT:
                        row[name] = value
        return rows

    def timeline(self, ordinal: int, upto: int, limit: int, newest_first: bool) -> list[tuple[str, dict[str, Value]]]:
        """Up to `limit` of a user's events not later than `upto` (micros): name, and properties with `time`.

        Ordered by time, then arrival, then name.
        """
        found = [
            (time, arrival, name, properties)
            for name, table in self._tables.items()
            for time, arrival, properties in table.history(ordinal, upto)
        ]
        found.sort(key=lambda row: row[:3], reverse=newest_first)
        return [(name, {**properties, "time": from_micros(time)}) for time, _, name, properties in found[:limit]]

    def bulk_column(
        self, name: str, kind: ValueType, values: NDArray[np.generic] | Codes, presence: BitMap | None = None
    ) -> None:
        """Replace the values of the ordinals 0..n-1 by an array's, block by block. Writer only.

        Arguments:
            kind: BOOL, INT, DOUBLE, TIMESTAMP (int64 micros) or STRING.
            values: array[n], or for STRING the pair (codes: unsigned array[n], dictionary: list of strings).
            presence: who has a value; None = every ordinal below n.

        Raises:
            ValueError: for another type, or a code outside the dictionary.
        """
        fill_column(self.writable_column(name), kind, values, presence)

    def dirty_pages(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since `clean`, in key order; None = deleted. A page is made when it is asked for."""
        pages = [page for column in self._columns.values() for page in column.dirty_pages()]
        pages.extend(page for table in self._tables.values() for page in table.dirty_pages())
        if self._dirty:
            pages.append((STATE, lambda: pack([self.size, self.live.serialize()])))
        for key, page in sorted(pages, key=lambda item: item[0]):
            yield key, page()

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint of the version this forks has it. Writer only."""
        for name, column in list(self._columns.items()):
            if not column.is_clean:
                self.writable_column(name).clean()
        for name, table in list(self._tables.items()):
            if not table.is_clean:
                self.writable_events(name).clean()
        self._dirty = False

    def soil(self, frozen: Population) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed. Writer only."""
        for name, column in frozen._columns.items():
            if not column.is_clean:
                self.writable_column(name).soil(column)
        for name, table in frozen._tables.items():
            if not table.is_clean:
                self.writable_events(name).soil(table)
        self._dirty = self._dirty or frozen._dirty

    def adopt(self, frozen: Population, get: Callable[[bytes], Any]) -> None:
        """After a checkpoint of `frozen`: use in place what it wrote and what is still so. Writer only.

        Arguments:
            get: gives the stored page of a key in place, None where there is none.

        Raises:
            StoreError: where a page is damaged.
        """
        for name, column in frozen._columns.items():
            if not column.is_clean:
                self.writable_column(name).adopt_saved(column, get)
        for name, table in frozen._tables.items():
            if not table.is_clean:
                self.writable_events(name).adopt_saved(table, get)

    @classmethod
    def load(cls, scan: Scan, scan_in_place: Scan | None = None) -> Population:
        """The population of a checkpoint.

        Arguments:
            scan: gives pages that are what was written.
            scan_in_place: gives pages to point into, of which this is not known; `scan` where it is None.

        Raises:
            StoreError: where a page is damaged.
        """
        population = cls()
        try:
            for _, page in scan(STATE):
                population.size, live = unpack(page)
                population.live = BitMap.deserialize(live)
            for key, page in (scan_in_place or scan)(COLUMNS):
                name, what, owner, number = parts_of(COLUMNS, key)
                if owner:
                    raise StoreError("a column page with an owner", code="STORE_DAMAGED")
                population.writable_column(name).load_page(what, number, page)
            for key, page in (scan_in_place or scan)(EVENTS):
                name, what, owner, number = parts_of(EVENTS, key)
                population.writable_events(name).load_page(what, owner, number, page)
        except (ValueError, TypeError, struct.error) as error:
            raise StoreError(f"a page of the population is damaged: {error}", code="STORE_DAMAGED") from error
        for column in population._columns.values():
            column.settle()
        for table in population._tables.values():
            table.settle()
        population._own_columns.clear()
        population._own_tables.clear()
        population._dirty = False
        return population
