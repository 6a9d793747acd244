"""Who is who: distinct ids, the ordinals they stand for, aliases and merges.

Every distinct id has a *code* (its place in a StringTable) and every user an *ordinal*. An id is first bound to
the ordinal issued at its first sight; merging and deleting rebind it. An ordinal is never reused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from core.bitmaps.strings import StringTable
from core.values import pack, unpack

Ordinals = npt.NDArray[np.uint32]

NOBODY: Final = -1
_PAGE: Final = 65_536
_IDS: Final = b"users/ids/"
_OWNERS: Final = b"users/owners/"
_NAMES: Final = b"users/names/"
_REST: Final = b"users/rest"


class GrowingArray:
    """A uint32 array that only grows. Forks share the buffer: each sees its own length of it."""

    __slots__ = ("_buffer", "_length")

    def __init__(self, values: Ordinals | None = None) -> None:
        self._buffer: Ordinals = np.empty(1024, np.uint32) if values is None else values.astype(np.uint32)
        self._length = 0 if values is None else len(values)

    def __len__(self) -> int:
        return self._length

    def fork(self) -> GrowingArray:
        """A copy that may be extended without this one seeing it; only the newest fork may be."""
        twin = GrowingArray.__new__(GrowingArray)
        twin._buffer, twin._length = self._buffer, self._length
        return twin

    def extend(self, values: Ordinals) -> None:
        """Put values at the end."""
        end = self._length + len(values)
        if end > len(self._buffer):
            grown = np.empty(max(end, 2 * len(self._buffer)), np.uint32)
            grown[: self._length] = self._buffer[: self._length]
            self._buffer = grown
        self._buffer[self._length : end] = values
        self._length = end

    @property
    def values(self) -> Ordinals:
        """The array as far as this version sees it; not to be written to."""
        return self._buffer[: self._length]


class Users:
    """One version of the id table. The writer changes a fork; readers keep the version they hold."""

    def __init__(self) -> None:
        self._ids = StringTable()
        self._owner = GrowingArray()  # code -> ordinal issued at first sight
        self._name = GrowingArray()  # ordinal -> code of the id first seen for it
        self._rebound: dict[int, int] = {}  # code -> ordinal after a merge or deletion, NOBODY where the id is free
        self._merged_into: dict[int, int] = {}  # ordinal merged away -> ordinal that stays
        self._aliases: dict[int, tuple[int, ...]] = {}  # ordinal -> codes beyond its own
        self._saved_codes = 0
        self._saved_names = 0
        self._rest_dirty = False

    def fork(self) -> Users:
        """A version the writer may change; the maps of merges are copied when first written."""
        twin = Users.__new__(Users)
        twin._ids = self._ids
        twin._owner = self._owner.fork()
        twin._name = self._name.fork()
        twin._rebound, twin._merged_into, twin._aliases = self._rebound, self._merged_into, self._aliases
        twin._saved_codes, twin._saved_names = self._saved_codes, self._saved_names
        twin._rest_dirty = self._rest_dirty
        return twin

    def restore_table(self) -> None:
        """Take back the ids that a discarded fork interned; called on the version that stays."""
        self._ids.truncate(len(self._owner))

    @property
    def issued(self) -> int:
        """Ordinals issued so far."""
        return len(self._name)

    def _of_code(self, code: int) -> int:
        if code < 0 or code >= len(self._owner):
            return NOBODY
        return self._rebound[code] if code in self._rebound else int(self._owner.values[code])

    def find(self, distinct_id: str) -> int:
        """The ordinal an id stands for, or NOBODY."""
        return self._of_code(self._ids.find(distinct_id))

    def find_many(self, distinct_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Ordinals of ids, int64[n], NOBODY (-1) where an id is unknown."""
        codes = np.asarray(self._ids.find_many(list(distinct_ids)), np.int64)
        known = (codes >= 0) & (codes < len(self._owner))
        found = np.full(len(codes), NOBODY, np.int64)
        found[known] = self._owner.values[codes[known]]
        if self._rebound:
            for index in np.flatnonzero(known):
                code = int(codes[index])
                if code in self._rebound:
                    found[index] = self._rebound[code]
        return found

    def resolve(self, distinct_ids: Sequence[str]) -> Ordinals:
        """Ordinals of ids, issuing new ones for ids never seen or freed by deletion. Writer only.

        Arguments:
            distinct_ids: n ids, repeats allowed.

        Returns:
            uint32[n].
        """
        before = len(self._owner)
        codes = np.asarray(self._ids.intern_many(list(distinct_ids)), np.int64)
        count = len(self._ids)
        if count > before:
            fresh = np.arange(self.issued, self.issued + count - before, dtype=np.uint32)
            self._owner.extend(fresh)
            self._name.extend(np.arange(before, count, dtype=np.uint32))
        found = self._owner.values[codes]
        if self._rebound:
            found = found.copy()
            for index, code in enumerate(codes.tolist()):
                if code in self._rebound:
                    if self._rebound[code] == NOBODY:
                        self._bind(code, self._issue(code))
                    found[index] = self._rebound[code]
        return found

    def _issue(self, code: int) -> int:
        ordinal = self.issued
        self._name.extend(np.array([code], np.uint32))
        return ordinal

    def _bind(self, code: int, ordinal: int) -> None:
        self._rebound = {**self._rebound, code: ordinal}
        self._rest_dirty = True

    def bind_alias(self, distinct_id: str, ordinal: int) -> None:
        """Make a new or freed id another name of a user. Writer only."""
        known = len(self._ids)
        code = self._ids.intern(distinct_id)
        if code == known:
            self._owner.extend(np.array([ordinal], np.uint32))
        else:
            self._bind(code, ordinal)
        self._aliases = {**self._aliases, ordinal: (*self._aliases.get(ordinal, ()), code)}
        self._rest_dirty = True

    def merge(self, stays: int, goes: int) -> None:
        """Give every id of one user to another. Writer only."""
        codes = self._codes(goes)
        rebound = dict(self._rebound)
        for code in codes:
            rebound[code] = stays
        self._rebound = rebound
        self._merged_into = {**self._merged_into, goes: stays}
        aliases = dict(self._aliases)
        aliases.pop(goes, None)
        aliases[stays] = (*aliases.get(stays, ()), *codes)
        self._aliases = aliases
        self._rest_dirty = True

    def delete(self, ordinal: int) -> None:
        """Free every id of a user. Writer only."""
        rebound = dict(self._rebound)
        for code in self._codes(ordinal):
            rebound[code] = NOBODY
        self._rebound = rebound
        aliases = dict(self._aliases)
        aliases.pop(ordinal, None)
        self._aliases = aliases
        self._rest_dirty = True

    def survivor(self, ordinal: int) -> int:
        """The user that an ordinal's history belongs to now."""
        while ordinal in self._merged_into:
            ordinal = self._merged_into[ordinal]
        return ordinal

    def _codes(self, ordinal: int) -> tuple[int, ...]:
        return (int(self._name.values[ordinal]), *self._aliases.get(ordinal, ()))

    def ids_of(self, ordinal: int) -> list[str]:
        """Every id of a user, the first seen first."""
        return [self._ids.text(code) for code in self._codes(ordinal)]

    def name(self, ordinal: int) -> str:
        """The id first seen of a user."""
        return str(self._ids.text(int(self._name.values[ordinal])))

    def names(self, ordinals: Ordinals) -> list[str]:
        """The ids first seen of users, in the order given."""
        return list(self._ids.texts(self._name.values[ordinals]))

    def load_bulk(self, distinct_ids: Sequence[str]) -> None:
        """Bind distinct new ids to the next ordinals, in order, without looking each one up first."""
        self.resolve(distinct_ids)

    def dirty_pages(self) -> Iterator[tuple[bytes, bytes]]:
        """Pages that changed since `clean`, in no particular order."""
        for first in range(self._saved_codes // _PAGE * _PAGE, len(self._owner), _PAGE):
            last = min(first + _PAGE, len(self._owner))
            number = (first // _PAGE).to_bytes(4, "big")
            yield _IDS + number, pack(list(self._ids.texts(np.arange(first, last, dtype=np.uint32))))
            yield _OWNERS + number, self._owner.values[first:last].tobytes()
        for first in range(self._saved_names // _PAGE * _PAGE, len(self._name), _PAGE):
            number = (first // _PAGE).to_bytes(4, "big")
            yield _NAMES + number, self._name.values[first : first + _PAGE].tobytes()
        if self._rest_dirty:
            aliases = {ordinal: list(codes) for ordinal, codes in self._aliases.items()}
            yield _REST, pack([self._rebound, self._merged_into, aliases])

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._saved_codes, self._saved_names = len(self._owner), len(self._name)
        self._rest_dirty = False

    def soil(self, frozen: Users) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._saved_codes = min(self._saved_codes, frozen._saved_codes)
        self._saved_names = min(self._saved_names, frozen._saved_names)
        self._rest_dirty = self._rest_dirty or frozen._rest_dirty

    @classmethod
    def load(cls, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Users:
        """The id table of a checkpoint."""
        users = cls()
        for _, page in scan(_IDS):
            users._ids.intern_many(unpack(page))
        for _, page in scan(_OWNERS):
            users._owner.extend(np.frombuffer(page, np.uint32))
        for _, page in scan(_NAMES):
            users._name.extend(np.frombuffer(page, np.uint32))
        for _, page in scan(_REST):
            users._rebound, users._merged_into, aliases = unpack(page)
            users._aliases = {ordinal: tuple(codes) for ordinal, codes in aliases.items()}
        users.clean()
        return users
