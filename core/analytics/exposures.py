"""Who was exposed to something and when, and which exposure an event of theirs followed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ordinals = NDArray[np.uint32]
Instants = NDArray[np.int64]
Index = NDArray[np.int64]

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
        order = np.lexsort((instants, pairs))
        first = np.ones(len(order), bool)
        first[1:] = pairs[order[1:]] != pairs[order[:-1]]
        kept = order[first]
        kept = kept[np.lexsort((things[kept], instants[kept], ordinals[kept]))]
        self.ordinals, self.things, self.instants = ordinals[kept], things[kept], instants[kept]
        self._by_pair = np.argsort(pairs[kept], kind="stable")
        self._pairs = pairs[kept][self._by_pair]
        self._times, ranks = np.unique(self.instants, return_inverse=True)
        self._keys = _joined(self.ordinals, ranks)

    def __len__(self) -> int:
        return len(self.ordinals)

    def _pairs_of(self, ordinals: Ordinals, things: Index) -> NDArray[np.uint64]:
        return ordinals.astype(np.uint64) * np.uint64(self._count) + things.astype(np.uint64)

    def of_pairs(self, ordinals: Ordinals, things: Index) -> Index:
        """Where the exposures of users to things stand: int64[m], NONE for those that were not. `things` may be NONE."""
        found = np.full(len(ordinals), NONE, np.int64)
        known = np.flatnonzero((things >= 0) & (things < self._count))
        if not len(self) or not len(known):
            return found
        wanted = self._pairs_of(ordinals[known], things[known])
        places = np.minimum(np.searchsorted(self._pairs, wanted), len(self) - 1)
        hit = self._pairs[places] == wanted
        found[known[hit]] = self._by_pair[places[hit]]
        return found

    def followed(self, ordinals: Ordinals, times: Instants, within: int) -> Index:
        """The exposure that each of m events of users followed: the user's last before the event, int64[m].

        NONE where there is none, or the event came more than `within` micros after it.
        """
        if not len(self):
            return np.full(len(ordinals), NONE, np.int64)
        # Instants are compared by rank, so that a user and an instant are one number.
        places = np.searchsorted(self._keys, _joined(ordinals, np.searchsorted(self._times, times))) - 1
        last = np.maximum(places, 0)
        follows = (places >= 0) & (self.ordinals[last] == ordinals) & (times - self.instants[last] <= within)
        return np.where(follows, last, NONE)

    def users(self, chosen: NDArray[np.bool_]) -> int:
        """How many users the chosen of the exposures (bool[n]) are of."""
        return len(np.unique(self.ordinals[chosen]))

    def per_user(self, chosen: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of each user of the chosen exposures (bool[n]) the sum of their values (float64[n]): float64[users]."""
        _, whose = np.unique(self.ordinals[chosen], return_inverse=True)
        sums: NDArray[np.float64] = np.bincount(whose, weights=values[chosen]).astype(np.float64)
        return sums


def _joined(ordinals: Ordinals, ranks: Index) -> NDArray[np.uint64]:
    return ordinals.astype(np.uint64) << np.uint64(32) | ranks.astype(np.uint64)
