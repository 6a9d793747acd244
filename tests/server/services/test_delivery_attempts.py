"""Promise: on the stream, too, leave is for what was rendered, and word of a hand-off is of the attempt that it names."""

from __future__ import annotations

import pytest
from muster.v1 import delivery_pb2, ingest_pb2

from tests.server.conftest import PROJECT, Stubs, properties
from tests.server.services.test_delivery import Stream


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """A live project with ten users and a live message."""
    await stubs.create()
    await stubs.add_users(10)
    await stubs.launch("welcome")
    return stubs


async def say(stream: Stream, one: delivery_pb2.Recipient, outcome: int, confirmed: int) -> None:
    """Acknowledge one attempt, and wait until it is on disk."""
    ack = delivery_pb2.Acknowledgement(
        idempotency_key=one.idempotency_key,
        outcome=outcome,  # type: ignore[arg-type]
        attempt=one.attempt,
    )
    await stream.send(acknowledge=delivery_pb2.Acknowledge(project=PROJECT, acknowledgements=[ack]))
    while not isinstance(answer := await stream.next(), delivery_pb2.Acknowledged):
        pass  # who came back is offered at once
    assert answer.count == confirmed


async def test_whose_address_changed_is_refused_and_offered_anew_at_once(shop: Stubs) -> None:
    stream = await Stream.open(shop, credit=100)
    batch = await stream.next()
    moved = ingest_pb2.ProfileUpdate(distinct_id="u3", set=properties({"$email": "new@example.com"}))
    await shop.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=PROJECT, updates=[moved]))
    assert await stream.begin(batch) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    again = await stream.next()
    assert [(one.distinct_id, one.rendered.to) for one in again.recipients] == [("u3", "new@example.com")]
    assert await stream.begin(again) == [0]
    stream.cut()


async def test_late_word_of_an_earlier_attempt_leaves_the_present_one_alone(shop: Stubs) -> None:
    stream = await Stream.open(shop, credit=1)
    first = (await stream.next()).recipients[0]
    assert first.attempt == 1
    stream.cut()
    one, two = await Stream.open(shop, credit=1), await Stream.open(shop, credit=0, worker="w2")
    batch = await one.next()
    assert await one.begin(batch) == [0]
    await say(one, batch.recipients[0], delivery_pb2.OUTCOME_NOT_SENT, 1)
    await one.give(100)
    while batch.recipients[0].attempt == 1:
        batch = await one.next()
    assert await one.begin(batch, [0]) == [0]
    await say(two, first, delivery_pb2.OUTCOME_NOT_SENT, 1)
    assert (await shop.counts("welcome")).begun == 1
    await say(one, batch.recipients[0], delivery_pb2.OUTCOME_SENT, 2)
    assert (await shop.counts("welcome")).sent == 1
    for stream in (one, two):
        stream.cut()
