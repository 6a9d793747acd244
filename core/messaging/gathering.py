"""The users whom a group touched, gathered to be judged side by side."""

from __future__ import annotations

from typing import Final

import numpy as np
from pyroaring import BitMap

from core.bitmaps.cells import BLOCK_ROWS
from core.bitmaps.gathered import Gathered
from core.evaluator.bind import bind
from core.evaluator.necessary import Able
from core.evaluator.parse import Parsed
from core.messaging.cause import Stirred
from core.messaging.gates import matching
from core.messaging.rows import array_of
from core.messaging.work import Work

_MOST_GATHERED: Final = BLOCK_ROWS
"""Touched users who are judged side by side: one block of them. More are judged where they stand."""


def gathered(work: Work) -> Gathered | None:
    """The users whom this group touched, and those whom others became, as a population of their own; None where they are too
    many for that.

    It is good for as long as nothing is written to the population, as no message's judgement does.
    """
    merged = BitMap([stays for _, stays in work.touched.merged])
    users = (work.touched.users() | merged) & work.population.live
    if len(users) > _MOST_GATHERED:
        return None
    return Gathered(work.population, array_of(users))


class Shared:
    """What messages that are judged over a group's users, at the present instant, read alike: each once for all of them.

    Arguments:
        touched: the users, where they are gathered. Nothing may be written to the population meanwhile.
    """

    def __init__(self, work: Work, touched: Gathered | None) -> None:
        self.touched = touched
        self.stirred = Stirred(work, np.array([work.now], np.int64), touched)
        self._able = None if touched is None else Able(touched)

    def able(self, parsed: Parsed) -> BitMap | None:
        """A set outside of which nobody who was touched matches an expression; None where nothing is known of it."""
        if self.touched is None or self._able is None:
            return None
        found = self._able.to(parsed)
        return None if found is None else self.touched.without(found)


def matching_touched(work: Work, parsed: Parsed, users: BitMap, touched: Gathered | None) -> BitMap:
    """`matching` at the present instant, among users who may be gathered."""
    if touched is None or parsed.audiences:  # a saved audience is a set of the whole project's ordinals
        return matching(work, parsed, users, work.now)
    plan = bind(parsed, work.population)
    return touched.without(plan.select(touched, among=touched.within(users), now=work.now))
