"""Promise: a ledger's states are disjoint and account for every selected user, whatever moves and merges come."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pyroaring import BitMap

from core.messaging.effects import Caused, Moved, Selected, is_open
from core.messaging.ledger import _ADVANCE, Ledger

KEY = "m"
USERS = st.integers(0, 40)
PLACES = [
    *(
        ("deferred", "send_window"),
        ("queued", ""),
        ("begun", ""),
        ("sent", ""),
        ("ambiguous", ""),
        ("failed", "provider_refused"),
    ),
    *(("skipped", "unreachable"), ("skipped", "missing_property:name"), ("skipped", "expired"), ("skipped", "merged")),
]


class Machine(RuleBasedStateMachine):
    """A ledger beside a plain dict from user to place, decision and cause."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.places: dict[int, tuple[str, str]] = {}
        self.decided: dict[int, int] = {}
        self.causes: dict[int, dict[str, object]] = {}
        self.gone: set[int] = set()
        self.marked: set[int] = set()
        self.doubtful: set[int] = set()
        self.contested: set[int] = set()
        self.attempts: dict[int, int] = {}
        self.dues: dict[int, int] = {}
        self.saved: dict[bytes, bytes] = {}
        self.now = 0

    @initialize()
    def begin(self) -> None:
        self.now = 1_000

    def write(self) -> Ledger:
        """A fork to write to, as a group makes one; the published version must not change."""
        before = (self.ledger.selected.copy(), {p: u.copy() for p, u in self.ledger._sets.items()})
        self.unchanged = (self.ledger, before)
        self.ledger = self.ledger.fork()
        return self.ledger

    @rule(users=st.lists(USERS, min_size=1, max_size=6, unique=True), place=st.sampled_from(PLACES))
    def select(self, users: list[int], place: tuple[str, str]) -> None:
        fresh = [user for user in users if not {user} & (self.places.keys() | self.gone | self.marked)]
        if not fresh:
            return
        self.now += 1
        instants = np.full(len(fresh), self.now, np.int64)
        due = self.due(fresh, place[0])
        self.write().select(Selected(KEY, place[0], place[1], np.array(fresh, np.uint32), instants, due=due))  # type: ignore[arg-type]
        self.places.update(dict.fromkeys(fresh, place))
        self.decided.update(dict.fromkeys(fresh, self.now))
        if place == ("queued", ""):
            events = {user: {"n": user} for user in fresh if user % 2}
            self.ledger.keep_causes(Caused(KEY, events))
            self.causes.update(events)

    def due(self, users: list[int], state: str) -> int:
        """When users who enter a state are judged again; each of the deferred has it noted."""
        for user in users:
            self.dues.pop(user, None)
        due = self.now + len(users) % 3 + 1 if state == "deferred" else 0
        self.dues.update(dict.fromkeys(users, due) if due else {})
        return due

    @rule(come_from=st.sampled_from(PLACES), go_to=st.sampled_from(PLACES), part=st.integers(1, 3), doubt=st.booleans())
    def move(self, come_from: tuple[str, str], go_to: tuple[str, str], part: int, doubt: bool) -> None:
        users = [user for user, place in self.places.items() if place == come_from][:part]
        if go_to[0] == "queued":
            users = [user for user in users if user not in self.marked]
        if not users or come_from == go_to:
            return
        at, doubt = (self.now, doubt) if go_to == ("queued", "") else (0, False)
        self.write().move(Moved(KEY, BitMap(users), *come_from, *go_to, at, doubt, due=self.due(users, go_to[0])))  # type: ignore[arg-type]
        self.places.update(dict.fromkeys(users, go_to))
        for user in users if go_to == ("queued", "") else ():
            if come_from[0] in ("begun", "ambiguous"):
                self.attempts[user] = self.attempts.get(user, 1) + 1
                self.contested.discard(user)
            if doubt:
                self.doubtful.add(user)
        if go_to[0] in ("sent", "failed", "skipped") and not is_open(go_to[1]):
            for user in users:
                self.causes.pop(user, None)

    @rule(goes=USERS, stays=USERS)
    def unite(self, goes: int, stays: int) -> None:
        if goes == stays or goes in self.gone or stays in self.gone:
            return
        self.write().unite(goes, stays)
        self.gone.add(goes)
        gone, kept = self.places.pop(goes, None), self.places.get(stays)
        if goes in self.marked:
            self.marked.add(stays)
        if gone and kept:
            wins = (_ADVANCE[gone[0]], goes in self.doubtful) > (_ADVANCE[kept[0]], stays in self.doubtful)
            loser, lost = (stays, kept) if wins else (goes, gone)
            if lost[0] in ("begun", "ambiguous") or loser in self.doubtful:
                self.contested.add(stays)
            self.places[goes] = ("skipped", "merged")
        else:
            wins = gone is not None
        if goes in self.contested:
            self.contested.add(stays)
        if gone and not kept:
            self.decided[stays] = self.decided.pop(goes)
        for kept_of in (self.causes, self.attempts, self.dues):
            value = kept_of.pop(goes, None)  # type: ignore[attr-defined]
            if wins:
                kept_of.pop(stays, None)  # type: ignore[attr-defined]
                if value is not None:
                    kept_of[stays] = value  # type: ignore[index]
        if gone and wins:
            self.places[stays] = gone
            self.doubtful.discard(stays)
            if goes in self.doubtful:
                self.doubtful.add(stays)
        self.doubtful.discard(goes)
        self.contested.discard(goes)
        self.close(stays)

    def close(self, user: int) -> None:
        """Who is marked or contested does not wait."""
        state, reason = self.places.get(user, ("", ""))
        if state in ("queued", "deferred") or (state == "skipped" and is_open(reason)):
            self.dues.pop(user, None) if user in self.marked | self.contested else None
            if user in self.marked or (user in self.contested and state == "skipped"):
                self.places[user] = ("skipped", "once")
                self.causes.pop(user, None)
            elif user in self.contested:
                self.places[user] = ("ambiguous", "")

    @rule(user=USERS)
    def mark(self, user: int) -> None:
        if user not in self.gone:
            self.write().mark(user)
            self.marked.add(user)
            self.close(user)

    @rule()
    def checkpoint_and_load(self) -> None:
        for key, page in self.ledger.dirty_pages(b"p"):
            if page is None:
                self.saved.pop(key, None)
            else:
                self.saved[key] = page
        self.write().clean()
        self.check(Ledger.load(b"p", self.scan))

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return ((key, self.saved[key]) for key in sorted(self.saved) if key.startswith(prefix))

    @rule()
    def fail_a_checkpoint(self) -> None:
        frozen = self.ledger
        self.write().clean()
        self.ledger.soil(frozen)

    def check(self, ledger: Ledger) -> None:
        assert ledger.problems() == []
        assert set(ledger.selected) == set(self.places)
        assert set(ledger.closed_to) == set(self.places) | self.marked
        for user in range(41):
            assert ledger.place(user) == self.places.get(user)
            if user in self.places:
                assert ledger.decided_at(user) == self.decided[user]
            assert ledger.cause(user) == self.causes.get(user)
            assert ledger.due_of(user) == self.dues.get(user)
        waiting = [user for due, users in ledger.dues(self.now + 1) for user in users]
        assert sorted(waiting) == sorted(user for user, due in self.dues.items() if due <= self.now + 1)
        assert ledger.next_due() == min(self.dues.values(), default=None)
        for user in range(41):
            if user not in self.gone:
                assert ledger.attempt(user) == self.attempts.get(user, 1)
        assert (set(ledger.doubtful), set(ledger.contested)) == (self.doubtful, self.contested)
        assert len({ledger.known_as(user) for user in range(41)}) == 41
        instants = [int(instant) for _, part in ledger.decisions() for instant in part]
        assert instants == sorted(instants)

    @invariant()
    def equals_the_plain_one(self) -> None:
        self.check(self.ledger)

    @precondition(lambda self: hasattr(self, "unchanged"))
    @invariant()
    def a_published_version_never_changes(self) -> None:
        ledger, (selected, sets) = self.unchanged
        assert ledger.selected == selected
        assert {place: users for place, users in ledger._sets.items() if users} == {p: u for p, u in sets.items() if u}


