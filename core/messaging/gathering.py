"""The users whom a group touched, gathered to be judged side by side."""

from __future__ import annotations

from typing import Final

from pyroaring import BitMap

from core.bitmaps.cells import BLOCK_ROWS
from core.bitmaps.gathered import Gathered
from core.evaluator.bind import bind
from core.evaluator.parse import Parsed
from core.messaging.gates import matching
from core.messaging.rows import array_of
from core.messaging.work import Work

_MOST_GATHERED: Final = BLOCK_ROWS
"""Touched users who are judged side by side: one block of them. More are judged where they stand."""


def gathered(work: Work) -> Gathered | None:
    """The users whom this group touched, as a population of their own; None where they are too many for that.

    It is good for as long as nothing is written to the population, as no message's judgement does.
    """
    users = work.touched.users() & work.population.live
    if len(users) > _MOST_GATHERED:
        return None
    return Gathered(work.population, array_of(users))


def matching_touched(work: Work, parsed: Parsed, users: BitMap, touched: Gathered | None) -> BitMap:
    """`matching` at the present instant, among users who may be gathered."""
    if touched is None or parsed.audiences:  # a saved audience is a set of the whole project's ordinals
        return matching(work, parsed, users, work.now)
    plan = bind(parsed, work.population)
    return touched.without(plan.select(touched, among=touched.within(users), now=work.now))
