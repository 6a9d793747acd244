"""CampaignService: lists of messages to whoever enters."""

from __future__ import annotations

from typing import Any

from muster.v1 import campaign_pb2, campaign_pb2_grpc

from core.commands import (
    CreateCampaign,
    EndCampaign,
    LaunchCampaign,
    PauseCampaign,
    ResumeCampaign,
    UpdateCampaign,
)
from core.messaging import campaign_reading as reading
from core.messaging.campaign_handlers import check_campaign_launch
from core.version import Version
from server.blocking import Pool
from server.convert import audiences
from server.convert import campaigns as convert
from server.convert.choices import EXISTING, STATES, chosen
from server.paging import Pages, page_size
from server.projects import Projects


class CampaignService(campaign_pb2_grpc.CampaignServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/campaign.proto.

    Arguments:
        projects: the registry.
        pool: where reads run.
    """

    def __init__(self, projects: Projects, pool: Pool) -> None:
        self._projects = projects
        self._pool = pool

    def _version(self, project: str) -> Version:
        return self._projects.get(project).engine.version

    async def _warnings(self, project: str, key: str) -> list[Any]:
        return audiences.warnings(await self._pool.run(reading.campaign_warnings, self._version(project), key))

    async def CreateCampaign(  # noqa: N802
        self, request: campaign_pb2.CreateCampaignRequest, context: Any
    ) -> campaign_pb2.CreateCampaignResponse:
        """Create a draft."""
        project = self._projects.get(request.project)
        made = await project.submit(CreateCampaign(convert.definition(request.campaign)), request.request_id)
        warnings = await self._warnings(request.project, made.key)
        return campaign_pb2.CreateCampaignResponse(campaign=convert.campaign(made), warnings=warnings)

    async def GetCampaign(  # noqa: N802
        self, request: campaign_pb2.GetCampaignRequest, context: Any
    ) -> campaign_pb2.GetCampaignResponse:
        """One campaign."""
        found = self._version(request.project).campaigns.get(request.key)
        return campaign_pb2.GetCampaignResponse(campaign=convert.campaign(found))

    async def ListCampaigns(  # noqa: N802
        self, request: campaign_pb2.ListCampaignsRequest, context: Any
    ) -> campaign_pb2.ListCampaignsResponse:
        """Campaigns by key."""
        state = chosen(STATES, request.state, "state", "MessageState")
        pages = Pages("ListCampaigns", request.project, request.state)
        after = pages.position(request.page_token, "")
        version = self._version(request.project)
        found, following = reading.campaigns_page(version, after, page_size(request.page_size), state)
        return campaign_pb2.ListCampaignsResponse(
            campaigns=[convert.campaign(one) for one in found], next_page_token=pages.token(following)
        )

    async def UpdateCampaign(  # noqa: N802
        self, request: campaign_pb2.UpdateCampaignRequest, context: Any
    ) -> campaign_pb2.UpdateCampaignResponse:
        """Change what the mask names."""
        project, sent = self._projects.get(request.project), request.campaign
        changes = convert.changes(request.update_mask, sent)
        made = await project.submit(UpdateCampaign(sent.key, changes, sent.etag), request.request_id)
        warnings = await self._warnings(request.project, made.key)
        return campaign_pb2.UpdateCampaignResponse(campaign=convert.campaign(made), warnings=warnings)

    async def LaunchCampaign(  # noqa: N802
        self, request: campaign_pb2.LaunchCampaignRequest, context: Any
    ) -> campaign_pb2.LaunchCampaignResponse:
        """Make a draft live with its messages, or only tell what that would do."""
        project = self._projects.get(request.project)
        existing = chosen(EXISTING, request.existing, "existing", "Existing")
        if request.validate_only:
            version = project.engine.version

            def forecast() -> reading.CampaignForecast:
                check_campaign_launch(version, request.key, request.etag)
                return reading.campaign_forecast(version, request.key)

            found = await self._pool.run(forecast)
            return campaign_pb2.LaunchCampaignResponse(
                campaign=convert.campaign(version.campaigns.get(request.key)), forecast=convert.forecast(found)
            )
        made = await project.submit(LaunchCampaign(request.key, existing, request.etag), request.request_id)
        return campaign_pb2.LaunchCampaignResponse(campaign=convert.campaign(made))

    async def PauseCampaign(  # noqa: N802
        self, request: campaign_pb2.PauseCampaignRequest, context: Any
    ) -> campaign_pb2.PauseCampaignResponse:
        """Let nobody in and give no more leave to begin."""
        made = await self._projects.get(request.project).submit(PauseCampaign(request.key), request.request_id)
        return campaign_pb2.PauseCampaignResponse(campaign=convert.campaign(made))

    async def ResumeCampaign(  # noqa: N802
        self, request: campaign_pb2.ResumeCampaignRequest, context: Any
    ) -> campaign_pb2.ResumeCampaignResponse:
        """Let those in who match by now, and all go on."""
        made = await self._projects.get(request.project).submit(ResumeCampaign(request.key), request.request_id)
        return campaign_pb2.ResumeCampaignResponse(campaign=convert.campaign(made))

    async def EndCampaign(  # noqa: N802
        self, request: campaign_pb2.EndCampaignRequest, context: Any
    ) -> campaign_pb2.EndCampaignResponse:
        """End a campaign and its messages for good."""
        made = await self._projects.get(request.project).submit(EndCampaign(request.key), request.request_id)
        return campaign_pb2.EndCampaignResponse(campaign=convert.campaign(made))

    async def CountCampaign(  # noqa: N802
        self, request: campaign_pb2.CountCampaignRequest, context: Any
    ) -> campaign_pb2.CountCampaignResponse:
        """Who entered, and what became of them by message."""
        found = await self._pool.run(reading.campaign_counts, self._version(request.project), request.key)
        return convert.counts(found)
