"""The floor: what an answer that reads every value once cannot go below, measured in the same run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from benchmarks.question import COUNTRIES, PLAN
from core.bitmaps.population import Population

_SCANNED = ("age", "last_seen", "ltv")


class Floor:
    """The touched columns' values and the touched bitmaps, laid one after the other as they stand in memory.

    Columns that are compared (age, last_seen, ltv) count with their values alone, without the type tags that Muster
    keeps beside them; what is asked by equality or presence counts with its bitmaps. Reading is numpy's vectorised
    maximum in one thread.
    """

    def __init__(self, population: Population) -> None:
        parts = [block.raw.view(np.uint8) for name in _SCANNED for block in population.columns[name].blocks.values()]
        parts += [np.frombuffer(users.serialize(), np.uint8) for users in _bitmaps(population)]
        joined = np.concatenate(parts)
        self._words: NDArray[np.uint64] = np.resize(joined, (len(joined) + 7) // 8 * 8).view(np.uint64)

    @property
    def bytes(self) -> int:
        """How much is read."""
        return self._words.nbytes

    def read(self) -> int:
        """Read everything once."""
        return int(self._words.max())


def _bitmaps(population: Population) -> list[BitMap]:
    found = [population.columns["country"].value_bitmap(country) for country in COUNTRIES]
    found.append(population.columns["plan"].value_bitmap(PLAN))
    found.append(population.columns["unsubscribed"].value_bitmap(False))
    email = population.column("email")
    found.append(None if email is None else email.presence)
    return [users for users in found if users is not None]
