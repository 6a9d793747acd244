"""Reads the events of some users from the day chunks, in order of user and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from core.bitmaps.cells import Ordinals
from core.bitmaps.rows import EventRows, concatenate, empty_rows
from core.evaluator.heaps import ranges
from core.evaluator.vector import Data, Index
from core.values import MIN_MICROS

if TYPE_CHECKING:
    from core.bitmaps.events import EventTable

_SPARSE: Final = 4
"""Users fewer than one in so many ordinals are looked up one by one rather than read as a range."""


def rows_of_users(table: EventTable, users: Index, after: int, upto: int) -> EventRows:
    """The events of users with a time in (after, upto], ordered by user, time and arrival.

    Arguments:
        users: int64[n], ascending, each once. Events of others between the first and the last may come, too.
    """
    if not len(users):
        return empty_rows()
    first, last = int(users[0]), int(users[-1])
    sparse = len(users) * _SPARSE < last - first + 1
    parts = []
    for day in table.days_between(after, upto):
        rows = table.chunk(day).rows
        if sparse:
            places = _places(rows.ordinals, users)
        else:
            span = rows.between_users(first, last)
            places = np.arange(span.start, span.stop, dtype=np.int64)
        times = rows.times[places]
        places = places[(times > after) & (times <= upto)]
        if len(places):
            parts.append(rows.take(places))
    if len(parts) < 2:
        return parts[0] if parts else empty_rows()
    # Days follow one another and each is in order, so that a stable sort by user leaves a user's events in order.
    rows = concatenate(parts)
    return rows.take(np.argsort(rows.ordinals, kind="stable"))


def count_visible(table: EventTable, users: Index, nows: Data) -> Data:
    """How many events each user has up to the user's instant.

    Arguments:
        users: int64[n], ascending, each once; n > 0.
        nows: int64[n] instants, or int64[1] for everybody; micros UTC.
    """
    counts = np.zeros(len(users), np.int64)
    upto = int(nows.max())
    for day in table.days_between(MIN_MICROS - 1, upto):
        rows = table.chunk(day).rows
        span = rows.between_users(int(users[0]), int(users[-1]))
        ordinals = rows.ordinals[span].astype(np.int64)
        nearest = np.searchsorted(users, ordinals)
        counted = users[nearest] == ordinals
        counted &= rows.times[span] <= (nows if len(nows) == 1 else nows[nearest])
        counts += np.bincount(nearest[counted], minlength=len(users))
    return counts


def _places(ordinals: Ordinals, users: Index) -> Index:
    """Where the rows of some users stand, by looking up the users or the rows, whichever are fewer."""
    if len(users) < len(ordinals):
        known = users.astype(np.uint32)
        starts = np.searchsorted(ordinals, known, "left")
        return ranges(starts, np.searchsorted(ordinals, known, "right") - starts)
    nearest = np.searchsorted(users, ordinals.astype(np.int64))
    return np.flatnonzero(users[np.minimum(nearest, len(users) - 1)] == ordinals)
