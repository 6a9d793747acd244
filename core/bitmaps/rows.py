"""Rows of events: columns of equal length, sorted by ordinal, then time, then arrival."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.cells import Data, Ordinals, Tags

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EventRows:
    """Some events of one name; n rows.

    Arguments:
        ordinals: uint32[n], ascending.
        times, arrivals: int64[n], micros UTC; `arrivals` is the project's clock when the event came.
        identities: uint32[n], the event's number in its day's table of identities.
        cells: tags uint8[n] and data int64[n] per property that any row may have.
    """

    ordinals: Ordinals
    times: Data
    arrivals: Data
    identities: Ordinals
    cells: dict[str, tuple[Tags, Data]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ordinals)

    def property(self, name: str) -> tuple[Tags, Data] | None:
        """Tags and data of a property, None where no row has it; codes are of the table's dictionaries."""
        return self.cells.get(name)

    def take(self, places: Places | slice | NDArray[np.bool_]) -> EventRows:
        """Some of the rows, in the order of `places`."""
        return EventRows(
            self.ordinals[places],
            self.times[places],
            self.arrivals[places],
            self.identities[places],
            {name: (tags[places], data[places]) for name, (tags, data) in self.cells.items()},
        )

    def sorted(self) -> EventRows:
        """The same rows in order; equal ones keep theirs."""
        return self.take(np.lexsort((self.arrivals, self.times, self.ordinals)))

    def between_users(self, first: int, last: int) -> slice:
        """Where the rows of the ordinals from `first` to `last`, both included, stand."""
        # Bounds of the ordinals' own type: with any other, numpy would convert all of the rows to find two places.
        low = np.searchsorted(self.ordinals, np.uint32(first), "left")
        return slice(int(low), int(np.searchsorted(self.ordinals, np.uint32(last), "right")))


def empty_rows() -> EventRows:
    """No rows."""
    nothing = np.zeros(0, np.int64)
    return EventRows(nothing.astype(np.uint32), nothing, nothing, nothing.astype(np.uint32))


def concatenate(parts: Sequence[EventRows]) -> EventRows:
    """Rows one after the other, not sorted; a property that a part lacks is absent in its rows."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return empty_rows()
    names = {name: None for part in parts for name in part.cells}
    cells = {}
    for name in names:
        found = [
            part.cells.get(name) or (np.zeros(len(part), np.uint8), np.zeros(len(part), np.int64)) for part in parts
        ]
        cells[name] = (np.concatenate([tags for tags, _ in found]), np.concatenate([data for _, data in found]))
    return EventRows(
        np.concatenate([part.ordinals for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.arrivals for part in parts]),
        np.concatenate([part.identities for part in parts]),
        cells,
    )


def merge(base: EventRows, added: EventRows) -> EventRows:
    """Two sorted runs as one; of equal rows those of `base` come first.

    Costs one copy of `base` and a binary search per added row, whatever the order of times.
    """
    if not len(base) or not len(added):
        return added if len(added) else base
    places = _places(base, added)
    order = np.argsort(np.concatenate([np.arange(len(base)) * 2 + 1, places * 2]), kind="stable")
    return concatenate([base, added]).take(order)


def _places(base: EventRows, added: EventRows) -> Places:
    """For each added row, how many rows of `base` are not greater: a binary search of all rows at once."""
    low = np.zeros(len(added), np.int64)
    high = np.full(len(added), len(base), np.int64)
    while True:
        rows = np.flatnonzero(low < high)
        if not len(rows):
            return low
        middle = (low[rows] + high[rows]) // 2
        before = np.ones(len(rows), bool)
        for mine, theirs in (
            (base.arrivals, added.arrivals),
            (base.times, added.times),
            (base.ordinals, added.ordinals),
        ):
            left, right = mine[middle], theirs[rows]
            before = (left < right) | ((left == right) & before)
        low[rows[before]] = middle[before] + 1
        high[rows[~before]] = middle[~before]
