"""InAppService: what apps show to their users, and what the users did with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from muster.v1 import in_app_pb2, in_app_pb2_grpc

from core.commands import ReportInApp
from core.errors import InvalidInput, Unavailable
from core.messaging import in_app
from core.profiles.validate import check_id
from server.blocking import Pool
from server.commits import Commits
from server.convert import in_app as convert
from server.projects import Project, Projects

_LEAST_SECONDS: Final = 0.1
"""A stream is looked after no more often than this: many commits are one change."""

_LOOK_SECONDS: Final = 30.0
"""And no less often: time alone commits nothing, and yet lets something expire or match."""


class InAppService(in_app_pb2_grpc.InAppServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/in_app.proto.

    Arguments:
        projects: the registry.
        pool: where messages are rendered.
        commits: tells when something may wait.
    """

    def __init__(self, projects: Projects, pool: Pool, commits: Commits) -> None:
        self._projects = projects
        self._pool = pool
        self._commits = commits
        self._stopping = False
        self._stirred: set[asyncio.Event] = set()

    async def FetchInApp(  # noqa: N802
        self, request: in_app_pb2.FetchInAppRequest, context: Any
    ) -> in_app_pb2.FetchInAppResponse:
        """What may be shown to a user now."""
        project = self._projects.get(request.project)
        check_id(request.distinct_id)
        event = convert.event(request.event) if request.HasField("event") else None
        return await self._shelf(project, request.distinct_id, request.session_id, event)

    async def WatchInApp(  # noqa: N802
        self, request: in_app_pb2.WatchInAppRequest, context: Any
    ) -> AsyncIterator[in_app_pb2.WatchInAppResponse]:
        """The same, whenever it changes."""
        project = self._projects.get(request.project)
        check_id(request.distinct_id)
        stirred = asyncio.Event()
        self._stirred.add(stirred)
        deaf = self._commits.listen(lambda name: stirred.set() if name == project.name else None)
        told: in_app_pb2.FetchInAppResponse | None = None
        try:
            while not self._stopping:
                stirred.clear()
                # Most commits are about others: nothing is rendered for whom nothing waits, or waited.
                if told is None or told.messages or in_app.waits(project.engine.version, request.distinct_id):
                    found = await self._shelf(project, request.distinct_id, request.session_id, None)
                    if found != told:
                        told = found
                        yield in_app_pb2.WatchInAppResponse(
                            messages=found.messages,
                            remaining=found.remaining if found.HasField("remaining") else None,
                        )
                await asyncio.sleep(_LEAST_SECONDS)
                try:
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await stirred.wait()
                except TimeoutError:
                    continue  # look all the same
        finally:
            deaf()
            self._stirred.discard(stirred)
        raise Unavailable("the server is stopping", mend="try again when it is back", code="SERVER_STOPPING")

    async def ReportInApp(  # noqa: N802
        self, request: in_app_pb2.ReportInAppRequest, context: Any
    ) -> in_app_pb2.ReportInAppResponse:
        """Take what users did with messages."""
        project = self._projects.get(request.project)
        if not request.reports:
            raise InvalidInput("there are no reports", field="reports", mend="tell of one at least", code="NO_VALUE")
        reports = [convert.report(one, index) for index, one in enumerate(request.reports)]
        return convert.taken(await project.submit(ReportInApp(reports), request.request_id))

    def stop(self) -> None:
        """End the streams: they would never end by themselves."""
        self._stopping = True
        for stirred in self._stirred:
            stirred.set()

    async def _shelf(
        self, project: Project, distinct_id: str, session_id: str, event: in_app.Event | None
    ) -> in_app_pb2.FetchInAppResponse:
        found = await self._pool.run(in_app.shelf, project.engine.version, distinct_id, session_id, event)
        return convert.shelf(found)
