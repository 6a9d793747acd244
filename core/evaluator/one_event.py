"""A condition on one event, written in CEL with the event as `e`: `e.amount > 50.0`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidExpression
from core.evaluator.batch import Run
from core.evaluator.frame import Frame
from core.evaluator.interpret import event_name
from core.evaluator.parse import parse
from core.evaluator.reads import reads_only_event
from core.evaluator.scoping import distinct_variables
from core.evaluator.tree import Macro
from core.evaluator.vector import BOOL

if TYPE_CHECKING:
    from core.bitmaps.population import Population
    from core.bitmaps.rows import EventRows

VARIABLE: Final = "e"


@dataclass(frozen=True, slots=True)
class EventCondition:
    """A condition that looks at one event of a name, at `now` and at nothing else. Made by `parse_condition`."""

    event: str
    text: str
    macro: Macro

    def holds(self, population: Population, rows: EventRows, now: int) -> NDArray[np.bool_]:
        """Of each of some events of the name whether it satisfies the condition: bool[n]; one for which it errs does not.

        Arguments:
            now: micros UTC.
        """
        table = population.events(self.event)
        if table is None or not len(rows):
            return np.zeros(len(rows), bool)
        run = Run(population, now)
        every = np.arange(len(rows), dtype=np.int64)
        names = {self.macro.variable: run.sources.rows_of(table, rows, every), "now": run.sources.any_now()}
        assert self.macro.predicate is not None
        found = run.interpreter.judged(self.macro.predicate, Frame(len(rows), names))
        run.end()
        holding: NDArray[np.bool_] = (found.tags == BOOL) & (found.data == 1)
        return holding


def parse_condition(event: str, text: str) -> EventCondition:
    """Parse a condition on events of a name.

    It is compiled as what stands between the brackets of `events[name].exists(e, …)`.

    Raises:
        InvalidExpression: as `core.evaluator.parse.parse`, and CONDITION_NOT_OF_EVENT where it reads anything but the event.
    """
    before = f"events[{json.dumps(event, ensure_ascii=False)}].exists({VARIABLE}, "
    try:
        root = distinct_variables(parse(f"{before}{text}\n)").root)
    except InvalidExpression as error:
        if error.position >= 0:
            error.position = min(max(error.position - len(before), 0), len(text))
        raise
    whole = isinstance(root, Macro) and root.kind == "exists" and event_name(root.range) == event
    if not whole or not isinstance(root, Macro) or root.predicate is None:
        raise InvalidExpression(
            "the condition is no whole expression", position=0, mend="balance its brackets", code="EXPRESSION_SYNTAX"
        )
    if not reads_only_event(root.predicate, root.variable):
        raise InvalidExpression(
            "the condition reads more than the event",
            position=0,
            mend=f"read the event's properties, as {VARIABLE}.amount, and `now`",
            code="CONDITION_NOT_OF_EVENT",
        )
    return EventCondition(event, text, root)
