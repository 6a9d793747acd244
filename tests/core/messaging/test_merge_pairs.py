"""Promise: in whatever states two users of a message are when they become one, that person is handed off to at most once."""

from __future__ import annotations

from typing import Final

import pytest

from core import commands
from core.messaging.desk import Offer
from core.messaging.effects import DeliveryState
from tests.core.project import FREE, Project

STATES: Final = [
    *("none", "open", "final", "queued", "leased", "begun", "sent", "failed", "ambiguous", "not_sent"),
    *("deleted_sent", "deleted_begun", "returned_sent", "returned_begun"),
]


class Walk:
    """What two users were offered of one message, and how many hand-offs they may have taken together."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.offers: list[Offer] = []
        self.unsent: list[Offer] = []
        self.taken = 0

    def free(self, distinct_id: str) -> None:
        self.project.reach(distinct_id)
        self.project.set(distinct_id, plan="free")

    def say(self, offer: Offer, outcome: commands.Outcome) -> None:
        one = offer.recipients[0]
        self.project.desk.acknowledge([commands.Ack(one.idempotency_key, outcome, attempt=one.attempt)]).result()

    def put(self, distinct_id: str, state: str) -> None:
        """Bring a user into a state."""
        project = self.project
        if state in ("none", "open"):
            project.set(distinct_id, plan="free" if state == "open" else "paid")
            return
        self.free(distinct_id)
        if state == "queued":
            return
        offer = project.desk.offer("email", 1)
        assert offer is not None
        assert offer.recipients[0].distinct_id == distinct_id
        self.offers.append(offer)
        if state == "leased":
            return
        if state == "final":
            project.set(distinct_id, plan="paid")
        granted = project.desk.begin(offer.batch_id, [0]).result()
        if state == "final":
            return
        assert granted == [0]
        outcome = state.rpartition("_")[2] if state != "not_sent" else state
        if outcome == "not_sent":
            self.unsent.append(offer)
        elif outcome != "begun":
            self.say(offer, outcome)  # type: ignore[arg-type]
        self.taken += outcome not in ("failed", "not_sent")
        if "_" in state and state != "not_sent":
            project.delete(distinct_id)
        if state.startswith("returned"):
            self.free(distinct_id)

    def hand_off_more(self) -> int:
        """How many more hand-offs are granted, by offers of before and by new ones."""
        granted = [self.project.desk.begin(offer.batch_id, [0]).result() for offer in self.offers]
        return sum(map(len, granted)) + len(self.project.send_all())


@pytest.mark.parametrize("stays", STATES)
def test_a_person_is_handed_off_to_once(project: Project, stays: str) -> None:
    project.message("hi", FREE)
    for number, goes in enumerate(STATES):
        run(Walk(project), f"a{number}", stays, f"b{number}", goes)


def run(walk: Walk, kept: str, stays: str, gone: str, goes: str) -> None:
    """Walk one pair to its end; nothing of it may be left waiting for the next pair."""
    project = walk.project
    for distinct_id, state in sorted(((kept, stays), (gone, goes)), key=lambda one: one[1] == "queued"):
        walk.put(distinct_id, state)
    for offer in walk.unsent:  # only now: back in the queue, it would be offered in place of the other
        walk.say(offer, "not_sent")
    project.merge(kept, gone)
    walk.free(kept)
    more = walk.hand_off_more()
    assert walk.taken + more <= max(1, walk.taken), (stays, goes)
    outcomes: list[commands.Outcome] = ["ambiguous", "failed", "sent"]
    for outcome in outcomes:
        for offer in walk.offers:
            walk.say(offer, outcome)
        assert not (project.send_all() and walk.taken + more), (stays, goes, outcome)
    project.delete(kept)
    walk.free(kept)
    walk.free(gone)
    assert not (project.send_all() and walk.taken + more), (stays, goes)
    assert project.version.messages.ledger("hi").problems() == []
    waiting: list[DeliveryState] = ["queued", "begun"]
    assert not any(project.version.messages.ledger("hi").state(state) for state in waiting)
