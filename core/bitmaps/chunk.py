"""The events of one name on one UTC day: pages, of which later versions share what did not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.cells import TYPES, Data, Ordinals
from core.bitmaps.event_page import EventPage
from core.bitmaps.event_page_writer import write_page
from core.bitmaps.rows import EventRows, Places, concatenate, merge

Words = NDArray[np.uint64]
_MERGED_UPTO: Final = 2
"""A part that is at most so many times as large as what comes after it is merged with that."""
_MOST_MERGED: Final = 1 << 20
"""Parts of more rows are left to checkpoints, as the writer would stand still for too long."""
_DEAD_SHARE: Final = 4
"""A part of which one row in so many is dead is written anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A page, and which of its rows count: uint64[ceil(rows / 64)], None for all."""

    page: EventPage
    alive: Words | None = None

    def places(self, first: int, last: int) -> Places:
        """The rows from `first` to before `last` that count."""
        if self.alive is None:
            return np.arange(first, last, dtype=np.int64)
        return np.flatnonzero(_bits(self.alive)[first:last]) + first

    def counting(self, places: Places) -> Places:
        """Those of some rows that count."""
        if self.alive is None:
            return places
        alive: NDArray[np.bool_] = (self.alive[places >> 6] >> (places & 63).astype(np.uint64)) & 1 != 0
        return places[alive]

    def times(self) -> Data:
        """int64, micros UTC, of the rows that count."""
        return self.page.times(self.places(0, len(self.page)))

    def without(self, places: Places) -> Part:
        """The same without some rows."""
        alive = np.full(-(-len(self.page) // 64), ~np.uint64(0)) if self.alive is None else self.alive.copy()
        np.bitwise_and.at(alive, places >> 6, ~(np.uint64(1) << (places & 63).astype(np.uint64)))
        return Part(self.page, alive)

    @property
    def count(self) -> int:
        """How many rows count."""
        if self.alive is None:
            return len(self.page)
        return int(np.count_nonzero(_bits(self.alive)[: len(self.page)]))


def _bits(words: Words) -> NDArray[np.uint8]:
    return np.unpackbits(words.view(np.uint8), bitorder="little")


class Chunk:
    """One version of a day.

    A batch of events becomes a page of its own, which is merged with those before it once it is as large as they are:
    there are a few parts at any time, each about twice the next, and every event is written a few times. Parts stand in
    the order of arrival; a version never changes one, so that a fork that is dropped leaves no trace.
    """

    __slots__ = ("_sealed", "count", "parts")

    def __init__(self, parts: tuple[Part, ...] = ()) -> None:
        self.parts = parts
        self._sealed = 0  # so many parts are being saved as one, which is going to take their place
        self.count = sum(part.count for part in parts)

    def fork(self) -> Chunk:
        """A version to change."""
        twin = Chunk.__new__(Chunk)
        twin.parts, twin.count, twin._sealed = self.parts, self.count, self._sealed
        return twin

    def seal(self) -> None:
        """A checkpoint saves what is here: leave it as it is until then, see `adopted`. Writer only."""
        self._sealed = len(self.parts)

    @property
    def rows(self) -> EventRows:
        """All events in order."""
        return self._united([(part.page, part.places(0, len(part.page))) for part in self.parts])

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

    def between_users(self, first: int, last: int) -> EventRows:
        """The events of the ordinals from `first` to `last`, both included, in order."""
        return self._united([(part.page, part.places(*part.page.span(first, last))) for part in self.parts])

    def of_users(self, users: Ordinals) -> EventRows:
        """The events of some users (uint32[n], ascending, each once), in order."""
        return self._united([(part.page, part.counting(part.page.places_of(users))) for part in self.parts])

    def gathered(self, users: Ordinals) -> Chunk | None:
        """The events of some users (uint32[n], ascending, each once), those of the n-th being of ordinal n; None: none."""
        rows = self.of_users(users)
        if not len(rows):
            return None
        ordinals = np.searchsorted(users, rows.ordinals).astype(np.uint32)
        page = write_page(ordinals, rows.times, rows.arrivals, rows.identities, None, rows.properties())
        return Chunk((Part(EventPage(page)),))

    def between(self, after: int, upto: int) -> list[EventRows]:
        """The events with a time in (after, upto], part by part."""
        found = []
        for part in self.parts:
            places = part.counting(part.page.places_between(after, upto))
            if len(places):
                found.append(EventRows((part.page,), None, places))
        return found

    def has_user(self, ordinal: int) -> bool:
        """Whether a user has an event here."""
        return any(len(part.places(*part.page.span(ordinal, ordinal))) for part in self.parts)

    def has_any(self, users: Ordinals) -> bool:
        """Whether any of some users (uint32[n], ascending) has an event here."""
        return any(len(part.counting(part.page.places_of(users))) for part in self.parts)

    def type_counts(self, owner: int) -> NDArray[np.int64]:
        """How many events have a value of each type in a property: int64[TYPES], counting no value, too."""
        total = np.zeros(TYPES, np.int64)
        for part in self.parts:
            cells = part.page.property(owner, None if part.alive is None else part.places(0, len(part.page)))
            if cells is not None:
                total += np.bincount(cells[0], minlength=TYPES)
        return total

    def fits(self, reach: Sequence[tuple[int, int]]) -> bool:
        """Whether the pages refer to no property beyond `reach` and to no code beyond what it says of each.

        Arguments:
            reach: how many strings, and lists and maps, there are in the dictionaries of each property.
        """
        for part in self.parts:
            for owner in part.page.owners():
                strings, blobs = part.page.reach(owner)
                if owner >= len(reach) or not 0 <= strings <= reach[owner][0] or not 0 <= blobs <= reach[owner][1]:
                    return False
        return True

    def least_time(self) -> int:
        """The earliest event's time, micros UTC; there is one."""
        return min(int(part.times().min()) if part.alive is not None else part.page.least_time() for part in self.parts)

    def greatest_time(self) -> int:
        """The latest event's time, micros UTC; there is one."""
        return max(
            int(part.times().max()) if part.alive is not None else part.page.greatest_time() for part in self.parts
        )

    def _united(self, found: Sequence[tuple[EventPage, Places]]) -> EventRows:
        """Sorted rows of pages as one; of equal ones those of earlier pages come first."""
        parts = [EventRows((page,), None, places) for page, places in found if len(places)]
        if len(parts) < 2:
            return concatenate(parts)
        rest = parts[1] if len(parts) == 2 else concatenate(parts[1:]).sorted()
        return merge(parts[0], rest)

    def known(self, ordinals: Ordinals, times: Data, identities: Words) -> NDArray[np.uint8]:
        """Which of n events have a copy here: uint8[n], 0 or 1."""
        found = np.zeros(len(ordinals), np.uint8)
        for part in self.parts:
            part.page.mark_known(ordinals, times, identities, part.alive, found)
        return found

    def add(self, page: EventPage) -> None:
        """Put a batch in. Writer only."""
        self.count += len(page)
        parts = (*self.parts, Part(page))
        first, size = len(parts) - 1, len(page)
        while first > self._sealed:
            before = len(parts[first - 1].page)
            if before > _MERGED_UPTO * size or before + size > _MOST_MERGED:
                break
            first -= 1
            size += before
        self.parts = (*parts[:first], *self._folded(parts[first:]))

    def _folded(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        """The same rows in one part, in none where there are none."""
        if len(parts) == 1 and parts[0].alive is None:
            return parts
        rows = self._united([(part.page, part.places(0, len(part.page))) for part in parts])
        return (Part(EventPage(_written(rows))),) if len(rows) else ()

    def remove(self, users: Ordinals) -> EventRows:
        """Take the events of some users (uint32[n], ascending, each once) out, and return them. Writer only."""
        gone = [(part.page, part.counting(part.page.places_of(users))) for part in self.parts]
        parts: list[Part] = []
        for part, (_, places) in zip(self.parts, gone, strict=True):
            if len(places):
                part = part.without(places)
                if (len(part.page) - part.count) * _DEAD_SHARE >= len(part.page):
                    parts += self._folded((part,))
                    continue
            parts.append(part)
        self.parts, self._sealed = tuple(parts), 0
        self.count -= sum(len(places) for _, places in gone)
        return self._united(gone)

    def move(self, from_ordinal: int, to_ordinal: int) -> int:
        """Give a user's events to another; identities stay. Returns how many. Writer only."""
        rows = self.remove(np.array([from_ordinal], np.uint32))
        if len(rows):
            page = write_page(
                np.full(len(rows), to_ordinal, np.uint32),
                rows.times,
                rows.arrivals,
                rows.identities,
                rows.id_spans(),
                rows.properties(),
            )
            self.add(EventPage(page))
        return len(rows)

    def dump(self) -> Any:
        """All events as one page; None where there are none."""
        parts = self._folded(self.parts)
        return parts[0].page.page if parts else None

    def adopted(self, saved: Chunk, page: EventPage) -> Chunk | None:
        """The same with a stored page in place of the parts that it was made of; None where they are here no more."""
        count = len(saved.parts)
        if self.parts[:count] != saved.parts or not count:
            return None
        return Chunk((Part(page), *self.parts[count:]))


def _written(rows: EventRows) -> bytes:
    return write_page(rows.ordinals, rows.times, rows.arrivals, rows.identities, rows.id_spans(), rows.properties())
