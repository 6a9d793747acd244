"""Reading users: profiles, timelines, the schema of what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from muster import flow as flows
from muster.flow import Flow, Rpc
from muster.service import Items, Service, Way, answered, listed, new_request_id
from muster.v1 import ingest_pb2, profile_pb2

_SERVICE: Final = "/muster.v1.ProfileService"
_GET: Final = Rpc(f"{_SERVICE}/GetProfile", profile_pb2.GetProfileResponse)
_LIST: Final = Rpc(f"{_SERVICE}/ListProfiles", profile_pb2.ListProfilesResponse)
_DELETE: Final = Rpc(f"{_SERVICE}/DeleteProfile", profile_pb2.DeleteProfileResponse)
_EVENTS: Final = Rpc(f"{_SERVICE}/ListEvents", profile_pb2.ListEventsResponse)
_EXPORT: Final = Rpc(f"{_SERVICE}/ExportEvents", profile_pb2.ExportEventsResponse)
_SCHEMA: Final = Rpc(f"{_SERVICE}/GetSchema", profile_pb2.GetSchemaResponse)


class Profiles(Service[Way]):
    """`client.profiles`: reads users."""

    @answered
    def get(self, distinct_id: str) -> Flow[profile_pb2.Profile]:
        """One user's profile.

        Arguments:
            distinct_id: any of the user's ids.

        Raises:
            NotFound: if no user has that id.

        Example::

            profile = client.profiles.get("u1")
            muster.values.to_python(profile.properties)  # {"plan": "free", …}
        """
        request = profile_pb2.GetProfileRequest(project=self._project, distinct_id=distinct_id)
        answer = yield from self._ask(_GET, request)
        return answer.profile

    @listed
    def list(self, expression: str = "", *, limit: int | None = None, page_size: int = 0) -> Items[profile_pb2.Profile]:
        """Users in order of first sight.

        Arguments:
            expression: targeting in CEL; "": everybody.
            limit: at most so many; None: all.
            page_size: how many the server is asked for at once, at most 1,000; 0: its default.

        Raises:
            InvalidInput: for an expression that cannot be used; its place is the error's `position`.

        Example::

            for profile in client.profiles.list('user.plan == "free"', limit=10):
                print(profile.distinct_id)
        """

        def page(token: str) -> Flow[profile_pb2.ListProfilesResponse]:
            return self._ask(
                _LIST,
                profile_pb2.ListProfilesRequest(
                    project=self._project, expression=expression, page_size=page_size, page_token=token
                ),
            )

        return Items(profile_pb2.Profile, flows.pages(page, lambda found: found.profiles, limit))

    @answered
    def delete(self, distinct_id: str, *, request_id: str = "") -> Flow[None]:
        """Delete a user: profile, events and ids. Suppressions and once-only marks stay.

        Raises:
            NotFound: if no user has that id.

        Example::

            client.profiles.delete("u1")
        """
        request = profile_pb2.DeleteProfileRequest(
            project=self._project, request_id=request_id or new_request_id(), distinct_id=distinct_id
        )
        yield from self._ask(_DELETE, request)

    @listed
    def events(
        self, distinct_id: str, *, names: Sequence[str] = (), limit: int | None = None, page_size: int = 0
    ) -> Items[profile_pb2.TimelineEvent]:
        """A user's events, newest first.

        Arguments:
            distinct_id: any of the user's ids.
            names: only events of these names; empty: all.
            limit: at most so many; None: all.
            page_size: how many the server is asked for at once, at most 1,000; 0: its default.

        Raises:
            NotFound: if no user has that id.

        Example::

            for event in client.profiles.events("u1", names=["Purchase"]):
                print(muster.values.to_datetime(event.time), event.name)
        """

        def page(token: str) -> Flow[profile_pb2.ListEventsResponse]:
            return self._ask(
                _EVENTS,
                profile_pb2.ListEventsRequest(
                    project=self._project, distinct_id=distinct_id, names=names, page_size=page_size, page_token=token
                ),
            )

        return Items(profile_pb2.TimelineEvent, flows.pages(page, lambda found: found.events, limit))

    @listed
    def export_events(self, expression: str = "", *, names: Sequence[str] = ()) -> Items[ingest_pb2.Event]:
        """The events of many users as a stream, by name, then day, then user.

        Arguments:
            expression: targeting in CEL; "": everybody's.
            names: only events of these names; empty: all.

        Raises:
            Unavailable: also in mid-stream, when the connection breaks: what came until then is part of the answer.

        Example::

            for event in client.profiles.export_events(names=["Purchase"]):
                print(event.distinct_id, muster.values.to_datetime(event.time))
        """
        request = profile_pb2.ExportEventsRequest(project=self._project, expression=expression, names=names)
        retry = self._transport.connection.retry
        return Items(ingest_pb2.Event, flows.stream(_EXPORT, request, retry, lambda part: part.events))

    @answered
    def schema(self) -> Flow[profile_pb2.GetSchemaResponse]:
        """The property and event names seen, with types and counts.

        Example::

            for event in client.profiles.schema().events:
                print(event.name, event.count)
        """
        return (yield from self._ask(_SCHEMA, profile_pb2.GetSchemaRequest(project=self._project)))
