"""Promise: nothing is offered beyond a worker's credit, nothing is sent without leave, and whoever had leave is either
acknowledged or ambiguous, whatever becomes of the worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import grpc
import pytest
from muster.v1 import delivery_pb2, ingest_pb2, message_pb2, project_pb2

from core.messaging.desk import Desk
from server.config import Config
from server.main import Server
from tests.server.conftest import PROJECT, Stubs, email, refusal_of

SENT = delivery_pb2.OUTCOME_SENT
EMAIL, WEBHOOK = delivery_pb2.CHANNEL_EMAIL, delivery_pb2.CHANNEL_WEBHOOK


class Stream:
    """A worker's stream, message by message."""

    def __init__(self, stubs: Stubs) -> None:
        self.call = stubs.delivery.Deliver()

    @classmethod
    async def open(
        cls, stubs: Stubs, *, project: str = PROJECT, channel: Any = EMAIL, credit: int = 0, worker: str = "w1"
    ) -> Stream:
        stream = cls(stubs)
        await stream.send(hello=delivery_pb2.Hello(project=project, channel=channel, worker_id=worker))
        assert isinstance(await stream.next(), delivery_pb2.Welcome)
        if credit:
            await stream.give(credit)
        return stream

    async def send(self, **request: Any) -> None:
        await self.call.write(delivery_pb2.DeliverRequest(**request))

    async def give(self, recipients: int) -> None:
        await self.send(credit=delivery_pb2.Credit(recipients=recipients))

    async def next(self) -> Any:
        """The next response's inner message."""
        response = await self.call.read()
        assert response is not grpc.aio.EOF
        return getattr(response, response.WhichOneof("response"))

    async def begin(self, batch: delivery_pb2.Batch, indexes: Sequence[int] | None = None) -> list[int]:
        """Ask leave; the answer must be the next thing the server says."""
        wanted = range(len(batch.recipients)) if indexes is None else indexes
        await self.send(begin=delivery_pb2.Begin(batch_id=batch.batch_id, indexes=wanted))
        granted = await self.next()
        assert isinstance(granted, delivery_pb2.Granted)
        assert granted.batch_id == batch.batch_id
        return list(granted.indexes)

    async def acknowledge(
        self, batch: delivery_pb2.Batch, indexes: Sequence[int], outcome: Any = SENT, confirmed: int | None = None
    ) -> None:
        """Acknowledge, and wait until it is on disk. `confirmed`: how many are by then; by default, these."""
        acks = [
            delivery_pb2.Acknowledgement(idempotency_key=batch.recipients[index].idempotency_key, outcome=outcome)
            for index in indexes
        ]
        await self.send(acknowledge=delivery_pb2.Acknowledge(project=batch.project, acknowledgements=acks))
        answer = await self.next()
        assert isinstance(answer, delivery_pb2.Acknowledged)
        assert answer.count == (len(acks) if confirmed is None else confirmed)

    def cut(self) -> None:
        """The worker is gone without a word."""
        self.call.cancel()


async def until(condition: Any) -> None:
    """Wait for what other tasks of the server bring about."""
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """A live project with ten users."""
    await stubs.create()
    await stubs.add_users(10)
    return stubs


async def test_no_more_is_offered_than_there_is_credit_for(shop: Stubs) -> None:
    await shop.launch("welcome")
    stream = await Stream.open(shop, credit=3)
    first = await stream.next()
    assert len(first.recipients) == 3
    for index in range(3):  # had there been a second batch, it would have come before one of these
        assert await stream.begin(first, [index]) == [index]
    await stream.give(4)
    second = await stream.next()
    assert len(second.recipients) == 4
    offered = [one.distinct_id for batch in (first, second) for one in batch.recipients]
    assert offered == [f"u{number}" for number in range(7)]
    stream.cut()


async def test_a_batch_names_its_message_and_each_recipient_is_rendered(shop: Stubs) -> None:
    await shop.launch("welcome")
    stream = await Stream.open(shop, credit=1)
    batch = await stream.next()
    assert (batch.project, batch.message_key, batch.channel, batch.batch_size) == (PROJECT, "welcome", EMAIL, 0)
    assert batch.lease_expire_time.seconds > 0
    rendered = batch.recipients[0].rendered
    assert (rendered.to, rendered.subject, rendered.text) == ("u0@example.com", "Hello User 0", "Dear User 0")
    assert getattr(rendered, "from") == "shop@example.com"
    stream.cut()


async def test_a_commit_wakes_a_worker_that_waits(shop: Stubs) -> None:
    stream = await Stream.open(shop, credit=100)
    waiting = asyncio.create_task(stream.next())
    await shop.launch("welcome")
    assert len((await waiting).recipients) == 10
    stream.cut()


