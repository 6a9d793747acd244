"""Who was exposed to something and when, and which exposure an event of theirs followed."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ordinals = NDArray[np.uint32]
Instants = NDArray[np.int64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

NONE = -1
"""The place of an exposure that is not there."""


class Exposures:
    """n exposures: each of a user to one of several things (a message's occurrences, say), by user and instant.

    Attributes:
        ordinals: uint32[n].
        things: int64[n], numbers from 0 on.
        instants: int64[n], micros UTC.
    """

    def __init__(self, ordinals: Ordinals, things: Index, instants: Instants) -> None:
        """Arguments: the same, in any order. Of several exposures of a user to one thing the first counts."""
        self._count = int(things.max()) + 1 if len(things) else 1
        pairs = self._pairs_of(ordinals, things)
        order = np.argsort(pairs, kind="stable")  # events come as sorted runs, which a stable sort only merges
        repeated = pairs[order[1:]] == pairs[order[:-1]]
        if repeated.any():
            order = np.lexsort((instants, pairs))
            order = order[np.concatenate([[True], ~repeated])]
        if (ordinals[order[1:]] == ordinals[order[:-1]]).any():
            order = order[np.lexsort((things[order], instants[order], ordinals[order]))]
        self.ordinals, self.things, self.instants = ordinals[order], things[order], instants[order]

    def __len__(self) -> int:
        return len(self.ordinals)

    def _pairs_of(self, ordinals: Ordinals, things: Index) -> NDArray[np.uint64]:
        return ordinals.astype(np.uint64) * np.uint64(self._count) + things.astype(np.uint64)

    @cached_property
    def _starts(self) -> Index:
        """Where each user's exposures begin, ascending, and where the last one's end."""
        new = np.ones(len(self) + 1, bool)
        new[1:-1] = self.ordinals[1:] != self.ordinals[:-1]
        return np.flatnonzero(new)

    @cached_property
    def _whose(self) -> Index:
        """int64[n]: the number of each exposure's user among those who have any."""
        starts = self._starts
        return np.repeat(np.arange(len(starts) - 1), np.diff(starts))

    @cached_property
    def _numbers(self) -> NDArray[np.int32]:
        """By ordinal, the number of the user among those who have any exposure; NONE for others."""
        numbers = np.full(int(self.ordinals[-1]) + 2 if len(self) else 1, NONE, np.int32)
        users = self.ordinals[self._starts[:-1]]
        numbers[users] = np.arange(len(users), dtype=np.int32)
        return numbers

    def _spans(self, ordinals: Ordinals) -> tuple[Index, Index]:
        """From where to before where the exposures of users stand; nowhere for who has none."""
        numbers = self._numbers[np.minimum(ordinals, len(self._numbers) - 1)]
        known = numbers != NONE
        first = np.where(known, self._starts[numbers], 0)
        return first, np.where(known, self._starts[numbers + 1], 0)

    @cached_property
    def _by_pair(self) -> tuple[NDArray[np.uint64], Index]:
        pairs = self._pairs_of(self.ordinals, self.things)
        order = np.argsort(pairs, kind="stable")
        return pairs[order], order

    def of_pairs(self, ordinals: Ordinals, things: Index) -> Index:
        """Where the exposures of users to things stand: int64[m], NONE for those that were not. `things` may be NONE."""
        found = np.full(len(ordinals), NONE, np.int64)
        known = np.flatnonzero((things >= 0) & (things < self._count))
        if not len(self) or not len(known):
            return found
        pairs, order = self._by_pair
        wanted = self._pairs_of(ordinals[known], things[known])
        places = np.minimum(np.searchsorted(pairs, wanted), len(self) - 1)
        hit = pairs[places] == wanted
        found[known[hit]] = order[places[hit]]
        return found

    def followed(self, ordinals: Ordinals, times: Instants, within: int) -> Index:
        """The exposure that each of m events of users followed: the user's last before the event, int64[m].

        NONE where there is none, or the event came more than `within` micros after it.
        """
        if not len(self):
            return np.full(len(ordinals), NONE, np.int64)
        first, end = self._spans(ordinals)
        low, high = first, end
        while (open_ := low < high).any():  # all events at once: the first exposure of the user that is not before
            middle = (low + high) >> 1
            before = open_ & (self.instants[np.minimum(middle, len(self) - 1)] < times)
            low, high = np.where(before, middle + 1, low), np.where(open_ & ~before, middle, high)
        last = np.maximum(low - 1, 0)
        follows = (low > first) & (times - self.instants[last] <= within)
        return np.where(follows, last, NONE)

    @cached_property
    def first(self) -> Flags:
        """bool[n]: which exposures are their users' first."""
        found = np.zeros(len(self), bool)
        found[self._starts[:-1]] = True
        return found

    def followed_first(self, ordinals: Ordinals, times: Instants, within: int, since: Instants) -> Index:
        """As `followed`, of the user's first exposure whatever came after it.

        Arguments:
            since: int64[n] in micros: from when on each exposure counts.
        """
        if not len(self):
            return np.full(len(ordinals), NONE, np.int64)
        first, end = self._spans(ordinals)
        later = times - since[np.minimum(first, len(self) - 1)]
        return np.where((end > first) & (later > 0) & (later <= within), first, NONE)

    def users(self, chosen: Flags) -> int:
        """How many users the chosen of the exposures (bool[n]) are of."""
        whose = self._whose[chosen]
        return len(whose) and 1 + int(np.count_nonzero(whose[1:] != whose[:-1]))
