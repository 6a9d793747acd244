"""The behaviour that is asked for: three purchases or more over $50 in 30 days, and no purchase in 7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.history import History
from benchmarks.people import NOW
from core.bitmaps.population import Population
from core.evaluator.audience import Audiences
from core.values import MICROS_PER_DAY, MICROS_PER_SECOND

PURCHASE: Final = "Purchase"
_BEFORE_END: Final = (8 * 3_600 + 43 * 60) * MICROS_PER_SECOND
_AMOUNT: Final = 50
_COUNTED_DAYS, _NONE_DAYS = 30, 7


@dataclass(frozen=True, slots=True)
class Sequel:
    """The behaviour as one round asks for it.

    Each round has literals of its own: a millionth of a dollar more than the round before, and windows shorter by a
    microsecond. As amounts are in whole cents and times on whole seconds, the same people match in every round.
    """

    number: int

    @property
    def now(self) -> int:
        """The instant of the question, micros UTC: later events are not visible."""
        return NOW - _BEFORE_END

    @property
    def amount(self) -> str:
        """The bound in dollars; a purchase that counts is over it."""
        return f"{_AMOUNT}.{self.number:06d}"

    @property
    def times(self) -> int:
        """How many purchases are enough."""
        return 3

    @property
    def counted_after(self) -> int:
        """Purchases later than this count, micros UTC."""
        return self.now - _micros(_COUNTED_DAYS, self.number)

    @property
    def none_after(self) -> int:
        """There is no purchase later than this, micros UTC."""
        return self.now - _micros(_NONE_DAYS, self.number)

    @property
    def cel(self) -> str:
        """The targeting."""
        return (
            f'events["{PURCHASE}"].filter(e, e.time > now - duration("{_duration(_COUNTED_DAYS, self.number)}")'
            f" && e.amount > {self.amount}).size() >= {self.times}"
            f' && !events["{PURCHASE}"].exists(e, e.time > now - duration("{_duration(_NONE_DAYS, self.number)}"))'
        )


@dataclass(slots=True)
class Asked:
    """A version as it is asked at another instant than its own."""

    population: Population
    audiences: Audiences
    now: int


def history_count(history: History) -> int:
    """The answer from the arrays, by none of the systems that are measured."""
    sequel = Sequel(0)
    enough, lately = np.zeros(history.people, np.int64), np.zeros(history.people, bool)
    for day in history.days(PURCHASE):
        seen = day.times <= sequel.now
        amounts = day.properties["amount"][1].astype(np.float64)
        dear = seen & (day.times > sequel.counted_after) & (amounts > float(sequel.amount))
        enough += np.bincount(day.ordinals[dear], minlength=history.people)
        lately[day.ordinals[seen & (day.times > sequel.none_after)]] = True
    return int(np.count_nonzero((enough >= sequel.times) & ~lately))


def _micros(days: int, number: int) -> int:
    return days * MICROS_PER_DAY - number


def _duration(days: int, number: int) -> str:
    seconds, micros = divmod(_micros(days, number), MICROS_PER_SECOND)
    return f"{seconds}.{micros:06d}s"
