"""Maps and sets that a version shares with the version it was forked from until one of them is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_GONE: Final[Any] = object()
_LEAST_FOLD: Final = 4096


class VersionedMap(Generic[K, V]):
    """A map whose forks cost nothing and whose first write copies only what was written lately.

    Older entries stand in a base that no version writes to; newer ones in an overlay, which is folded into a new
    base once it is an eighth of it: each entry is copied a bounded number of times, however many versions there are.
    """

    __slots__ = ("_base", "_length", "_over", "_owned")

    def __init__(self, entries: dict[K, V] | None = None) -> None:
        self._base: dict[K, V] = {} if entries is None else entries
        self._over: dict[K, V] = {}
        self._length = len(self._base)
        self._owned = False

    def fork(self) -> VersionedMap[K, V]:
        """A copy to write to; this one must not be written to any more while the copy is used."""
        twin: VersionedMap[K, V] = VersionedMap.__new__(VersionedMap)
        twin._base, twin._over, twin._length, twin._owned = self._base, self._over, self._length, False
        return twin

    def __len__(self) -> int:
        return self._length

    def __contains__(self, key: object) -> bool:
        return self.get(key) is not None  # type: ignore[arg-type]

    def get(self, key: K) -> V | None:
        """The value of a key, None where there is none."""
        found = self._over.get(key) if self._over else None
        if found is None:
            return self._base.get(key)
        return None if found is _GONE else found

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries, in no particular order."""
        over = self._over
        for key, value in self._base.items():
            if key not in over:
                yield key, value
        for key, value in over.items():
            if value is not _GONE:
                yield key, value

    def __setitem__(self, key: K, value: V) -> None:
        """Set a value, which must not be None. Writer only."""
        if self.get(key) is None:
            self._length += 1
        self._writable()[key] = value

    def pop(self, key: K) -> V | None:
        """Take an entry out and return its value, None where there is none. Writer only."""
        found = self.get(key)
        if found is not None:
            self._length -= 1
            self._writable()[key] = _GONE
        return found

    def _writable(self) -> dict[K, V]:
        if not self._owned:
            if len(self._over) > max(_LEAST_FOLD, len(self._base) // 8):
                self._base = dict(self.items())
                self._over = {}
            else:
                self._over = dict(self._over)
            self._owned = True
        return self._over
