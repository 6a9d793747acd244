"""Who has which address, and who shares one with somebody else: an index over the columns of addresses.

An address is known by its *key*, 64 bits of a keyed hash of its one spelling (the project's uid is the key). The key of
each entry of a column's dictionary is made once. The index of (key, user) pairs is brought up to date, block by block,
with the version that asks; it may hold pairs that are true no longer, so that whatever it finds is held against the
column. Nothing of it is stored: it is made again from the columns.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.bitmaps.blocks import Block
from core.bitmaps.cells import BLOCK_ROWS
from core.bitmaps.column import Column
from core.bitmaps.population import Population
from core.bitmaps.siphash import siphash_of
from core.bitmaps.strings import StringTable
from core.messaging.address_keys import email_keys, phone_keys
from core.messaging.addresses import normalise_email, normalise_phone
from core.messaging.plain_phones import plain_starts
from core.messaging.rows import Ordinals
from core.values import ValueType

Keys = npt.NDArray[np.uint64]
AddressKind = Literal["email", "sms"]
"""The channels whose users have an address that can be shared, suppressed and unsubscribed."""

PROPERTY_OF: Final[dict[AddressKind, str]] = {"email": "$email", "sms": "$phone"}
"""The profile property that holds the address of each of these channels."""
_NORMALISE: Final[dict[AddressKind, Callable[[str], str | None]]] = {"email": normalise_email, "sms": normalise_phone}
_FEW: Final = 4096


def address_kind(channel: str | None) -> AddressKind | None:
    """A channel as one whose users have addresses; None where it is none."""
    return next((kind for kind in PROPERTY_OF if kind == channel), None)


def fold(channel: AddressKind, text: str) -> str:
    """The one spelling of an address; of what is none, the text without space around it, its domain in lower case."""
    normalised = _NORMALISE[channel](text)
    if normalised is not None:
        return normalised
    local, at, domain = text.strip().rpartition("@")
    return local + at + domain.lower()


def address_key(project_uid: str, channel: AddressKind, text: str) -> int:
    """The key of an address; never 0."""
    return folded_key(project_uid, fold(channel, text))


def folded_key(project_uid: str, folded: str) -> int:
    """The key of an address that is in its one spelling already; never 0."""
    return siphash_of(hash_key(project_uid), folded.encode("utf-8", "surrogatepass")) or 1


@lru_cache(maxsize=256)
def hash_key(project_uid: str) -> bytes:
    """The key of the hash in a project, 16 bytes."""
    return hashlib.blake2b(project_uid.encode(), digest_size=16, person=b"muster address").digest()


@lru_cache(maxsize=1)
def _plain_starts() -> npt.NDArray[np.uint8]:
    return plain_starts()


class _Run:
    """(key, user) pairs, by key and then by user: uint64[n] and uint32[n], each pair once.

    Arguments:
        ascending: whether the users given are in order.
    """

    def __init__(self, keys: Keys, ordinals: Ordinals, *, ascending: bool = False) -> None:
        order = np.argsort(keys, kind="stable") if ascending else np.lexsort((ordinals, keys))
        keys, ordinals = keys[order], ordinals[order]
        new = np.ones(len(keys), bool)
        new[1:] = (keys[1:] != keys[:-1]) | (ordinals[1:] != ordinals[:-1])
        self.keys, self.ordinals = keys[new], ordinals[new]

    def sharing(self) -> BitMap:
        """The users of whose key there is another pair in the run."""
        twice = np.zeros(len(self.keys), bool)
        same = self.keys[1:] == self.keys[:-1]
        twice[1:] = same
        twice[:-1] |= same
        return BitMap(self.ordinals[twice])

    def of(self, keys: Keys) -> tuple[Keys, Ordinals]:
        """The pairs of some keys."""
        first, last = np.searchsorted(self.keys, keys), np.searchsorted(self.keys, keys, "right")
        counts = last - first
        rows = np.repeat(first, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.keys[rows], self.ordinals[rows]


class AddressIndex:
    """The addresses of one channel, over all versions of a project. Thread-safe.

    Arguments:
        channel: the channel they are for.
    """

    def __init__(self, channel: AddressKind) -> None:
        self._channel = channel
        self._lock = threading.RLock()
        self._uid = ""
        self._strings: StringTable | None = None
        self._keys: Keys = np.zeros(0, np.uint64)  # by code; 0: not made yet
        self._blocks: dict[int, Block] = {}  # as the runs have them
        self._runs: list[_Run] = []
        self._sharing = BitMap()

    def __len__(self) -> int:
        """How many (key, user) pairs it holds."""
        return sum(len(run.keys) for run in self._runs)

    def keys(self, project_uid: str, population: Population, users: Ordinals) -> Keys:
        """The keys of users' addresses, uint64[n]; 0 for who has none.

        Arguments:
            users: uint32[n].
        """
        column = population.column(PROPERTY_OF[self._channel])
        found = np.zeros(len(users), np.uint64)
        if column is None:
            return found
        tags, data = column.cells(users)
        texts = tags == ValueType.STRING
        found[texts] = self._of_codes(project_uid, column, data[texts])
        return found

    def sharing(self, project_uid: str, population: Population) -> BitMap:
        """A set that has every user whose address somebody else has, too, and may have others; not to be written to."""
        with self._lock:
            self._follow(project_uid, population)
            return self._sharing

    def having(self, project_uid: str, population: Population, keys: Keys) -> tuple[Keys, Ordinals]:
        """Who has an address of some keys, as pairs: uint64[n], uint32[n].

        Arguments:
            keys: each once.
        """
        with self._lock:
            self._follow(project_uid, population)
            parts = [run.of(keys) for run in self._runs]
        if not parts:
            return np.zeros(0, np.uint64), np.zeros(0, np.uint32)
        merged = _Run(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
        true = self.keys(project_uid, population, merged.ordinals) == merged.keys
        return merged.keys[true], merged.ordinals[true]

    def _of_codes(self, project_uid: str, column: Column, codes: npt.NDArray[np.int64]) -> Keys:
        with self._lock:
            self._begin(project_uid, column.strings)
            if len(codes) and int(codes.max()) >= len(self._keys):
                grown = np.zeros(max(len(column.strings), len(self._keys) + len(self._keys) // 2), np.uint64)
                grown[: len(self._keys)] = self._keys
                self._keys = grown
            found = self._keys[codes]
            if not found.all():
                missing = _each(codes[found == 0], len(self._keys))
                self._keys[missing] = self._made(project_uid, column.strings, missing)
                found = self._keys[codes]
            return found

    def _begin(self, project_uid: str, strings: StringTable) -> None:
        """Begin anew where the column is another than before; that of one project stays the same while it is open."""
        if self._strings is not strings or self._uid != project_uid:
            self._uid, self._strings = project_uid, strings
            self._keys, self._blocks, self._runs, self._sharing = np.zeros(0, np.uint64), {}, [], BitMap()

    def _made(self, project_uid: str, strings: StringTable, codes: npt.NDArray[np.int64]) -> Keys:
        codes = np.ascontiguousarray(codes, np.int64)
        if self._channel == "email":
            made = email_keys(strings, codes, hash_key(project_uid))
        else:
            made = phone_keys(strings, codes, hash_key(project_uid), _plain_starts())
        left = np.flatnonzero(made == 0)
        for row, text in zip(left.tolist(), strings.texts(codes[left]), strict=True):
            made[row] = address_key(project_uid, self._channel, text)
        return made

    def _follow(self, project_uid: str, population: Population) -> None:
        """Take in what a version has that the runs have not."""
        column = population.column(PROPERTY_OF[self._channel])
        if column is None:
            return
        self._begin(project_uid, column.strings)
        ordinals, codes = [], []
        for number in column.blocks:
            block, known = column.blocks.get(number), self._blocks.get(number)
            if block is None or block is known:
                continue
            self._blocks[number] = block
            changed = block.tags == ValueType.STRING
            data = block.data
            if known is not None:
                changed &= (data != known.data) | (known.tags != ValueType.STRING)
            places = np.flatnonzero(changed)
            ordinals.append((places + number * BLOCK_ROWS).astype(np.uint32))
            codes.append(data[places])
        if ordinals and any(map(len, ordinals)):
            new = np.concatenate(ordinals)
            self._add(_Run(self._of_codes(project_uid, column, np.concatenate(codes)), new, ascending=True))

    def _add(self, new: _Run) -> None:
        sharing = new.sharing()
        for run in self._runs:
            keys, users = run.of(np.unique(new.keys))
            if len(keys):
                met = np.isin(new.keys, keys)
                both = _Run(np.concatenate([keys, new.keys[met]]), np.concatenate([users, new.ordinals[met]]))
                sharing |= both.sharing()
        self._sharing = self._sharing | sharing
        while self._runs and len(self._runs[-1].keys) <= 2 * len(new.keys):
            last = self._runs.pop()
            new = _Run(np.concatenate([last.keys, new.keys]), np.concatenate([last.ordinals, new.ordinals]))
        self._runs.append(new)


def _each(codes: npt.NDArray[np.int64], end: int) -> npt.NDArray[np.int64]:
    """Each code once, ascending; all are below `end`. Numpy's own way is many times slower where they are many."""
    if len(codes) < _FEW:
        return np.array(sorted(set(codes.tolist())), np.int64)
    wanted = np.zeros(end, bool)
    wanted[codes] = True
    return np.flatnonzero(wanted)
