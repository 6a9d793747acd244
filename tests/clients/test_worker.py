"""Promises of the worker: acknowledgements are kept until they are on the server's disk, over reconnections; nothing of
a broken stream's batches begins; credit bounds what is on offer; closing sends what is owed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import muster
import pytest
from muster.v1 import delivery_pb2, delivery_pb2_grpc, message_pb2
from muster.worker import Batch, Worker

from tests.clients.conftest import QUICK

Script = Callable[["Line"], Awaitable[None]]


class Line:
    """The server's end of one stream."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.hello = delivery_pb2.Hello()
        self.credit = 0
        self.begins: asyncio.Queue[Any] = asyncio.Queue()
        self.acknowledged: list[tuple[str, int]] = []
        self.projects: list[str] = []
        self.released: list[int] = []
        self.changed = asyncio.Event()
        self.ended = asyncio.Event()

    async def read(self, requests: AsyncIterator[Any]) -> None:
        async for request in requests:
            kind = request.WhichOneof("request")
            if kind == "hello":
                self.hello = request.hello
            elif kind == "credit":
                self.credit += request.credit.recipients
            elif kind == "begin":
                self.begins.put_nowait(request.begin)
            elif kind == "acknowledge":
                self.projects.append(request.acknowledge.project)
                self.acknowledged += [(a.idempotency_key, a.outcome) for a in request.acknowledge.acknowledgements]
            elif kind == "release":
                self.released.append(request.release.batch_id)
            self.changed.set()
        self.ended.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def offer(self, number: int, recipients: int, project: str = "shop") -> None:
        batch = delivery_pb2.Batch(batch_id=number, project=project, message_key="welcome")
        for index in range(recipients):
            recipient = batch.recipients.add(distinct_id=f"u{index}", idempotency_key=f"{number}.{index}")
            recipient.rendered.CopyFrom(message_pb2.Rendered(to=f"u{index}@example.com"))
        await self.context.write(delivery_pb2.DeliverResponse(batch=batch))

    async def grant(self, indexes: Callable[[list[int]], list[int]] = lambda asked: asked) -> None:
        begin = await asyncio.wait_for(self.begins.get(), 10)
        granted = delivery_pb2.Granted(batch_id=begin.batch_id, indexes=indexes(list(begin.indexes)))
        await self.context.write(delivery_pb2.DeliverResponse(granted=granted))

    async def confirm(self, count: int) -> None:
        await self.until(lambda: len(self.acknowledged) >= count)
        confirmed = delivery_pb2.Acknowledged(count=count)
        await self.context.write(delivery_pb2.DeliverResponse(acknowledged=confirmed))

    async def confirm_all(self) -> None:
        told = 0
        while True:
            await self.until(lambda seen=told: len(self.acknowledged) > seen)
            told = len(self.acknowledged)
            await self.confirm(told)

    async def fail(self, status: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        await self.context.abort(status, "the stream broke")


class FakeDelivery(delivery_pb2_grpc.DeliveryServiceServicer):
    """Plays one script a stream, the last again and again."""

    def __init__(self, scripts: list[Script]) -> None:
        self.scripts = scripts
        self.lines: list[Line] = []

    async def Deliver(self, requests: Any, context: Any) -> None:  # noqa: N802 - the protocol's name
        line = Line(context)
        self.lines.append(line)
        script = self.scripts[min(len(self.lines), len(self.scripts)) - 1]
        reading = asyncio.create_task(line.read(requests))
        try:
            await script(line)
        finally:
            reading.cancel()


@asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[tuple[FakeDelivery, Callable[..., Worker]]]:
    """A server that plays these scripts, and a maker of workers on it."""
    service = FakeDelivery(list(scripts))
    server = grpc.aio.server()
    delivery_pb2_grpc.add_DeliveryServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def worker(**options: Any) -> Worker:
        settings = {"channel": "email", "project": "shop", "worker_id": "w1", "credit": 100, "retry": QUICK}
        return Worker(f"127.0.0.1:{port}", **(settings | {"close_timeout": 5.0} | options))

    try:
        yield service, worker
    finally:
        await server.stop(0)


async def first(worker: Worker) -> Batch:
    """The next batch."""
    async with asyncio.timeout(10):
        async for batch in worker.batches():
            return batch
    raise AssertionError("no batch")


async def sent(batch: Batch, indexes: Any) -> None:
    for index in indexes:
        await batch.acknowledge(batch.recipients[index].idempotency_key, delivery_pb2.OUTCOME_SENT, "250 ok")


async def test_a_batch_from_offer_to_acknowledgement() -> None:
    async def script(line: Line) -> None:
        await line.until(lambda: line.credit == 100)
        await line.offer(7, 3)
        await line.grant(lambda asked: [index for index in asked if index != 1])
        await line.confirm_all()

    async with serving(script) as (service, make), make() as worker:
        batch = await first(worker)
        assert (batch.batch_id, batch.project, batch.message_key, len(batch.recipients)) == (7, "shop", "welcome", 3)
        granted = await batch.begin([0, 1, 2])
        assert granted == [0, 2]
        await sent(batch, granted)
        assert await batch.begin([0, 1]) == [], "nobody begins twice"
    (line,) = service.lines
    assert (line.hello.project, line.hello.channel, line.hello.worker_id) == ("shop", delivery_pb2.CHANNEL_EMAIL, "w1")
    assert line.acknowledged == [("7.0", delivery_pb2.OUTCOME_SENT), ("7.2", delivery_pb2.OUTCOME_SENT)]
    assert worker.unconfirmed == 0


async def test_acknowledgements_are_sent_again_after_a_reconnection() -> None:
    async def breaks(line: Line) -> None:
        await line.offer(1, 4)
        await line.grant()
        await line.confirm(1)
        await line.until(lambda: len(line.acknowledged) == 4)
        await line.fail()

    async def goes_on(line: Line) -> None:
        await line.confirm_all()

    async with serving(breaks, goes_on) as (service, make), make() as worker:
        batch = await first(worker)
        await sent(batch, (await batch.begin(range(4)))[:1])
        while worker.unconfirmed:
            await asyncio.sleep(0.01)
        await sent(batch, [1, 2, 3])
    assert [key for key, _ in service.lines[0].acknowledged] == ["1.0", "1.1", "1.2", "1.3"]
    assert [key for key, _ in service.lines[1].acknowledged] == ["1.1", "1.2", "1.3"]
    assert worker.unconfirmed == 0


async def test_nothing_of_a_broken_stream_begins_and_what_had_begun_is_acknowledged() -> None:
    async def breaks(line: Line) -> None:
        await line.offer(1, 4)
        await line.offer(2, 4)
        await line.grant()
        await line.fail()

    async def goes_on(line: Line) -> None:
        await line.offer(3, 1)
        await line.grant()
        await line.confirm_all()

    async with serving(breaks, goes_on) as (service, make), make() as worker:
        batch = await first(worker)
        assert await batch.begin([0, 1]) == [0, 1]
        fresh = await first(worker)
        if fresh.batch_id == 2:  # the break was not noticed yet
            assert await fresh.begin([0]) == []
            fresh = await first(worker)
        assert fresh.batch_id == 3
        assert await batch.begin([2, 3]) == []
        await batch.release()
        await sent(batch, [0, 1])
        await sent(fresh, await fresh.begin([0]))
    assert sorted(key for key, _ in service.lines[1].acknowledged) == ["1.0", "1.1", "3.0"]
    assert service.lines[1].released == []


async def test_leave_that_is_asked_for_as_the_stream_breaks_is_not_given() -> None:
    async def breaks(line: Line) -> None:
        await line.offer(1, 2)
        await asyncio.wait_for(line.begins.get(), 10)
        await line.fail()

    async def goes_on(line: Line) -> None:
        await line.confirm_all()

    async with serving(breaks, goes_on) as (service, make), make() as worker:
        batch = await first(worker)
        assert await asyncio.wait_for(batch.begin([0]), 10) == []
        await asyncio.sleep(0.1)
    # Whether it had begun is not known here: a word about it could undo what another worker does meanwhile.
    assert [line.acknowledged for line in service.lines[1:]] == [[]]


async def test_a_server_that_ends_the_stream_in_good_order_is_asked_again() -> None:
    async def ends(line: Line) -> None:
        await line.until(lambda: line.credit > 0)

    async def offers(line: Line) -> None:
        await line.offer(1, 1)
        await line.ended.wait()

    async with serving(ends, ends, offers) as (service, make), make() as worker:
        assert (await first(worker)).batch_id == 1
    assert len(service.lines) == 3
    assert {line.hello.worker_id for line in service.lines} == {"w1"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, muster.Unauthenticated),
        (grpc.StatusCode.NOT_FOUND, muster.NotFound),
        (grpc.StatusCode.INVALID_ARGUMENT, muster.InvalidInput),
    ],
)
async def test_a_refusal_for_good_is_raised(status: grpc.StatusCode, kind: type[Exception]) -> None:
    async def refuses(line: Line) -> None:
        await line.fail(status)

    async with serving(refuses) as (_, make), make() as worker:
        with pytest.raises(kind):
            await first(worker)