async def test_what_was_granted_and_acknowledged_is_sent_and_reconciled(shop: Stubs) -> None:
    await shop.launch("welcome")
    stream = await Stream.open(shop, credit=100)
    batch = await stream.next()
    assert await stream.begin(batch, [0, 1, 2, 3, 4, 5]) == [0, 1, 2, 3, 4, 5]
    assert (await shop.counts("welcome")).begun == 6
    await stream.acknowledge(batch, [0, 1, 2])
    await stream.acknowledge(batch, [3], delivery_pb2.OUTCOME_FAILED, confirmed=4)
    await stream.acknowledge(batch, [4], delivery_pb2.OUTCOME_AMBIGUOUS, confirmed=5)
    await stream.acknowledge(batch, [0], confirmed=6)  # a repetition is confirmed and changes nothing
    counts = await shop.counts("welcome")
    assert (counts.selected, counts.sent, counts.failed, counts.ambiguous) == (10, 3, 1, 1)
    assert (counts.begun, counts.queued) == (1, 4)
    stream.cut()


async def test_leave_is_given_once(shop: Stubs) -> None:
    await shop.launch("welcome")
    stream = await Stream.open(shop, credit=100)
    batch = await stream.next()
    assert await stream.begin(batch, [1, 1, 99]) == [1]
    assert await stream.begin(batch, [1]) == []
    stream.cut()


async def test_a_worker_that_dies_leaves_ambiguous_what_had_begun_and_gives_back_the_rest(shop: Stubs) -> None:
    await shop.launch("welcome")
    stream = await Stream.open(shop, credit=100)
    batch = await stream.next()
    assert await stream.begin(batch, [0, 1, 2]) == [0, 1, 2]
    await stream.acknowledge(batch, [0])
    stream.cut()

    async def lost() -> bool:
        return (await shop.counts("welcome")).ambiguous == 2

    await until(lost)
    other = await Stream.open(shop, credit=100, worker="w2")
    rest = await other.next()
    assert [one.distinct_id for one in rest.recipients] == [f"u{number}" for number in range(3, 10)]
    # Word that comes late still counts.
    late = await Stream.open(shop)
    await late.acknowledge(batch, [1, 2])
    counts = await shop.counts("welcome")
    assert (counts.sent, counts.ambiguous) == (3, 0)
    for one in (other, late):
        one.cut()


async def test_nothing_of_a_batch_of_an_earlier_stream_is_granted(shop: Stubs) -> None:
    await shop.launch("welcome")
    stream = await Stream.open(shop, credit=1)
    batch = await stream.next()
    stream.cut()
    other = await Stream.open(shop)
    assert await other.begin(batch) == []
    other.cut()


async def test_no_leave_is_given_after_a_pause_was_answered(shop: Stubs) -> None:
    await shop.launch("welcome")
    stream = await Stream.open(shop, credit=100)
    batch = await stream.next()
    assert await stream.begin(batch, [0]) == [0]
    await shop.messages.PauseMessage(message_pb2.PauseMessageRequest(project=PROJECT, all=True))
    assert await stream.begin(batch, range(1, 10)) == []
    await shop.messages.ResumeMessage(message_pb2.ResumeMessageRequest(project=PROJECT, key="welcome"))
    again = await stream.next()
    assert len(again.recipients) == 9
    assert len(await stream.begin(again)) == 9
    stream.cut()


async def test_who_no_longer_matches_gets_no_leave(shop: Stubs) -> None:
    await shop.launch("welcome")
    await shop.messages.EndMessage(message_pb2.EndMessageRequest(project=PROJECT, key="welcome"))
    await shop.launch(
        "free", asap=message_pb2.AsapSchedule(), email=email("x").email,
    )  # fmt: skip
    stream = await Stream.open(shop, credit=100)
    batch = await stream.next()
    gone = ingest_pb2.ProfileUpdate(distinct_id="u3", unset=ingest_pb2.PropertyNames(names=["$email"]))
    await shop.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=PROJECT, updates=[gone]))
    assert await stream.begin(batch) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    counts = await shop.counts("free")
    assert [(one.reason, one.users) for one in counts.skipped] == [("unreachable", 1)]
    stream.cut()


async def test_a_released_batch_is_offered_to_another_worker(shop: Stubs) -> None:
    await shop.launch("welcome")
    first = await Stream.open(shop, credit=10)
    batch = await first.next()
    second = await Stream.open(shop, credit=100, worker="w2")
    waiting = asyncio.create_task(second.next())
    assert await first.begin(batch, [0]) == [0]
    await first.send(release=delivery_pb2.Release(batch_id=batch.batch_id))
    rest = await waiting
    assert len(rest.recipients) == 9
    assert await first.begin(batch, [1]) == []
    assert await second.begin(rest, [0]) == [0]
    for stream in (first, second):
        stream.cut()


