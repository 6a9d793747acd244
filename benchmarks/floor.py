"""The floor: what an answer that reads every value once cannot go below, measured in the same run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks import people
from benchmarks.people import People
from benchmarks.question import COUNTRIES, PLAN
from core.values import MICROS_PER_SECOND


class Floor:
    """The touched columns' values and the touched sets, laid one after the other.

    Packed as narrowly as their grain allows, whatever the engine stores: age in one byte, last_seen in seconds and ltv in
    cents in four each; what is asked by equality or presence is a bit for everybody and value. Reading is numpy's
    vectorised maximum in one thread.
    """

    def __init__(self, who: People) -> None:
        seconds = who.last_seen // MICROS_PER_SECOND
        columns = [
            who.age.view(np.uint8),
            (seconds - seconds.min()).astype(np.uint32).view(np.uint8),
            np.round(who.ltv * 100).astype(np.uint32).view(np.uint8),
        ]
        sets = [who.country == people.COUNTRIES.index(country) for country in COUNTRIES]
        sets += [who.plan == people.PLANS.index(PLAN), who.has_email, who.unsubscribed]
        joined = np.concatenate([*columns, *(np.packbits(users) for users in sets)])
        self._words: NDArray[np.uint64] = np.resize(joined, (len(joined) + 7) // 8 * 8).view(np.uint64)

    @property
    def bytes(self) -> int:
        """How much is read."""
        return self._words.nbytes

    def read(self) -> int:
        """Read everything once."""
        return int(self._words.max())
