"""One delivery stream, its batches, and what a worker owes over all its streams."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

import grpc

from muster import values
from muster.transport import END_OF_STREAM, typed_error, write
from muster.v1 import delivery_pb2

_MOST_ACKNOWLEDGEMENTS: Final = 1_000  # in one request
_CAUTION: Final = 1.0  # seconds


class Owed:
    """Acknowledgements that the server does not have on disk, in order, and who has begun and is not acknowledged."""

    def __init__(self) -> None:
        self.under_way: set[str] = set()
        """Idempotency keys of those who have begun and are not acknowledged."""
        self.when_less_is_under_way: Callable[[int], None] = lambda recipients: None
        """Called after each acknowledgement with how many recipients less are under way: 1, or 0 for a second one."""
        self._acknowledgements: deque[tuple[str, delivery_pb2.Acknowledgement]] = deque()
        self._none = asyncio.Event()
        self._none.set()

    def __len__(self) -> int:
        return len(self._acknowledgements)

    def add(self, project: str, acknowledgement: delivery_pb2.Acknowledgement) -> None:
        """Keep an acknowledgement until it is confirmed."""
        self._acknowledgements.append((project, acknowledgement))
        self._none.clear()
        known = acknowledgement.idempotency_key in self.under_way
        self.under_way.discard(acknowledgement.idempotency_key)
        self.when_less_is_under_way(int(known))

    def run(self, start: int) -> Sequence[tuple[str, delivery_pb2.Acknowledgement]]:
        """A run of acknowledgements of one project, from number `start` on; empty where there are none."""
        run: list[tuple[str, delivery_pb2.Acknowledgement]] = []
        for one in islice(self._acknowledgements, start, start + _MOST_ACKNOWLEDGEMENTS):
            if run and one[0] != run[0][0]:
                break
            run.append(one)
        return run

    def confirm(self, count: int) -> None:
        """The server has the first `count` of them on disk."""
        for _ in range(count):
            self._acknowledgements.popleft()
        if not self._acknowledgements:
            self._none.set()

    async def paid(self) -> None:
        """Wait until nothing is owed."""
        await self._none.wait()


class Batch:
    """Recipients of one message and occurrence, on offer. Fields are those of `muster.v1.Batch`."""

    def __init__(self, message: delivery_pb2.Batch, stream: Stream) -> None:
        self._message = message
        self._stream = stream
        self._attempts = {one.idempotency_key: one.attempt for one in message.recipients}
        self._asking = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether something of it may still begin: its stream is not broken."""
        return self._stream.alive

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
    def variant(self) -> str:
        """Which variant of the message it is; "" where the message has none."""
        return str(self._message.variant)

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

    async def acknowledge(
        self,
        idempotency_key: str,
        outcome: int,
        detail: str = "",
        provider_id: str = "",
        removed_tokens: Sequence[str] = (),
    ) -> None:
        """Tell what became of one recipient who had begun. Returns at once; it is kept until the server has it.

        Arguments:
            idempotency_key: the recipient's.
            outcome: a `muster.v1.Outcome`.
            detail: for people: a reply code and its text.
            provider_id: the name under which the provider knows it.
            removed_tokens: device tokens that are nobody's any more; they are taken out of the profile.

        Example::

            await batch.acknowledge(recipient.idempotency_key, delivery_pb2.OUTCOME_SENT, "250 ok")
        """
        number: Any = outcome  # providers have enums of their own; the numbers are the protocol's
        self._stream.owed.add(
            self.project,
            delivery_pb2.Acknowledgement(
                idempotency_key=idempotency_key,
                outcome=number,
                detail=detail,
                provider_id=provider_id,
                attempt=self._attempts.get(idempotency_key, 0),
                removed_tokens=removed_tokens,
            ),
        )

    async def release(self) -> None:
        """Give back what was not begun, so that it can be offered to others at once.

        Example::

            await batch.release()
        """
        self._stream.release(self._message)


class Stream:
    """One stream of a worker, from its hello to its end.

    Arguments:
        hello: who the worker is.
        owed: what it owes the server, over all its streams.
        offer: called with each batch on offer.
        credit: recipients on offer or under way at once.
        cautious: leave the server time to refuse the worker before anything but the hello is written.
    """

    def __init__(
        self, hello: delivery_pb2.Hello, owed: Owed, offer: Callable[[Batch], None], credit: int, cautious: bool
    ) -> None:
        self.owed = owed
        self.answered = False
        """Whether the server has said anything."""
        self.alive = True
        """Whether something may begin."""
        self._hello = hello
        self._offer = offer
        self._cautious = cautious
        self._requests: deque[delivery_pb2.DeliverRequest] = deque()
        self._stirred = asyncio.Event()
        self._credit_due = max(0, credit - len(owed.under_way))
        self._least_credit = max(1, credit // 4)  # fewer are not worth a message of their own
        self._acknowledged = 0  # how many of the worker's unconfirmed acknowledgements went out here
        self._confirmed = 0  # the server's count
        self._unbegun: dict[int, set[int]] = {}
        self._asked: dict[int, tuple[delivery_pb2.Batch, asyncio.Future[list[int]]]] = {}
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        owed.when_less_is_under_way = self.give_back

    async def run(self, call: Any) -> None:
        """Carry the stream until the server ends it.

        Raises:
            MusterError: what broke it.
        """
        pumping: asyncio.Task[None] | None = None
        try:
            await write(call, delivery_pb2.DeliverRequest(hello=self._hello))
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
        self.alive = False
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
        if not self.alive or not wanted or batch.batch_id in self._asked:
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
        if unbegun and self.alive:
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
        run = self.owed.run(self._acknowledged)
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
            self._offer(Batch(response.batch, self))
        elif kind == "granted":
            self._granted(response.granted)
        elif kind == "acknowledged":
            fresh = response.acknowledged.count - self._confirmed
            self._confirmed += fresh
            self._acknowledged -= fresh
            self.owed.confirm(fresh)

    def _granted(self, granted: delivery_pb2.Granted) -> None:
        if granted.batch_id not in self._asked:
            return
        batch, answer = self._asked.pop(granted.batch_id)
        indexes = list(granted.indexes)
        for index in indexes:
            self.owed.under_way.add(batch.recipients[index].idempotency_key)
        if answer.cancelled():
            self._refuse(batch, indexes)
        else:
            answer.set_result(indexes)
        if not self._asked:
            self._all_answered.set()

    def _refuse(self, batch: delivery_pb2.Batch, indexes: Sequence[int]) -> None:
        """Nobody is there any more who would call the provider: say so, and they are offered again."""
        for index in indexes:
            self.owed.add(
                batch.project,
                delivery_pb2.Acknowledgement(
                    idempotency_key=batch.recipients[index].idempotency_key,
                    outcome=delivery_pb2.OUTCOME_NOT_SENT,
                    detail="the worker stopped before the provider was called",
                    attempt=batch.recipients[index].attempt,
                ),
            )


async def _refusal(call: Any) -> None:
    """Wait until a stream that is to be refused is; if it is not, a moment."""
    status = asyncio.ensure_future(call.code())
    await asyncio.wait({status}, timeout=_CAUTION)
    status.cancel()
