"""Who is who: distinct ids, the ordinals they stand for, aliases and merges.

Every distinct id has a *code* (its place in a StringTable) and every user an *ordinal*. An id is first bound to
the ordinal issued at its first sight; merging and deleting rebind it. An ordinal is never reused.

What few users have (merges, deletions, further ids) stands in maps beside the arrays, saved in pages of 65,536 keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.bitmaps.strings import StringTable
from core.bitmaps.versioned import VersionedMap
from core.errors import StoreError
from core.values import pack, unpack

if TYPE_CHECKING:
    from typing_extensions import Buffer

Ordinals = npt.NDArray[np.uint32]
Scan = Callable[[bytes], Iterator[tuple[bytes, Any]]]

NOBODY: Final = -1
_PAGE: Final = 65_536
_IDS: Final = b"users/ids/"
_OWNERS: Final = b"users/owners/"
_NAMES: Final = b"users/names/"
_REBOUND: Final = b"users/rebound/"
_MERGED: Final = b"users/merged/"
_ALIASES: Final = b"users/aliases/"


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
        self._rebound: VersionedMap[int, int] = VersionedMap()  # code -> ordinal after a merge; NOBODY: the id is free
        self._rebound_codes = BitMap()
        self._merged_into: VersionedMap[int, int] = VersionedMap()  # ordinal merged away -> ordinal that stays
        self._aliases: VersionedMap[int, tuple[int, ...]] = VersionedMap()  # ordinal -> codes beyond its own
        self._saved_codes = 0
        self._saved_names = 0
        self._dirty: frozenset[tuple[bytes, int]] = frozenset()  # pages of the three maps that changed
        self.reissued: list[tuple[int, str]] = []

    def fork(self) -> Users:
        """A version the writer may change.

        Its `reissued` gathers (ordinal, id) for each freed id that is bound again.
        """
        twin = Users.__new__(Users)
        twin._ids = self._ids
        twin._owner = self._owner.fork()
        twin._name = self._name.fork()
        twin._rebound, twin._merged_into = self._rebound.fork(), self._merged_into.fork()
        twin._rebound_codes, twin._aliases = self._rebound_codes, self._aliases.fork()
        twin._saved_codes, twin._saved_names = self._saved_codes, self._saved_names
        twin._dirty = self._dirty
        twin.reissued = []
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
        rebound = self._rebound.get(code)
        return int(self._owner.values[code]) if rebound is None else rebound

    def find(self, distinct_id: str) -> int:
        """The ordinal an id stands for, or NOBODY."""
        return self._of_code(self._ids.find(distinct_id))

    def find_many(self, distinct_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Ordinals of ids, int64[n], NOBODY (-1) where an id is unknown."""
        codes = np.asarray(self._ids.find_many(list(distinct_ids)), np.int64)
        known = (codes >= 0) & (codes < len(self._owner))
        found = np.full(len(codes), NOBODY, np.int64)
        found[known] = self._owner.values[codes[known]]
        for index in self._rows_rebound(np.where(known, codes, -1)):
            found[index] = self._of_code(int(codes[index]))
        return found

    def _rows_rebound(self, codes: npt.NDArray[np.int64]) -> list[int]:
        """Where in int64[n] codes those stand that a merge or deletion rebound; -1 is no code."""
        if not self._rebound_codes:
            return []
        affected = self._rebound_codes & BitMap(codes[codes >= 0].astype(np.uint32))
        return np.flatnonzero(np.isin(codes, np.array(affected.to_array(), np.int64))).tolist() if affected else []

    def resolve(self, distinct_ids: Sequence[str]) -> Ordinals:
        """Ordinals of ids, issuing new ones for ids never seen or freed by deletion. Writer only.

        Arguments:
            distinct_ids: n ids, repeats allowed.

        Returns:
            uint32[n].
        """
        before = len(self._owner)
        return self._resolved(before, np.asarray(self._ids.intern_many(list(distinct_ids)), np.int64))

    def resolve_spans(
        self, heap: Buffer, starts: npt.NDArray[np.unsignedinteger], lengths: npt.NDArray[np.unsignedinteger]
    ) -> Ordinals:
        """`resolve` for ids that lie as UTF-8 in a heap. Writer only.

        Arguments:
            starts, lengths: of n ids, repeats allowed.

        Returns:
            uint32[n].

        Raises:
            ValueError: where a span leaves the heap.
        """
        before = len(self._owner)
        codes = self._ids.intern_spans(heap, starts.astype(np.uint64), lengths.astype(np.uint64))
        return self._resolved(before, codes.astype(np.int64))

    def _resolved(self, before: int, codes: npt.NDArray[np.int64]) -> Ordinals:
        """Ordinals of codes, issuing new ones to those from `before` on, which are new, and to freed ones."""
        count = len(self._ids)
        if count > before:
            fresh = np.arange(self.issued, self.issued + count - before, dtype=np.uint32)
            self._owner.extend(fresh)
            self._name.extend(np.arange(before, count, dtype=np.uint32))
        found = self._owner.values[codes]
        for index in self._rows_rebound(codes):
            code = int(codes[index])
            if self._of_code(code) == NOBODY:
                self._rebind(code, self._issue(code))
                self.reissued.append((self._of_code(code), str(self._ids.text(code))))
            found[index] = self._of_code(code)
        return found

    def _issue(self, code: int) -> int:
        ordinal = self.issued
        self._name.extend(np.array([code], np.uint32))
        return ordinal

    def _rebind(self, code: int, ordinal: int) -> None:
        self._rebound[code] = ordinal
        if code not in self._rebound_codes:
            self._rebound_codes = self._rebound_codes | BitMap([code])
        self._soil_key(_REBOUND, code)

    def _soil_key(self, kind: bytes, key: int) -> None:
        if (kind, key // _PAGE) not in self._dirty:
            self._dirty |= {(kind, key // _PAGE)}

    def _set_aliases(self, ordinal: int, codes: tuple[int, ...]) -> None:
        if codes:
            self._aliases[ordinal] = codes
        else:
            self._aliases.pop(ordinal)
        self._soil_key(_ALIASES, ordinal)

    def bind_alias(self, distinct_id: str, ordinal: int) -> None:
        """Make a new or freed id another name of a user. Writer only."""
        known = len(self._ids)
        code = self._ids.intern(distinct_id)
        if code == known:
            self._owner.extend(np.array([ordinal], np.uint32))
        else:
            self._rebind(code, ordinal)
            self.reissued.append((ordinal, distinct_id))
        self._set_aliases(ordinal, (*self._further(ordinal), code))

    def merge(self, stays: int, goes: int) -> None:
        """Give every id of one user to another. Writer only."""
        codes = self._codes(goes)
        for code in codes:
            self._rebind(code, stays)
        self._merged_into[goes] = stays
        self._soil_key(_MERGED, goes)
        self._set_aliases(goes, ())
        self._set_aliases(stays, (*self._further(stays), *codes))

    def delete(self, ordinal: int) -> None:
        """Free every id of a user. Writer only."""
        for code in self._codes(ordinal):
            self._rebind(code, NOBODY)
        self._set_aliases(ordinal, ())

    def survivor(self, ordinal: int) -> int:
        """The user that an ordinal's history belongs to now."""
        while (following := self._merged_into.get(ordinal)) is not None:
            ordinal = following
        return ordinal

    def _further(self, ordinal: int) -> tuple[int, ...]:
        return self._aliases.get(ordinal) or ()

    def _codes(self, ordinal: int) -> tuple[int, ...]:
        return (int(self._name.values[ordinal]), *self._further(ordinal))

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

    def dirty_pages(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Pages that changed since `clean`, in key order. A page is made when it is asked for."""
        pages: list[tuple[bytes, Callable[[], bytes | None]]] = []
        for number, dump in self._ids.pages_since(self._saved_codes, len(self._owner)):
            pages.append((_id_key(number), dump))
        for kind, saved, array in (
            (_OWNERS, self._saved_codes, self._owner),
            (_NAMES, self._saved_names, self._name),
        ):
            for first in _pages(saved, len(array)):
                cells = array.values[first : first + _PAGE]
                pages.append((kind + (first // _PAGE).to_bytes(4, "big"), cells.tobytes))
        for key, page in self._map_pages():
            pages.append((key, partial(_itself, page)))
        for key, make in sorted(pages, key=lambda item: item[0]):
            yield key, make()

    def adopt(self, get: Callable[[bytes], Any]) -> None:
        """After a checkpoint: use its ids in place.

        Arguments:
            get: gives the stored page of a key in place, None where there is none.
        """
        self._ids.adopt(lambda number: get(_id_key(number)))

    def _map_pages(self) -> Iterator[tuple[bytes, bytes | None]]:
        kinds = {kind for kind, _ in self._dirty}
        for kind, entries in ((_REBOUND, self._rebound), (_MERGED, self._merged_into), (_ALIASES, self._aliases)):
            if kind not in kinds:
                continue
            pages: dict[int, dict[int, object]] = {number: {} for of, number in self._dirty if of == kind}
            for key, value in entries.items():
                page = pages.get(key // _PAGE)
                if page is not None:
                    page[key] = value
            for number, page in pages.items():
                yield kind + number.to_bytes(4, "big"), pack(page) if page else None

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._saved_codes, self._saved_names = len(self._owner), len(self._name)
        self._dirty = frozenset()

    def soil(self, frozen: Users) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._saved_codes = min(self._saved_codes, frozen._saved_codes)
        self._saved_names = min(self._saved_names, frozen._saved_names)
        self._dirty |= frozen._dirty

    @classmethod
    def load(cls, scan: Scan, scan_in_place: Scan | None = None) -> Users:
        """The id table of a checkpoint.

        Arguments:
            scan: gives pages that are what was written, by a prefix of their keys, in key order.
            scan_in_place: gives pages to point into, of which this is not known; `scan` where it is None.

        Raises:
            StoreError: where a page is damaged.
        """
        users = cls()
        for key, page in (scan_in_place or scan)(_IDS):
            users._ids.load_page(int.from_bytes(key[len(_IDS) :], "big"), page)
        for _, page in scan(_OWNERS):
            users._owner.extend(np.frombuffer(page, np.uint32))
        for _, page in scan(_NAMES):
            users._name.extend(np.frombuffer(page, np.uint32))
        if len(users._ids) != len(users._owner):
            raise StoreError("pages of the id table do not fit together", code="STORE_DAMAGED")
        users._rebound = VersionedMap({code: to for _, page in scan(_REBOUND) for code, to in unpack(page).items()})
        users._rebound_codes = BitMap([code for code, _ in users._rebound.items()])
        users._merged_into = VersionedMap({goes: to for _, page in scan(_MERGED) for goes, to in unpack(page).items()})
        users._aliases = VersionedMap(
            {ordinal: tuple(codes) for _, page in scan(_ALIASES) for ordinal, codes in unpack(page).items()}
        )
        users.clean()
        return users


def _itself(page: bytes | None) -> bytes | None:
    return page


def _id_key(number: int) -> bytes:
    return _IDS + number.to_bytes(8, "big")


def _pages(saved: int, length: int) -> range:
    """Where the pages begin that hold anything of [saved, length)."""
    return range(saved // _PAGE * _PAGE, length, _PAGE) if length > saved else range(0)
