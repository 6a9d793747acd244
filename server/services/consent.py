"""ConsentService: who is not to be sent to."""

from __future__ import annotations

from typing import Any

from muster.v1 import consent_pb2, consent_pb2_grpc

from core.commands import DeleteTopic, SaveTopic, Suppress, Unsuppress
from core.messaging import consent_reading as reading
from server.blocking import Pool
from server.convert import consent as convert
from server.projects import Projects


class ConsentService(consent_pb2_grpc.ConsentServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/consent.proto.

    Arguments:
        projects: the registry.
        pool: where reading runs.
    """

    def __init__(self, projects: Projects, pool: Pool) -> None:
        self._projects = projects
        self._pool = pool

    async def Suppress(  # noqa: N802
        self, request: consent_pb2.SuppressRequest, context: Any
    ) -> consent_pb2.SuppressResponse:
        """Keep addresses from being sent to."""
        command = Suppress(
            convert.needed_channel(request.channel),
            list(request.addresses),
            convert.why(request.reason) or "manual",
            request.topic,
        )
        answer = await self._projects.get(request.project).submit(command, request.request_id)
        return convert.suppressed(answer)

    async def Unsuppress(  # noqa: N802
        self, request: consent_pb2.UnsuppressRequest, context: Any
    ) -> consent_pb2.UnsuppressResponse:
        """Let addresses be sent to again."""
        command = Unsuppress(
            convert.needed_channel(request.channel),
            list(request.addresses),
            convert.why(request.reason),
            request.topic,
        )
        released = await self._projects.get(request.project).submit(command, request.request_id)
        return consent_pb2.UnsuppressResponse(released=released)

    async def GetSuppression(  # noqa: N802
        self, request: consent_pb2.GetSuppressionRequest, context: Any
    ) -> consent_pb2.GetSuppressionResponse:
        """Why one address is not sent to."""
        channel = convert.needed_channel(request.channel)
        version = self._projects.get(request.project).engine.version
        found = await self._pool.run(reading.suppressions_of, version, channel, request.address)
        return consent_pb2.GetSuppressionResponse(suppressions=[convert.suppression(one) for one in found])

    async def ListSuppressions(  # noqa: N802
        self, request: consent_pb2.ListSuppressionsRequest, context: Any
    ) -> consent_pb2.ListSuppressionsResponse:
        """How many addresses are not sent to."""
        found = reading.suppression_counts(self._projects.get(request.project).engine.version)
        return consent_pb2.ListSuppressionsResponse(counts=[convert.suppression_count(*one) for one in found])

    async def Unsubscribe(  # noqa: N802
        self, request: consent_pb2.UnsubscribeRequest, context: Any
    ) -> consent_pb2.UnsubscribeResponse:
        """Take a person's word to hear no more."""
        command = convert.unsubscribe(request)
        count = await self._projects.get(request.project).submit(command, request.request_id)
        return consent_pb2.UnsubscribeResponse(unsubscribed=count)

    async def Resubscribe(  # noqa: N802
        self, request: consent_pb2.ResubscribeRequest, context: Any
    ) -> consent_pb2.ResubscribeResponse:
        """Take an unsubscription back."""
        command = convert.resubscribe(request)
        count = await self._projects.get(request.project).submit(command, request.request_id)
        return consent_pb2.ResubscribeResponse(resubscribed=count)

    async def GetConsent(  # noqa: N802
        self, request: consent_pb2.GetConsentRequest, context: Any
    ) -> consent_pb2.GetConsentResponse:
        """All that keeps one user from being sent to."""
        version = self._projects.get(request.project).engine.version
        return convert.consent(await self._pool.run(reading.consent_of, version, request.distinct_id))

    async def SaveTopic(  # noqa: N802
        self, request: consent_pb2.SaveTopicRequest, context: Any
    ) -> consent_pb2.SaveTopicResponse:
        """Make a topic, or name it anew."""
        command = SaveTopic(request.topic.key, request.topic.title)
        topic = await self._projects.get(request.project).submit(command, request.request_id)
        return consent_pb2.SaveTopicResponse(topic=convert.topic(topic))

    async def ListTopics(  # noqa: N802
        self, request: consent_pb2.ListTopicsRequest, context: Any
    ) -> consent_pb2.ListTopicsResponse:
        """The topics, by key."""
        topics = self._projects.get(request.project).engine.version.consent.topics()
        return consent_pb2.ListTopicsResponse(topics=[convert.topic(one) for one in topics])

    async def DeleteTopic(  # noqa: N802
        self, request: consent_pb2.DeleteTopicRequest, context: Any
    ) -> consent_pb2.DeleteTopicResponse:
        """Delete a topic that no message uses."""
        await self._projects.get(request.project).submit(DeleteTopic(request.key), request.request_id)
        return consent_pb2.DeleteTopicResponse()
