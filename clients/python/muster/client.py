"""The two clients: `Client` blocks, `AsyncClient` awaits. They differ in nothing else."""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from muster import environment
from muster.audiences import Audiences
from muster.campaigns import Campaigns
from muster.connection import Retry, Tls
from muster.consent import Consent
from muster.history import History
from muster.in_app import InApp
from muster.ingest import Ingest
from muster.message_results import MessageResults
from muster.messages import Messages
from muster.profiles import Profiles
from muster.projects import Projects
from muster.queue import Lost, OnError, Queue, QueueOptions
from muster.records import event, update
from muster.reporting import Feedback
from muster.service import Way
from muster.simulation import Simulation
from muster.snippets import Snippets
from muster.transport import Awaiting, Blocking


class BaseClient(Ingest[Way]):
    """What both clients are: the services of one project, and the queue behind `track` and `update`."""

    def __init__(self, transport: Way, project: str, queue: QueueOptions) -> None:
        super().__init__(transport, project)
        self._queue = Queue(transport.connection, project, queue)
        # A client that nobody closed: its queue's thread sends what is left, and ends.
        weakref.finalize(self, self._queue.wind_up).atexit = False
        self.profiles: Profiles[Way] = Profiles(transport, project)
        self.audiences: Audiences[Way] = Audiences(transport, project)
        self.messages: Messages[Way] = Messages(transport, project)
        self.campaigns: Campaigns[Way] = Campaigns(transport, project)
        self.projects: Projects[Way] = Projects(transport, project)
        self.in_app: InApp[Way] = InApp(transport, project)
        self.history: History[Way] = History(transport, project)
        self.results: MessageResults[Way] = MessageResults(transport, project)
        self.simulation: Simulation[Way] = Simulation(transport, project)
        self.feedback: Feedback[Way] = Feedback(transport, project)
        self.consent: Consent[Way] = Consent(transport, project)
        self.snippets: Snippets[Way] = Snippets(transport, project)

    @property
    def project(self) -> str:
        """The project that this client speaks of."""
        return self._project

    @property
    def pending(self) -> int:
        """Records in the queue, or on their way, of which the server has not said that they are on disk."""
        return self._queue.pending

    @property
    def dropped(self) -> int:
        """Records that `track` and `update` did not take because the queue was full."""
        return self._queue.dropped

    def track(
        self,
        name: str,
        distinct_id: str,
        properties: Mapping[str, Any] | None = None,
        *,
        time: datetime | None = None,
        insert_id: str | None = None,
    ) -> bool:
        """Note that a user did something. Returns at once: a queue sends it in the background.

        Arguments:
            name: such as "Purchase".
            distinct_id: whose it is.
            properties: see `muster.values` for what they can hold.
            time: when, aware; None: the project's clock when it arrives there.
            insert_id: tells events apart that are equal otherwise; see `muster.event`.

        Returns:
            Whether the queue took it; False where it is full. What was taken is lost only if the server refuses it,
            or if the process ends before it can be sent; `on_error` is told of either.

        Raises:
            InvalidInput: for what no event can hold, such as a datetime without a time zone.

        Example::

            client.track("Purchase", "u1", {"amount": 9.9})
        """
        return self._queue.put([event(name, distinct_id, properties, time=time, insert_id=insert_id)])

    def update(
        self,
        distinct_id: str,
        *,
        set: Mapping[str, Any] | None = None,
        set_once: Mapping[str, Any] | None = None,
        add: Mapping[str, float] | None = None,
        append: Mapping[str, Any] | None = None,
        union: Mapping[str, Sequence[Any]] | None = None,
        remove: Mapping[str, Any] | None = None,
        unset: Sequence[str] = (),
        merge: Mapping[str, Mapping[str, Any]] | None = None,
        delete: bool = False,
    ) -> bool:
        """Note what is known of a user. Returns at once: a queue sends it in the background.

        Several operations are applied in the order of this signature; what each does, `muster.update` tells.

        Returns:
            Whether the queue took it, as for `track`.

        Raises:
            InvalidInput: for what no profile can hold, or where no operation is given.

        Example::

            client.update("u1", set={"plan": "free"}, add={"visits": 1}, union={"tags": ["new"]})
        """
        return self._queue.put(
            update(
                distinct_id,
                set=set,
                set_once=set_once,
                add=add,
                append=append,
                union=union,
                remove=remove,
                unset=unset,
                merge=merge,
                delete=delete,
            )
        )