async def test_a_sandbox_offers_only_what_goes_to_allowed_addresses_and_lays_the_rest_in_the_inbox(
    stubs: Stubs,
) -> None:
    await stubs.create(live=False, allowed_addresses=["U3@Example.com", "u7@example.com"])
    await stubs.add_users(10)
    stream = await Stream.open(stubs, credit=100)
    waiting = asyncio.create_task(stream.next())
    await stubs.launch("welcome")
    batch = await waiting
    assert [one.rendered.to for one in batch.recipients] == ["u3@example.com", "u7@example.com"]
    assert await stream.begin(batch) == [0, 1]
    await stream.acknowledge(batch, [0, 1])

    async def drained() -> bool:
        return (await stubs.counts("welcome")).sent == 10

    await until(drained)
    inbox = await stubs.projects.ListInbox(project_pb2.ListInboxRequest(project=PROJECT, page_size=3))
    assert inbox.total == 8
    assert [(one.to, one.subject) for one in inbox.entries][:1] == [("u9@example.com", "Hello User 9")]
    await stubs.projects.UpdateProject(project_pb2.UpdateProjectRequest(project=PROJECT, inbox_limit=4))
    more = project_pb2.ListInboxRequest(project=PROJECT, page_size=3, page_token=inbox.next_page_token)
    rest = await stubs.projects.ListInbox(more)
    assert [one.to for one in rest.entries] == ["u5@example.com"]
    assert (rest.total, rest.next_page_token) == (4, "")
    found = (await stubs.projects.GetProject(project_pb2.GetProjectRequest(name=PROJECT))).project
    assert (found.inbox_limit, found.inbox_let_go) == (4, 4)
    stream.cut()


async def test_a_worker_of_all_projects_serves_each_and_new_ones(shop: Stubs) -> None:
    await shop.launch("welcome")
    stream = await Stream.open(shop, project="", credit=100)
    assert (await stream.next()).project == PROJECT
    await shop.create("other")
    await shop.add_users(2, "other")
    await shop.launch("welcome", "other")
    batch = await stream.next()
    assert (batch.project, len(batch.recipients)) == ("other", 2)
    assert await stream.begin(batch) == [0, 1]
    await stream.acknowledge(batch, [0, 1])
    assert (await shop.counts("welcome", "other")).sent == 2
    stream.cut()


async def test_url_and_headers_of_a_webhook_stand_on_the_batch_where_users_share_requests(shop: Stubs) -> None:
    shared = message_pb2.WebhookContent(
        url="https://example.com/hook", headers={"X-Team": "shop"}, properties=["name"], batch_size=50
    )
    await shop.launch("shared", asap=message_pb2.AsapSchedule(), webhook=shared)
    stream = await Stream.open(shop, channel=WEBHOOK, credit=100)
    batch = await stream.next()
    assert (batch.url, dict(batch.headers), batch.batch_size) == ("https://example.com/hook", {"X-Team": "shop"}, 50)
    assert {one.rendered.url for one in batch.recipients} == {""}
    assert json.loads(batch.recipients[0].rendered.body)["user"] == {"name": "User 0"}
    stream.cut()


async def test_a_webhook_whose_url_differs_by_user_goes_out_user_by_user(shop: Stubs) -> None:
    own = message_pb2.WebhookContent(url="https://example.com/hook/{{ ${name} }}", properties=["name"])
    await shop.launch("own", asap=message_pb2.AsapSchedule(), webhook=own)
    stream = await Stream.open(shop, channel=WEBHOOK, credit=100)
    batch = await stream.next()
    assert (batch.url, batch.batch_size) == ("", 0)
    assert batch.recipients[3].rendered.url == "https://example.com/hook/User%203"
    stream.cut()


