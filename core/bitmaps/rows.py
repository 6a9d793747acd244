"""Rows of events: some rows of some pages, of which a column is read when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.cells import Data, Ordinals, Tags
from core.bitmaps.event_order import merged_order
from core.bitmaps.event_page import EventPage

Places = NDArray[np.int64]
Texts = tuple[bytes, NDArray[np.uint64], NDArray[np.uint32]]
"""A heap, and where in it each row's text begins and how long it is."""
Cells = tuple[Tags, Data]


class EventRows:
    """Some events of one table; n rows, in the order of ordinal, time and arrival where nothing else is said.

    Arguments:
        pages: where the rows stand.
        which: uint32[n], the place in `pages` of each row's page; None where there is but one.
        places: int64[n], the row in its page.
    """

    __slots__ = ("_cells", "_groups", "_pages", "_places", "_read", "_which")

    def __init__(self, pages: Sequence[EventPage], which: Ordinals | None, places: Places) -> None:
        self._pages, self._which, self._places = pages, which, places
        self._groups: list[tuple[EventPage, Places, Places]] | None = None
        self._read: dict[str, NDArray[Any]] = {}
        self._cells: dict[int, Cells | None] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def ordinals(self) -> Ordinals:
        """uint32[n]."""
        return self._column("ordinals", np.uint32)

    @property
    def times(self) -> Data:
        """int64[n], micros UTC."""
        return self._column("times", np.int64)

    @property
    def arrivals(self) -> Data:
        """int64[n], the project's clock when the event came, micros UTC."""
        return self._column("arrivals", np.int64)

    @property
    def identities(self) -> NDArray[np.uint64]:
        """uint64[n], see `core.bitmaps.event_identity`."""
        return self._column("identities", np.uint64)

    def _column(self, name: str, kind: type[np.generic]) -> NDArray[Any]:
        found = self._read.get(name)
        if found is None:
            if self._which is None:
                found = getattr(self._pages[0], name)(self._places) if self._pages else np.zeros(0, kind)
            else:
                found = np.empty(len(self), kind)
                for page, rows, places in self._by_page():
                    found[rows] = getattr(page, name)(places)
            self._read[name] = found
        return found

    def _by_page(self) -> list[tuple[EventPage, Places, Places]]:
        """Each page that has some of the rows, which rows of these, and which of the page."""
        if self._groups is None:
            self._groups = []
            if self._which is None:
                every = np.arange(len(self), dtype=np.int64)
                self._groups = [(page, every, self._places) for page in self._pages]
            else:
                for number, page in enumerate(self._pages):
                    rows = np.flatnonzero(self._which == number)
                    if len(rows):
                        self._groups.append((page, rows, self._places[rows]))
        return self._groups

    def property(self, owner: int) -> Cells | None:
        """Tags uint8[n] and data int64[n] of a property by its number in its table; None where no row's page has it."""
        if owner not in self._cells:
            self._cells[owner] = self._property(owner)
        return self._cells[owner]

    def _property(self, owner: int) -> Cells | None:
        if self._which is None:
            return self._pages[0].property(owner, self._places) if self._pages else None
        tags, data, found = np.zeros(len(self), np.uint8), np.zeros(len(self), np.int64), False
        for page, rows, places in self._by_page():
            cells = page.property(owner, places)
            if cells is not None:
                tags[rows], data[rows] = cells
                found = True
        return (tags, data) if found else None

    def properties(self) -> list[tuple[int, Tags, Data]]:
        """Number, tags and data of each property that some row has, by number."""
        owners = sorted({owner for page in self._pages for owner in page.owners()})
        cells = [(owner, self._property(owner)) for owner in owners]
        return [(owner, *pair) for owner, pair in cells if pair is not None and pair[0].any()]

    def insert_ids(self) -> list[str]:
        """The insert id of each row, "" where it was sent without one."""
        if self._which is None:
            return self._pages[0].insert_ids(self._places) if self._pages else []
        found = [""] * len(self)
        for page, rows, places in self._by_page():
            for row, text in zip(rows.tolist(), page.insert_ids(places), strict=True):
                found[row] = text
        return found

    def id_spans(self) -> Texts | None:
        """All insert ids as spans; None where no row was sent with one."""
        heaps: list[bytes] = []
        size = 0
        starts, lengths = np.zeros(len(self), np.uint64), np.zeros(len(self), np.uint32)
        for page, rows, places in self._by_page():
            spans = page.id_spans()
            if spans is not None:
                starts[rows], lengths[rows] = spans[1][places] + np.uint64(size), spans[2][places]
                heaps.append(spans[0])
                size += len(spans[0])
        return (b"".join(heaps), starts, lengths) if lengths.any() else None

    def take(self, places: Places | slice | NDArray[np.bool_]) -> EventRows:
        """Some of the rows, in the order of `places`."""
        which = None if self._which is None else self._which[places]
        part = EventRows(self._pages, which, self._places[places])
        part._read = {name: column[places] for name, column in self._read.items()}
        part._cells = {
            owner: None if cells is None else (cells[0][places], cells[1][places])
            for owner, cells in self._cells.items()
        }
        return part

    def sorted(self) -> EventRows:
        """The same rows in order; equal ones keep theirs."""
        return self.take(np.lexsort((self.arrivals, self.times, self.ordinals)))

    def between_users(self, first: int, last: int) -> slice:
        """Where the rows of the ordinals from `first` to `last`, both included, stand."""
        # Bounds of the ordinals' own type: with any other, numpy would convert all of the rows to find two places.
        low = np.searchsorted(self.ordinals, np.uint32(first), "left")
        return slice(int(low), int(np.searchsorted(self.ordinals, np.uint32(last), "right")))


NO_ROWS: Final = EventRows((), None, np.zeros(0, np.int64))


def concatenate(parts: Sequence[EventRows]) -> EventRows:
    """Rows of one table, one part after the other, not sorted."""
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else NO_ROWS
    pages: list[EventPage] = []
    which = []
    for part in parts:
        own = np.zeros(len(part), np.uint32) if part._which is None else part._which
        which.append(own + np.uint32(len(pages)))
        pages += part._pages
    joined = np.concatenate(which)
    return EventRows(pages, joined, np.concatenate([part._places for part in parts]))


def merge(base: EventRows, added: EventRows) -> EventRows:
    """Two sorted runs as one; of equal rows those of `base` come first."""
    if not len(base) or not len(added):
        return added if len(added) else base
    order = merged_order(base.ordinals, base.times, base.arrivals, added.ordinals, added.times, added.arrivals)
    return concatenate([base, added]).take(order)
