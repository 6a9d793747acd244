"""A campaign pauses, and its messages with it."""

from __future__ import annotations

from dataclasses import replace

from core.messaging.campaign_definitions import CAMPAIGN, CampaignDefined, CampaignDefinition
from core.messaging.effects import Defined
from core.messaging.work import Work


def pause_campaign(work: Work, definition: CampaignDefinition, reason: str) -> None:
    """Take nobody in from here on, and give no leave to begin; messages that pause for it resume with the campaign."""
    paused = replace(
        definition, state="paused", pause_reason=reason, paused_at=work.now, revision=definition.revision + 1
    )
    work.do(CampaignDefined(paused))
    for key in definition.messages:
        message = work.messages.get(key)
        if message.state == "live":
            work.do(
                Defined(
                    replace(
                        message,
                        state="paused",
                        pause_reason=CAMPAIGN,
                        paused_at=work.now,
                        revision=message.revision + 1,
                    )
                )
            )
