"""Addresses that are not sent to: sets of keyed hashes, each with the instant since when it is in.

The addresses themselves are not kept: who has one can ask for it, but nobody can list them. The sets are the project's
and outlive its users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from core.codec import record
from core.messaging.address_index import AddressKind, Keys
from core.values import pack, unpack

Why = Literal["unsubscribed", "bounced", "complained", "manual", "stop"]
WHYS: Final[tuple[Why, ...]] = ("unsubscribed", "bounced", "complained", "manual", "stop")
"""Why an address is not sent to, in the order in which reasons are named."""

Place = tuple[AddressKind, Why, str]
"""A set's place: channel, why, and the key of a topic ("" is everything)."""

Times = npt.NDArray[np.int64]
_PREFIX: Final = b"consent/suppressed/"
_LEAST_FOLD: Final = 4096
_MANY: Final = 4096
"""From so many keys on, most are told to be out by a table before any is searched for."""
_BITS_PER_KEY: Final = 16
_MOST_BITS: Final = 26


@record("addresses_suppressed")
@dataclass(frozen=True, slots=True)
class AddressesSuppressed:
    """Step of the log: addresses, by key (uint64[n]), are not sent to from `since` (micros) on."""

    channel: AddressKind
    why: Why
    topic: str
    addresses: Keys
    since: int


@record("addresses_released")
@dataclass(frozen=True, slots=True)
class AddressesReleased:
    """Step of the log: addresses, by key (uint64[n]), are no longer kept from being sent to for this reason."""

    channel: AddressKind
    why: Why
    topic: str
    addresses: Keys


