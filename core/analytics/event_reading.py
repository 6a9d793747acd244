"""Events of one name as arrays, chosen by what a property of theirs says: a page at a time, never event by event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.events import EventTable
from core.bitmaps.rows import EventRows
from core.values import ValueType

OTHER: Final = -1
"""Instead of a number, for whatever is not a whole one."""


def events_between(table: EventTable | None, after: int, upto: int) -> Iterator[EventRows]:
    """The events with a time in (after, upto], micros UTC, in no particular order, in parts."""
    for day in [] if table is None else table.days_between(after, upto):
        assert table is not None
        for rows in table.chunk(day).between(after, upto):
            if len(rows):
                yield rows


def events_about(
    table: EventTable | None, name: str, texts: Sequence[str], after: int, upto: int
) -> Iterator[tuple[EventRows, NDArray[np.int64]]]:
    """Those whose property `name` is one of some texts, each with the text's place among them: int64[n]."""
    if table is None or name not in table.property_names():
        return
    codes = table.strings(name).find_many(list(texts))
    known = np.flatnonzero(codes >= 0)
    order = known[np.argsort(codes[known])]
    wanted = codes[order]
    for rows in events_between(table, after, upto) if len(wanted) else ():
        cells = table.cells(rows, name)
        if cells is None:
            continue
        tags, data = cells
        places = np.minimum(np.searchsorted(wanted, data), len(wanted) - 1)
        about = (tags == ValueType.STRING) & (wanted[places] == data)
        if about.any():
            yield rows.take(about), order[places[about]]


def whole_numbers(table: EventTable, rows: EventRows, name: str, absent: int) -> NDArray[np.int64]:
    """A property of some events as int64[n]: `absent` where an event lacks it, OTHER where it is no int from 0 on."""
    cells = table.cells(rows, name)
    if cells is None:
        return np.full(len(rows), absent, np.int64)
    tags, data = cells
    numbers = np.where((tags == ValueType.INT) & (data >= 0), data, OTHER)
    return np.where(tags == ValueType.ABSENT, absent, numbers)


def amounts(table: EventTable, rows: EventRows, name: str) -> NDArray[np.float64]:
    """A property of some events as float64[n]: 0 where an event lacks it or it is no number."""
    cells = table.cells(rows, name)
    if cells is None:
        return np.zeros(len(rows))
    tags, data = cells
    doubles = np.where(tags == ValueType.DOUBLE, np.ascontiguousarray(data).view(np.float64), 0.0)
    return np.where(tags == ValueType.INT, data.astype(np.float64), doubles)
