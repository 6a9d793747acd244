"""Sets of users by key, copied when first written: who has a value, and whose timestamp falls on a day."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.bitmaps.cells import Ordinals

Key = TypeVar("Key", bound=Hashable)


class UserSets(Generic[Key]):
    """Roaring bitmaps by key. Forks share bitmaps until one writes."""

    def __init__(self) -> None:
        self._sets: dict[Key, BitMap] = {}
        self._own: set[Key] = set()

    def fork(self) -> UserSets[Key]:
        """A copy to change; this one must not be written to any more while the copy is used."""
        twin: UserSets[Key] = UserSets()
        twin._sets = dict(self._sets)
        return twin

    def __len__(self) -> int:
        return len(self._sets)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._sets)

    def get(self, key: Key) -> BitMap | None:
        """The users of a key, or None; not to be changed."""
        return self._sets.get(key)

    def add(self, key: Key, ordinals: Ordinals) -> None:
        """Put users into a key's set."""
        self._writable(key).update(BitMap(ordinals))

    def remove(self, key: Key, ordinals: Ordinals) -> None:
        """Take users out of a key's set; a set that ends empty goes."""
        users = self._writable(key)
        users.difference_update(BitMap(ordinals))
        if not users:
            del self._sets[key]
            self._own.discard(key)

    def _writable(self, key: Key) -> BitMap:
        if key not in self._own:
            found = self._sets.get(key)
            self._sets[key] = BitMap() if found is None else found.copy()
            self._own.add(key)
        return self._sets[key]


def by_key(keys: NDArray[np.int64], ordinals: Ordinals) -> Iterator[tuple[int, Ordinals]]:
    """Ordinals grouped by their key, int64[n]."""
    if not len(keys):
        return
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    for start, part in zip(starts.tolist(), np.split(ordinals[order], starts[1:]), strict=True):
        yield int(ordered[start]), part
