"""Promise: the desk forgets an offer once nothing of it is open, and a worker that goes in mid-question is not believed
to have sent."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from core import commands
from core.messaging.desk import Desk, Offer
from tests.core.project import Project

FREE = 'user.plan == "free"'


class Held:
    """An engine whose answers to Begin wait until they are let go."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._held: list[tuple[Future[Any], Future[Any]]] = []

    @property
    def version(self) -> Any:
        return self._engine.version

    def submit(self, command: Any, request_id: str = "") -> Future[Any]:
        answer = self._engine.submit(command, request_id=request_id)
        if not isinstance(command, commands.Begin):
            return answer
        late: Future[Any] = Future()
        self._held.append((answer, late))
        return late

    def let_go(self) -> None:
        """Give the answers that were held."""
        for answer, late in self._held:
            late.set_result(answer.result())


@pytest.fixture
def ready(project: Project) -> Project:
    """A project with one message and three users queued."""
    project.message("hi", FREE)
    project.reach("a", "b", "c")
    for distinct_id in "abc":
        project.set(distinct_id, plan="free")
    return project


def offered(desk: Desk, limit: int = 10) -> Offer:
    """The next offer, which must be there."""
    offer = desk.offer("email", limit)
    assert offer is not None
    return offer


def test_an_offer_is_held_until_all_of_it_is_settled(ready: Project) -> None:
    desk, offer = ready.desk, offered(ready.desk)
    acks = [commands.Ack(one.idempotency_key, "sent") for one in offer.recipients]
    assert (desk.holds(offer.batch_id), desk.owed([offer.batch_id])) == (True, 0)
    desk.begin(offer.batch_id, [0, 1]).result()
    assert desk.owed([offer.batch_id]) == 2
    desk.acknowledge(acks[:2]).result()
    assert (desk.holds(offer.batch_id), desk.owed([offer.batch_id])) == (True, 0)
    desk.begin(offer.batch_id, [2]).result()
    desk.acknowledge(acks[2:]).result()
    assert not desk.holds(offer.batch_id)


def test_an_offer_given_back_is_held_only_for_what_has_begun(ready: Project) -> None:
    desk, offer = ready.desk, offered(ready.desk)
    desk.begin(offer.batch_id, [0]).result()
    desk.release(offer.batch_id)
    assert desk.holds(offer.batch_id)
    desk.acknowledge([commands.Ack(offer.recipients[0].idempotency_key, "sent")]).result()
    assert not desk.holds(offer.batch_id)


def test_a_worker_that_goes_before_it_is_told_yes_has_surely_not_sent(ready: Project) -> None:
    held = Held(ready.engine)
    desk = Desk(held, clock=lambda: 0.0)
    offer = offered(desk)
    answer = desk.begin(offer.batch_id, [0, 1])
    assert desk.owed([offer.batch_id]) == 2
    assert desk.abandon([offer.batch_id]).result() == 0
    held.let_go()
    assert answer.result() == []
    ready.engine.submit(commands.Lose([])).result()  # whatever was asked before is decided by now
    assert ready.places("hi") == {"a": "queued", "b": "queued", "c": "queued"}
    assert len(offered(desk).recipients) == 3


def test_a_worker_that_goes_after_it_was_told_yes_leaves_ambiguity(ready: Project) -> None:
    offer = offered(ready.desk)
    assert ready.desk.begin(offer.batch_id, [1]).result() == [1]
    assert ready.desk.abandon([offer.batch_id]).result() == 1
    assert ready.places("hi") == {"a": "queued", "b": "ambiguous", "c": "queued"}
    assert ready.desk.owed([offer.batch_id]) == 0


def test_an_offer_is_no_longer_than_asked_but_never_empty(ready: Project) -> None:
    assert len(offered_within(ready.desk, 1)) == 1
    assert len(offered_within(ready.desk, 100_000)) == 2
    assert ready.desk.offer("email", 10, 100_000) is None


def offered_within(desk: Desk, most_characters: int) -> list[str]:
    """Who is offered within so many characters."""
    offer = desk.offer("email", 10, most_characters)
    assert offer is not None
    return [one.distinct_id for one in offer.recipients]
