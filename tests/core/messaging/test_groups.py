"""Promise: who is held out is settled once, by a hash of names, and a share that grows keeps whom it had."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from core import commands
from core.bitmaps.siphash import siphash_of
from core.errors import InvalidInput
from core.messaging import reading
from core.messaging.groups import below, part, places
from core.profiles.records import Operation, ProfileChange
from tests.core.project import FREE, HOOK, Project, contents, email

PINNED = [2699134058, 3032783960, 4150589612, 3872879940]
"""Of these four ordinals, for ever: stores hold decisions made by them."""
PEOPLE = [f"u{number}" for number in range(400)]


def place_of(uid: str, salt: str, ordinal: int) -> int:
    """One user's place, by the hash of one text."""
    key = hashlib.blake2b(salt.encode(), key=uid.encode(), digest_size=16).digest()
    return siphash_of(key, ordinal.to_bytes(4, "little")) >> 32


@given(
    salt=st.text(max_size=20),
    users=st.sets(st.integers(0, 2**32 - 1), max_size=40),
    shares=st.lists(st.floats(0, 60), max_size=4),
)
def test_a_split_is_what_hashing_each_user_gives(salt: str, users: set[int], shares: list[float]) -> None:
    named = [(str(number), share) for number, share in enumerate(shares)]
    found = part("5eed", salt, named, BitMap(users))
    total, first = 0.0, 0
    for name, share in named:
        total += share
        end = round(min(total, 100.0) / 100 * 2**32)
        assert set(found[name]) == {one for one in users if first <= place_of("5eed", salt, one) < end}
        first = end


def test_a_place_never_changes() -> None:
    assert places("5eed", "control:welcome", np.array([0, 1, 70_000, 2**32 - 1], np.uint32)).tolist() == PINNED


def test_a_share_that_grows_keeps_whom_it_had_and_has_its_size() -> None:
    users = BitMap(range(100_000))
    small, large = below("5eed", "a", 5, users), below("5eed", "a", 20, users)
    assert small.issubset(large)
    assert 19_000 < len(large) < 21_000
    elsewhere = below("5eed", "b", 20, users)
    assert 3_600 < len(large & elsewhere) < 4_400  # another split is another chance
    assert below("5eed", "a", 100, users) == users
    assert below("5eed", "a", 0, users) == BitMap()


def all_free(project: Project) -> None:
    project.ingest([], [ProfileChange(one, Operation.SET, {"plan": "free"}) for one in PEOPLE])


def test_members_of_the_control_group_pass_every_gate_and_are_sent_nothing(project: Project) -> None:
    all_free(project)
    project.message("hi", FREE, content=HOOK, control_percent=25)
    found = project.places("hi")
    held_out = {user for user, place in found.items() if place == "held_out"}
    assert set(found.values()) == {"held_out", "queued"}
    assert 60 < len(held_out) < 140
    ledger = project.version.messages.ledger("hi")
    assert ledger.groups() == {"control": ledger.state("held_out")}
    assert ledger.ghosts()[1].tolist() == [project.now] * len(held_out)
    assert set(project.send_all("webhook")) == set(PEOPLE) - held_out
    report = reading.report(project.version, "hi")
    assert report.reconciled
    assert (report.counts.held_out, report.counts.sent) == (len(held_out), len(PEOPLE) - len(held_out))


def test_a_percentage_raised_or_lowered_changes_nobodys_side_who_was_decided(project: Project) -> None:
    all_free(project)
    project.message("hi", FREE, content=HOOK, control_percent=25)
    before = project.places("hi")
    for percent in (100.0, 0.0):
        project.ask(commands.PauseMessages(["hi"]))
        project.ask(commands.UpdateMessage("hi", {"control_percent": percent}))
        project.ask(commands.ResumeMessage("hi"))
        assert project.places("hi").items() >= before.items()
        project.set(f"new-{percent}", plan="free")
        assert project.places("hi")[f"new-{percent}"] == ("held_out" if percent else "queued")