class _Part:
    """Keys, ascending, with their instants; never written to."""

    def __init__(self, keys: Keys, since: Times) -> None:
        self.keys, self.since = keys, since
        self._table: tuple[int, npt.NDArray[np.bool_]] | None = None

    def inside(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Of each key whether it is here, as bool[n]."""
        if not len(self.keys):
            return np.zeros(len(keys), bool)
        if len(keys) < _MANY:
            return self._search(keys)
        shift, table = self._table or self._make_table()
        found: npt.NDArray[np.bool_] = table[keys >> np.uint64(shift)]
        likely = np.flatnonzero(found)
        found[likely] = self._search(keys[likely])
        return found

    def _search(self, keys: Keys) -> npt.NDArray[np.bool_]:
        rows = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        same: npt.NDArray[np.bool_] = self.keys[rows] == keys
        return same

    def _make_table(self) -> tuple[int, npt.NDArray[np.bool_]]:
        bits = min(_MOST_BITS, (_BITS_PER_KEY * len(self.keys)).bit_length())
        table = np.zeros(1 << bits, bool)
        table[self.keys >> np.uint64(64 - bits)] = True
        self._table = (64 - bits, table)
        return self._table

    def joined(self, other: _Part) -> _Part:
        """The keys of both; none is in both."""
        at = np.searchsorted(self.keys, other.keys)
        return _Part(np.insert(self.keys, at, other.keys), np.insert(self.since, at, other.since))

    def without(self, keys: Keys) -> _Part:
        """The rest of the keys."""
        kept = ~np.isin(self.keys, keys)
        return self if kept.all() else _Part(self.keys[kept], self.since[kept])


_NONE: Final = _Part(np.zeros(0, np.uint64), np.zeros(0, np.int64))


class AddressSet:
    """Addresses by key, with the instant in micros since when each is in. Never changes: a change gives another set."""

    def __init__(self, base: _Part = _NONE, recent: _Part = _NONE) -> None:
        self._base, self._recent = base, recent

    def __len__(self) -> int:
        return len(self._base.keys) + len(self._recent.keys)

    def inside(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Of each key, uint64[n], whether it is in, as bool[n]."""
        found = self._base.inside(keys)
        return found | self._recent.inside(keys) if len(self._recent.keys) else found

    def since(self, key: int) -> int | None:
        """Since when a key is in, in micros; None where it is not."""
        wanted = np.array([key], np.uint64)
        for part in (self._recent, self._base):
            if part.inside(wanted)[0]:
                return int(part.since[np.searchsorted(part.keys, wanted)[0]])
        return None

    def entries(self) -> list[tuple[int, int]]:
        """Every key with the instant since when it is in, by key."""
        whole = self._base.joined(self._recent)
        return list(zip(whole.keys.tolist(), whole.since.tolist(), strict=True))

    def with_(self, keys: Keys, since: int) -> AddressSet:
        """The set with more keys, none of which is in."""
        ordered = np.unique(keys)
        recent = self._recent.joined(_Part(ordered, np.full(len(ordered), since, np.int64)))
        if len(recent.keys) > max(_LEAST_FOLD, len(self._base.keys) // 8):
            return AddressSet(self._base.joined(recent))
        return AddressSet(self._base, recent)

    def without(self, keys: Keys) -> AddressSet:
        """The set without some keys."""
        return AddressSet(self._base.without(keys), self._recent.without(keys))

    def page(self, first: int) -> bytes | None:
        """What is stored of the keys that begin with a byte; None where there are none."""
        whole = self._base.joined(self._recent)
        least, most = np.searchsorted(whole.keys >> np.uint64(56), [first, first + 1])
        return pack([whole.keys[least:most].tobytes(), whole.since[least:most].tobytes()]) if most > least else None

    @classmethod
    def load(cls, pages: list[bytes]) -> AddressSet:
        """A set of its pages, in order."""
        parts = [unpack(page) for page in pages]
        keys = np.concatenate([np.frombuffer(keys, np.uint64) for keys, _ in parts])
        return cls(_Part(keys, np.concatenate([np.frombuffer(since, np.int64) for _, since in parts])))


_EMPTY: Final = AddressSet()


class Suppressions:
    """One version of a project's suppressed addresses; `fork` before writing."""

    def __init__(self) -> None:
        self._sets: dict[Place, AddressSet] = {}
        self._dirty: frozenset[tuple[Place, int]] = frozenset()  # first bytes of keys, each of which has a page

    def fork(self) -> Suppressions:
        """A copy that may be written."""
        twin = Suppressions.__new__(Suppressions)
        twin._sets, twin._dirty = dict(self._sets), self._dirty
        return twin

    def at(self, channel: AddressKind, why: Why, topic: str = "") -> AddressSet:
        """The addresses of a place."""
        return self._sets.get((channel, why, topic), _EMPTY)

    def places(self) -> list[tuple[Place, AddressSet]]:
        """Every set that has any address."""
        return sorted(((place, found) for place, found in self._sets.items() if len(found)), key=lambda one: one[0])

    def apply(self, step: AddressesSuppressed | AddressesReleased) -> None:
        """Apply a recorded step."""
        place: Place = (step.channel, step.why, step.topic)
        present = self._sets.get(place, _EMPTY)
        if isinstance(step, AddressesSuppressed):
            self._sets[place] = present.with_(step.addresses, step.since)
        else:
            self._sets[place] = present.without(step.addresses)
        self._dirty |= {(place, int(first)) for first in np.unique(step.addresses >> np.uint64(56))}

    def forget_topic(self, topic: str) -> None:
        """Let go of what was of a topic."""
        for place in [place for place in self._sets if place[2] == topic]:
            del self._sets[place]
            self._dirty |= {(place, first) for first in range(256)}

    def dirty_pages(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Pages that changed since `clean`; None = deleted."""
        for place, first in self._dirty:
            yield _page_key(place, first), self._sets.get(place, _EMPTY).page(first)

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._dirty = frozenset()

    def soil(self, frozen: Suppressions) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty |= frozen._dirty

    @classmethod
    def load(cls, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Suppressions:
        """The suppressions of a checkpoint."""
        pages: dict[Place, list[bytes]] = {}
        for key, page in scan(_PREFIX):
            channel, why, topic = key[len(_PREFIX) : -2].decode().split("/")
            pages.setdefault((channel, why, topic), []).append(page)  # type: ignore[arg-type]
        suppressions = cls()
        suppressions._sets = {place: AddressSet.load(found) for place, found in pages.items()}
        return suppressions


def _page_key(place: Place, first: int) -> bytes:
    return _PREFIX + "/".join(place).encode() + b"/" + bytes([first])
