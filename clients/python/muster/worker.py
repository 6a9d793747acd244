"""The delivery stream, for programs that carry rendered messages to a provider.

A worker is offered batches. It asks leave to begin on slices of them, calls its provider for those granted, and
acknowledges each recipient::

    async with Worker("127.0.0.1:7171", channel="email") as worker:
        async for batch in worker.batches():
            for index in await batch.begin(range(len(batch.recipients))):
                recipient = batch.recipients[index]
                outcome, detail = await send(recipient.rendered)
                await batch.acknowledge(recipient.idempotency_key, outcome, detail)

What the stream's end means: a broken stream is opened anew, with growing waits. Batches of a broken stream are over:
`begin` grants nothing of them any more. What has begun is still owed: acknowledgements are kept until the server
says that they are on disk, and sent again on the next stream.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

import grpc
import grpc.aio

from muster import values
from muster.connection import DEFAULT_TARGET, Connection, Retry, Tls
from muster.errors import (
    InvalidInput,
    MusterError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from muster.transport import END_OF_STREAM, STREAM_BROKEN, open_stream, typed_error, write
from muster.v1 import delivery_pb2

Channel: TypeAlias = Literal["email", "webhook"]

DELIVER: Final = "/muster.v1.DeliveryService/Deliver"
MOST_CREDIT: Final = 10_000
"""The server offers a worker no more recipients than these at once."""

_CHANNELS: Final = {"email": delivery_pb2.CHANNEL_EMAIL, "webhook": delivery_pb2.CHANNEL_WEBHOOK}
_MOST_ACKNOWLEDGEMENTS: Final = 1_000  # in one request
_CAUTION: Final = 1.0  # seconds
# Asking again would be answered in the same way.
_FATAL: Final = (InvalidInput, NotFound, PermissionDenied, Unauthenticated, Unimplemented)

logger = logging.getLogger("muster.worker")


class Batch:
    """Recipients of one message and occurrence, on offer. Fields are those of `muster.v1.Batch`."""

    def __init__(self, message: delivery_pb2.Batch, stream: _Stream) -> None:
        self._message = message
        self._stream = stream
        self._asking = asyncio.Lock()

    @property
    def batch_id(self) -> int:
        """Its number, known to the server that offered it."""
        return int(self._message.batch_id)

    @property
    def project(self) -> str:
        """Whose message it is."""
        return str(self._message.project)

    @property
    def message_key(self) -> str:
        """Which message it is."""
        return str(self._message.message_key)

    @property
    def recipients(self) -> Sequence[delivery_pb2.Recipient]:
        """Who is to get it, each with the message rendered and an idempotency key."""
        return self._message.recipients

    @property
    def batch_size(self) -> int:
        """Webhook: most users in one request; 0: one request a user."""
        return int(self._message.batch_size)

    @property
    def url(self) -> str:
        """Webhook: where a batch of users goes."""
        return str(self._message.url)

    @property
    def headers(self) -> Mapping[str, str]:
        """Webhook: the headers of a batch of users."""
        return self._message.headers

    @property
    def lease_expire_time(self) -> datetime:
        """After this the server offers to others what has not begun, and grants nothing more of it here."""
        return values.to_datetime(self._message.lease_expire_time)

    async def begin(self, indexes: Sequence[int]) -> Sequence[int]:
        """Ask leave for some recipients, by index.

        Returns:
            The indexes granted. They have durably begun: call the provider now, and acknowledge each. The others are
            decided otherwise and must be dropped. Empty where the stream is broken.

        Example::

            granted = await batch.begin([0, 1, 2])
        """
        async with self._asking:
            return await self._stream.begin(self._message, list(indexes))

    async def acknowledge(self, idempotency_key: str, outcome: int, detail: str = "", provider_id: str = "") -> None:
        """Tell what became of one recipient who had begun. Returns at once; it is kept until the server has it.

        Arguments:
            idempotency_key: the recipient's.
            outcome: a `muster.v1.Outcome`.
            detail: for people: a reply code and its text.
            provider_id: the name under which the provider knows it.

        Example::

            await batch.acknowledge(recipient.idempotency_key, delivery_pb2.OUTCOME_SENT, "250 ok")
        """
        number: Any = outcome  # providers have enums of their own; the numbers are the protocol's
        self._stream.worker.owe(
            self.project,
            delivery_pb2.Acknowledgement(
                idempotency_key=idempotency_key, outcome=number, detail=detail, provider_id=provider_id
            ),
        )

    async def release(self) -> None:
        """Give back what was not begun, so that it can be offered to others at once.

        Example::

            await batch.release()
        """
        self._stream.release(self._message)


class Worker:
    """One worker's delivery stream, kept open until closed. Belongs to one event loop.

    Arguments:
        target: `host:port` of the gRPC services.
        channel: what it carries: "email" or "webhook".
        project: the only one to serve; "": every project of the server.
        worker_id: names the worker across reconnections; "": host, process and a random part.
        token, tls: as for `muster.Client`.
        credit: recipients on offer or under way at once, at most 10,000.
        retry: how waits between streams grow; there are as many attempts as it takes.
        close_timeout: seconds that `close` may wait for the last acknowledgements to be on the server's disk.

    Raises:
        InvalidInput: for a channel or a credit that there is not.

    Example::

        async with Worker("127.0.0.1:7171", channel="email") as worker:
            async for batch in worker.batches():
                ...
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        channel: Channel,
        project: str = "",
        worker_id: str = "",
        token: str = "",
        tls: Tls = None,
        credit: int = 2_000,
        retry: Retry | None = None,
        close_timeout: float = 10.0,
    ) -> None:
        if channel not in _CHANNELS:
            raise InvalidInput(f"the channel {channel!r}", field="channel", mend=" or ".join(_CHANNELS), code="CHOICE")
        if not 1 <= credit <= MOST_CREDIT:
            raise InvalidInput(f"a credit of {credit}", field="credit", mend=f"1 to {MOST_CREDIT:,}", code="CREDIT")
        self.hello = delivery_pb2.Hello(
            project=project,
            channel=_CHANNELS[channel],
            worker_id=worker_id or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
        )
        self._connection = Connection(target, token, tls)
        self._retry = retry or Retry()
        self._credit = credit
        self._close_timeout = close_timeout
        self._offers: asyncio.Queue[Batch | None] = asyncio.Queue()
        self._owed: deque[tuple[str, delivery_pb2.Acknowledgement]] = deque()
        self._under_way: set[str] = set()
        self._stream: _Stream | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._paid = asyncio.Event()
        self._paid.set()
        self._closing = False
        self._fault: Exception | None = None

    @property
    def worker_id(self) -> str:
        """The name under which the server knows this worker."""
        return str(self.hello.worker_id)

    @property
    def connected(self) -> bool:
        """Whether a stream is open and the server has answered on it."""
        return self._stream is not None and self._stream.answered

    @property
    def unconfirmed(self) -> int:
        """Acknowledgements of which the server has not said that they are on disk."""
        return len(self._owed)

    async def batches(self) -> AsyncIterator[Batch]:
        """Batches as the server offers them; ends when the worker is closed.

        Raises:
            MusterError: where the server will not serve this worker, whatever the number of attempts: an unknown
                token or project, say.

        Example::

            async for batch in worker.batches():
                ...
        """
        self._open()
        while (batch := await self._offers.get()) is not None:
            if batch._stream is self._stream:
                yield batch
        self._offers.put_nowait(None)  # also for others who wait, and for whoever asks again
        if self._fault is not None:
            raise self._fault

    async def close(self) -> None:
        """Give back what nobody took up, send the last acknowledgements, and end the stream.

        Waits at most `close_timeout` seconds for the acknowledgements; those that could not be delivered are logged,
        and ambiguous for the server.
        """
        if self._closing:
            return
        self._closing = True
        while not self._offers.empty():
            batch = self._offers.get_nowait()
            if batch is not None:
                await batch.release()
        self._offers.put_nowait(None)
        if self._keeping is None:
            return
        try:
            async with asyncio.timeout(self._close_timeout):
                if self._stream is not None:
                    await self._stream.settled()
                if self._fault is None:
                    await self._paid.wait()
        except TimeoutError:
            pass
        if self._owed:
            logger.error("%d acknowledgements could not be delivered: those sends are ambiguous", len(self._owed))
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def has_begun(self, idempotency_key: str) -> None:
        """Note leave to begin: one of the credits is in use until the acknowledgement."""
        self._under_way.add(idempotency_key)

    def owe(self, project: str, acknowledgement: delivery_pb2.Acknowledgement) -> None:
        """Keep an acknowledgement until the server has it on disk."""
        self._owed.append((project, acknowledgement))
        self._paid.clear()
        known = acknowledgement.idempotency_key in self._under_way
        self._under_way.discard(acknowledgement.idempotency_key)
        if self._stream is not None:
            self._stream.give_back(int(known))

    def owed_from(self, start: int) -> Sequence[tuple[str, delivery_pb2.Acknowledgement]]:
        """Acknowledgements not confirmed, from number `start` on: a run of one project's."""
        rest = islice(self._owed, start, start + _MOST_ACKNOWLEDGEMENTS)
        run: list[tuple[str, delivery_pb2.Acknowledgement]] = []
        for one in rest:
            if run and one[0] != run[0][0]:
                break
            run.append(one)
        return run

    def confirmed(self, count: int) -> None:
        """The server has the first `count` of them on disk."""
        for _ in range(count):
            self._owed.popleft()
        if not self._owed:
            self._paid.set()

    def offer(self, batch: Batch) -> None:
        """Put a batch before whoever iterates."""
        self._offers.put_nowait(batch)

    def _open(self) -> None:
        if self._keeping is None and not self._closing:
            self._keeping = asyncio.create_task(self._keep_open(), name="muster-worker")

    async def _keep_open(self) -> None:
        """Hold one stream after the other."""
        channel = self._connection.open_async()
        failures, cautious = 0, False
        try:
            while True:
                stream = self._stream = _Stream(self, self._credit, len(self._under_way), cautious)
                try:
                    await stream.run(open_stream(channel, DELIVER, delivery_pb2.DeliverResponse, self._connection))
                    error: MusterError = Unavailable("the server ended the stream")
                except MusterError as failure:
                    error = failure
                finally:
                    stream.die()
                if isinstance(error, _FATAL):
                    raise error
                failures = 0 if stream.answered else failures + 1
                cautious = error.code == STREAM_BROKEN and not stream.answered
                wait = self._retry.wait(failures)
                logger.info("%s: the stream ended, the next attempt is in %.1f s: %s", self.worker_id, wait, error)
                await asyncio.sleep(wait)
        except Exception as fault:  # noqa: BLE001 - raised where batches are awaited
            self._fault = fault
            self._offers.put_nowait(None)
            self._paid.set()  # nothing is left to wait for
        finally:
            self._stream = None
            await channel.close(None)