def test_the_holdout_is_the_same_for_every_message_and_goes_before_the_control_group(project: Project) -> None:
    project.ask(commands.UpdateSettings(holdout_percent=20.0))
    all_free(project)
    project.message("one", FREE, content=HOOK, control_percent=50)
    project.message("two", FREE, content=HOOK)
    one, two = (project.version.messages.ledger(key).groups() for key in ("one", "two"))
    assert one["holdout"] == two["holdout"]
    assert one["control"]
    assert not one["control"] & one["holdout"]
    assert "control" not in two


def test_who_is_skipped_first_belongs_to_no_group_until_let_through(project: Project) -> None:
    project.message("hi", FREE, content=email(), control_percent=100)
    project.set("a", plan="free")
    assert project.places("hi") == {"a": "skipped:unreachable"}
    assert project.version.messages.ledger("hi").groups() == {}
    project.reach("a")
    assert project.places("hi") == {"a": "held_out"}


def test_whoever_was_let_through_stays_on_that_side_after_a_skip(project: Project) -> None:
    project.message("hi", FREE, content=email())
    project.reach("a")
    project.set("a", plan="free")
    offer = project.desk.offer("email", 1)
    assert offer is not None
    project.unset("a", "$email")
    assert project.desk.begin(offer.batch_id, [0]).result(timeout=60) == []
    assert project.places("hi") == {"a": "skipped:unreachable"}
    project.ask(commands.PauseMessages(["hi"]))
    project.ask(commands.UpdateMessage("hi", {"control_percent": 100.0}))
    project.ask(commands.ResumeMessage("hi"))
    project.reach("a")
    assert project.places("hi") == {"a": "queued"}


def test_a_merge_of_two_sides_leaves_the_delivery_that_was_further_on_with_its_group(project: Project) -> None:
    all_free(project)
    project.message("hi", FREE, content=HOOK, control_percent=50)
    found = project.places("hi")
    ghosts = [user for user, place in found.items() if place == "held_out"]
    treated = [user for user, place in found.items() if place == "queued"]
    for goes, stays in ((ghosts[0], treated[0]), (treated[1], ghosts[1])):
        project.merge(goes, stays)
        ledger, ordinal = project.version.messages.ledger("hi"), project.version.users.find(stays)
        assert (ledger.place(ordinal), ledger.group_of(ordinal)) == (("queued", ""), "")
    project.merge(ghosts[2], ghosts[3])
    ledger, ordinal = project.version.messages.ledger("hi"), project.version.users.find(ghosts[3])
    assert (ledger.place(ordinal), ledger.group_of(ordinal)) == (("held_out", ""), "control")
    assert reading.report(project.version, "hi").reconciled


def test_groups_are_there_after_a_crash_and_after_a_checkpoint(project: Project, tmp_path: Path) -> None:
    all_free(project)
    project.message("hi", FREE, content=HOOK, control_percent=30)
    before = contents(project.version)
    groups = project.version.messages.ledger("hi").groups()
    with project.copy(tmp_path / "crash") as crashed:
        assert contents(crashed.version) == before
        assert crashed.version.messages.ledger("hi").groups() == groups
    project.engine.checkpoint()
    with project.copy(tmp_path / "checkpoint") as opened:
        assert opened.version.messages.ledger("hi").groups() == groups


def test_explanation_and_preview_name_the_group(project: Project) -> None:
    project.set("a", plan="free")
    project.message("hi", FREE, content=HOOK, control_percent=100)
    gates = {
        gate.name: (gate.passed, gate.detail) for gate in reading.explain_delivery(project.version, "hi", "a").gates
    }
    assert gates["group"] == (False, "belongs to the message's control group: held out, to compare with")
    project.message("next", FREE, content=HOOK, control_percent=100, launch=None)
    shown = reading.preview(project.version, "next", "a")
    assert (shown.would_send, shown.reason) == (False, "control")


@pytest.mark.parametrize("percent", [-1.0, 100.5, float("nan")])
def test_what_is_no_share_is_refused(project: Project, percent: float) -> None:
    with pytest.raises(InvalidInput) as refused:
        project.message("hi", FREE, content=HOOK, control_percent=percent, launch=None)
    assert (refused.value.code, refused.value.field) == ("INVALID_PERCENT", "message.control_percent")
    with pytest.raises(InvalidInput) as refused:
        project.ask(commands.UpdateSettings(holdout_percent=percent))
    assert (refused.value.code, refused.value.field) == ("INVALID_PERCENT", "holdout_percent")
