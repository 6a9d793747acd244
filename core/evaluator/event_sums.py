"""A step that adds up a number of each event per user, straight from the day chunks of one event name.

`events["X"].map(e, e.amount).sum() > 200.0`, with a condition on the events or without: chunks come in the order of days
and hold each user's events in the order of time, so that doubles add up in the order in which the row matcher adds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.evaluator import words
from core.evaluator.aggregates import Sums
from core.evaluator.event_scan import as_words, is_worth_it, judged, slots_of, visible_events, window_of
from core.evaluator.plan import Split, Step, Want
from core.evaluator.tree import Macro, Node
from core.evaluator.vector import Data, Vector, falsehoods, is_error, truths

if TYPE_CHECKING:
    from core.evaluator.batch import Batch, Words


@dataclass(frozen=True, slots=True)
class EventSum:
    """A sum over a user's events of one name, compared with a constant.

    Attributes:
        name: the event name.
        filter: the macro whose condition chooses events; None where all count.
        variable, term: what is added up, and what it calls the event.
        function, limit: CEL's comparison with the sum on its left, and the constant on its right.
    """

    name: str
    filter: Macro | None
    variable: str
    term: Node
    function: str
    limit: Node


class _LengthUnknown(Exception):
    """A term has macros inside, and how many events a filter lets through is not known until all are judged."""


def _unknown() -> Data:
    raise _LengthUnknown


class EventSums(Step):
    """Sums over events per user, compared.

    Arguments:
        general: the same condition by the interpreter.
    """

    def __init__(self, text: str, position: int, test: EventSum, general: Step, cost: float) -> None:
        super().__init__(f"{text}: event chunks", position, cost)
        self._test = test
        self._general = general

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        run, test = batch.run, self._test
        limit = run.constant(test.limit)
        if limit is None or is_error(limit.tags)[0]:
            return self._general.judge(batch, within, want)
        if not is_worth_it(run.population.events(test.name), words.count(within)):
            return self._general.judge(batch, within, want)
        try:
            sums, failed = self._sums(batch)
        except _LengthUnknown:
            return self._general.judge(batch, within, want)
        slots = len(sums)
        outcome = run.interpreter.applier.call(test.function, [sums, limit], slots).spread(slots)
        return Split(as_words(truths(outcome) & ~failed), as_words(falsehoods(outcome) & ~failed))

    def _sums(self, batch: Batch) -> tuple[Vector, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """The sum of each slot, and which slots have an event that errs."""
        test, slots = self._test, slots_of(batch)
        sums, failed = Sums(slots), np.zeros(slots, bool)
        table = batch.run.population.events(test.name)
        for users, frame in visible_events(batch, table, test.variable, window_of(batch, test.filter)):
            if test.filter is not None:
                yes, _, wrong = judged(batch, test.filter, frame.alias(test.variable, test.filter.variable))
                failed[users[wrong != 1]] = True
                chosen = np.flatnonzero(yes)
                if not len(chosen):
                    continue
                users, frame = users[chosen], frame.narrow(chosen)
                if test.filter.kind == "filter":
                    frame = frame.narrow(np.arange(frame.size, dtype=np.int64), _unknown)
            terms = batch.run.interpreter.judged(test.term, frame)
            failed[users[is_error(terms.tags)]] = True
            sums.add(users, terms)
        return sums.done(), failed
