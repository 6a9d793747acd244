"""The events of one name as rows for conditions that look at one event at a time: some days' chunks after the other.

An event's user is a *slot*: its place among the users of a batch, block by block. Days outside a window are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.cells import BLOCK_BITS, BLOCK_ROWS
from core.bitmaps.rows import EventRows, concatenate
from core.evaluator.frame import Frame
from core.evaluator.sources import BEFORE_ALL
from core.evaluator.tree import Macro
from core.evaluator.vector import BOOL, TIMESTAMP, Index, Tags, Vector, condition_errors
from core.evaluator.window import earliest_that_matters

if TYPE_CHECKING:
    from core.bitmaps.events import EventTable
    from core.evaluator.batch import Batch, Words

_TOGETHER: Final = 65_536
"""Days are judged together up to about so many events: what a judgement costs besides its events is then little."""
_EVENTS_PER_USER: Final = 24
"""Reading one user's own events costs about as much as judging this many events of a chunk."""


def is_worth_it(table: EventTable | None, users: int) -> bool:
    """Whether judging all events of a name is cheaper than reading those of so many users."""
    return table is None or users * _EVENTS_PER_USER >= table.count


def slots_of(batch: Batch) -> int:
    """How many slots a batch has."""
    return len(batch.blocks) * BLOCK_ROWS


def visible_events(
    batch: Batch, table: EventTable | None, variable: str, after: int = BEFORE_ALL
) -> Iterator[tuple[Index, Frame]]:
    """The slots of the events that their users may see, and a frame with a row for each event, some days at a time.

    A user's events come in the order of time. A frame means nothing any more when the next is asked for.

    Arguments:
        variable: what an event is called in the frame; `now` is there, too.
        after: leave out events at or before this instant.
    """
    if table is None:
        return
    run = batch.run
    sources = run.sources
    upto = sources.latest()
    first, last = int(batch.blocks[0]) << BLOCK_BITS, (int(batch.blocks[-1]) << BLOCK_BITS) + BLOCK_ROWS - 1
    place_of = np.full(int(batch.blocks[-1]) + 1, -1, np.int64)
    place_of[batch.blocks] = np.arange(len(batch.blocks)) * BLOCK_ROWS
    nows = None if sources.instant() is not None else _now_of_slots(batch, place_of)

    @cache
    def counts() -> Index:
        """How many events each slot's user sees; only macros inside a macro over events ask."""
        everybody = (batch.blocks.astype(np.int64)[:, None] << BLOCK_BITS) + np.arange(BLOCK_ROWS)
        return sources.event_counts(table.name, everybody.reshape(-1))

    for rows in _some_days(table, first, last, after, upto):
        ordinals = rows.ordinals.astype(np.int64)
        places = place_of[ordinals >> BLOCK_BITS]
        slots = places + (ordinals & (BLOCK_ROWS - 1))
        now: int | Index = upto if nows is None else nows[slots]
        kept = np.flatnonzero((rows.times <= now) & (rows.times > after) & (places >= 0))
        if not len(kept):
            continue
        run.next_rows()
        instants = sources.any_now()
        if nows is not None:
            instants = Vector(np.full(len(kept), TIMESTAMP, np.uint8), nows[slots[kept]])
        names = {variable: sources.rows_of(table, rows, kept), "now": instants}
        yield slots[kept], Frame(len(kept), names, lengths=partial(_lengths, counts, slots[kept]))


def _lengths(counts: Callable[[], Index], slots: Index) -> Index:
    return counts()[slots]


def _some_days(table: EventTable, first: int, last: int, after: int, upto: int) -> Iterator[EventRows]:
    """The rows of users from `first` to `last` on the days of a window, a large day or several small ones at a time."""
    parts: list[EventRows] = []
    size = 0
    for day in table.days_between(after, upto):
        rows = table.chunk(day).between_users(first, last)
        if not len(rows):
            continue
        parts.append(rows)
        size += len(rows)
        if size >= _TOGETHER:
            yield concatenate(parts)
            parts, size = [], 0
    if parts:
        yield concatenate(parts)


def _now_of_slots(batch: Batch, place_of: Index) -> Index:
    """The instant of each slot's user, before all time for who has none."""
    ordinals, instants = batch.run.sources.own_instants(len(place_of) * BLOCK_ROWS)
    places = place_of[ordinals >> BLOCK_BITS]
    known = places >= 0
    nows = np.full(slots_of(batch), BEFORE_ALL, np.int64)
    nows[places[known] + (ordinals[known] & (BLOCK_ROWS - 1))] = instants[known]
    return nows


def window_of(batch: Batch, macro: Macro | None) -> int:
    """The instant such that events at or before it change nothing in a macro over events."""
    return BEFORE_ALL if macro is None else earliest_that_matters(macro, batch.run.at_every_instant)


def judged(batch: Batch, macro: Macro, frame: Frame) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Tags]:
    """Which events of a frame satisfy a macro's condition, which fail it, and the errors of the others (1 for none)."""
    assert macro.predicate is not None
    value = batch.run.interpreter.judged(macro.predicate, frame)
    decided = value.tags == BOOL
    return decided & (value.data == 1), decided & (value.data == 0), condition_errors(value)


def as_words(flags: NDArray[np.bool_]) -> Words:
    """Flags by slot as a batch's words."""
    packed: Words = np.packbits(flags, bitorder="little").view(np.uint64).reshape(-1, 1024)
    return packed
