"""A step that counts events per user straight from the day chunks of one event name.

`events["X"].exists(e, p)`, `.all`, `.exists_one`, and comparisons of `.size()` or `.filter(e, p).size()` with a constant
need no lists and no order: every event in the time window is judged once, a chunk at a time, and counted into its user's
slot. Where few users are asked about, the general step (which reads only their events) decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.events import EventTable
from core.evaluator import words
from core.evaluator.cel_values import CelValue
from core.evaluator.constants import Constant
from core.evaluator.event_conditions import Condition, condition_of, value_of
from core.evaluator.event_kernel import Tally
from core.evaluator.event_scan import as_words, is_worth_it, judged, slots_of, visible_events, window_of
from core.evaluator.leaves import bounds_with
from core.evaluator.plan import Fusible, NoKernel, Split, Step, Want
from core.evaluator.tally import count_into
from core.evaluator.tree import Macro, Node
from core.evaluator.vector import DOUBLE, INT, UINT, Vector, of_ints, truths
from core.values import INT_MAX

if TYPE_CHECKING:
    from core.evaluator.batch import Batch, Run, Words
    from core.evaluator.program import Part


_MOST_COUNTED: Final = 255


def _counts_of(function: str, limit: CelValue) -> tuple[int, int, bool]:
    """The counts that compare so with a limit as least, greatest and whether it is those that do not.

    255 stands for all counts from there on. Raises NoKernel where that would not do.
    """
    bounds = bounds_with(function, limit, lambda text: -1)
    if bounds.int_tag != INT:
        raise NoKernel
    least, greatest = max(bounds.ints[0], 0), bounds.ints[1]
    if least > greatest:
        return 0, _MOST_COUNTED, not bounds.negate  # no count
    if least > _MOST_COUNTED or _MOST_COUNTED <= greatest < INT_MAX:
        raise NoKernel
    return least, min(greatest, _MOST_COUNTED), bounds.negate


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


class EventCounts(Fusible):
    """Counts of judged events per user, compared.

    Arguments:
        general: the same condition by the interpreter.
    """

    def __init__(self, text: str, position: int, test: EventTest, general: Step, cost: float) -> None:
        super().__init__(f"{text}: event chunks", position, cost)
        self._test = test
        self._general = general
        self._condition = Condition() if test.macro is None else condition_of(test.macro)
        self._limit = None if test.limit is None else Constant(test.limit)

    def part(self, run: Run) -> Part:
        if run.instant is None or self._condition is None:
            raise NoKernel
        kind, counts = self._test.kind, (1, 1, False)
        if self._limit is not None:
            counts = _counts_of(self._test.function, value_of(self._limit, run))
        table = run.population.events(self._test.name) or EventTable(self._test.name)
        leaves = self._condition.bound(table, run)
        days = table.days_between(*self._condition.window(leaves, run.instant))
        parts = [(part.page, part.alive) for day in days for part in table.chunk(day).parts]
        operations = list(self._condition.operations)
        return Tally(parts, leaves, operations, run.instant, "size" if kind == "exists_one" else kind, *counts)

    def apart(self, batch: Batch, within: Words, want: Want) -> Split:
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