async def test_a_worker_that_does_not_read_holds_up_rendering_instead_of_filling_memory(
    shop: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers = 0
    offer = Desk.offer

    def counted(self: Desk, *arguments: Any, **options: Any) -> Any:
        nonlocal offers
        made = offer(self, *arguments, **options)
        offers += made is not None
        return made

    monkeypatch.setattr(Desk, "offer", counted)
    await shop.add_users(2_000)
    letter = email("x").email
    letter.text = "x" * 20_000
    stream = await Stream.open(shop, credit=5_000)
    await shop.launch("letter", asap=message_pb2.AsapSchedule(), email=letter)
    for _ in range(100):
        await shop.counts("letter")
    assert 1 <= offers <= 10  # of some forty that the credit allows
    seen: set[str] = set()
    while len(seen) < 2_000:
        batch = await stream.next()
        assert batch.ByteSize() < 4 << 20
        seen.update(one.distinct_id for one in batch.recipients)
    stream.cut()


async def test_credit_has_a_limit(shop: Stubs) -> None:
    await shop.add_users(10_000)
    await shop.add_users(600, first=10_000)
    await shop.launch("welcome")
    stream = await Stream.open(shop)
    await stream.give(4_000_000_000)
    offered = 0
    while offered < 10_000:
        offered += len((await stream.next()).recipients)
    assert offered == 10_000
    nothing = delivery_pb2.Batch(batch_id=0, recipients=[delivery_pb2.Recipient()])
    for _ in range(100):  # six hundred more wait: had they been offered, they would come in between
        await shop.counts("welcome")
        assert await stream.begin(nothing) == []
    stream.cut()


async def test_a_second_hello_ends_the_stream(shop: Stubs) -> None:
    stream = await Stream.open(shop)
    await stream.send(hello=delivery_pb2.Hello(project=PROJECT, channel=EMAIL))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.call.read()
    assert refusal_of(caught.value).code == "HELLO_REPEATED"


async def test_a_worker_that_ends_its_side_is_answered_to_the_last_and_then_the_stream_ends(shop: Stubs) -> None:
    await shop.launch("welcome")
    stream = await Stream.open(shop, credit=2)
    batch = await stream.next()
    await stream.begin(batch)
    acks = [delivery_pb2.Acknowledgement(idempotency_key=one.idempotency_key, outcome=SENT) for one in batch.recipients]
    await stream.send(acknowledge=delivery_pb2.Acknowledge(acknowledgements=acks))
    await stream.call.done_writing()
    assert (await stream.next()).count == 2
    assert await stream.call.read() is grpc.aio.EOF
    assert await stream.call.code() is grpc.StatusCode.OK
    assert (await shop.counts("welcome")).sent == 2


async def test_a_lease_that_ends_unbegun_is_offered_again(config: Config) -> None:
    async with (
        Server(replace(config, lease_seconds=1.0)) as server,
        grpc.aio.insecure_channel(server.grpc_address) as channel,
    ):
        stubs = Stubs(channel)
        await stubs.create()
        await stubs.add_users(2)
        await stubs.launch("welcome")
        slow = await Stream.open(stubs, credit=2)
        batch = await slow.next()
        other = await Stream.open(stubs, credit=10, worker="w2")
        again = await other.next()
        assert len(again.recipients) == 2
        assert await slow.begin(batch) == []
        assert await other.begin(again) == [0, 1]
        for stream in (slow, other):
            stream.cut()


async def test_a_server_that_stops_grants_no_more_but_takes_the_acknowledgements_of_what_had_begun(
    config: Config,
) -> None:
    server = Server(config)
    await server.start()
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        stubs = Stubs(channel)
        await stubs.create()
        await stubs.add_users(4)
        await stubs.launch("welcome")
        idle = await Stream.open(stubs, project="", channel=WEBHOOK, worker="idle")
        stream = await Stream.open(stubs, credit=10)
        batch = await stream.next()
        assert await stream.begin(batch, [0, 1]) == [0, 1]
        stopping = asyncio.create_task(server.stop())
        with pytest.raises(grpc.aio.AioRpcError) as ended:  # an idle worker's stream ends at once
            await idle.call.read()
        assert refusal_of(ended.value).code == "SERVER_STOPPING"
        assert await stream.begin(batch, [2, 3]) == []
        assert not stopping.done()
        await stream.acknowledge(batch, [0])
        await stream.acknowledge(batch, [1], confirmed=2)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.call.read()
        assert refusal_of(ended.value).code == "SERVER_STOPPING"
        await stopping
    async with Server(config) as again, grpc.aio.insecure_channel(again.grpc_address) as channel:
        counts = await Stubs(channel).counts("welcome")
        assert (counts.sent, counts.queued, counts.ambiguous) == (2, 2, 0)


async def test_what_is_owed_beyond_the_grace_is_ambiguous_after_the_next_start(config: Config) -> None:
    server = Server(replace(config, stop_grace_seconds=0.1))
    await server.start()
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        stubs = Stubs(channel)
        await stubs.create()
        await stubs.add_users(2)
        await stubs.launch("welcome")
        stream = await Stream.open(stubs, credit=10)
        batch = await stream.next()
        assert await stream.begin(batch, [0]) == [0]
        await server.stop()
    async with Server(config) as again, grpc.aio.insecure_channel(again.grpc_address) as channel:
        counts = await Stubs(channel).counts("welcome")
        assert (counts.ambiguous, counts.queued) == (1, 1)
