"""Reads the events of some users from the day chunks, in order of user and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from core.bitmaps.rows import EventRows, concatenate, empty_rows
from core.evaluator.heaps import ranges
from core.evaluator.vector import Index
from core.values import MICROS_PER_DAY

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
    for day in table.days():
        if (day + 1) * MICROS_PER_DAY <= after + 1:
            continue
        if day * MICROS_PER_DAY > upto:
            break
        rows = table.chunk(day).rows
        if sparse:
            starts = np.searchsorted(rows.ordinals, users, "left")
            places = ranges(starts, np.searchsorted(rows.ordinals, users, "right") - starts)
            if not len(places):
                continue
            rows = rows.take(places)
        else:
            rows = rows.take(rows.between_users(first, last))
        inside = (rows.times > after) & (rows.times <= upto)
        if bool(inside.any()):
            parts.append(rows if bool(inside.all()) else rows.take(inside))
    if len(parts) < 2:
        return parts[0] if parts else empty_rows()
    # Days follow one another and each is in order, so that a stable sort by user leaves a user's events in order.
    rows = concatenate(parts)
    return rows.take(np.argsort(rows.ordinals, kind="stable"))
