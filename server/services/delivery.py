"""DeliveryService: workers come and go; each holds one stream, served by a `Session`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from muster.v1 import delivery_pb2, delivery_pb2_grpc

from core.errors import InvalidInput, Unavailable
from core.messaging.definitions import ChannelName
from core.profiles.records import MAX_ID_BYTES
from server.auth import CALLER
from server.blocking import Pool
from server.commits import Commits
from server.convert.deliveries import CHANNELS
from server.projects import Projects
from server.session import Session

log = logging.getLogger("muster.delivery")

_CHANNELS: Final[dict[int, ChannelName]] = {number: name for name, number in CHANNELS.items() if name != "in_app"}
"""By number, the channels that workers carry; apps ask for in-app messages themselves."""


class DeliveryService(delivery_pb2_grpc.DeliveryServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/delivery.proto.

    Arguments:
        projects: the registry.
        pool: where batches are rendered.
        commits: tells when something may wait.
    """

    def __init__(self, projects: Projects, pool: Pool, commits: Commits) -> None:
        self._projects = projects
        self._pool = pool
        self._commits = commits
        self._sessions: set[Session] = set()
        self._draining = False

    async def Deliver(  # noqa: N802
        self, requests: AsyncIterator[delivery_pb2.DeliverRequest], context: Any
    ) -> None:
        """Serve one worker until it ends its side, goes away, or the server stops.

        Writes to the context itself: batches, grants and acknowledgements come from several tasks, and each waits
        until the worker takes its message.
        """
        first = await anext(aiter(requests), None)
        if first is None:
            return
        hello = self._welcome(first)
        session = Session(hello.project, _CHANNELS[hello.channel], self._projects, self._pool, self._commits, context)
        self._sessions.add(session)
        log.info("worker %r takes %s of %s", hello.worker_id, session.channel, hello.project or "every project")
        try:
            await context.write(delivery_pb2.DeliverResponse(welcome=delivery_pb2.Welcome()))
            await session.run(requests)
        finally:
            self._sessions.discard(session)
            log.info("worker %r has gone", hello.worker_id)

    def _welcome(self, first: delivery_pb2.DeliverRequest) -> delivery_pb2.Hello:
        """The hello of a stream that may be served.

        Raises:
            InvalidInput: HELLO_MISSING, CHANNEL_MISSING, ID_TOO_LONG; what `Projects.get` raises.
            PermissionDenied: PROJECT_FORBIDDEN, SERVER_FORBIDDEN.
            Unavailable: SERVER_STOPPING.
        """
        if self._draining:
            raise Unavailable("the server is stopping", mend="try again when it is back", code="SERVER_STOPPING")
        if first.WhichOneof("request") != "hello":
            raise InvalidInput(
                "the stream does not begin with a hello", field="hello", mend="send it first", code="HELLO_MISSING"
            )
        hello: delivery_pb2.Hello = first.hello
        if hello.channel not in _CHANNELS:
            raise InvalidInput(
                "no channel is named",
                field="hello.channel",
                mend="one of " + ", ".join(delivery_pb2.Channel.Name(number) for number in _CHANNELS),
                code="CHANNEL_MISSING",
            )
        if len(hello.worker_id.encode()) > MAX_ID_BYTES:
            raise InvalidInput(
                f"the worker's id is over {MAX_ID_BYTES} bytes",
                field="hello.worker_id",
                mend="send a UUID",
                code="ID_TOO_LONG",
            )
        if hello.project:
            self._projects.get(hello.project)
        else:
            CALLER.get().require_all()
        return hello

    async def drain(self, grace: float) -> None:
        """Offer and grant nothing more; give workers a while to acknowledge what has begun, then end their streams.

        Arguments:
            grace: seconds; streams that still owe something then are left to whoever stops the server.
        """
        self._draining = True
        waiting = [asyncio.ensure_future(session.drain()) for session in self._sessions]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=grace)
            for one in late:
                one.cancel()
            if late:
                log.warning("%d workers still owe acknowledgements: those hand-offs are ambiguous", len(late))