class _Stream:
    """One stream of a worker, from its hello to its end.

    Arguments:
        worker: whose.
        credit: recipients on offer or under way at once.
        under_way: how many have begun on earlier streams and are not acknowledged.
        cautious: leave the server time to refuse the worker before anything but the hello is written.
    """

    def __init__(self, worker: Worker, credit: int, under_way: int, cautious: bool) -> None:
        self.worker = worker
        self._cautious = cautious
        self.answered = False
        self._alive = True
        self._requests: deque[delivery_pb2.DeliverRequest] = deque()
        self._stirred = asyncio.Event()
        self._credit_due = max(0, credit - under_way)
        self._least_credit = max(1, credit // 4)  # fewer are not worth a message of their own
        self._acknowledged = 0  # how many of the worker's unconfirmed acknowledgements went out here
        self._confirmed = 0  # the server's count
        self._unbegun: dict[int, set[int]] = {}
        self._asked: dict[int, tuple[delivery_pb2.Batch, asyncio.Future[list[int]]]] = {}
        self._all_answered = asyncio.Event()
        self._all_answered.set()

    async def run(self, call: Any) -> None:
        """Carry the stream until the server ends it.

        Raises:
            MusterError: what broke it.
        """
        pumping: asyncio.Task[None] | None = None
        try:
            await write(call, delivery_pb2.DeliverRequest(hello=self.worker.hello))
            if self._cautious:
                await _refusal(call)
            await write(call, self._credit())
            pumping = asyncio.create_task(self._pump(call))
            self._stirred.set()
            while (response := await call.read()) is not END_OF_STREAM:
                self.answered = True
                self._take(response)
        except grpc.RpcError as failure:
            raise typed_error(failure) from failure
        finally:
            call.cancel()
            if pumping is not None:
                pumping.cancel()
                await asyncio.gather(pumping, return_exceptions=True)  # a broken pipe is told by `read` as well

    def die(self) -> None:
        """The stream is broken: nothing of its batches begins any more."""
        self._alive = False
        for _, answer in self._asked.values():
            if not answer.done():
                answer.set_result([])
        self._asked.clear()
        self._all_answered.set()

    async def settled(self) -> None:
        """Wait until no question for leave is open."""
        await self._all_answered.wait()

    # For batches

    async def begin(self, batch: delivery_pb2.Batch, indexes: Sequence[int]) -> Sequence[int]:
        """Ask leave; see `Batch.begin`. One question a batch at a time."""
        unbegun = self._unbegun.get(batch.batch_id, set())
        wanted = sorted(unbegun.intersection(indexes))
        if not self._alive or not wanted or batch.batch_id in self._asked:
            return []
        unbegun.difference_update(wanted)
        answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._asked[batch.batch_id] = (batch, answer)
        self._all_answered.clear()
        self._send(delivery_pb2.DeliverRequest(begin=delivery_pb2.Begin(batch_id=batch.batch_id, indexes=wanted)))
        try:
            granted = await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled():  # leave and cancellation came at once
                self._refuse(batch, answer.result())
            raise
        self.give_back(len(wanted) - len(granted))
        if not unbegun:
            self._unbegun.pop(batch.batch_id, None)
        return granted

    def release(self, batch: delivery_pb2.Batch) -> None:
        """Give back what was not begun."""
        unbegun = self._unbegun.pop(batch.batch_id, set())
        if unbegun and self._alive:
            self._send(delivery_pb2.DeliverRequest(release=delivery_pb2.Release(batch_id=batch.batch_id)))
            self.give_back(len(unbegun))

    def give_back(self, recipients: int) -> None:
        """So many recipients less are on offer or under way; also tells that there may be something to send."""
        self._credit_due += recipients
        self._stirred.set()

    # To the server

    def _send(self, request: delivery_pb2.DeliverRequest) -> None:
        self._requests.append(request)
        self._stirred.set()

    async def _pump(self, call: Any) -> None:
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            while self._requests:
                await write(call, self._requests.popleft())
            while acknowledge := self._acknowledge():
                await write(call, acknowledge)
            if self._credit_due >= self._least_credit:
                await write(call, self._credit())

    def _credit(self) -> delivery_pb2.DeliverRequest:
        recipients, self._credit_due = self._credit_due, 0
        return delivery_pb2.DeliverRequest(credit=delivery_pb2.Credit(recipients=recipients))

    def _acknowledge(self) -> delivery_pb2.DeliverRequest | None:
        run = self.worker.owed_from(self._acknowledged)
        if not run:
            return None
        self._acknowledged += len(run)
        acknowledgements = [acknowledgement for _, acknowledgement in run]
        return delivery_pb2.DeliverRequest(
            acknowledge=delivery_pb2.Acknowledge(project=run[0][0], acknowledgements=acknowledgements)
        )

    # From the server

    def _take(self, response: delivery_pb2.DeliverResponse) -> None:
        kind = response.WhichOneof("response")
        if kind == "batch":
            self._unbegun[response.batch.batch_id] = set(range(len(response.batch.recipients)))
            self.worker.offer(Batch(response.batch, self))
        elif kind == "granted":
            self._granted(response.granted)
        elif kind == "acknowledged":
            fresh = response.acknowledged.count - self._confirmed
            self._confirmed += fresh
            self._acknowledged -= fresh
            self.worker.confirmed(fresh)

    def _granted(self, granted: delivery_pb2.Granted) -> None:
        if granted.batch_id not in self._asked:
            return
        batch, answer = self._asked.pop(granted.batch_id)
        indexes = list(granted.indexes)
        for index in indexes:
            self.worker.has_begun(batch.recipients[index].idempotency_key)
        if answer.cancelled():
            self._refuse(batch, indexes)
        else:
            answer.set_result(indexes)
        if not self._asked:
            self._all_answered.set()

    def _refuse(self, batch: delivery_pb2.Batch, indexes: Sequence[int]) -> None:
        """Nobody is there any more who would call the provider: say so, and they are offered again."""
        for index in indexes:
            self.worker.owe(
                batch.project,
                delivery_pb2.Acknowledgement(
                    idempotency_key=batch.recipients[index].idempotency_key,
                    outcome=delivery_pb2.OUTCOME_NOT_SENT,
                    detail="the worker stopped before the provider was called",
                ),
            )


async def _refusal(call: Any) -> None:
    """Wait until a stream that is to be refused is; if it is not, a moment."""
    status = asyncio.ensure_future(call.code())
    await asyncio.wait({status}, timeout=_CAUTION)
    status.cancel()
