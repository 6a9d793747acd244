"""A step that counts events per user straight from the day chunks of one event name.

`events["X"].exists(e, p)`, `.all`, `.exists_one`, and comparisons of `.size()` or `.filter(e, p).size()` with a constant
need no lists and no order: every event in the time window is judged once, a chunk at a time, and counted into its user's
slot. Days outside the window are not read. Where few users are asked about, the general step (which reads only their
events) decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.evaluator import words
from core.evaluator.frame import Frame
from core.evaluator.plan import Split, Step, Want, Words
from core.evaluator.sources import BEFORE_ALL
from core.evaluator.tree import Macro, Node
from core.evaluator.vector import BOOL, DOUBLE, INT, UINT, Index, condition_errors, of_ints
from core.evaluator.window import earliest_that_matters
from core.values import MICROS_PER_DAY

if TYPE_CHECKING:
    from core.bitmaps.events import EventTable
    from core.evaluator.batch import Batch

USERS_PER_BLOCK: Final = 65_536
_EVENTS_PER_USER: Final = 16
"""Reading one user's own events costs about as much as judging this many events of a chunk."""


@dataclass(frozen=True, slots=True)
class EventTest:
    """What is asked of a user's events of one name.

    Attributes:
        name: the event name.
        kind: how the events' answers make the user's; `size` compares the number of true ones with `limit`.
        macro: the macro with its condition; None where every event counts.
        function, limit: for `size`, CEL's comparison with the count on its left, and the constant on its right.
    """

    name: str
    kind: Literal["exists", "all", "exists_one", "size"]
    macro: Macro | None
    function: str = ""
    limit: Node | None = None


class EventCounts(Step):
    """Counts of judged events per user, compared.

    Arguments:
        general: the same condition by the interpreter.
    """

    def __init__(self, text: str, position: int, test: EventTest, general: Step, cost: float) -> None:
        super().__init__(f"{text}: event chunks", position, cost)
        self._test = test
        self._general = general

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        run, test = batch.run, self._test
        table = run.population.events(test.name)
        limit = None if test.limit is None else run.constant(test.limit)
        if limit is not None and (len(limit) != 1 or limit.tag() not in (INT, UINT, DOUBLE)):
            return self._general.judge(batch, within, want)
        if table is not None and words.count(within) * _EVENTS_PER_USER < table.count:
            return self._general.judge(batch, within, want)
        slots = len(batch.blocks) * USERS_PER_BLOCK
        decisive, failed = self._tally(batch, table, slots)
        if limit is not None:
            outcome = run.interpreter.applier.call(test.function, [of_ints(np.arange(decisive.max() + 1)), limit], 1)
            outcome = outcome.spread(int(decisive.max()) + 1)
            true = (outcome.data == 1)[decisive] & ~failed
            false = ~true & ~failed
        elif test.kind == "exists_one":
            true = (decisive == 1) & ~failed
            false = ~true & ~failed
        else:
            some = decisive > 0
            none = ~some & ~failed
            true, false = (none, some) if test.kind == "all" else (some, none)
        return Split(_as_words(true), _as_words(false))

    def _tally(self, batch: Batch, table: EventTable | None, slots: int) -> tuple[Index, NDArray[np.bool_]]:
        """Per slot: how many events decide (are false for `all`, true otherwise), and whether one errs."""
        hits: list[Index] = [np.zeros(0, np.int64)]
        failures: list[Index] = [np.zeros(0, np.int64)]
        for users, decides, fails in self._judged(batch, table) if table is not None else ():
            hits.append(users[decides])
            failures.append(users[fails])
        failed = np.zeros(slots, bool)
        failed[np.concatenate(failures)] = True
        return np.bincount(np.concatenate(hits), minlength=slots), failed

    def _judged(
        self, batch: Batch, table: EventTable
    ) -> Iterator[tuple[Index, NDArray[np.bool_], NDArray[np.bool_]]]:
        """Per chunk in the window: the slots of its visible events, which of them decide, which err."""
        run, macro = batch.run, self._test.macro
        sources = run.sources
        instant = sources.instant()
        after = BEFORE_ALL
        if macro is not None and instant is not None:
            after = earliest_that_matters(macro, run.constant)
        first, last = int(batch.blocks[0]) << 16, (int(batch.blocks[-1]) << 16) + USERS_PER_BLOCK - 1
        place_of = np.full(int(batch.blocks[-1]) + 1, -1, np.int64)
        place_of[batch.blocks] = np.arange(len(batch.blocks)) * USERS_PER_BLOCK
        for day in table.days():
            if (day + 1) * MICROS_PER_DAY <= after + 1:
                continue
            if instant is not None and day * MICROS_PER_DAY > instant:
                break
            chunk = table.chunk(day)
            low, high = np.searchsorted(chunk.ordinals, np.array([first, last + 1], np.int64)).tolist()
            ordinals = chunk.ordinals[low:high].astype(np.int64)
            places = place_of[ordinals >> 16]
            times = chunk.times[low:high]
            kept = np.flatnonzero((times <= sources.now_of(ordinals)) & (times > after) & (places >= 0))
            if not len(kept):
                continue
            ordinals = ordinals[kept]
            users = places[kept] + (ordinals & 0xFFFF)
            if macro is None or macro.predicate is None:
                yield users, np.ones(len(kept), bool), np.zeros(len(kept), bool)
                continue
            run.next_rows()
            names = {macro.variable: sources.rows_of(table, chunk, kept + low), "now": sources.nows(ordinals)}
            value = run.interpreter.rows_of(macro.predicate, Frame(len(kept), names))
            deciding = value.data == (0 if macro.kind == "all" else 1)
            yield users, (value.tags == BOOL) & deciding, condition_errors(value) != 1


def _as_words(flags: NDArray[np.bool_]) -> Words:
    packed: Words = np.packbits(flags, bitorder="little").view(np.uint64).reshape(-1, 1024)
    return packed
