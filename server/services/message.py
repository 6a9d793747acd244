"""MessageService: what is sent to whom, when, and what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, Literal

from muster.v1 import message_pb2, message_pb2_grpc

from core.commands import (
    CreateMessage,
    EndMessage,
    LaunchMessage,
    PauseMessages,
    ResolveAmbiguous,
    ResumeMessage,
    SendMessage,
    UpdateMessage,
)
from core.errors import InvalidInput, StaleEtag
from core.messaging import reading
from core.messaging.definitions import MessageDefinition
from core.messaging.handlers import check_launch
from core.messaging.once_per_address import make_ready
from core.version import Version
from server.blocking import Pool
from server.convert import audiences, messages, reports, values
from server.convert.choices import EXISTING, STATES, chosen
from server.convert.deliveries import rendered
from server.convert.times import timestamp
from server.paging import Pages, page_size
from server.projects import Projects
from server.versions import Versions

_RESOLUTIONS: Final[dict[int, Literal["offer_again", "mark_sent", "mark_failed"]]] = {
    message_pb2.RESOLUTION_OFFER_AGAIN: "offer_again",
    message_pb2.RESOLUTION_MARK_SENT: "mark_sent",
    message_pb2.RESOLUTION_MARK_FAILED: "mark_failed",
}


class MessageService(message_pb2_grpc.MessageServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/message.proto.

    Arguments:
        projects: the registry.
        pool: where reads run.
        versions: which version a question means.
    """

    def __init__(self, projects: Projects, pool: Pool, versions: Versions) -> None:
        self._versions = versions
        self._projects = projects
        self._pool = pool

    def _version(self, project: str) -> Version:
        return self._projects.get(project).engine.version

    async def _warnings(self, version: Version, key: str) -> list[Any]:
        return audiences.warnings(await self._pool.run(reading.name_warnings, version, key))

    async def CreateMessage(  # noqa: N802
        self, request: message_pb2.CreateMessageRequest, context: Any
    ) -> message_pb2.CreateMessageResponse:
        """Create a draft."""
        project = self._projects.get(request.project)
        made = await project.submit(CreateMessage(messages.definition(request.message)), request.request_id)
        warnings = await self._warnings(project.engine.version, made.key)
        return message_pb2.CreateMessageResponse(message=messages.message(made), warnings=warnings)

    async def GetMessage(  # noqa: N802
        self, request: message_pb2.GetMessageRequest, context: Any
    ) -> message_pb2.GetMessageResponse:
        """One message."""
        found = reading.message(self._version(request.project), request.key)
        return message_pb2.GetMessageResponse(message=messages.message(found))

    async def ListMessages(  # noqa: N802
        self, request: message_pb2.ListMessagesRequest, context: Any
    ) -> message_pb2.ListMessagesResponse:
        """Messages by key."""
        version = self._version(request.project)
        state = chosen(STATES, request.state, "state", "MessageState")
        pages = Pages("ListMessages", request.project, request.state)
        after = pages.position(request.page_token, "")
        found, following = reading.messages_page(version, after, page_size(request.page_size), state)
        return message_pb2.ListMessagesResponse(
            messages=[messages.message(one) for one in found], next_page_token=pages.token(following)
        )

    async def UpdateMessage(  # noqa: N802
        self, request: message_pb2.UpdateMessageRequest, context: Any
    ) -> message_pb2.UpdateMessageResponse:
        """Change what the mask names."""
        project = self._projects.get(request.project)
        sent = request.message
        wanted = messages.paths(request.update_mask, sent)
        while True:
            # A path such as `email.subject` is laid over the present content, so that it must still be present
            # when the change is made.
            present = reading.message(project.engine.version, sent.key)
            changes = messages.changes(present, sent, wanted)
            try:
                made = await project.submit(
                    UpdateMessage(sent.key, changes, sent.etag or present.etag), request.request_id
                )
                break
            except StaleEtag:
                if sent.etag:
                    raise
        warnings = await self._warnings(project.engine.version, sent.key)
        return message_pb2.UpdateMessageResponse(message=messages.message(made), warnings=warnings)

    async def LaunchMessage(  # noqa: N802
        self, request: message_pb2.LaunchMessageRequest, context: Any
    ) -> message_pb2.LaunchMessageResponse:
        """Make a draft live, or only tell what that would do."""
        project = self._projects.get(request.project)
        existing = chosen(EXISTING, request.existing, "existing", "Existing")
        if request.validate_only:
            version = project.engine.version

            def forecast() -> reading.Forecast:
                check_launch(version, request.key, request.etag, asked_only=True)
                return reading.forecast(version, request.key)

            found = await self._pool.run(forecast)
            return message_pb2.LaunchMessageResponse(
                message=messages.message(reading.message(version, request.key)), forecast=reports.forecast(found)
            )
        await self._pool.run(make_ready, project.engine.version, request.key)
        made = await project.submit(LaunchMessage(request.key, existing, request.etag), request.request_id)
        return message_pb2.LaunchMessageResponse(message=messages.message(made))

    async def PauseMessage(  # noqa: N802
        self, request: message_pb2.PauseMessageRequest, context: Any
    ) -> message_pb2.PauseMessageResponse:
        """Give no more leave to begin, for one message or for all."""
        project = self._projects.get(request.project)
        if bool(request.key) == request.all:
            raise InvalidInput(
                "both a key and all" if request.all else "no message is named",
                field="key",
                mend="give the key, or set all",
                code="KEY_OR_ALL",
            )
        keys = None if request.all else [request.key]
        made: list[MessageDefinition] = await project.submit(PauseMessages(keys), request.request_id)
        return message_pb2.PauseMessageResponse(messages=[messages.message(one) for one in made])

    async def ResumeMessage(  # noqa: N802
        self, request: message_pb2.ResumeMessageRequest, context: Any
    ) -> message_pb2.ResumeMessageResponse:
        """Judge everybody again and go on."""
        project = self._projects.get(request.project)
        made = await project.submit(ResumeMessage(request.key, request.max_recipients), request.request_id)
        return message_pb2.ResumeMessageResponse(message=messages.message(made))

    async def Send(  # noqa: N802
        self, request: message_pb2.SendRequest, context: Any
    ) -> message_pb2.SendResponse:
        """Send a message to named users, now."""
        return message_pb2.SendResponse(users=await self._send(request, test=False))

    async def TestSend(  # noqa: N802
        self, request: message_pb2.TestSendRequest, context: Any
    ) -> message_pb2.TestSendResponse:
        """Send a message to named users as a test."""
        return message_pb2.TestSendResponse(users=await self._send(request, test=True))

    async def _send(
        self, request: message_pb2.SendRequest | message_pb2.TestSendRequest, *, test: bool
    ) -> list[message_pb2.SentTo]:
        project = self._projects.get(request.project)
        data = values.properties(request.data, "data")
        command = SendMessage(request.key, list(request.distinct_ids), data, test)
        return reports.sent(await project.submit(command, request.request_id))

    async def EndMessage(  # noqa: N802
        self, request: message_pb2.EndMessageRequest, context: Any
    ) -> message_pb2.EndMessageResponse:
        """End a message for good."""
        project = self._projects.get(request.project)
        made = await project.submit(EndMessage(request.key), request.request_id)
        return message_pb2.EndMessageResponse(message=messages.message(made))

    async def PreviewMessage(  # noqa: N802
        self, request: message_pb2.PreviewMessageRequest, context: Any
    ) -> message_pb2.PreviewMessageResponse:
        """The message as one user would read it, and whether they would get it."""
        version = self._version(request.project)
        found = await self._pool.run(
            reading.preview, version, request.key, request.distinct_id, request.locale, request.variant
        )
        return message_pb2.PreviewMessageResponse(
            rendered=None if found.rendered is None else rendered(found.rendered),
            would_send=found.would_send,
            reason=found.reason,
            detail=found.detail,
            explanation=audiences.explanation(found.explanation),
            variant=found.variant,
        )

    async def GetReport(  # noqa: N802
        self, request: message_pb2.GetReportRequest, context: Any
    ) -> message_pb2.GetReportResponse:
        """Every selected user accounted for, and the proof."""
        found = await self._pool.run(reading.report, self._version(request.project), request.key)
        return reports.report(found)

    async def ExplainDelivery(  # noqa: N802
        self, request: message_pb2.ExplainDeliveryRequest, context: Any
    ) -> message_pb2.ExplainDeliveryResponse:
        """Why one user did or did not get the message, gate by gate."""
        version = await self._versions.of(request)
        found = await self._pool.run(reading.explain_delivery, version, request.key, request.distinct_id)
        return message_pb2.ExplainDeliveryResponse(
            state=found.state,
            reason=found.reason,
            decide_time=None if found.decided_at is None else timestamp(found.decided_at),
            gates=[
                message_pb2.Gate(
                    name=gate.name,
                    passed=gate.passed,
                    detail=gate.detail,
                    due_time=timestamp(gate.due) if gate.due else None,
                )
                for gate in found.gates
            ],
            explanation=audiences.explanation(found.explanation),
            detail=found.detail,
            occurrence=found.occurrence,
            group=found.group,
            due_time=None if found.due_at is None else timestamp(found.due_at),
            send_time=None if found.sent_at is None else timestamp(found.sent_at),
        )

    async def ListDeliveries(  # noqa: N802
        self, request: message_pb2.ListDeliveriesRequest, context: Any
    ) -> AsyncIterator[message_pb2.ListDeliveriesResponse]:
        """Every decision with its instant and present state."""
        parts = reading.deliveries(self._version(request.project), request.key)

        def following() -> message_pb2.ListDeliveriesResponse | None:
            part = next(parts, None)
            return None if part is None else reports.deliveries(part)

        while (response := await self._pool.run(following)) is not None:
            yield response

    async def ResolveAmbiguous(  # noqa: N802
        self, request: message_pb2.ResolveAmbiguousRequest, context: Any
    ) -> message_pb2.ResolveAmbiguousResponse:
        """An operator's word on hand-offs of unknown outcome."""
        project = self._projects.get(request.project)
        if request.resolution not in _RESOLUTIONS:
            raise InvalidInput(
                "what is to become of them is not said",
                field="resolution",
                mend="RESOLUTION_OFFER_AGAIN, RESOLUTION_MARK_SENT or RESOLUTION_MARK_FAILED",
                code="RESOLUTION_REQUIRED",
            )
        command = ResolveAmbiguous(request.key, list(request.distinct_ids), _RESOLUTIONS[request.resolution])
        resolved: int = await project.submit(command, request.request_id)
        return message_pb2.ResolveAmbiguousResponse(resolved=resolved)
