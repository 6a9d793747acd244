"""Once-only marks of deleted users: which occurrences of messages an id had, under a keyed hash, so that nobody gets one twice.

Nothing else outlives the deletion. The key is the project's uid: a hash says nothing outside of its project, and
who has an id can ask for it, but nobody can list ids from hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from core.bitmaps.versioned import VersionedMap
from core.values import pack, unpack

Mark = tuple[str, int]
"""A message's key and the number of an occurrence."""

_PREFIX: Final = b"messages/marks/"
_HASH_BYTES: Final = 16


class Marks:
    """One version of the marks; `fork` before writing."""

    def __init__(self) -> None:
        self._had: VersionedMap[bytes, tuple[Mark, ...]] = VersionedMap()
        self._dirty: frozenset[int] = frozenset()  # first bytes of hashes, each of which has a page

    def fork(self) -> Marks:
        """A copy that may be written."""
        twin = Marks.__new__(Marks)
        twin._had, twin._dirty = self._had.fork(), self._dirty
        return twin

    def __bool__(self) -> bool:
        return len(self._had) > 0

    def keep(self, project_uid: str, distinct_ids: Iterable[str], had: Sequence[Mark]) -> None:
        """Remember that these ids, all of one user, had these occurrences."""
        for distinct_id in distinct_ids if had else ():
            hashed = _hash(project_uid, distinct_id)
            self._had[hashed] = tuple(sorted({*(self._had.get(hashed) or ()), *had}))
            self._dirty |= {hashed[0]}

    def of(self, project_uid: str, distinct_id: str) -> tuple[Mark, ...]:
        """The occurrences that an id had before its user was deleted."""
        return self._had.get(_hash(project_uid, distinct_id)) or ()

    def dirty_pages(self) -> Iterator[tuple[bytes, bytes]]:
        """Pages that changed since `clean`."""
        pages: dict[int, dict[bytes, list[Mark]]] = {first: {} for first in self._dirty}
        for hashed, keys in self._had.items() if pages else ():
            if hashed[0] in pages:
                pages[hashed[0]][hashed] = list(keys)
        for first, page in pages.items():
            yield _PREFIX + bytes([first]), pack(page)

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._dirty = frozenset()

    def soil(self, frozen: Marks) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty |= frozen._dirty

    @classmethod
    def load(cls, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Marks:
        """The marks of a checkpoint."""
        marks = cls()
        marks._had = VersionedMap(
            {
                hashed: tuple((key, number) for key, number in had)
                for _, page in scan(_PREFIX)
                for hashed, had in unpack(page).items()
            }
        )
        return marks


def _hash(project_uid: str, distinct_id: str) -> bytes:
    return hashlib.blake2b(distinct_id.encode(), key=project_uid.encode()[:64], digest_size=_HASH_BYTES).digest()
