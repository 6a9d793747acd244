"""Promise: an id always stands for one user, through aliases, merges, deletions, crashes and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core.bitmaps.versioned import VersionedMap
from core.profiles.identity import NOBODY, Users

IDS = [f"id-{n}" for n in range(14)] + ["", "ü" * 100, "a" * 255]


class Machine(RuleBasedStateMachine):
    """The id table beside a dict from id to user number; numbers are given as the table gives ordinals."""

    def __init__(self) -> None:
        super().__init__()
        self.users = Users()
        self.owner: dict[str, int] = {}
        self.first: list[str] = []
        self.into: dict[int, int] = {}
        self.freed: set[str] = set()
        self.saved: dict[bytes, bytes] = {}

    def issue(self, distinct_id: str) -> None:
        if distinct_id not in self.owner:
            self.owner[distinct_id] = len(self.first)
            self.first.append(distinct_id)

    @rule(ids=st.lists(st.sampled_from(IDS), max_size=5))
    def resolve(self, ids: list[str]) -> None:
        self.users = self.users.fork()
        returned = {one for one in ids if one in self.freed}
        # Ids never seen get their ordinals first, together; then those that a deletion freed.
        for one in [one for one in ids if one not in self.freed] + [one for one in ids if one in self.freed]:
            self.issue(one)
        assert self.users.resolve(ids).tolist() == [self.owner[one] for one in ids]
        assert sorted(self.users.reissued) == sorted((self.owner[one], one) for one in returned)
        self.freed -= returned

    @rule(stays=st.sampled_from(IDS), other=st.sampled_from(IDS))
    def join(self, stays: str, other: str) -> None:
        if stays not in self.owner or self.owner[stays] == self.owner.get(other):
            return
        self.users = self.users.fork()
        kept = self.owner[stays]
        if other not in self.owner:
            self.users.bind_alias(other, kept)
            assert self.users.reissued == ([(kept, other)] if other in self.freed else [])
            self.freed.discard(other)
            self.owner[other] = kept
            return
        goes = self.owner[other]
        self.users.merge(kept, goes)
        self.into[goes] = kept
        self.owner = {one: kept if user == goes else user for one, user in self.owner.items()}

    @rule(one=st.sampled_from(IDS))
    def delete(self, one: str) -> None:
        if one in self.owner:
            self.users = self.users.fork()
            gone = self.owner[one]
            self.users.delete(gone)
            self.freed |= {other for other, user in self.owner.items() if user == gone}
            self.owner = {other: user for other, user in self.owner.items() if user != gone}

    @rule(ids=st.lists(st.sampled_from([*IDS, "never"]), max_size=4))
    def discard_a_fork(self, ids: list[str]) -> None:
        fork = self.users.fork()
        ordinals = fork.resolve(ids).tolist()
        if len(set(ordinals)) > 1:
            fork.merge(ordinals[0], next(one for one in ordinals if one != ordinals[0]))
        self.users.restore_table()

    @rule()
    def checkpoint_and_load(self) -> None:
        for key, page in self.users.dirty_pages():
            if page is None:
                self.saved.pop(key, None)
            else:
                self.saved[key] = page
        self.users = self.users.fork()
        self.users.clean()
        assert list(self.users.dirty_pages()) == []
        self.check(Users.load(self.scan))
        self.users.adopt(self.saved.get)

    @rule()
    def crash(self) -> None:
        self.checkpoint_and_load()
        self.users = Users.load(self.scan)

    @rule()
    def fail_a_checkpoint(self) -> None:
        frozen, self.users = self.users, self.users.fork()
        self.users.clean()
        self.users = self.users.fork()
        self.users.soil(frozen)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return ((key, self.saved[key]) for key in sorted(self.saved) if key.startswith(prefix))

    @invariant()
    def equals_the_plain_one(self) -> None:
        self.check(self.users)

    def check(self, users: Users) -> None:
        assert users.issued == len(self.first)
        expected = [self.owner.get(one, NOBODY) for one in IDS]
        assert [users.find(one) for one in IDS] == expected
        assert users.find_many(IDS).tolist() == expected
        assert users.find("never") == NOBODY
        for user in set(self.owner.values()):
            ids = users.ids_of(user)
            assert sorted(ids) == sorted(one for one, owner in self.owner.items() if owner == user)
            assert users.name(user) == self.first[user]
        assert users.names(np.arange(len(self.first), dtype=np.uint32)) == self.first
        for goes in range(len(self.first)):
            stays = goes
            while stays in self.into:
                stays = self.into[stays]
            assert users.survivor(goes) == stays


TestIdentity = Machine.TestCase
TestIdentity.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


class Maps(RuleBasedStateMachine):
    """A versioned map beside a dict, and its earlier versions beside theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.map: VersionedMap[int, int] = VersionedMap({number: -1 for number in range(6000)})
        self.plain = dict.fromkeys(range(6000), -1)
        self.earlier: list[tuple[VersionedMap[int, int], dict[int, int]]] = []

    @rule(first=st.integers(0, 9000), count=st.integers(1, 3000), value=st.integers(0, 9))
    def write(self, first: int, count: int, value: int) -> None:
        self.earlier = [*self.earlier[-3:], (self.map, dict(self.plain))]
        self.map = self.map.fork()
        for key in range(first, first + count):
            if value == 9:
                assert self.map.pop(key) == self.plain.pop(key, None)
            else:
                self.map[key] = self.plain[key] = value

    @invariant()
    def equals_the_plain_one(self) -> None:
        for found, plain in [(self.map, self.plain), *self.earlier]:
            assert len(found) == len(plain)
            assert dict(found.items()) == plain
            assert found.get(3) == plain.get(3)
            assert (7000 in found) == (7000 in plain)


TestMaps = Maps.TestCase
TestMaps.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
