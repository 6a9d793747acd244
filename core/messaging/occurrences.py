"""A message's occurrences: a ledger for each firing, and which of them somebody still has to do with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from pyroaring import BitMap

from core.messaging.ledger import Ledger
from core.messaging.presence import Presence
from core.messaging.runs import Runs
from core.values import pack, unpack

FIRST: Final = 0
"""The only occurrence of a one-time message, and the first of any other."""

_NUMBERS: Final = b"messages/occurrences/"
_LEDGERS: Final = b"messages/ledger/"
_EMPTY: Final = Ledger()


class Occurrences:
    """One version of one message's occurrences, numbered from 0; `fork` before writing.

    Attributes:
        ever: every user who was selected, or is marked, in any of them. Who went by a merge may be among them.
        runs: what became of the runs of a message that is sent by time.
        presence: who is inside, of a message that is sent each time its criteria are met.
    """

    def __init__(self) -> None:
        self.ever = BitMap()
        self.runs = Runs()
        self.presence = Presence()
        self._ledgers: dict[int, Ledger] = {FIRST: Ledger()}
        self._active: frozenset[int] = frozenset()
        self._owned: set[int] = {FIRST}
        self._numbers_saved = False

    def fork(self) -> Occurrences:
        """A copy whose ledgers are copied when first written."""
        twin = Occurrences.__new__(Occurrences)
        twin.ever = self.ever
        twin.runs = self.runs.fork()
        twin.presence = self.presence.fork()
        twin._ledgers, twin._active = dict(self._ledgers), self._active
        twin._owned = set()
        twin._numbers_saved = self._numbers_saved
        return twin

    def ledger(self, occurrence: int) -> Ledger:
        """The ledger of an occurrence, for reading; that of one that never was is empty."""
        return self._ledgers.get(occurrence, _EMPTY)

    def all(self) -> list[tuple[int, Ledger]]:
        """Every occurrence that was, by number, with its ledger."""
        return sorted(self._ledgers.items())

    def active(self) -> list[tuple[int, Ledger]]:
        """The occurrences in which somebody waits, has begun, is ambiguous or is openly skipped, by number."""
        return [(number, self._ledgers[number]) for number in sorted(self._active)]

    @property
    def latest(self) -> int:
        """The number of the newest occurrence."""
        return max(self._ledgers)

    def write(self, occurrence: int, change: Callable[[Ledger], None]) -> None:
        """Change an occurrence's ledger."""
        if occurrence not in self._owned:
            present = self._ledgers.get(occurrence)
            if present is None:
                self._numbers_saved = False
            self._ledgers[occurrence] = Ledger() if present is None else present.fork()
            self._owned.add(occurrence)
        ledger = self._ledgers[occurrence]
        selected, marked = ledger.selected, ledger.marked
        change(ledger)
        if ledger.selected is not selected or ledger.marked is not marked:
            self.ever = self.ever | ledger.closed_to
        if ledger.is_active != (occurrence in self._active):
            self._active = self._active ^ {occurrence}

    @property
    def selected(self) -> int:
        """How many times users were selected, over all occurrences."""
        return sum(len(ledger.selected) for ledger in self._ledgers.values())

    def next_of(self, users: BitMap) -> list[tuple[int, BitMap]]:
        """Users by the number of the occurrence that comes next for each: one more than the last that has them."""
        found = []
        rest = users
        for number, ledger in reversed(self.all()):
            here = rest & ledger.closed_to
            if here:
                found.append((number + 1, here))
                rest = rest - here
        if rest:
            found.append((FIRST, rest))
        return sorted(found, key=lambda one: one[0])

    def reached(self, most: int, *, besides: int) -> BitMap:
        """The users whom so many occurrences reached, may have reached or are to reach, ghosts included.

        Arguments:
            most: at least 1.
            besides: the number of an occurrence that does not count.
        """
        levels = [BitMap() for _ in range(most)]
        for number, ledger in self.all():
            if number != besides and ledger.closed_to:
                here = ledger.selected - ledger.state("skipped") - ledger.state("failed") | ledger.marked
                for level, users in enumerate(levels):
                    levels[level], here = users | here, users & here
                    if not here:
                        break
        return levels[-1]

    def dirty_pages(self, key: str) -> Iterator[tuple[bytes, bytes | None]]:
        """Pages that changed since `clean`; None = deleted."""
        if not self._numbers_saved:
            yield _NUMBERS + key.encode(), pack(sorted(self._ledgers))
        for number, ledger in self.all():
            yield from ledger.dirty_pages(_prefix(key, number))
        yield from self.runs.dirty_pages(key)
        yield from self.presence.dirty_pages(key)

    @property
    def is_clean(self) -> bool:
        """Whether `dirty_pages` gives none."""
        if not (self._numbers_saved and self.runs.is_clean and self.presence.is_clean):
            return False
        return all(ledger.is_clean for ledger in self._ledgers.values())

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._numbers_saved = True
        self.runs.clean()
        self.presence.clean()
        for number, ledger in self.all():
            if not ledger.is_clean:
                self.write(number, Ledger.clean)

    def soil(self, frozen: Occurrences) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._numbers_saved = self._numbers_saved and frozen._numbers_saved
        self.runs.soil(frozen.runs)
        self.presence.soil(frozen.presence)
        for number, ledger in frozen._ledgers.items():
            if not ledger.is_clean:
                self.write(number, lambda mine, theirs=ledger: mine.soil(theirs))  # type: ignore[misc]

    @classmethod
    def load(cls, key: str, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Occurrences:
        """The occurrences of a message in a checkpoint."""
        occurrences = cls()
        for name, page in scan(_NUMBERS + key.encode()):
            if name == _NUMBERS + key.encode():  # and not another key that begins so
                for number in unpack(page):
                    ledger = Ledger.load(_prefix(key, number), scan)
                    occurrences._ledgers[number] = ledger
                    occurrences.ever = occurrences.ever | ledger.closed_to
        occurrences.runs = Runs.load(key, scan)
        occurrences.presence = Presence.load(key, scan)
        occurrences._active = frozenset(number for number, ledger in occurrences._ledgers.items() if ledger.is_active)
        occurrences._owned = set()
        occurrences._numbers_saved = True
        return occurrences


def _prefix(key: str, number: int) -> bytes:
    return _LEDGERS + key.encode() + b"/" + number.to_bytes(4, "big")
