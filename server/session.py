"""One worker's delivery stream: what it is offered, what it may begin, what it has said became of it.

Nothing is buffered without bound: a batch is rendered when there is credit for it and written before the next one
is, requests are read no faster than their answers are taken, and credit has an upper limit.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any, Final

import grpc
from muster.v1 import delivery_pb2

from core.commands import Ack, Outcome
from core.errors import InvalidInput, MusterError, Unavailable
from core.messaging.definitions import ChannelName
from server.blocking import Pool, settled
from server.commits import Commits
from server.convert import deliveries as convert
from server.projects import Project, Projects

log = logging.getLogger("muster.delivery")

MOST_CREDIT: Final = 10_000
"""Recipients that one worker may be offered at most before it gives credit for more."""
_MOST_RECIPIENTS: Final = 500
_MOST_CHARACTERS: Final = 1_000_000  # of one batch: below the 4 MiB that gRPC clients take unless told otherwise
_MOST_GRANTS: Final = 64  # questions for leave under way; more are not read until those are answered
_MOST_ACKS: Final = 64  # acknowledge requests that wait for their commit; likewise
_LONGEST_DETAIL: Final = 500
_RETRY_SECONDS: Final = 1.0
_PACE_SECONDS: Final = 0.1  # between looks at what waits for nothing but its throughput
_PRUNE_FROM: Final = 64

_OUTCOMES: Final[dict[int, Outcome]] = {
    delivery_pb2.OUTCOME_SENT: "sent",
    delivery_pb2.OUTCOME_FAILED: "failed",
    delivery_pb2.OUTCOME_AMBIGUOUS: "ambiguous",
    delivery_pb2.OUTCOME_NOT_SENT: "not_sent",
}


class Session:
    """One stream. `run` serves it; `drain` may be called meanwhile.

    Arguments:
        project: the only one to serve, or "" for all.
        channel: what the worker carries.
        projects: the registry.
        pool: where batches are rendered.
        commits: tells when something may wait.
        context: the call, to write to.
    """

    def __init__(
        self, project: str, channel: ChannelName, projects: Projects, pool: Pool, commits: Commits, context: Any
    ) -> None:
        self._project = project
        self.channel = channel
        self._projects = projects
        self._pool = pool
        self._commits = commits
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._writing = asyncio.Lock()
        self._credit = 0
        self._ready = dict.fromkeys([project] if project else [one.name for one in projects.all()])
        self._stir = asyncio.Event()
        self._grants = asyncio.Semaphore(_MOST_GRANTS)
        self._acks: asyncio.Queue[tuple[int, Future[int]]] = asyncio.Queue(_MOST_ACKS)
        self._confirmed = 0
        self._lock = threading.Lock()
        self._batches: dict[int, Project] = {}
        self._prune_at = _PRUNE_FROM
        self._gone = False
        self._draining = False
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self, requests: AsyncIterator[delivery_pb2.DeliverRequest]) -> None:
        """Serve until the worker ends its side; whatever ends it, what it leaves behind is abandoned.

        Raises:
            Unavailable: SERVER_STOPPING, after `drain`.
            MusterError: for what the worker may not ask, or where acknowledgements cannot be made durable.
        """
        deaf = self._commits.listen(self._wake)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._offer()),
                    group.create_task(self._confirm()),
                    reading := group.create_task(self._read(requests, group)),
                    settling := group.create_task(self._wait_until_settled()),
                ]
                await asyncio.wait({reading, settling}, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        finally:
            deaf()
            self._abandon()
            self._ended.set()
        if self._draining:
            raise Unavailable("the server is stopping", mend="try again when it is back", code="SERVER_STOPPING")

    async def drain(self) -> None:
        """Offer and grant nothing more, and wait until the stream has ended: once all that began is acknowledged."""
        self._draining = True
        self._check_settled()
        await self._ended.wait()

    # From the worker

    async def _read(self, requests: AsyncIterator[delivery_pb2.DeliverRequest], group: asyncio.TaskGroup) -> None:
        async for request in requests:
            kind = request.WhichOneof("request")
            if kind == "credit":
                self._credit = min(self._credit + request.credit.recipients, MOST_CREDIT)
                self._stir.set()
            elif kind == "begin":
                await self._grants.acquire()
                group.create_task(self._grant(request.begin))
            elif kind == "acknowledge":
                await self._acknowledge(request.acknowledge)
            elif kind == "release":
                self._release(request.release.batch_id)
            else:
                raise InvalidInput(
                    "a second hello" if kind else "a request of no kind",
                    field="request",
                    mend="one of credit, begin, acknowledge and release",
                    code="HELLO_REPEATED" if kind else "REQUEST_MISSING",
                )
        await self._acks.join()

    async def _grant(self, begin: delivery_pb2.Begin) -> None:
        try:
            project = self._batches.get(begin.batch_id)
            granted: list[int] = []
            if project is not None and not self._draining:
                try:
                    granted = await settled(project.desk.begin(begin.batch_id, list(begin.indexes)))
                except MusterError as error:
                    # Nothing was changed, so nobody may be sent to; they are offered again once commits succeed.
                    log.warning("no leave to begin in %s: %s", project.name, error)
                    self._retry(project.name)
            answer = delivery_pb2.Granted(batch_id=begin.batch_id, indexes=granted)
            await self._write(delivery_pb2.DeliverResponse(granted=answer))
            if project is not None and len(granted) < len(begin.indexes):
                self._commits.touch(
                    project.name
                )  # who was refused may wait, to be rendered anew: no commit tells of it
        finally:
            self._grants.release()
        self._check_settled()

    async def _acknowledge(self, request: delivery_pb2.Acknowledge) -> None:
        project = self._projects.get(request.project or self._project)
        acks = [
            Ack(
                one.idempotency_key,
                _outcome(one.outcome, index),
                one.detail[:_LONGEST_DETAIL],
                one.provider_id[:_LONGEST_DETAIL],
                one.attempt or 1,
                list(one.removed_tokens),
            )
            for index, one in enumerate(request.acknowledgements)
        ]
        if acks:
            await self._acks.put((len(acks), project.desk.acknowledge(acks)))

    async def _confirm(self) -> None:
        while True:
            count, future = await self._acks.get()
            await settled(future)
            self._confirmed += count
            answer = delivery_pb2.Acknowledged(count=self._confirmed)
            await self._write(delivery_pb2.DeliverResponse(acknowledged=answer))
            self._acks.task_done()
            self._check_settled()

    def _release(self, batch_id: int) -> None:
        project = self._batches.get(batch_id)
        if project is not None:
            project.desk.release(batch_id)
            self._commits.touch(project.name)

    # To the worker

    def _wake(self, name: str) -> None:
        if self._project in ("", name):
            self._ready[name] = None
            self._stir.set()

    def _retry(self, name: str) -> None:
        self._loop.call_later(_RETRY_SECONDS, self._wake, name)

    async def _offer(self) -> None:
        while True:
            while not self._credit or not self._ready or self._draining:
                self._stir.clear()
                await self._stir.wait()
            # Whoever has been ready longest is first and, having more, last again: projects take turns.
            name = next(iter(self._ready))
            del self._ready[name]
            try:
                project = self._projects.get(name)
                if project.engine.health():
                    self._retry(name)
                    continue
                made = await self._pool.run(self._make, project, min(self._credit, _MOST_RECIPIENTS))
            except MusterError as error:
                log.warning("nothing can be offered of %s for now: %s", name, error)
                self._retry(name)
                continue
            if made is None and project.desk.is_paced(self.channel):
                self._loop.call_later(_PACE_SECONDS, self._wake, name)
            if made is not None:
                self._ready[name] = None
                self._credit -= len(made.recipients)
                self._prune()
                await self._write(delivery_pb2.DeliverResponse(batch=made))

    def _make(self, project: Project, limit: int) -> delivery_pb2.Batch | None:
        """Lease and render a batch. Runs in the pool, perhaps beyond the stream's end: then it is given back."""
        offer = project.desk.offer(self.channel, limit, _MOST_CHARACTERS)
        if offer is None:
            return None
        with self._lock:
            gone = self._gone
            if not gone:
                self._batches[offer.batch_id] = project
        if gone:
            project.desk.release(offer.batch_id)
            self._loop.call_soon_threadsafe(self._commits.touch, project.name)
            return None
        self._loop.call_soon_threadsafe(
            self._loop.call_later, offer.expires_in, self._lease_ended, project, offer.batch_id
        )
        return convert.batch(project.name, offer, int((time.time() + offer.expires_in) * 1_000_000))

    def _lease_ended(self, project: Project, batch_id: int) -> None:
        """What was not begun waits for somebody else from now on, and no commit tells of it."""
        if project.desk.holds(batch_id):
            self._commits.touch(project.name)

    def _prune(self) -> None:
        """Forget batches of which nothing is open any more, now and then."""
        with self._lock:
            if len(self._batches) > self._prune_at:
                self._batches = {n: project for n, project in self._batches.items() if project.desk.holds(n)}
                self._prune_at = 2 * len(self._batches) + _PRUNE_FROM

    async def _write(self, response: delivery_pb2.DeliverResponse) -> None:
        async with self._writing:
            try:
                await self._context.write(response)
            except grpc.aio.InternalError as error:  # how grpc tells that the peer went away in mid-write
                raise Unavailable("the worker has gone", code="WORKER_GONE") from error

    # The end

    def _check_settled(self) -> None:
        if self._draining and self._acks.empty() and not self._owed():
            self._settled.set()

    def _owed(self) -> int:
        return sum(project.desk.owed(numbers) for project, numbers in self._by_project())

    async def _wait_until_settled(self) -> None:
        await self._settled.wait()

    def _by_project(self) -> list[tuple[Project, list[int]]]:
        with self._lock:
            found: dict[str, tuple[Project, list[int]]] = {}
            for number, project in self._batches.items():
                found.setdefault(project.name, (project, []))[1].append(number)
            return list(found.values())

    def _abandon(self) -> None:
        with self._lock:
            self._gone = True
        for project, numbers in self._by_project():
            project.desk.abandon(numbers)
            self._commits.touch(project.name)


def _outcome(value: int, index: int) -> Outcome:
    if value not in _OUTCOMES:
        raise InvalidInput(
            "an acknowledgement without an outcome",
            field=f"acknowledge.acknowledgements[{index}].outcome",
            mend="one of Outcome",
            code="OUTCOME_MISSING",
        )
    return _OUTCOMES[value]


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that broke the stream: the first that is not the group's own way of ending its tasks."""
    for failure in failures.exceptions:
        return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
    raise AssertionError("a group holds at least one")
