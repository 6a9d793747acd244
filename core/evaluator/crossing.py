"""Who may get another answer in a span of time, and when, from the time indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.cells import Ordinals
from core.evaluator.calendar_steps import beginnings
from core.evaluator.time_leaves import Calendar, TimeUse
from core.evaluator.time_terms import Constant, EventSource, PropertySource

if TYPE_CHECKING:
    from core.bitmaps.population import Population

Instants = NDArray[np.int64]


def crossings(time_use: TimeUse, population: Population, after: int, upto: int) -> tuple[Ordinals, Instants]:
    """The (user, instant) pairs at which a property or an event of a user may change the user's answer.

    Arguments:
        after, upto: micros UTC; the instants found lie in (after, upto].

    Returns:
        Ordinals uint32[n] and instants int64[n], sorted by (ordinal, instant), each pair once. Users who no longer
        exist may be among them.
    """
    users, instants = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    asked = {(leaf.source, offset) for leaf in time_use.leaves for offset in leaf.offsets}
    for source, offset in asked:
        found = _times(source, population, after - offset, upto - offset)
        if found is not None and len(found[0]):
            users.append(found[0])
            instants.append(found[1] + offset)
    return each_once(np.concatenate(users), np.concatenate(instants))


def each_once(ordinals: Ordinals, instants: Instants) -> tuple[Ordinals, Instants]:
    """The pairs by ordinal and instant, each once."""
    order = np.lexsort((instants, ordinals))
    ordinals, instants = ordinals[order], instants[order]
    fresh = np.ones(len(ordinals), bool)
    fresh[1:] = (ordinals[1:] != ordinals[:-1]) | (instants[1:] != instants[:-1])
    return ordinals[fresh], instants[fresh]


def _times(source: object, population: Population, after: int, upto: int) -> tuple[Ordinals, Instants] | None:
    if isinstance(source, PropertySource):
        column = population.column(source.name)
        return None if column is None else column.time_between(after, upto)
    if isinstance(source, EventSource):
        table = population.events(source.name)
        return None if table is None else table.between(after, upto)
    return None


def global_instants(time_use: TimeUse, after: int, upto: int) -> list[int]:
    """The instants (micros UTC) in (after, upto] at which everybody's answer may change, ascending, each once."""
    found: set[int] = set()
    for leaf in time_use.leaves:
        for offset in leaf.offsets:
            if isinstance(leaf.source, Constant):
                instant = leaf.source.instant + offset
                if after < instant <= upto:
                    found.add(instant)
            elif isinstance(leaf.source, Calendar):
                steps = beginnings(leaf.source.unit, leaf.source.zone, after - offset, upto - offset)
                found.update(step + offset for step in steps)
    return sorted(found)
