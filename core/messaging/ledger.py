"""A message's ledger: for every selected user the present state, and when it was decided.

The states are disjoint sets whose union is the selected set; `problems` proves it. Reasons split the skipped
and the failed. Deciding never happens here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.errors import StoreError
from core.messaging.effects import STATES, Caused, DeliveryState, Moved, Selected, is_open
from core.values import MICROS_PER_DAY, Value, pack, unpack

_ADVANCE: Final[dict[str, int]] = {
    "skipped": 0,
    "held_out": 1,
    "deferred": 2,
    "queued": 3,
    "failed": 4,
    "ambiguous": 5,
    "begun": 6,
    "sent": 7,
}
"""Which of two united ledgers wins: the one further on the way to the user."""

Place = tuple[DeliveryState, str]
_SETS: Final = b"/sets"
_DECISIONS: Final = b"/decisions/"
_CAUSES: Final = b"/causes"


class Ledger:
    """One version of one message's ledger; `fork` before writing."""

    def __init__(self) -> None:
        self.selected = BitMap()
        self._sets: dict[Place, BitMap] = {}
        self._decisions: list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]] = []
        self._causes: dict[int, dict[str, Value]] = {}
        self._saved_decisions = 0
        self._dirty = False
        self._owned: set[Place] = set()

    def fork(self) -> Ledger:
        """A copy whose sets are copied when first written."""
        twin = Ledger.__new__(Ledger)
        twin.selected = self.selected
        twin._sets = dict(self._sets)
        twin._decisions = list(self._decisions)
        twin._causes = self._causes
        twin._saved_decisions = self._saved_decisions
        twin._dirty = self._dirty
        twin._owned = set()
        return twin

    def state(self, state: DeliveryState) -> BitMap:
        """The users in a state, whatever the reason; not to be written to."""
        parts = [users for (name, _), users in self._sets.items() if name == state]
        return parts[0] if len(parts) == 1 else BitMap().union(*parts) if parts else BitMap()

    def reasons(self, state: DeliveryState) -> list[tuple[str, BitMap]]:
        """The users in a state by reason, in order of the reason's name."""
        return sorted((reason, users) for (name, reason), users in self._sets.items() if name == state and users)

    def open_skips(self) -> BitMap:
        """Users skipped for a reason that may pass."""
        parts = [users for reason, users in self.reasons("skipped") if is_open(reason)]
        return BitMap().union(*parts) if parts else BitMap()

    def place(self, ordinal: int) -> Place | None:
        """The state and reason of one user, or None where the user is not selected."""
        for place, users in self._sets.items():
            if ordinal in users:
                return place
        return None

    def decided_at(self, ordinal: int) -> int | None:
        """The instant a user was selected, in micros, or None."""
        for ordinals, instants in reversed(self._decisions):
            found = np.flatnonzero(ordinals == ordinal)
            if len(found):
                return int(instants[found[-1]])
        return None

    def decisions(self) -> Iterator[tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]]:
        """Ordinals and instants (micros) in the order of deciding, in parts."""
        yield from self._decisions

    def cause(self, ordinal: int) -> dict[str, Value] | None:
        """The event that made a user match, where it was kept."""
        return self._causes.get(ordinal)

    def problems(self) -> list[str]:
        """What does not add up: overlapping states, users without a state or without a decision."""
        found = []
        total = sum(len(users) for users in self._sets.values())
        union = BitMap().union(*self._sets.values()) if self._sets else BitMap()
        if total != len(union):
            found.append(f"{total - len(union)} users are in more than one state")
        if union != self.selected:
            found.append(
                f"{len(self.selected - union)} selected users have no state, {len(union - self.selected)} have one unselected"
            )
        decided = BitMap()
        count = 0
        for ordinals, _ in self._decisions:
            count += len(ordinals)
            decided.update(ordinals.tolist())
        if decided != self.selected or count != len(decided):
            found.append(f"{count} decisions name {len(decided)} users, and {len(self.selected)} are selected")
        return found

    def per_day(self) -> list[tuple[int, int]]:
        """(start of a UTC day in micros, users selected on it), in order."""
        if not self._decisions:
            return []
        days = np.concatenate([instants for _, instants in self._decisions]) // MICROS_PER_DAY
        found, counts = np.unique(days, return_counts=True)
        return [(int(day) * MICROS_PER_DAY, int(count)) for day, count in zip(found, counts, strict=True)]

    def _writable(self, place: Place) -> BitMap:
        users = self._sets.get(place)
        if users is None or place not in self._owned:
            users = BitMap() if users is None else users.copy()
            self._sets[place] = users
            self._owned.add(place)
        return users

    def select(self, effect: Selected) -> None:
        """Take in users that were not selected before."""
        users = BitMap(effect.ordinals)
        self.selected = self.selected | users
        self._writable((effect.state, effect.reason)).update(users)
        self._decisions.append((effect.ordinals, effect.instants))
        self._dirty = True

    def move(self, effect: Moved) -> None:
        """Take users from one state to another; only those that are in the first go.

        Raises:
            StoreError: LEDGER_BROKEN where some are not: an effect always names users it found there.
        """
        source = self._writable((effect.source, effect.source_reason))
        if not effect.users.issubset(source):
            raise StoreError(
                f"message {effect.key}: {len(effect.users - source)} users are not {effect.source}",
                code="LEDGER_BROKEN",
            )
        source.difference_update(effect.users)
        if not source:
            del self._sets[(effect.source, effect.source_reason)]
            self._owned.discard((effect.source, effect.source_reason))
        self._writable((effect.target, effect.target_reason)).update(effect.users)
        self._dirty = True

    def keep_causes(self, effect: Caused) -> None:
        """Remember the event that made each user match."""
        self._causes = {**self._causes, **effect.events}
        self._dirty = True

    def unite(self, goes: int, stays: int) -> None:
        """Unite two users' deliveries: the more advanced wins, the other ends as skipped (`merged`).

        Where only the user that goes has a delivery, it becomes that of the user that stays.
        """
        gone, kept = self.place(goes), self.place(stays)
        if gone is None:
            return
        self._dirty = True
        if kept is None:
            self._put(goes, gone, None)
            self._put(stays, None, gone)
            self.selected = (self.selected - BitMap([goes])) | BitMap([stays])
            self._decisions = [
                (np.where(ordinals == goes, np.uint32(stays), ordinals), instants)
                for ordinals, instants in self._decisions
            ]
            self._saved_decisions = 0
        else:
            if _ADVANCE[gone[0]] > _ADVANCE[kept[0]]:
                self._put(stays, kept, gone)
            self._put(goes, gone, ("skipped", "merged"))
        if goes in self._causes:
            causes = dict(self._causes)
            cause = causes.pop(goes)
            causes.setdefault(stays, cause)
            self._causes = causes

    def _put(self, ordinal: int, source: Place | None, target: Place | None) -> None:
        if source is not None:
            self._writable(source).discard(ordinal)
            if not self._sets[source]:
                del self._sets[source]
                self._owned.discard(source)
        if target is not None:
            self._writable(target).add(ordinal)

    def dirty_pages(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pages that changed since `clean`, under the message's prefix."""
        if not self._dirty:
            return
        sets = [[state, reason, users.serialize()] for (state, reason), users in self._sets.items()]
        yield prefix + _SETS, pack([self.selected.serialize(), sets])
        for number in range(self._saved_decisions, len(self._decisions)):
            ordinals, instants = self._decisions[number]
            yield prefix + _DECISIONS + number.to_bytes(4, "big"), pack([ordinals.tobytes(), instants.tobytes()])
        if self._causes:
            yield prefix + _CAUSES, pack(self._causes)

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._dirty = False
        self._saved_decisions = len(self._decisions)

    def soil(self, frozen: Ledger) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty = self._dirty or frozen._dirty
        self._saved_decisions = min(self._saved_decisions, frozen._saved_decisions)

    @classmethod
    def load(cls, prefix: bytes, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Ledger:
        """The ledger of a checkpoint."""
        ledger = cls()
        for _, page in scan(prefix + _SETS):
            selected, sets = unpack(page)
            ledger.selected = BitMap.deserialize(selected)
            for state, reason, users in sets:
                if state not in STATES:
                    raise StoreError(
                        f"the ledger holds a state {state!r} unknown to this release", code="STORE_FORMAT_NEWER"
                    )
                ledger._sets[(state, reason)] = BitMap.deserialize(users)
        for _, page in scan(prefix + _DECISIONS):
            ordinals, instants = unpack(page)
            ledger._decisions.append((np.frombuffer(ordinals, np.uint32), np.frombuffer(instants, np.int64)))
        for _, page in scan(prefix + _CAUSES):
            ledger._causes = unpack(page)
        ledger.clean()
        return ledger
