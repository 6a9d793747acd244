"""The events of one name on one UTC day, and what tells a repeated event from a new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.cells import TYPES, Data, Ordinals, Tags
from core.bitmaps.rows import EventRows, concatenate, empty_rows, merge
from core.bitmaps.strings import StringTable
from core.errors import StoreError
from core.values import pack, unpack

_MOST_WAITING: Final = 64
"""Batches that wait unsorted before they are folded into one."""


def identity(time: int, sent_id: str, insert_id: str) -> str:
    """What makes an event the same as another of its name, as one string; different tuples give different strings."""
    return f"{time} {len(sent_id)} {sent_id}{insert_id}"


def insert_id_of(text: str) -> str:
    """The insert id in an `identity`."""
    _, length, rest = text.split(" ", 2)
    return rest[int(length) :]


class Chunk:
    """One version of a day. Rows are immutable; batches wait unsorted until somebody reads.

    A version sees only the first `known` identities of the shared table, so that a dropped fork leaves no trace.
    """

    def __init__(self) -> None:
        self._parts: tuple[EventRows, ...] = ()  # sorted rows, then batches in order of arrival
        self._identities = StringTable()
        self.known = 0
        self.saved = 0
        self.count = 0

    def fork(self) -> Chunk:
        """A version to change."""
        twin = Chunk.__new__(Chunk)
        twin._parts, twin._identities = self._parts, self._identities
        twin.known, twin.saved, twin.count = self.known, self.saved, self.count
        return twin

    @property
    def rows(self) -> EventRows:
        """All events in order."""
        parts = self._parts
        if len(parts) > 1:
            parts = (merge(parts[0], concatenate(parts[1:]).sorted()),)
            self._parts = parts  # the same events, so that any thread may put them in place
        return parts[0] if parts else empty_rows()

    @property
    def ordinals(self) -> Ordinals:
        """uint32[n], ascending."""
        return self.rows.ordinals

    @property
    def times(self) -> Data:
        """int64[n], micros UTC."""
        return self.rows.times

    @property
    def arrivals(self) -> Data:
        """int64[n], the project's clock at arrival, micros UTC."""
        return self.rows.arrivals

    def property(self, name: str) -> tuple[Tags, Data] | None:
        """Tags uint8[n] and data int64[n] of a property; None where no event of the day has it."""
        return self.rows.property(name)

    def insert_ids(self, rows: EventRows) -> list[str]:
        """The insert id of each of some rows of this day."""
        return [insert_id_of(text) for text in self._identities.texts(rows.identities)]

    def register(self, identities: Sequence[str]) -> NDArray[np.int64]:
        """The number of each new identity, -1 for one already known. Writer only."""
        self._own_identities()
        numbers = np.full(len(identities), -1, np.int64)
        for row, text in enumerate(identities):
            number = self._identities.intern(text)
            if number == self.known:
                numbers[row] = number
                self.known += 1
        return numbers

    def _own_identities(self) -> None:
        if len(self._identities) != self.known:  # a fork that was dropped, or a later version, went on from here
            table = StringTable()
            table.extend(self._identities.dump(0, self.known))
            self._identities = table

    def add(self, rows: EventRows) -> None:
        """Put a batch in. Writer only."""
        parts = self._parts or (empty_rows(),)
        if len(parts) > _MOST_WAITING:
            parts = (parts[0], concatenate(parts[1:]).sorted())
        self._parts = (*parts, rows)
        self.count += len(rows)

    def put(self, rows: EventRows) -> None:
        """Replace all rows by sorted ones with the same identities. Writer only."""
        self._parts = (rows,)
        self.count = len(rows)

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Drop rows (bool[n], in order) and forget their identities. Writer only."""
        rows = self.rows.take(kept)
        order = np.argsort(rows.identities, kind="stable")
        table = StringTable()
        for text in self._identities.texts(rows.identities[order]):
            table.intern(text)
        numbers = np.empty(len(rows), np.uint32)
        numbers[order] = np.arange(len(rows), dtype=np.uint32)
        self._identities, self.known, self.saved = table, len(table), 0
        self.put(EventRows(rows.ordinals, rows.times, rows.arrivals, numbers, rows.cells))

    def dump(self) -> bytes:
        """The day's rows as a page."""
        rows = self.rows
        return pack(
            [
                rows.ordinals.tobytes(),
                rows.times.tobytes(),
                rows.arrivals.tobytes(),
                rows.identities.tobytes(),
                {name: [tags.tobytes(), data.tobytes()] for name, (tags, data) in rows.cells.items() if tags.any()},
            ]
        )

    def load(self, page: bytes) -> None:
        """Take the rows of a page. Raises StoreError where it is damaged."""
        try:
            ordinals, times, arrivals, identities, cells = unpack(page)
            rows = EventRows(
                np.frombuffer(ordinals, np.uint32),
                np.frombuffer(times, np.int64),
                np.frombuffer(arrivals, np.int64),
                np.frombuffer(identities, np.uint32),
                {
                    n: (np.frombuffer(t, np.uint8).copy(), np.frombuffer(d, np.int64).copy())
                    for n, (t, d) in cells.items()
                },
            )
        except ValueError as error:
            raise StoreError("a page of events is damaged", code="STORE_DAMAGED") from error
        lengths = {len(rows.times), len(rows.arrivals), len(rows.identities)}
        lengths.update(len(part) for pair in rows.cells.values() for part in pair)
        if lengths != {len(rows)} or any(tags.max(initial=0) >= TYPES for tags, _ in rows.cells.values()):
            raise StoreError("a page of events has columns that do not fit", code="STORE_DAMAGED")
        self.put(rows)

    def dump_identities(self, first: int, last: int) -> bytes:
        """The identities numbered [first, last) as a page."""
        return self._identities.dump(first, last)

    def load_identities(self, page: bytes) -> None:
        """Take the next page of identities."""
        self._identities.extend(page)
        self.known = self.saved = len(self._identities)
