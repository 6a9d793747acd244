"""ProfileService: users, their events, and the schema of what was seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from muster.v1 import profile_pb2, profile_pb2_grpc

from core.commands import DeleteUser
from core.evaluator import answers
from core.profiles import reading
from server.blocking import Pool
from server.convert.schema import event_schema, property_schema
from server.convert.times import timestamp
from server.convert.values import write_properties
from server.paging import Pages, page_size
from server.projects import Projects


class ProfileService(profile_pb2_grpc.ProfileServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/profile.proto.

    Arguments:
        projects: the registry.
        pool: where reads run.
    """

    def __init__(self, projects: Projects, pool: Pool) -> None:
        self._projects = projects
        self._pool = pool

    async def GetProfile(  # noqa: N802
        self, request: profile_pb2.GetProfileRequest, context: Any
    ) -> profile_pb2.GetProfileResponse:
        """One user."""
        version = self._projects.get(request.project).engine.version
        view = await self._pool.run(reading.profile, version, request.distinct_id)
        return profile_pb2.GetProfileResponse(profile=_profile(view))

    async def ListProfiles(  # noqa: N802
        self, request: profile_pb2.ListProfilesRequest, context: Any
    ) -> profile_pb2.ListProfilesResponse:
        """Users in order of first sight, or those an expression matches."""
        version = self._projects.get(request.project).engine.version
        pages = Pages("ListProfiles", request.project, request.expression)
        after = pages.position(request.page_token, -1)
        limit = page_size(request.page_size)

        def read() -> profile_pb2.ListProfilesResponse:
            matched = None
            if request.expression:
                matched = answers.select(version, request.expression, {})
            views, following = reading.profiles_page(version, matched, after, limit)
            return profile_pb2.ListProfilesResponse(
                profiles=[_profile(view) for view in views], next_page_token=pages.token(following)
            )

        return await self._pool.run(read)

    async def DeleteProfile(  # noqa: N802
        self, request: profile_pb2.DeleteProfileRequest, context: Any
    ) -> profile_pb2.DeleteProfileResponse:
        """Delete a user."""
        project = self._projects.get(request.project)
        await project.submit(DeleteUser(request.distinct_id), request.request_id)
        return profile_pb2.DeleteProfileResponse()

    async def ListEvents(  # noqa: N802
        self, request: profile_pb2.ListEventsRequest, context: Any
    ) -> profile_pb2.ListEventsResponse:
        """A user's events, newest first."""
        version = self._projects.get(request.project).engine.version
        names = list(request.names)
        pages = Pages("ListEvents", request.project, request.distinct_id, names)
        before = pages.position(request.page_token, "")
        limit = page_size(request.page_size)

        def read() -> profile_pb2.ListEventsResponse:
            events, following = reading.timeline(version, request.distinct_id, limit, before, names)
            response = profile_pb2.ListEventsResponse(next_page_token=pages.token(following or None))
            for name, at, properties in events:
                event = response.events.add(name=name)
                event.time.CopyFrom(timestamp(at))
                write_properties(properties, event.properties)
            return response

        return await self._pool.run(read)

    async def ExportEvents(  # noqa: N802
        self, request: profile_pb2.ExportEventsRequest, context: Any
    ) -> AsyncIterator[profile_pb2.ExportEventsResponse]:
        """The events of many users, in parts."""
        version = self._projects.get(request.project).engine.version
        matched = None
        if request.expression:
            matched = await self._pool.run(answers.select, version, request.expression, {})
        parts = reading.events(version, matched, list(request.names))

        def read() -> profile_pb2.ExportEventsResponse | None:
            part = next(parts, None)
            if part is None:
                return None
            response = profile_pb2.ExportEventsResponse()
            for name, distinct_id, at, insert_id, properties in part:
                event = response.events.add(name=name, distinct_id=distinct_id, insert_id=insert_id)
                event.time.CopyFrom(timestamp(at))
                write_properties(properties, event.properties)
            return response

        while (response := await self._pool.run(read)) is not None:
            yield response

    async def GetSchema(  # noqa: N802
        self, request: profile_pb2.GetSchemaRequest, context: Any
    ) -> profile_pb2.GetSchemaResponse:
        """The names seen, with types and counts."""
        version = self._projects.get(request.project).engine.version
        view = await self._pool.run(reading.schema, version)
        return profile_pb2.GetSchemaResponse(
            properties=[property_schema(one) for one in view.properties],
            events=[event_schema(one) for one in view.events],
        )


def _profile(view: reading.ProfileView) -> profile_pb2.Profile:
    message = profile_pb2.Profile(
        distinct_id=view.distinct_id, distinct_ids=list(view.distinct_ids), ordinal=view.ordinal
    )
    write_properties(view.properties, message.properties)
    return message
