"""ResultsService: what came of messages."""

from __future__ import annotations

from typing import Any

from muster.v1 import results_pb2, results_pb2_grpc

from core.messaging.results import campaign_results, message_results
from server.blocking import Pool
from server.convert.campaigns import campaign
from server.convert.messages import message
from server.convert.results import results
from server.projects import Projects


class ResultsService(results_pb2_grpc.ResultsServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/results.proto.

    Arguments:
        projects: the registry.
        pool: where reads run.
    """

    def __init__(self, projects: Projects, pool: Pool) -> None:
        self._projects = projects
        self._pool = pool

    async def GetMessageResults(  # noqa: N802
        self, request: results_pb2.GetMessageResultsRequest, context: Any
    ) -> results_pb2.GetMessageResultsResponse:
        """Of one message, over all its occurrences."""
        version = self._projects.get(request.project).engine.version
        found = await self._pool.run(message_results, version, request.key)
        return results_pb2.GetMessageResultsResponse(
            message=message(version.messages.get(request.key)), results=results(found)
        )

    async def GetCampaignResults(  # noqa: N802
        self, request: results_pb2.GetCampaignResultsRequest, context: Any
    ) -> results_pb2.GetCampaignResultsResponse:
        """Of all messages of a campaign together."""
        version = self._projects.get(request.project).engine.version
        found = await self._pool.run(campaign_results, version, request.key)
        return results_pb2.GetCampaignResultsResponse(
            campaign=campaign(version.campaigns.get(request.key)), results=results(found)
        )
