"""In-app messages: what an app shows to its user, and what the user did with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

from muster import flow as flows
from muster import values
from muster.errors import InvalidInput
from muster.flow import Flow, Rpc
from muster.service import Items, Service, Way, answered, listed, new_request_id
from muster.v1 import in_app_pb2

InAppAction: TypeAlias = Literal["shown", "clicked", "dismissed"]

_SERVICE: Final = "/muster.v1.InAppService"
_FETCH: Final = Rpc(f"{_SERVICE}/FetchInApp", in_app_pb2.FetchInAppResponse)
_WATCH: Final = Rpc(f"{_SERVICE}/WatchInApp", in_app_pb2.WatchInAppResponse)
_REPORT: Final = Rpc(f"{_SERVICE}/ReportInApp", in_app_pb2.ReportInAppResponse)
_ACTIONS: Final[dict[str, Any]] = {
    "shown": in_app_pb2.IN_APP_ACTION_SHOWN,
    "clicked": in_app_pb2.IN_APP_ACTION_CLICKED,
    "dismissed": in_app_pb2.IN_APP_ACTION_DISMISSED,
}


def in_app_report(id: str, action: InAppAction, *, session_id: str = "", link: str = "") -> in_app_pb2.InAppReport:
    """What a user did with an in-app message.

    Arguments:
        id: of the message, as it was fetched.
        action: "shown", "clicked" or "dismissed"; the latter two mean that it was shown, too.
        session_id: in which it was shown.
        link: what a click opened.

    Raises:
        InvalidInput: CHOICE, for an action that there is not; VALUE_TYPE.

    Example::

        >>> in_app_report("5eed.hi.0.7", "clicked", link="shop://sale").link
        'shop://sale'
    """
    if action not in _ACTIONS:
        raise InvalidInput(f"the action {action!r}", field="action", mend=" or ".join(_ACTIONS), code="CHOICE")
    try:
        return in_app_pb2.InAppReport(id=id, action=_ACTIONS[action], session_id=session_id, link=link)
    except (TypeError, ValueError) as error:
        raise InvalidInput(str(error), mend="texts are str", code="VALUE_TYPE") from error


class InApp(Service[Way]):
    """`client.in_app`: what may be shown to a user, and what the user did with it."""

    @answered
    def fetch(
        self,
        distinct_id: str,
        *,
        session_id: str = "",
        event: str = "",
        properties: Mapping[str, Any] | None = None,
    ) -> Flow[in_app_pb2.FetchInAppResponse]:
        """What may be shown to a user now, the longest waiting first.

        Arguments:
            session_id: the app's name of its session, for the project's limit of messages a session; "": no limit.
            event: the name of what the user has just done: only what waits for that. "": what waits for nothing, and
                after it what waits for some event.
            properties: of that event.

        Example::

            for waiting in client.in_app.fetch("u1", session_id="s1").messages:
                print(waiting.content.title, waiting.id)
        """
        request = in_app_pb2.FetchInAppRequest(project=self._project, distinct_id=distinct_id, session_id=session_id)
        if event:
            request.event.name = event
            for name, value in values.from_python(properties or {}).items():
                request.event.properties[name].CopyFrom(value)
        return (yield from self._ask(_FETCH, request))

    @listed
    def watch(self, distinct_id: str, *, session_id: str = "") -> Items[in_app_pb2.WatchInAppResponse]:
        """What may be shown to a user, at once and again whenever it changes. Ends with the iteration.

        Arguments:
            session_id: as for `fetch`.

        Raises:
            Unavailable: the stream broke; watch again.

        Example::

            for shelf in client.in_app.watch("u1"):
                print([waiting.message_key for waiting in shelf.messages])
        """
        request = in_app_pb2.WatchInAppRequest(project=self._project, distinct_id=distinct_id, session_id=session_id)
        retry = self._transport.connection.retry
        return Items(in_app_pb2.WatchInAppResponse, flows.stream(_WATCH, request, retry, lambda part: [part]))

    @answered
    def report(
        self, reports: Iterable[in_app_pb2.InAppReport], *, request_id: str = ""
    ) -> Flow[in_app_pb2.ReportInAppResponse]:
        """Tell what users did. What was told before changes nothing.

        Arguments:
            reports: made by `muster.in_app_report`; at most 10,000.

        Example::

            client.in_app.report([muster.in_app_report(waiting.id, "shown", session_id="s1")])
        """
        request = in_app_pb2.ReportInAppRequest(
            project=self._project, request_id=request_id or new_request_id(), reports=list(reports)
        )
        return (yield from self._ask(_REPORT, request))
