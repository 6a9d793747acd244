"""The runs of a message that is sent by time: when each was to be, when it was, and whether it was missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from core.bitmaps.versioned import VersionedMap
from core.codec import record
from core.values import pack, unpack

Outcome = Literal["fired", "late", "missed"]
_RUNS: Final = b"messages/runs/"


@record("fired")
@dataclass(frozen=True, slots=True)
class Fired:
    """A run of a message came due, for the users in some zones.

    Arguments:
        occurrence: the run's number.
        planned: the instant that it was due at, micros UTC.
        at: when it was judged, or found to be missed, micros UTC.
        outcome: `fired` at its instant; `late`, at another; `missed`, never.
    """

    key: str
    occurrence: int
    planned: int
    at: int
    outcome: Outcome


class Runs:
    """One version of what became of one message's runs; `fork` before writing."""

    def __init__(self) -> None:
        self._runs: VersionedMap[int, tuple[tuple[int, int, Outcome], ...]] = VersionedMap()
        self._dirty: frozenset[int] = frozenset()

    def fork(self) -> Runs:
        """A copy to write to."""
        twin = Runs.__new__(Runs)
        twin._runs, twin._dirty = self._runs.fork(), self._dirty
        return twin

    def add(self, effect: Fired) -> None:
        """Remember what became of a run."""
        known = self._runs.get(effect.occurrence) or ()
        self._runs[effect.occurrence] = (*known, (effect.planned, effect.at, effect.outcome))
        self._dirty |= {effect.occurrence}

    def all(self, key: str) -> list[Fired]:
        """What became of every run, by number, then in the order of deciding."""
        return [Fired(key, number, *part) for number, parts in sorted(self._runs.items()) for part in parts]

    def newest(self, limit: int, key: str) -> list[Fired]:
        """What became of the newest runs, by number, then by instant; at most so many."""
        found: list[Fired] = []
        for number, parts in sorted(self._runs.items(), reverse=True):
            found.extend(Fired(key, number, *part) for part in reversed(parts))
            if len(found) >= limit:
                break
        return found[:limit][::-1]

    def __len__(self) -> int:
        return len(self._runs)

    def dirty_pages(self, key: str) -> Iterator[tuple[bytes, bytes | None]]:
        """Pages that changed since `clean`."""
        for number in sorted(self._dirty):
            yield _prefix(key) + number.to_bytes(4, "big"), pack([list(part) for part in self._runs.get(number) or ()])

    @property
    def is_clean(self) -> bool:
        """Whether `dirty_pages` gives none."""
        return not self._dirty

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._dirty = frozenset()

    def soil(self, frozen: Runs) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty |= frozen._dirty

    @classmethod
    def load(cls, key: str, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Runs:
        """The runs of a message in a checkpoint."""
        runs = cls()
        prefix = _prefix(key)
        entries = {
            int.from_bytes(name[len(prefix) :], "big"): tuple((at, when, what) for at, when, what in unpack(page))
            for name, page in scan(prefix)
        }
        runs._runs = VersionedMap(entries)
        return runs


def _prefix(key: str) -> bytes:
    return _RUNS + key.encode() + b"/"
