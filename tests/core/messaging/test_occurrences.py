"""Promise: each occurrence of a message has a ledger of its own, and what becomes of a user is followed in all of them."""

from __future__ import annotations

import numpy as np
import pytest
from pyroaring import BitMap

from core.messaging.effects import Moved, Selected
from core.messaging.occurrences import Occurrences
from core.values import pack, unpack


def taken(users: list[int], occurrence: int, state: str = "queued", due: int = 0) -> Selected:
    ordinals = np.array(users, np.uint32)
    return Selected("m", state, "", ordinals, np.full(len(users), 5, np.int64), occurrence, due)  # type: ignore[arg-type]


def select(occurrences: Occurrences, users: list[int], number: int, state: str = "queued") -> None:
    occurrences.write(number, lambda ledger: ledger.select(taken(users, number, state, 7)))


@pytest.fixture
def three() -> Occurrences:
    occurrences = Occurrences()
    select(occurrences, [1, 2], 0, "sent")
    select(occurrences, [1], 1, "sent")
    select(occurrences, [1, 3], 4, "deferred")
    return occurrences


def test_only_occurrences_with_somebody_to_do_are_active(three: Occurrences) -> None:
    assert [number for number, _ in three.all()] == [0, 1, 4]
    assert [number for number, _ in three.active()] == [4]
    three.write(4, lambda ledger: ledger.move(Moved("m", BitMap([1, 3]), "deferred", "", "skipped", "expired")))
    assert three.active() == []
    assert (three.latest, three.selected, three.ever) == (4, 5, BitMap([1, 2, 3]))
    assert three.ledger(3).selected == BitMap()


def test_the_next_occurrence_of_a_user_follows_the_last_that_has_it(three: Occurrences) -> None:
    assert three.next_of(BitMap([1, 2, 3, 9])) == [(0, BitMap([9])), (1, BitMap([2])), (5, BitMap([1, 3]))]
    assert three.next_of(BitMap()) == []


def test_a_fork_leaves_what_it_came_from_alone(three: Occurrences) -> None:
    fork = three.fork()
    select(fork, [7], 4)
    select(fork, [8], 6)
    assert three.ever == BitMap([1, 2, 3])
    assert [number for number, _ in three.all()] == [0, 1, 4]
    assert three.ledger(4).selected == BitMap([1, 3])
    assert [number for number, _ in fork.active()] == [4, 6]


def test_a_checkpoint_holds_every_occurrence(three: Occurrences) -> None:
    pages = dict(three.dirty_pages("m"))
    pages[b"messages/occurrences/m-2"] = pack([0, 1, 2])
    three.clean()
    assert three.is_clean
    assert list(three.dirty_pages("m")) == []
    select(three, [9], 1)
    changed = dict(three.dirty_pages("m"))
    assert changed
    assert not any(b"\0\0\0\4" in key for key in changed)
    pages.update(changed)
    found = Occurrences.load("m", lambda prefix: ((k, p) for k, p in sorted(pages.items()) if k.startswith(prefix)))  # type: ignore[misc]
    assert unpack(pages[b"messages/occurrences/m"]) == [0, 1, 4]
    assert [(number, ledger.selected) for number, ledger in found.all()] == [
        (0, BitMap([1, 2])),
        (1, BitMap([1, 9])),
        (4, BitMap([1, 3])),
    ]
    assert [number for number, _ in found.active()] == [1, 4]
    assert found.ledger(4).dues(7) == [(7, BitMap([1, 3]))]
    assert found.ever == BitMap([1, 2, 3, 9])


def test_a_failed_checkpoint_leaves_everything_to_be_saved(three: Occurrences) -> None:
    frozen = three.fork()
    three.clean()
    three.soil(frozen)
    assert dict(three.dirty_pages("m")) == dict(frozen.dirty_pages("m"))
