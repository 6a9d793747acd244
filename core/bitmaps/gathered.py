"""A few users' data as a small population of its own, for many questions about the same few users.

A plan goes through the blocks that its users stand in, and two thousand users may stand in every block there is.
Gathered, they stand one beside the other: each column and event table that anybody asks for is read once, and a question
costs what one block costs, whatever the size of the project.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np
from pyroaring import BitMap

from core.bitmaps.cells import Ordinals
from core.bitmaps.column import Column
from core.bitmaps.events import EventTable
from core.bitmaps.population import Population


class Gathered(Population):
    """Some users of a population, in which the n-th of them has the ordinal n. Read only, and for one thread.

    What is asked of it is taken from the population at the first question: that may not be written to meanwhile.

    Arguments:
        population: whose users they are.
        users: uint32[n], existing, ascending, each once.
    """

    def __init__(self, population: Population, users: Ordinals) -> None:
        super().__init__()
        self._whole = population
        self.users = users
        self.size = len(users)
        self.live = BitMap(range(len(users)))

    def column(self, name: str) -> Column | None:
        """See `Population`."""
        if name not in self._columns:
            found = self._whole.column(name)
            if found is None:
                return None
            self._columns[name] = found.gathered(self.users)
        return self._columns[name]

    def events(self, name: str) -> EventTable | None:
        """See `Population`."""
        if name not in self._tables:
            found = self._whole.events(name)
            if found is None:
                return None
            self._tables[name] = found.gathered(self.users)
        return self._tables[name]

    @property
    def columns(self) -> Mapping[str, Column]:
        """See `Population`: all of them are taken."""
        for name in self._whole.columns:
            self.column(name)
        return self._columns

    @property
    def event_tables(self) -> Mapping[str, EventTable]:
        """See `Population`: all of them are taken."""
        for name in self._whole.event_tables:
            self.events(name)
        return self._tables

    def within(self, users: BitMap) -> BitMap:
        """Users of the whole population, all of them gathered here, by their ordinals here."""
        wanted = np.frombuffer(users.to_array(), np.uint32)
        return _set_of(np.searchsorted(self.users, wanted).astype(np.uint32))

    def without(self, users: BitMap) -> BitMap:
        """Users by their ordinals here, by those in the whole population."""
        return _set_of(self.users[np.frombuffer(users.to_array(), np.uint32)])


def _set_of(ordinals: Ordinals) -> BitMap:
    return BitMap(array("I", ordinals.tobytes()))