class Client(BaseClient[Blocking]):
    """Speaks with a Muster server; every call blocks until it is answered, but for `track` and `update`.

    May be used from several threads, and after a fork. Connects at the first call.

    Arguments:
        target: `host:port` of the gRPC services, or any gRPC target name; None: MUSTER_SERVER, or 127.0.0.1:7171.
        project: the project that calls mean; None: MUSTER_PROJECT.
        token: access token, "" for a server without tokens; None: MUSTER_TOKEN.
        tls: False: no TLS; True: TLS with gRPC's own root certificates; a path or PEM bytes: TLS with those roots;
            None: the roots of MUSTER_TLS_CA, or as MUSTER_TLS says.
        timeout: seconds for one call, its retries included, and for `flush`. Calls that judge everybody have a longer
            one of their own.
        retry: how often a call is tried that finds the server unavailable.
        queue_size: most records that wait in the queue; when it is full, `track` returns False.
        queue_batch: most records that the queue sends at once.
        linger: seconds that a record may wait in the queue for company.
        exit_timeout: seconds that `close`, and the end of the process, may wait for the queue to empty.
        on_error: told of records that were lost (a list of `muster.Lost`), from a thread of its own; None: they are
            logged. Of records that only wait, because the server cannot be reached, a warning is logged either way.

    Example::

        with muster.Client("127.0.0.1:7171", project="shop") as client:
            client.track("Purchase", "u1", {"amount": 9.9})
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        project: str | None = None,
        token: str | None = None,
        tls: Tls = None,
        timeout: float = 30.0,
        retry: Retry | None = None,
        queue_size: int = 100_000,
        queue_batch: int = 2_000,
        linger: float = 0.25,
        exit_timeout: float = 5.0,
        on_error: OnError | None = None,
    ) -> None:
        connection = environment.connection(target, token, tls, timeout=timeout, retry=retry)
        super().__init__(
            Blocking(connection),
            environment.project(project),
            QueueOptions(queue_size, queue_batch, linger, exit_timeout, on_error),
        )

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what was tracked and updated so far is on disk or refused; whether it is in time.

        What is late is not lost: it stays in the queue, which goes on. A server that cannot be reached, or takes
        nothing, is told of by a logged warning meanwhile.

        Arguments:
            timeout: seconds; None: the client's `timeout`; `math.inf`: as long as it takes.

        Example::

            if not client.flush(timeout=10):
                print(client.pending, "records still wait")
        """
        return self._queue.flush(timeout)

    def close(self) -> None:
        """Send what the queue holds, for at most `exit_timeout` seconds, and end the connection."""
        self._queue.close(self._queue.options.exit_timeout)
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(BaseClient[Awaiting]):
    """`Client` for asyncio: the same methods, awaited; listings are async iterators; `track` and `update` stay plain.

    Belongs to the event loop that uses it first. After a fork, make a new one.

    Arguments:
        others: as for `Client`.
        on_error: called in the event loop of `async with`; without that, from a thread of the queue's.

    Example::

        async with muster.AsyncClient("127.0.0.1:7171", project="shop") as client:
            client.track("Purchase", "u1", {"amount": 9.9})
            profile = await client.profiles.get("u1")
            async for event in client.profiles.events("u1"):
                print(event.name)
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        project: str | None = None,
        token: str | None = None,
        tls: Tls = None,
        timeout: float = 30.0,
        retry: Retry | None = None,
        queue_size: int = 100_000,
        queue_batch: int = 2_000,
        linger: float = 0.25,
        exit_timeout: float = 5.0,
        on_error: OnError | None = None,
    ) -> None:
        connection = environment.connection(target, token, tls, timeout=timeout, retry=retry)
        self._loop: asyncio.AbstractEventLoop | None = None
        tell = None if on_error is None else functools.partial(self._tell_in_loop, weakref.ref(self), on_error)
        super().__init__(
            Awaiting(connection),
            environment.project(project),
            QueueOptions(queue_size, queue_batch, linger, exit_timeout, tell),
        )

    async def flush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - handed on, as in Client
        """As `Client.flush`; the event loop goes on meanwhile.

        Example::

            if not await client.flush(timeout=10):
                print(client.pending, "records still wait")
        """
        return await asyncio.to_thread(self._queue.flush, timeout)

    async def close(self) -> None:
        """As `Client.close`; the event loop goes on meanwhile."""
        await asyncio.to_thread(self._queue.close, self._queue.options.exit_timeout)
        await self._transport.close()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @staticmethod
    def _tell_in_loop(client: weakref.ref[AsyncClient], on_error: OnError, lost: Sequence[Lost]) -> None:
        """Called from the queue's thread, which must not keep the client alive."""
        this = client()
        loop = this._loop if this is not None else None
        if loop is None or not loop.is_running():
            on_error(lost)
        else:
            loop.call_soon_threadsafe(on_error, lost)
