"""HistoryService: how far back a project can be asked, and stores restored to a past instant."""

from __future__ import annotations

from typing import Any

from muster.v1 import history_pb2, history_pb2_grpc

from core.errors import InvalidInput
from server.auth import CALLER
from server.blocking import Pool
from server.convert.times import micros, timestamp
from server.folders import absolute, size_of
from server.projects import Projects


class HistoryService(history_pb2_grpc.HistoryServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/history.proto.

    Arguments:
        projects: the registry.
        pool: where the past is read and written.
    """

    def __init__(self, projects: Projects, pool: Pool) -> None:
        self._projects = projects
        self._pool = pool

    async def GetHistory(  # noqa: N802
        self, request: history_pb2.GetHistoryRequest, context: Any
    ) -> history_pb2.GetHistoryResponse:
        """What is kept, and what it takes."""
        engine = self._projects.get(request.project).engine
        reach = await self._pool.run(engine.history.reach)
        return history_pb2.GetHistoryResponse(
            earliest_time=timestamp(reach.earliest),
            now=timestamp(engine.version.now),
            checkpoints=[
                history_pb2.Checkpoint(time=timestamp(now), write_time=timestamp(one.at), position=one.position)
                for one, now in reach.checkpoints
            ],
            log_bytes=reach.log_bytes,
            page_bytes=reach.page_bytes,
            disk_bytes=reach.disk_bytes,
        )

    async def PruneHistory(  # noqa: N802
        self, request: history_pb2.PruneHistoryRequest, context: Any
    ) -> history_pb2.PruneHistoryResponse:
        """Drop what is older."""
        CALLER.get().require_all()
        engine = self._projects.get(request.project).engine
        if not request.HasField("before"):
            raise InvalidInput("no time is given", field="before", mend="the first to keep", code="TIME_MISSING")
        await self._pool.run(engine.prune, micros(request.before, "before"))
        reach = await self._pool.run(engine.history.reach)
        return history_pb2.PruneHistoryResponse(earliest_time=timestamp(reach.earliest))

    async def RestoreProject(  # noqa: N802
        self, request: history_pb2.RestoreProjectRequest, context: Any
    ) -> history_pb2.RestoreProjectResponse:
        """Write the project as it was on the server's disk."""
        CALLER.get().require_all()
        engine = self._projects.get(request.project).engine
        if not request.HasField("at"):
            raise InvalidInput("no time is given", field="at", mend="when to restore it to", code="TIME_MISSING")
        destination = absolute(request.destination)
        await self._pool.run(engine.restore, micros(request.at, "at"), destination)
        size = await self._pool.run(size_of, destination)
        return history_pb2.RestoreProjectResponse(destination=str(destination), bytes=size)
