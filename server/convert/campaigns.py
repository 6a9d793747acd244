"""Campaigns between protobuf and core, and what an update mask changes."""

from __future__ import annotations

from typing import Final

from google.protobuf import field_mask_pb2
from muster.v1 import campaign_pb2, message_pb2

from core.errors import InvalidInput
from core.messaging.campaign_definitions import CampaignDefinition
from core.messaging.campaign_reading import CampaignCounts, CampaignForecast
from server.convert import audiences, reports
from server.convert.goals import goal, goal_message
from server.convert.messages import STATES
from server.convert.times import duration, duration_micros, timestamp

_EDITABLE: Final = ("title", "entry", "messages", "exit", "control_percent", "rate_limit", "goal")


def definition(campaign: campaign_pb2.Campaign) -> CampaignDefinition:
    """What a client asks for; output-only fields are not read."""
    return CampaignDefinition(
        key=campaign.key,
        title=campaign.title,
        entry=campaign.entry,
        messages=list(campaign.messages),
        exit=campaign.exit,
        control_percent=campaign.control_percent,
        rate_limit=duration_micros(campaign.rate_limit, "campaign.rate_limit")
        if campaign.HasField("rate_limit")
        else 0,
        goal=goal(campaign.goal, "campaign.goal") if campaign.HasField("goal") else None,
    )


def campaign(found: CampaignDefinition) -> campaign_pb2.Campaign:
    """A campaign as clients see it."""
    made = campaign_pb2.Campaign(
        key=found.key,
        title=found.title,
        entry=found.entry,
        messages=found.messages,
        exit=found.exit,
        state=STATES[found.state],
        pause_reason=found.pause_reason,
        etag=found.etag,
        control_percent=found.control_percent,
        goal=None if found.goal is None else goal_message(found.goal),
    )
    if found.rate_limit:
        made.rate_limit.CopyFrom(duration(found.rate_limit))
    if found.created_at:
        made.create_time.CopyFrom(timestamp(found.created_at))
    if found.launched_at:
        made.launch_time.CopyFrom(timestamp(found.launched_at))
    return made


def changes(mask: field_mask_pb2.FieldMask, sent: campaign_pb2.Campaign) -> dict[str, object]:
    """What an update changes, by field of `CampaignDefinition`: what the mask names, or all that was sent if it is empty.

    Raises:
        InvalidInput: UNKNOWN_FIELD, with the fields there are.
    """
    names = list(mask.paths) or [item.name for item, _ in sent.ListFields() if item.name in _EDITABLE]
    for name in names:
        if name not in _EDITABLE:
            raise InvalidInput(
                f"{name!r} cannot be updated",
                field="update_mask",
                mend=f"paths of {', '.join(_EDITABLE)}",
                code="UNKNOWN_FIELD",
            )
    fresh = definition(sent)
    return {name: getattr(fresh, name) for name in names}


def forecast(found: CampaignForecast) -> campaign_pb2.CampaignForecast:
    """What a launch would do now."""
    return campaign_pb2.CampaignForecast(
        entering=found.entering,
        leaves=audiences.leaves(found.leaves),
        warnings=audiences.warnings(found.warnings),
        messages=[
            campaign_pb2.CampaignMessageForecast(key=key, forecast=reports.forecast(one)) for key, one in found.messages
        ],
    )


def counts(found: CampaignCounts) -> campaign_pb2.CountCampaignResponse:
    """A campaign accounted for."""
    return campaign_pb2.CountCampaignResponse(
        campaign=campaign(found.definition),
        entered=found.entered,
        control=found.control,
        left_out=[campaign_pb2.LeftOutCount(reason=reason, users=users) for reason, users in found.left_out],
        exited=found.exited,
        messages=[
            campaign_pb2.CampaignMessageCounts(key=key, counts=reports.counts(one)) for key, one in found.messages
        ],
        entered_per_day=[
            message_pb2.DecisionCount(time=timestamp(start), users=users) for start, users in found.per_day
        ],
        now=timestamp(found.now),
    )
