"""AudienceService: who matches, and why."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Final

import numpy as np
from muster.v1 import audience_pb2, audience_pb2_grpc
from pyroaring import BitMap

from core.commands import DeleteAudience, SaveAudience
from core.errors import InvalidInput
from core.evaluator import answers
from core.evaluator.asking import NameWarning
from core.evaluator.explain import Explanation
from core.profiles import reading
from core.version import Version
from server.blocking import Pool
from server.convert import audiences as convert
from server.convert.times import timestamp
from server.convert.values import parameters
from server.paging import Pages, page_size
from server.projects import Projects
from server.versions import Versions

_IDS_PER_PART: Final = 4_096
_ORDINALS_PER_PART: Final = 65_536
_BITMAP_BYTES_PER_PART: Final = 1 << 20


class AudienceService(audience_pb2_grpc.AudienceServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/audience.proto.

    Arguments:
        projects: the registry.
        pool: where evaluation runs.
        versions: which version a question means.
    """

    def __init__(self, projects: Projects, pool: Pool, versions: Versions) -> None:
        self._versions = versions
        self._projects = projects
        self._pool = pool

    async def Count(  # noqa: N802
        self, request: audience_pb2.CountRequest, context: Any
    ) -> audience_pb2.CountResponse:
        """How many users match."""
        started = time.perf_counter_ns()
        version = await self._versions.of(request)
        params = parameters(request.params)
        view = await self._pool.run(answers.count, version, request.expression, params, request.explain)
        return audience_pb2.CountResponse(
            count=view.count,
            total=view.total,
            leaves=convert.leaves(view.leaves),
            warnings=convert.warnings(view.warnings),
            elapsed_micros=(time.perf_counter_ns() - started) // 1_000,
            now=timestamp(view.now),
            plan=view.plan,
        )

    async def Select(  # noqa: N802
        self, request: audience_pb2.SelectRequest, context: Any
    ) -> AsyncIterator[audience_pb2.SelectResponse]:
        """The matching users in ordinal order, in parts."""
        version = await self._versions.of(request)
        params = parameters(request.params)
        if request.format not in audience_pb2.SelectFormat.values():
            raise InvalidInput(
                "a format of no known kind", field="format", mend="one of SelectFormat", code="SELECT_FORMAT"
            )
        users = await self._pool.run(_select, version, request.expression, params, request.limit)
        if request.format == audience_pb2.SELECT_FORMAT_BITMAP:
            # A client joins the parts: one portable bitmap, however long.
            data = await self._pool.run(users.serialize)
            for start in range(0, len(data), _BITMAP_BYTES_PER_PART):
                yield audience_pb2.SelectResponse(bitmap=data[start : start + _BITMAP_BYTES_PER_PART])
            return
        if request.format == audience_pb2.SELECT_FORMAT_ORDINALS:
            ordinals = await self._pool.run(_ordinals, users)
            for start in range(0, len(ordinals), _ORDINALS_PER_PART):
                part = ordinals[start : start + _ORDINALS_PER_PART]
                yield audience_pb2.SelectResponse(ordinals=part.astype("<u4").tobytes())
            return
        async for ids in self._ids(version, users):
            yield audience_pb2.SelectResponse(distinct_ids=ids)

    async def Diff(  # noqa: N802
        self, request: audience_pb2.DiffRequest, context: Any
    ) -> AsyncIterator[audience_pb2.DiffResponse]:
        """Who would come in and who would leave, counts first."""
        version = await self._versions.of(request)
        params = parameters(request.params)
        found = await self._pool.run(answers.diff, version, request.before, request.after, params)
        yield audience_pb2.DiffResponse(
            counts=audience_pb2.DiffCounts(
                before=found.before,
                after=found.after,
                entering=len(found.entering),
                leaving=len(found.leaving),
                total=found.total,
            ),
            warnings=convert.warnings(found.warnings),
            now=timestamp(found.now),
        )
        if request.counts_only:
            return
        async for ids in self._ids(version, _first(found.entering, request.limit)):
            yield audience_pb2.DiffResponse(entering=ids)
        async for ids in self._ids(version, _first(found.leaving, request.limit)):
            yield audience_pb2.DiffResponse(leaving=ids)

    async def _ids(self, version: Version, users: BitMap) -> AsyncIterator[list[str]]:
        """The ids of users in parts."""
        ordinals = await self._pool.run(_ordinals, users)
        for start in range(0, len(ordinals), _IDS_PER_PART):
            part = ordinals[start : start + _IDS_PER_PART]
            yield await self._pool.run(reading.distinct_ids, version, part)

    async def Explain(  # noqa: N802
        self, request: audience_pb2.ExplainRequest, context: Any
    ) -> audience_pb2.ExplainResponse:
        """Why one user matches or does not."""
        version = await self._versions.of(request)
        params = parameters(request.params)
        tree, warnings = await self._pool.run(_explain, version, request.expression, params, request.distinct_id)
        return audience_pb2.ExplainResponse(
            explanation=convert.explanation(tree), now=timestamp(version.now), warnings=convert.warnings(warnings)
        )

    async def SaveAudience(  # noqa: N802
        self, request: audience_pb2.SaveAudienceRequest, context: Any
    ) -> audience_pb2.SaveAudienceResponse:
        """Save an audience by expression or by ids."""
        project = self._projects.get(request.project)
        sent = request.audience
        kind = sent.WhichOneof("members")
        definition = await project.submit(
            SaveAudience(
                name=sent.name,
                description=sent.description,
                expression=sent.expression if kind == "expression" else None,
                ids=list(sent.ids.distinct_ids) if kind == "ids" else None,
                create_missing=request.create_missing,
            ),
            request.request_id,
        )
        return audience_pb2.SaveAudienceResponse(audience=convert.audience(definition))

    async def GetAudience(  # noqa: N802
        self, request: audience_pb2.GetAudienceRequest, context: Any
    ) -> audience_pb2.GetAudienceResponse:
        """One saved audience."""
        definition = self._projects.get(request.project).engine.version.audiences.get(request.name)
        return audience_pb2.GetAudienceResponse(audience=convert.audience(definition))

    async def ListAudiences(  # noqa: N802
        self, request: audience_pb2.ListAudiencesRequest, context: Any
    ) -> audience_pb2.ListAudiencesResponse:
        """Saved audiences by name."""
        version = self._projects.get(request.project).engine.version
        pages = Pages("ListAudiences", request.project)
        after = pages.position(request.page_token, "")
        limit = page_size(request.page_size)
        found = version.audiences.page(after, limit + 1)
        return audience_pb2.ListAudiencesResponse(
            audiences=[convert.audience(one) for one in found[:limit]],
            next_page_token=pages.token(found[limit - 1].name if len(found) > limit else None),
        )

    async def DeleteAudience(  # noqa: N802
        self, request: audience_pb2.DeleteAudienceRequest, context: Any
    ) -> audience_pb2.DeleteAudienceResponse:
        """Delete an audience that nothing uses."""
        project = self._projects.get(request.project)
        await project.submit(DeleteAudience(request.name), request.request_id)
        return audience_pb2.DeleteAudienceResponse()


def _select(version: Version, expression: str, params: dict[str, Any], limit: int) -> BitMap:
    return _first(answers.select(version, expression, params), limit)


def _first(users: BitMap, limit: int) -> BitMap:
    """The first users, in ordinal order; all where there is no limit (0)."""
    first: BitMap = users[:limit] if 0 < limit < len(users) else users
    return first


def _explain(
    version: Version, expression: str, params: dict[str, Any], distinct_id: str
) -> tuple[Explanation, list[NameWarning]]:
    return answers.explain(version, expression, params, reading.find(version, distinct_id))


def _ordinals(users: BitMap) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.frombuffer(users.to_array(), np.uint32)
