"""The delivery stream, for programs that carry rendered messages to a provider.

A worker is offered batches. It asks leave to begin on slices of them, calls its provider for those granted, and
acknowledges each recipient::

    async with Worker("127.0.0.1:7171", channel="email") as worker:
        async for batch in worker.batches():
            for index in await batch.begin(range(len(batch.recipients))):
                recipient = batch.recipients[index]
                outcome, detail = await send(recipient.rendered)
                await batch.acknowledge(recipient.idempotency_key, outcome, detail)

What the stream's end means: a broken stream is opened anew, with growing waits, and the logger `muster.worker` warns,
at most once a minute. Batches of a broken stream are over: `begin` grants nothing of them any more. What has begun is
still owed: acknowledgements are kept until the server says that they are on disk, and sent again on the next stream.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from muster import environment
from muster.connection import Retry, Tls
from muster.delivery import Batch, Owed, Stream
from muster.errors import (
    InvalidInput,
    MusterError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from muster.outage import Outage
from muster.transport import STREAM_BROKEN, open_stream
from muster.v1 import delivery_pb2

Channel: TypeAlias = Literal["email", "webhook", "sms", "push"]

DELIVER: Final = "/muster.v1.DeliveryService/Deliver"
MOST_CREDIT: Final = 10_000
"""The server offers a worker no more recipients than these at once."""

CHANNELS: Final = {  # by name, as the protocol numbers them
    "email": delivery_pb2.CHANNEL_EMAIL,
    "webhook": delivery_pb2.CHANNEL_WEBHOOK,
    "sms": delivery_pb2.CHANNEL_SMS,
    "push": delivery_pb2.CHANNEL_PUSH,
}
# Asking again would be answered in the same way.
_FATAL: Final = (InvalidInput, NotFound, PermissionDenied, Unauthenticated, Unimplemented)

__all__ = ["Batch", "Channel", "Worker"]

logger = logging.getLogger("muster.worker")


class Worker:
    """One worker's delivery stream, kept open until closed. Belongs to one event loop.

    Arguments:
        target: `host:port` of the gRPC services; None: MUSTER_SERVER, or 127.0.0.1:7171.
        channel: what it carries: "email", "webhook", "sms" or "push".
        project: the only one to serve; "": every project of the server; None: MUSTER_PROJECT, or every project.
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
        target: str | None = None,
        *,
        channel: Channel,
        project: str | None = None,
        worker_id: str = "",
        token: str | None = None,
        tls: Tls = None,
        credit: int = 2_000,
        retry: Retry | None = None,
        close_timeout: float = 10.0,
    ) -> None:
        if channel not in CHANNELS:
            raise InvalidInput(f"the channel {channel!r}", field="channel", mend=" or ".join(CHANNELS), code="CHOICE")
        if not 1 <= credit <= MOST_CREDIT:
            raise InvalidInput(f"a credit of {credit}", field="credit", mend=f"1 to {MOST_CREDIT:,}", code="CREDIT")
        self._hello = delivery_pb2.Hello(
            project=environment.project(project),
            channel=CHANNELS[channel],
            worker_id=worker_id or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
        )
        self._connection = environment.connection(target, token, tls, retry=retry)
        self._credit = credit
        self._close_timeout = close_timeout
        self._offers: asyncio.Queue[Batch | None] = asyncio.Queue()
        self._owed = Owed()
        self._stream: Stream | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._closing = False
        self._fault: Exception | None = None

    @property
    def worker_id(self) -> str:
        """The name under which the server knows this worker."""
        return str(self._hello.worker_id)

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
            if batch.is_open:
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
        paying = asyncio.create_task(self._pay())
        await asyncio.wait({paying, self._keeping}, timeout=self._close_timeout, return_when=asyncio.FIRST_COMPLETED)
        paying.cancel()
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

    async def _pay(self) -> None:
        """Wait until no question for leave is open and every acknowledgement is on the server's disk."""
        if self._stream is not None:
            await self._stream.settled()
        await self._owed.paid()

    def _open(self) -> None:
        if self._keeping is None and not self._closing:
            self._keeping = asyncio.create_task(self._keep_open(), name="muster-worker")

    async def _keep_open(self) -> None:
        """Hold one stream after the other."""
        channel = self._connection.open_async()
        failures, cautious = 0, False
        outage = Outage(logger)
        try:
            while True:
                credit = 0 if self._closing else self._credit
                stream = self._stream = Stream(self._hello, self._owed, self._offers.put_nowait, credit, cautious)
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
                wait = self._connection.retry.wait(failures)
                outage.say(
                    "worker %s has no stream of %s, and tries again: %s",
                    self.worker_id,
                    self._connection.target,
                    error,
                )
                await asyncio.sleep(wait)
        except Exception as fault:  # noqa: BLE001 - raised where batches are awaited
            self._fault = fault
            self._offers.put_nowait(None)
        finally:
            self._stream = None
            await channel.close(None)
