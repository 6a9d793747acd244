"""An occurrence's ledger: for every selected user the present state, and when it was decided.

The states are disjoint sets whose union is the selected set; `problems` proves it. Reasons split the skipped
and the failed. Deciding never happens here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import numpy as np
from pyroaring import BitMap

from core.bitmaps.versioned import VersionedMap
from core.errors import StoreError
from core.messaging.effects import (
    MERGED,
    ONCE,
    STATES,
    Assigned,
    Caused,
    DeliveryState,
    Moved,
    Selected,
    is_open,
)
from core.messaging.groups import GHOSTS
from core.messaging.rows import Instants, Pairs, at_once, inside
from core.values import MAX_MICROS, MICROS_PER_DAY, MIN_MICROS, Value, pack, unpack

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

WAITING: Final[tuple[DeliveryState, ...]] = ("queued", "deferred")
"""States of those whose hand-off is still to begin."""

_SETTLED: Final = frozenset({"held_out", "skipped", "sent", "failed"})
"""States from which nothing is handed off any more, open skips aside."""

_HANDED: Final = frozenset({"queued", "begun", "sent", "ambiguous"})
"""States of those who get it, or got it, as far as is known."""

_SENT_TO: Final[tuple[DeliveryState, ...]] = ("queued", "begun", "sent", "failed", "ambiguous")
"""States of those who were, are or may be sent to."""

_OUTSTANDING: Final = frozenset({"begun", "ambiguous"})
"""States of a hand-off that began and whose outcome is not known."""

K = TypeVar("K")
V = TypeVar("V")
Place = tuple[DeliveryState, str]
_SETS: Final = b"/sets"
_DECISIONS: Final = b"/decisions/"
_CAUSES: Final = b"/causes"
_SINCE: Final = b"/since"
_KNOWN_AS: Final = b"/known-as"
_TURNS: Final = b"/turns"
_DOUBTS: Final = b"/doubts"
_DUES: Final = b"/dues"
_SIDES: Final = b"/sides"
_FEW: Final = 256
"""Up to so many who join the queue at once are noted one by one, more as a set."""
_LARGEST_PART: Final = 1 << 18
"""Decisions are kept in parts; small ones that follow one another are joined up to this many."""


class Ledger:
    """One version of the ledger of one occurrence; `fork` before writing.

    Attributes:
        selected: every user with a state.
        marked: users who never get it, whatever comes: an id of theirs had it before its user was deleted.
        doubtful: users whose hand-off was repeated, or may be, although an earlier one may have reached them.
        contested: users whom another hand-off, which lost a merge, may have reached; only an operator has them
            handed off to.
        let_through: users who were let through to be sent to, or held out, and were skipped since.
        first_at, last_at: micros; nobody was decided, or joined the queue, before the one or after the other.
    """

    def __init__(self) -> None:
        self.selected = BitMap()
        self.marked = BitMap()
        self.doubtful = BitMap()
        self.contested = BitMap()
        self.let_through = BitMap()
        self._sets: dict[Place, BitMap] = {}
        self._decisions: list[Pairs] = []
        self._causes: VersionedMap[int, bytes] = VersionedMap()  # packed: a fifth of the memory, and read once or twice
        self._since: VersionedMap[int, int] = VersionedMap()  # who joined the queue later than decided, and when
        self._known_as: VersionedMap[int, int] = VersionedMap()  # who took a delivery over by a merge, and from whom
        self._turns: VersionedMap[int, int] = VersionedMap()  # who returned to the queue after a begin, and how often
        # Of the deferred, when each is judged again; and of those who joined the queue later than decided, when, where
        # many did so at once. Neither is written in place: forks share the maps and their sets. Of a user in several
        # sets of `_let_go`, or in `_since` too, the latest instant counts.
        self._dues: dict[int, BitMap] = {}
        self._let_go: dict[int, BitMap] = {}
        self._groups: dict[str, BitMap] = {}
        self.first_at = MAX_MICROS
        self.last_at = MIN_MICROS
        self._saved_parts = 0  # how many of the first parts a checkpoint has as they are
        self._stale_parts = 0  # how many parts a checkpoint may have in all
        self._dirty = False
        self._owned: set[Place] = set()

    def fork(self) -> Ledger:
        """A copy whose sets are copied when first written."""
        twin = Ledger.__new__(Ledger)
        twin.selected, twin.marked = self.selected, self.marked
        twin.doubtful, twin.contested = self.doubtful, self.contested
        twin._sets = dict(self._sets)
        twin._decisions = list(self._decisions)
        twin._causes, twin._since = self._causes.fork(), self._since.fork()
        twin._known_as, twin._turns = self._known_as.fork(), self._turns.fork()
        twin.let_through, twin.first_at, twin.last_at = self.let_through, self.first_at, self.last_at
        twin._dues, twin._let_go, twin._groups = self._dues, self._let_go, self._groups
        twin._saved_parts, twin._stale_parts = self._saved_parts, self._stale_parts
        twin._dirty = self._dirty
        twin._owned = set()
        return twin

    @property
    def closed_to(self) -> BitMap:
        """Whom the message never selects again: who was selected, and who is marked."""
        return self.selected | self.marked

    def open_to(self, users: BitMap) -> BitMap:
        """Of some users, those whom the message may yet select: `users - closed_to`."""
        rest = users - self.selected
        return rest - self.marked if self.marked else rest

    def state(self, state: DeliveryState) -> BitMap:
        """The users in a state, whatever the reason; not to be written to."""
        parts = [users for (name, _), users in self._sets.items() if name == state]
        return parts[0] if len(parts) == 1 else BitMap().union(*parts) if parts else BitMap()

    def reasons(self, state: DeliveryState) -> list[tuple[str, BitMap]]:
        """The users in a state by reason, in order of the reason's name."""
        return sorted((reason, users) for (name, reason), users in self._sets.items() if name == state and users)

    def open_skips(self) -> BitMap:
        """Users skipped for a reason that may pass."""
        parts = [users for (state, reason), users in self._sets.items() if state == "skipped" and is_open(reason)]
        return BitMap().union(*parts) if parts else BitMap()

    @property
    def is_active(self) -> bool:
        """Whether anybody waits, has begun, is ambiguous or is openly skipped."""
        return any(
            users and (state in WAITING or state in _OUTSTANDING or (state == "skipped" and is_open(reason)))
            for (state, reason), users in self._sets.items()
        )

    def next_due(self) -> int | None:
        """The instant, in micros, at which the first of the deferred is judged again; None: nobody is deferred."""
        return min(self._dues, default=None)

    def dues(self, upto: int) -> list[tuple[int, BitMap]]:
        """The deferred who are judged again up to an instant, by that instant, ascending; not to be written to."""
        return sorted((due, users) for due, users in self._dues.items() if due <= upto)

    @property
    def unjudged(self) -> BitMap:
        """Those of the deferred whom timing gates have still to judge, in the step at work; not to be written to."""
        return self._sets.get(("deferred", ""), BitMap())

    def due_of(self, ordinal: int) -> int | None:
        """When a deferred user is judged again, in micros; None for whoever is not deferred."""
        return next((due for due, users in self._dues.items() if ordinal in users), None)

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

    def decisions(self) -> Iterator[Pairs]:
        """Ordinals and instants (micros) in the order of deciding, in parts."""
        yield from self._decisions

    def cause(self, ordinal: int) -> dict[str, Value] | None:
        """The event that made a user match, where it was kept."""
        packed = self._causes.get(ordinal)
        return None if packed is None else unpack(packed)

    def known_as(self, ordinal: int) -> int:
        """The ordinal under which providers know a user's hand-off: that of whom it was first decided for."""
        first = self._known_as.get(ordinal)
        return ordinal if first is None else first

    def attempt(self, ordinal: int) -> int:
        """The number, from 1 on, of a user's hand-off that is under way, or that would be the next to begin."""
        return 1 + (self._turns.get(ordinal) or 0)

    def waits(self, ordinal: int) -> bool:
        """Whether a user is selected and may yet be handed off to without anything having begun."""
        place = self.place(ordinal)
        return place is not None and (place[0] in WAITING or (place[0] == "skipped" and is_open(place[1])))

    def waiting_since_before(self, users: BitMap, instant: int) -> BitMap:
        """Of queued users, those who joined the queue before an instant, in micros."""
        ordinals, instants = self.joined(users)
        return BitMap(ordinals[instants < instant])

    def joined(self, users: BitMap) -> Pairs:
        """When each of some selected users joined the queue, or would have, being held out: instants in micros.

        Of who has not yet, the instant of the decision. Rows are in no particular order.
        """
        rest = users & self.selected
        ordinals, instants = self._rejoined(rest)
        found: list[Pairs] = [(ordinals, instants)]
        rest = rest - BitMap(ordinals)
        for ordinals, instants in reversed(self._decisions):
            if not rest:
                break
            rows = inside(ordinals, rest)
            found.append((ordinals[rows], instants[rows]))
            rest = rest - BitMap(ordinals[rows])
        return np.concatenate([part for part, _ in found]), np.concatenate([part for _, part in found])

    def _rejoined(self, users: BitMap) -> Pairs:
        """Of some users those who joined the queue later than they were selected, each with the last time."""
        known = self._since
        if len(known) < len(users):
            late = [(ordinal, at) for ordinal, at in known.items() if ordinal in users]
        else:
            late = [(ordinal, at) for ordinal in users if (at := known.get(ordinal)) is not None] if known else []
        found = [(np.array([one for one, _ in late], np.uint32), np.array([at for _, at in late], np.int64))]
        found += [at_once(here, at) for at, group in self._let_go.items() if (here := group & users)]
        ordinals, instants = (np.concatenate(columns) for columns in zip(*found, strict=True))
        order = np.lexsort((instants, ordinals))
        ordinals, instants = ordinals[order], instants[order]
        last = np.append(ordinals[1:] != ordinals[:-1], True) if len(ordinals) else np.zeros(0, bool)
        return ordinals[last], instants[last]

    def handed(self, users: BitMap) -> BitMap:
        """Of some users, those who are queued, were handed off, or may have been."""
        found = BitMap()
        for (state, _), here in self._sets.items():
            if state in _HANDED:
                found |= here & users
        return found

    def joined_at(self, ordinal: int) -> int:
        """What `joined` gives for one selected user, quicker."""
        late = self._since.get(ordinal)
        if late is not None:
            return late
        let_go = [at for at, users in self._let_go.items() if ordinal in users]
        decided = max(let_go) if let_go else self.decided_at(ordinal)
        if decided is None:
            raise KeyError(ordinal)
        return decided

    def groups(self) -> dict[str, BitMap]:
        """The groups that users were assigned to, by name; not to be written to."""
        return dict(self._groups)

    def group_of(self, ordinal: int) -> str:
        """The names of the groups that a user belongs to, with commas between them; "" for none."""
        return ", ".join(sorted(name for name, users in self._groups.items() if ordinal in users))

    @property
    def held_back(self) -> BitMap:
        """Members of the control group and of the holdout: nothing is ever sent to them. Not to be written to."""
        return BitMap().union(*(users for name, users in self._groups.items() if name in GHOSTS))

    def ghosts(self) -> Pairs:
        """Who was held out, each with the instant, in micros, at which it would have been handed off."""
        return self.joined(self.state("held_out"))

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
            decided |= BitMap(ordinals)
        if decided != self.selected or count != len(decided):
            found.append(f"{count} decisions name {len(decided)} users, and {len(self.selected)} are selected")
        due = BitMap().union(*self._dues.values()) if self._dues else BitMap()
        if due != self.state("deferred") or sum(map(len, self._dues.values())) != len(due):
            found.append(f"{len(due)} users are due, and {len(self.state('deferred'))} are deferred")
        ghosts = self.held_back
        if not self.state("held_out").issubset(ghosts):
            found.append(f"{len(self.state('held_out') - ghosts)} users are held out who belong to no such group")
        sent = BitMap().union(*(self.state(state) for state in _SENT_TO))
        if sent.intersect(ghosts):
            found.append(f"{len(sent & ghosts)} users of a control group or holdout are sent to")
        return found

    def span(self) -> tuple[int, int] | None:
        """The instants, in micros, of the first and the last decision; None where nobody was selected."""
        if not self._decisions:
            return None
        return (
            min(int(instants.min()) for _, instants in self._decisions),
            max(int(instants.max()) for _, instants in self._decisions),
        )

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
        if effect.state == "deferred":
            self._defer(users, effect.due)
        self._decisions.append((effect.ordinals, effect.instants))
        self._witness(effect.instants)
        self._join_small_parts()
        self._dirty = True

    def _join_small_parts(self) -> None:
        parts = self._decisions
        while len(parts) > 1 and len(parts[-1][0]) >= len(parts[-2][0]):
            if len(parts[-1][0]) + len(parts[-2][0]) > _LARGEST_PART:
                break
            last, before = parts.pop(), parts.pop()
            parts.append((np.concatenate([before[0], last[0]]), np.concatenate([before[1], last[1]])))
            self._saved_parts = min(self._saved_parts, len(parts) - 1)

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
        if effect.source == "deferred":
            self._undefer(effect.users)
        if effect.target == "deferred":
            self._defer(effect.users, effect.due)
        if effect.target in ("queued", "held_out"):
            self._requeue(effect)
        elif effect.target in _SETTLED and not is_open(effect.target_reason):
            self._forget(effect.users)
        if effect.target == "skipped" and effect.source in WAITING:
            self.let_through = self.let_through | effect.users
        self._dirty = True

    def _defer(self, users: BitMap, due: int) -> None:
        self._dues = {**self._dues, due: self._dues.get(due, BitMap()) | users}

    def _undefer(self, users: BitMap) -> None:
        """Forget when users who are deferred no longer were to be judged again."""
        fresh = {}
        for due, waiting in self._dues.items():
            rest = waiting - users if waiting.intersect(users) else waiting
            if rest:
                fresh[due] = rest
        self._dues = fresh

    def _witness(self, instants: Instants) -> None:
        if len(instants):
            self.first_at = min(self.first_at, int(instants.min()))
            self.last_at = max(self.last_at, int(instants.max()))

    def assign(self, effect: Assigned) -> None:
        """Take users into a group."""
        self._groups = {**self._groups, effect.group: self._groups.get(effect.group, BitMap()) | effect.users}
        self._dirty = True

    def _requeue(self, effect: Moved) -> None:
        self.last_at = max(self.last_at, effect.at)
        if effect.at and len(effect.users) > _FEW:
            self._let_go = {**self._let_go, effect.at: self._let_go.get(effect.at, BitMap()) | effect.users}
        elif effect.at:
            for ordinal in effect.users:
                self._since[ordinal] = effect.at
        if effect.source in _OUTSTANDING:
            for ordinal in effect.users:
                self._turns[ordinal] = self.attempt(ordinal)
            self.contested = self.contested - effect.users  # only an operator returns one of them
        if effect.doubt:
            self.doubtful = self.doubtful | effect.users

    def _forget(self, users: BitMap) -> None:
        """Let go of what only a delivery yet to be made needs."""
        if self._causes:
            for ordinal in users:
                self._causes.pop(ordinal)

    def keep_causes(self, effect: Caused) -> None:
        """Remember the event that made each user match."""
        for ordinal, event in effect.events.items():
            self._causes[ordinal] = pack(event)
        self._dirty = True

    def mark(self, ordinal: int) -> None:
        """Never hand off to a user again: see `marked`. Who waits is skipped (`once`)."""
        self.marked = self.marked | BitMap([ordinal])
        self._dirty = True
        self._close(ordinal)

    def unite(self, goes: int, stays: int) -> None:
        """Unite two users' deliveries: the more advanced wins, the other ends as skipped (`merged`).

        Where only the user that goes has a delivery, it becomes that of the user that stays. What may have reached
        either may have reached the one user they are: who still waits then is closed.
        """
        self._dirty = True
        gone, kept = self.place(goes), self.place(stays)
        contested = goes in self.contested or stays in self.contested
        if gone is not None and kept is not None:
            wins = self._rank(goes, gone) > self._rank(stays, kept)
            loser, lost = (stays, kept) if wins else (goes, gone)
            contested = contested or lost[0] in _OUTSTANDING or loser in self.doubtful
        else:
            wins = gone is not None
        if wins:
            self._put(stays, kept, gone)
            self._inherit(goes, stays)
            self._groups = _exchanged(self._groups, goes, stays)
        due = self.due_of(goes) if wins else self.due_of(stays)
        self._undefer(BitMap([goes, stays]))
        if due is not None:
            self._defer(BitMap([stays]), due)
        if gone is not None:
            self._put(goes, gone, None if kept is None else ("skipped", MERGED))
            if kept is None:
                self.selected = (self.selected - BitMap([goes])) | BitMap([stays])
                self._rename(goes, stays)
            self._forget(BitMap([goes]))
        self.doubtful = self.doubtful - BitMap([goes])
        self.contested = _with(self.contested - BitMap([goes]), stays, contested)
        self.marked = _with(self.marked, stays, stays in self.marked or goes in self.marked)
        self._close(stays)

    def _rank(self, ordinal: int, place: Place) -> tuple[int, bool]:
        """Which of two deliveries wins a merge; of two alike the one whose key a receiver may know already."""
        return _ADVANCE[place[0]], ordinal in self.doubtful

    def _close(self, ordinal: int) -> None:
        """Let nobody wait whom a mark, or a hand-off that lost a merge, keeps from being handed off to."""
        if (ordinal not in self.marked and ordinal not in self.contested) or not self.waits(ordinal):
            return
        place = self.place(ordinal)
        if ordinal in self.marked or place is None or place[0] == "skipped":
            self._put(ordinal, place, ("skipped", ONCE))
            self._forget(BitMap([ordinal]))
            self._undefer(BitMap([ordinal]))
        else:
            self._put(ordinal, place, ("ambiguous", ""))
            self._undefer(BitMap([ordinal]))

    def _rename(self, goes: int, stays: int) -> None:
        for number, (ordinals, instants) in enumerate(self._decisions):
            places = np.flatnonzero(ordinals == goes)
            if len(places):
                renamed = ordinals.copy()
                renamed[places] = stays
                self._decisions[number] = (renamed, instants)
                self._saved_parts = min(self._saved_parts, number)

    def _inherit(self, goes: int, stays: int) -> None:
        """Let the delivery that was another user's keep its cause, its place in time, its turns and its key."""
        _hand_over(self._causes, goes, stays)
        _hand_over(self._since, goes, stays)
        _hand_over(self._turns, goes, stays)
        self.doubtful = _with(self.doubtful, stays, goes in self.doubtful)
        self.let_through = _with(self.let_through, stays, goes in self.let_through)
        self._let_go = _exchanged(self._let_go, goes, stays)
        # Exchanged, so that every key stays unique: what is left to the user that goes is the delivery that lost.
        self._known_as[stays], self._known_as[goes] = self.known_as(goes), self.known_as(stays)

    def _put(self, ordinal: int, source: Place | None, target: Place | None) -> None:
        if source is not None:
            self._writable(source).discard(ordinal)
            if not self._sets[source]:
                del self._sets[source]
                self._owned.discard(source)
        if target is not None:
            self._writable(target).add(ordinal)

    def dirty_pages(self, prefix: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """Pages that changed since `clean`, under the message's prefix; None = deleted."""
        if not self._dirty:
            return
        sets = [[state, reason, users.serialize()] for (state, reason), users in self._sets.items()]
        yield prefix + _SETS, pack([self.selected.serialize(), sets, self.marked.serialize()])
        for number in range(self._saved_parts, max(len(self._decisions), self._stale_parts)):
            page = None
            if number < len(self._decisions):
                ordinals, instants = self._decisions[number]
                page = pack([ordinals.tobytes(), instants.tobytes()])
            yield prefix + _DECISIONS + number.to_bytes(4, "big"), page
        yield prefix + _CAUSES, pack({ordinal: unpack(event) for ordinal, event in self._causes.items()})
        yield prefix + _SINCE, pack(dict(self._since.items()))
        yield prefix + _KNOWN_AS, pack(dict(self._known_as.items()))
        yield prefix + _TURNS, pack(dict(self._turns.items()))
        yield prefix + _DUES, pack([[due, users.serialize()] for due, users in sorted(self._dues.items())])
        released = [[at, users.serialize()] for at, users in sorted(self._let_go.items())]
        groups = {name: users.serialize() for name, users in self._groups.items()}
        yield prefix + _SIDES, pack([groups, self.let_through.serialize(), released])
        yield prefix + _DOUBTS, pack([self.doubtful.serialize(), self.contested.serialize()])

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._dirty = False
        self._saved_parts = self._stale_parts = len(self._decisions)

    @property
    def is_clean(self) -> bool:
        """Whether `dirty_pages` gives none."""
        return not self._dirty

    def soil(self, frozen: Ledger) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty = self._dirty or frozen._dirty
        self._saved_parts = min(self._saved_parts, frozen._saved_parts)
        self._stale_parts = max(self._stale_parts, frozen._stale_parts)

    @classmethod
    def load(cls, prefix: bytes, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Ledger:
        """The ledger of a checkpoint."""
        ledger = cls()
        for _, page in scan(prefix + _SETS):
            selected, sets, marked = unpack(page)
            ledger.selected, ledger.marked = BitMap.deserialize(selected), BitMap.deserialize(marked)
            for state, reason, users in sets:
                if state not in STATES:
                    raise StoreError(
                        f"the ledger holds a state {state!r} unknown to this release",
                        mend="open it with the release that wrote it, or a newer one",
                        code="STORE_FORMAT_NEWER",
                    )
                ledger._sets[(state, reason)] = BitMap.deserialize(users)
        for _, page in scan(prefix + _DECISIONS):
            ordinals, instants = unpack(page)
            ledger._decisions.append((np.frombuffer(ordinals, np.uint32), np.frombuffer(instants, np.int64)))
        for _, page in scan(prefix + _CAUSES):
            ledger._causes = VersionedMap({ordinal: pack(event) for ordinal, event in unpack(page).items()})
        for _, page in scan(prefix + _SINCE):
            ledger._since = VersionedMap(unpack(page))
        for _, page in scan(prefix + _KNOWN_AS):
            ledger._known_as = VersionedMap(unpack(page))
        for _, page in scan(prefix + _TURNS):
            ledger._turns = VersionedMap(unpack(page))
        for _, page in scan(prefix + _DOUBTS):
            ledger.doubtful, ledger.contested = map(BitMap.deserialize, unpack(page))
        for _, page in scan(prefix + _SIDES):
            groups, let_through, released = unpack(page)
            ledger._groups = {name: BitMap.deserialize(users) for name, users in groups.items()}
            ledger.let_through = BitMap.deserialize(let_through)
            ledger._let_go = {at: BitMap.deserialize(users) for at, users in released}
        for _, page in scan(prefix + _DUES):
            ledger._dues = {due: BitMap.deserialize(users) for due, users in unpack(page)}
        for _, instants in ledger._decisions:
            ledger._witness(instants)
        ledger.last_at = max(ledger.last_at, *ledger._let_go, *(at for _, at in ledger._since.items()), MIN_MICROS)
        ledger.clean()
        return ledger


def _with(users: BitMap, ordinal: int, inside: bool) -> BitMap:
    """The users with one of them in or out; the set given stays as it is."""
    return users if (ordinal in users) == inside else users ^ BitMap([ordinal])


def _exchanged(sets: dict[K, BitMap], one: int, other: int) -> dict[K, BitMap]:
    """Sets in which two users have taken each other's places."""
    both = BitMap([one, other])
    return {key: users ^ both if len(users & both) == 1 else users for key, users in sets.items()}


def _hand_over(kept: VersionedMap[int, V], goes: int, stays: int) -> None:
    found = kept.get(goes)
    if found is None:
        kept.pop(stays)
    else:
        kept[stays] = found
