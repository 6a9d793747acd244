"""IngestService: events, profile updates, imports, merges."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator
from typing import Any, Final

from muster.v1 import ingest_pb2, ingest_pb2_grpc

from core.commands import Ingest, MergeUsers
from core.errors import InvalidInput
from core.profiles.batch import ChangeBatch, EventBatch, Read
from core.profiles.records import MAX_ID_BYTES, EventRecord, IngestResult, ProfileChange
from server.blocking import Pool, settled
from server.convert import records
from server.convert.batches import Request
from server.projects import Project, Projects

_IN_FLIGHT: Final = 8  # batches of one import that may wait for their commit: enough for groups, bounded memory


class IngestService(ingest_pb2_grpc.IngestServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/ingest.proto. Requests that carry records come as columns (server/convert/batches.py).

    Arguments:
        projects: the registry.
        pool: where records that are not plainly good are converted.
    """

    def __init__(self, projects: Projects, pool: Pool) -> None:
        self._projects = projects
        self._pool = pool

    async def Track(self, request: Request, context: Any) -> ingest_pb2.TrackResponse:  # noqa: N802
        """Store events."""
        project = self._projects.get(request.project)
        result: IngestResult = await project.submit(Ingest(*await self._lists(request)), request.request_id)
        return ingest_pb2.TrackResponse(
            accepted=result.accepted, duplicates=result.duplicates, errors=records.errors(result.errors)
        )

    async def UpdateProfiles(  # noqa: N802
        self, request: Request, context: Any
    ) -> ingest_pb2.UpdateProfilesResponse:
        """Change profiles."""
        project = self._projects.get(request.project)
        result: IngestResult = await project.submit(Ingest(*await self._lists(request)), request.request_id)
        return ingest_pb2.UpdateProfilesResponse(accepted=result.accepted, errors=records.errors(result.errors))

    async def Import(  # noqa: N802
        self, requests: AsyncIterator[Request], context: Any
    ) -> AsyncIterator[ingest_pb2.ImportResponse]:
        """Load history, batch after batch; each answer is the offset that is durable.

        Batches are submitted as they come and answered in order as they commit, so that several share a commit.
        """
        first = await anext(aiter(requests), None)
        if first is None:
            return
        project = self._projects.get(first.project)
        import_id = _import_id(first)
        if not first.records:
            yield ingest_pb2.ImportResponse(next_offset=project.engine.import_offset(import_id))
            first = None
        pending: asyncio.Queue[concurrent.futures.Future[IngestResult] | None] = asyncio.Queue(_IN_FLIGHT)
        reader = asyncio.create_task(self._submit_all(project, import_id, first, requests, pending))
        try:
            while (future := await pending.get()) is not None:
                result = await settled(future)
                yield ingest_pb2.ImportResponse(
                    next_offset=result.next_offset,
                    accepted=result.accepted,
                    duplicates=result.duplicates,
                    errors=records.errors(result.errors),
                )
            await reader
        finally:
            reader.cancel()

    async def _submit_all(
        self,
        project: Project,
        import_id: str,
        first: Request | None,
        requests: AsyncIterator[Request],
        pending: asyncio.Queue[concurrent.futures.Future[IngestResult] | None],
    ) -> None:
        try:
            if first is not None:
                await pending.put(await self._submit(project, import_id, first))
            async for request in requests:
                _same("project", project.name, request.project)
                _same("import_id", import_id, request.import_id)
                await pending.put(await self._submit(project, import_id, request))
        except Exception:
            # What was taken before it is still answered, then the error ends the stream.
            await pending.put(None)
            raise
        await pending.put(None)

    async def _submit(
        self, project: Project, import_id: str, request: Request
    ) -> concurrent.futures.Future[IngestResult]:
        events, changes = await self._lists(request)
        return project.engine.submit(Ingest(events, changes, imported=True, import_id=import_id, offset=request.offset))

    async def _lists(self, request: Request) -> tuple[Read[EventBatch, EventRecord], Read[ChangeBatch, ProfileChange]]:
        """The request's events and changes. What takes its time is done in a thread."""
        found = request.records
        return found.lists() if found.is_read else await self._pool.run(found.lists)

    async def MergeUsers(  # noqa: N802
        self, request: ingest_pb2.MergeUsersRequest, context: Any
    ) -> ingest_pb2.MergeUsersResponse:
        """Make two ids one user."""
        project = self._projects.get(request.project)
        merged = await project.submit(MergeUsers(request.distinct_id, request.other_id), request.request_id)
        return ingest_pb2.MergeUsersResponse(merged=merged)


def _import_id(request: Request) -> str:
    import_id = request.import_id
    if not import_id or len(import_id.encode()) > MAX_ID_BYTES:
        raise InvalidInput(
            "the import has no name" if not import_id else f"the import's name is over {MAX_ID_BYTES} bytes",
            field="import_id",
            mend=f"1 to {MAX_ID_BYTES} bytes, the same each time this source is sent",
            code="IMPORT_ID_MISSING" if not import_id else "ID_TOO_LONG",
        )
    return import_id


def _same(field: str, first: str, later: str) -> None:
    """Refuse a later message of an import that is meant for another project or import than the first."""
    if later not in ("", first):
        raise InvalidInput(
            f"the stream began with {first!r}, and now names {later!r}",
            field=field,
            mend="open a stream for each; after the first message it may be left out",
            code="IMPORT_CHANGED",
        )