async def test_a_stream_that_cannot_be_had_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "muster.worker")

    async def fails(line: Line) -> None:
        await line.fail()

    async def offers(line: Line) -> None:
        await line.offer(1, 1)
        await line.ended.wait()

    async with serving(*[fails] * 5, offers) as (_, make), make() as worker:
        await first(worker)
        (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(caplog.records) == 5, "the others are there for who looks closely"
        assert warning.startswith(f"worker w1 has no stream of {worker._connection.target}")


async def test_credit_comes_back_as_recipients_are_settled() -> None:
    async def script(line: Line) -> None:
        await line.until(lambda: line.credit == 4)
        await line.offer(1, 2)
        await line.offer(2, 2)
        await line.grant(lambda asked: asked[:1])
        await line.until(lambda: line.credit == 4 + 4)
        await line.confirm_all()

    async with serving(script) as (service, make), make(credit=4) as worker:
        batches = worker.batches()
        one, other = await anext(batches), await anext(batches)
        await sent(one, await one.begin([0, 1]))  # one dropped, one sent
        await other.release()
        await service.lines[0].until(lambda: service.lines[0].credit == 8)
    assert service.lines[0].released == [2]


async def test_what_is_under_way_counts_against_the_next_streams_credit() -> None:
    async def breaks(line: Line) -> None:
        await line.offer(1, 3)
        await line.grant()
        await line.fail()

    async def goes_on(line: Line) -> None:
        await line.confirm_all()

    async with serving(breaks, goes_on) as (service, make), make(credit=4) as worker:
        batch = await first(worker)
        granted = await batch.begin([0, 1, 2])
        while len(service.lines) < 2:
            await asyncio.sleep(0.01)
        line = service.lines[1]
        await line.until(lambda: line.credit > 0)
        assert line.credit == 1
        await sent(batch, granted)
        await line.until(lambda: line.credit == 4)


async def test_leave_that_nobody_waits_for_any_more_is_given_back() -> None:
    async def script(line: Line) -> None:
        await line.offer(1, 2)
        begin = await line.begins.get()
        await asyncio.sleep(0.1)  # the worker's task is cancelled meanwhile
        granted = delivery_pb2.Granted(batch_id=1, indexes=begin.indexes)
        await line.context.write(delivery_pb2.DeliverResponse(granted=granted))
        await line.confirm_all()

    async with serving(script) as (service, make), make() as worker:
        batch = await first(worker)
        asking = asyncio.create_task(batch.begin([0, 1]))
        await asyncio.sleep(0.02)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert service.lines[0].acknowledged == [
        ("1.0", delivery_pb2.OUTCOME_NOT_SENT),
        ("1.1", delivery_pb2.OUTCOME_NOT_SENT),
    ]


async def test_closing_gives_back_what_nobody_took_up() -> None:
    async def script(line: Line) -> None:
        await line.offer(1, 2)
        await line.offer(2, 2)
        await line.confirm_all()

    async with serving(script) as (service, make):
        async with make() as worker:
            await first(worker)
            while worker._offers.empty():
                await asyncio.sleep(0.01)
            # The last acknowledgement also carries the release before it.
            worker._owed.add(
                "shop", delivery_pb2.Acknowledgement(idempotency_key="x", outcome=delivery_pb2.OUTCOME_SENT)
            )
        assert service.lines[0].released == [2]
        assert [batch async for batch in worker.batches()] == []


async def test_closing_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def never_confirms(line: Line) -> None:
        await line.offer(1, 1)
        await line.grant()
        await line.ended.wait()

    async with serving(never_confirms) as (_, make), make(close_timeout=0.1) as worker:
        batch = await first(worker)
        await sent(batch, await batch.begin([0]))
    assert "1 acknowledgements could not be delivered" in caplog.text


async def test_acknowledgements_of_several_projects_go_apart() -> None:
    async def script(line: Line) -> None:
        await line.offer(1, 1, "shop")
        await line.offer(2, 1, "club")
        await line.grant()
        await line.grant()
        await line.confirm_all()

    async with serving(script) as (service, make), make(project="") as worker:
        batches = worker.batches()
        one, other = await anext(batches), await anext(batches)
        granted = await one.begin([0]), await other.begin([0])
        await sent(one, granted[0])
        await sent(other, granted[1])
    assert service.lines[0].projects == ["shop", "club"]


def test_a_channel_that_there_is_not() -> None:
    wrong: Any = "pigeon"
    with pytest.raises(muster.InvalidInput, match="email or webhook"):
        Worker(channel=wrong)
