"""Who is inside: the users for whom a message's targeting held when they were last judged, and whose gap still runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from pyroaring import BitMap

from core.codec import record
from core.messaging.rows import Instants, Ordinals, Pairs, array_of
from core.values import pack, unpack

NO_GAP: Final = -(1 << 63)
"""As the end of a gap: none runs."""
_PRESENCE: Final = b"messages/presence/"


@record("crossed")
@dataclass(frozen=True, slots=True)
class Crossed:
    """Users came to match a message, or ceased to.

    Arguments:
        entered, left: who is inside from now on, and who no longer.
        waiting: of those inside, who waits for the end of a gap, among all whom this step names.
        named: everybody whom `waiting` speaks of; of others it stays as it was.
        ordinals, ends: uint32[n] and int64[n]: gaps that began, by user, and the instants (micros) of their ends.
        over: gaps with ends up to this instant, in micros, are over.
    """

    key: str
    entered: BitMap
    left: BitMap
    waiting: BitMap
    named: BitMap
    ordinals: Ordinals
    ends: Instants
    over: int


class Presence:
    """One version of who is inside for one message; `fork` before writing.

    Attributes:
        inside: for whom the targeting held at the last judgement, or at an entry that was refused no room.
        waiting: of those, who came inside in a gap and is judged again at its end.
    """

    def __init__(self) -> None:
        self.inside = BitMap()
        self.waiting = BitMap()
        # Each ascending by ordinal, a user's end in the last part that has one; small parts are joined.
        self._gaps: list[Pairs] = []
        self._dirty = False

    def fork(self) -> Presence:
        """A copy to write to: sets are replaced, not changed."""
        twin = Presence.__new__(Presence)
        twin.inside, twin.waiting, twin._gaps, twin._dirty = self.inside, self.waiting, self._gaps, self._dirty
        return twin

    def ends(self, ordinals: Ordinals) -> Instants:
        """The ends of users' gaps, in micros, as int64[n]; NO_GAP where none runs."""
        found = np.full(len(ordinals), NO_GAP, np.int64)
        for users, ends in self._gaps:
            places = np.minimum(np.searchsorted(users, ordinals), len(users) - 1)
            there = users[places] == ordinals
            found[there] = ends[places[there]]
        return found

    def apply(self, step: Crossed) -> None:
        """Take in what changed."""
        self.inside = (self.inside - step.left) | step.entered
        self.waiting = (self.waiting - step.named - step.left) | step.waiting
        self._gaps = [*self._gaps, (step.ordinals, step.ends)] if len(step.ordinals) else list(self._gaps)
        self._join(step.over)
        self._dirty = True

    def _join(self, over: int) -> None:
        """Join a part with the one before while it is not smaller, and let go of gaps that are over."""
        parts = self._gaps
        while len(parts) > 1 and len(parts[-1][0]) * 2 >= len(parts[-2][0]):
            last, before = parts.pop(), parts.pop()
            joined = _laid_over(before, last)
            running = joined[1] > over
            if running.any():
                parts.append((joined[0][running], joined[1][running]))
        if len(parts) == 1 and not (parts[0][1] > over).any():
            parts.clear()

    def absorb(self, merged: Sequence[tuple[int, int]], gone: BitMap) -> None:
        """Follow merges and deletions: the user that stays is where either was, and waits for the later end."""
        for goes, stays in merged:
            pair = BitMap([goes, stays])
            if pair.intersect(self.inside):
                self.inside = (self.inside - pair) | BitMap([stays])
            if pair.intersect(self.waiting):
                self.waiting = (self.waiting - pair) | BitMap([stays])
            end = int(self.ends(np.array([goes, stays], np.uint32)).max())
            if end != NO_GAP:
                self._gaps = [*self._gaps, (np.array([stays], np.uint32), np.array([end], np.int64))]
                self._join(NO_GAP)
            self._dirty = True
        if gone.intersect(self.inside):
            self.inside, self.waiting, self._dirty = self.inside - gone, self.waiting - gone, True

    def dirty_pages(self, key: str) -> Iterator[tuple[bytes, bytes | None]]:
        """The page, where it changed since `clean`."""
        if self._dirty:
            gaps = [[users.tobytes(), ends.tobytes()] for users, ends in self._gaps]
            yield _PRESENCE + key.encode(), pack([self.inside.serialize(), self.waiting.serialize(), gaps])

    @property
    def is_clean(self) -> bool:
        """Whether `dirty_pages` gives none."""
        return not self._dirty

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._dirty = False

    def soil(self, frozen: Presence) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty = self._dirty or frozen._dirty

    def contents(self) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        """All of it as plain values: inside, waiting, and the ends of those who wait."""
        waiting = array_of(self.waiting)
        return (
            list(self.inside),
            waiting.tolist(),
            list(zip(waiting.tolist(), self.ends(waiting).tolist(), strict=True)),
        )

    @classmethod
    def load(cls, key: str, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Presence:
        """That of a message in a checkpoint."""
        presence = cls()
        for name, page in scan(_PRESENCE + key.encode()):
            if name == _PRESENCE + key.encode():  # and not another key that begins so
                inside, waiting, gaps = unpack(page)
                presence.inside, presence.waiting = BitMap.deserialize(inside), BitMap.deserialize(waiting)
                presence._gaps = [(np.frombuffer(one, np.uint32), np.frombuffer(two, np.int64)) for one, two in gaps]
        return presence


def _laid_over(before: Pairs, last: Pairs) -> Pairs:
    """Two parts as one; a user's end is that of the last."""
    ordinals = np.concatenate([before[0], last[0]])
    ends = np.concatenate([before[1], last[1]])
    order = np.argsort(ordinals, kind="stable")
    ordinals, ends = ordinals[order], ends[order]
    final = np.ones(len(ordinals), bool)
    final[:-1] = ordinals[1:] != ordinals[:-1]
    return ordinals[final], ends[final]
