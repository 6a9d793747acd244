"""A step that counts events per user straight from the day chunks of one event name.

`events["X"].exists(e, p)`, `.all`, `.exists_one`, and comparisons of `.size()` or `.filter(e, p).size()` with a constant
need no lists and no order: every event in the time window is judged once, a chunk at a time, and counted into its user's
slot. Where few users are asked about, the general step (which reads only their events) decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from core.evaluator import words
from core.evaluator.event_scan import as_words, is_worth_it, judged, slots_of, visible_events, window_of
from core.evaluator.plan import Split, Step, Want
from core.evaluator.tally import count_into
from core.evaluator.tree import Macro, Node
from core.evaluator.vector import DOUBLE, INT, UINT, Vector, of_ints, truths

if TYPE_CHECKING:
    from core.bitmaps.events import EventTable
    from core.evaluator.batch import Batch, Words


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
        test = self._test
        table = batch.run.population.events(test.name)
        limit = None if test.limit is None else batch.run.constant(test.limit)
        if test.limit is not None and (limit is None or limit.tag() not in (INT, UINT, DOUBLE)):
            return self._general.judge(batch, within, want)
        if not is_worth_it(table, words.count(within)):
            return self._general.judge(batch, within, want)
        decisive, failed = self._tally(batch, table)
        if limit is not None:
            true = self._compared(batch, limit, int(decisive.max()))[decisive] & ~failed
            false = ~true & ~failed
        elif test.kind == "exists_one":
            true = (decisive == 1) & ~failed
            false = ~true & ~failed
        else:
            some = decisive > 0
            none = ~some & ~failed
            true, false = (none, some) if test.kind == "all" else (some, none)
        return Split(as_words(true), as_words(false))

    def _compared(self, batch: Batch, limit: Vector, most: int) -> NDArray[np.bool_]:
        """For each count from 0 to `most`, whether it compares so with the limit."""
        counts = of_ints(np.arange(most + 1))
        outcome = batch.run.interpreter.applier.call(self._test.function, [counts, limit], most + 1)
        return truths(outcome.spread(most + 1))

    def _tally(self, batch: Batch, table: EventTable | None) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Per slot: how many events decide (are false for `all`, true otherwise), and whether one errs."""
        macro, slots = self._test.macro, slots_of(batch)
        decisive, failed = np.zeros(slots, np.uint32), np.zeros(slots, bool)
        variable = "" if macro is None else macro.variable
        for users, frame in visible_events(batch, table, variable, window_of(batch, macro)):
            if macro is None:
                count_into(users, np.ones(len(users), np.uint8), decisive)
                continue
            yes, no, wrong = judged(batch, macro, frame)
            count_into(users, (no if macro.kind == "all" else yes).view(np.uint8), decisive)
            failed[users[wrong != 1]] = True
        return decisive, failed