TestLedger = Machine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_what_does_not_add_up_is_told() -> None:
    ledger = Ledger()
    ledger.select(Selected(KEY, "queued", "", np.array([1, 2], np.uint32), np.array([5, 5], np.int64)))
    assert ledger.problems() == []
    ledger._writable(("sent", "")).add(2)
    assert ledger.problems() == ["1 users are in more than one state"]
    ledger._writable(("sent", "")).add(3)
    assert any("1 have one unselected" in problem for problem in ledger.problems())


def test_waiting_is_counted_from_when_a_user_joined_the_queue() -> None:
    ledger = Ledger()
    ledger.select(Selected(KEY, "queued", "", np.array([1, 2], np.uint32), np.array([5, 9], np.int64)))
    ledger.select(Selected(KEY, "skipped", "unreachable", np.array([3], np.uint32), np.array([6], np.int64)))
    ledger.move(Moved(KEY, BitMap([3]), "skipped", "unreachable", "queued", "", 20))
    assert set(ledger.waiting_since_before(BitMap([1, 2, 3]), 9)) == {1}
    assert set(ledger.waiting_since_before(BitMap([1, 2, 3]), 10)) == {1, 2}
    assert set(ledger.waiting_since_before(BitMap([1, 2, 3]), 21)) == {1, 2, 3}
