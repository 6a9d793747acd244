"""Reads the events of some users from the day chunks, in order of user and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from core.bitmaps.rows import NO_ROWS, EventRows, concatenate
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
        return NO_ROWS
    first, last = int(users[0]), int(users[-1])
    sparse = len(users) * _SPARSE < last - first + 1
    parts = []
    for day in table.days_between(after, upto):
        chunk = table.chunk(day)
        rows = chunk.of_users(users.astype(np.uint32)) if sparse else chunk.between_users(first, last)
        inside = (rows.times > after) & (rows.times <= upto)
        if inside.any():
            parts.append(rows if inside.all() else rows.take(inside))
    if len(parts) < 2:
        return parts[0] if parts else NO_ROWS
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
        rows = table.chunk(day).between_users(int(users[0]), int(users[-1]))
        ordinals = rows.ordinals.astype(np.int64)
        nearest = np.searchsorted(users, ordinals)
        counted = users[nearest] == ordinals
        counted &= rows.times <= (nows if len(nows) == 1 else nows[nearest])
        counts += np.bincount(nearest[counted], minlength=len(users))
    return counts
