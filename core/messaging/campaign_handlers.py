"""Answers the commands that concern campaigns: checks first, then the campaign and its messages change state together."""

from __future__ import annotations

from dataclasses import replace

from core import commands
from core.errors import AlreadyExists, FailedPrecondition, InvalidInput, MusterError, StaleEtag
from core.messaging import handlers
from core.messaging.campaign_compiled import CompiledCampaign, compile_campaign, refuse_unknown_entry_time
from core.messaging.campaign_definitions import (
    CAMPAIGN,
    CampaignDefined,
    CampaignDefinition,
    changed,
    check_campaign,
    check_message_of_campaign,
)
from core.messaging.campaign_pause import pause_campaign
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import MATCHED_AT_LAUNCH, Defined
from core.messaging.entry import enter_everybody
from core.messaging.handlers import OPERATOR
from core.messaging.work import View, Work


def _etag(given: str, definition: CampaignDefinition) -> None:
    if given and given != definition.etag:
        raise StaleEtag(
            "it changed since it was read",
            field="campaign.etag",
            mend="read it again, then repeat the change",
            code="STALE_ETAG",
        )


def create(work: Work, command: commands.CreateCampaign) -> CampaignDefinition:
    """Create a draft; the messages that it names are its own from here on.

    Raises:
        InvalidInput and its kinds: with the field; AlreadyExists: CAMPAIGN_EXISTS; NotFound: MESSAGE_NOT_FOUND;
            FailedPrecondition: MESSAGE_TAKEN, NOT_A_DRAFT.
    """
    definition = replace(
        command.definition,
        state="draft",
        pause_reason="",
        created_at=work.now,
        launched_at=0,
        paused_at=0,
        divided_at=0,
        revision=1,
    )
    check_campaign(definition)
    if definition.key in work.campaigns:
        raise AlreadyExists(
            f"there is a campaign {definition.key!r}",
            field="campaign.key",
            mend="take another key",
            code="CAMPAIGN_EXISTS",
        )
    compile_campaign(work, definition)
    taken = _taken_in(work, definition, [])
    work.do(CampaignDefined(definition))
    _own(work, taken, definition.key)
    return definition


def update(work: Work, command: commands.UpdateCampaign) -> CampaignDefinition:
    """Change fields of a campaign. What it comes to name must be drafts; what was launched stays in it.

    Raises:
        NotFound, StaleEtag, InvalidInput and its kinds; FailedPrecondition: MESSAGE_LAUNCHED, MESSAGE_TAKEN, NOT_A_DRAFT.
    """
    present = work.campaigns.get(command.key)
    _etag(command.etag, present)
    fresh = changed(present, command.changes)
    compile_campaign(work, fresh)
    taken = _taken_in(work, fresh, present.messages)
    if present.launched_at and fresh.control_percent != present.control_percent:
        fresh = replace(fresh, divided_at=work.now)
    left = [work.messages.get(key) for key in present.messages if key not in fresh.messages]
    for message in left:
        if message.state != "draft":
            raise FailedPrecondition(
                f"the message {message.key!r} is {message.state} and cannot leave the campaign",
                field="campaign.messages",
                mend="keep it in the list; end it, if nobody is to get it any more",
                code="MESSAGE_LAUNCHED",
            )
    work.do(CampaignDefined(fresh))
    _own(work, left, "")
    _own(work, taken, fresh.key)
    return fresh


def _taken_in(work: View, definition: CampaignDefinition, before: list[str]) -> list[MessageDefinition]:
    """The messages that a campaign comes to name."""
    found = []
    for index, key in enumerate(definition.messages):
        if key in before:
            continue
        field = f"campaign.messages[{index}]"
        try:
            message = work.messages.get(key)
        except MusterError as error:
            error.field = field
            raise
        if message.campaign:
            raise FailedPrecondition(
                f"the message {key!r} is in the campaign {message.campaign!r}",
                field=field,
                mend="take it out of that one, or make a copy under another key",
                code="MESSAGE_TAKEN",
            )
        if message.state != "draft":
            raise FailedPrecondition(
                f"the message {key!r} is {message.state}",
                field=field,
                mend="name drafts; the campaign's launch launches them",
                code="NOT_A_DRAFT",
            )
        check_message_of_campaign(message, field)
        found.append(message)
    return found


def _own(work: Work, messages: list[MessageDefinition], campaign: str) -> None:
    for message in messages:
        work.do(Defined(replace(message, campaign=campaign, revision=message.revision + 1)))


def check_campaign_launch(view: View, key: str, etag: str = "") -> CompiledCampaign:
    """The working parts of a draft that may be launched now, with all its messages.

    Raises:
        NotFound: CAMPAIGN_NOT_FOUND; StaleEtag; FailedPrecondition: NOT_A_DRAFT; InvalidInput: NO_MESSAGES, and what the
            launch of a message refuses; InvalidExpression: TIME_USE_UNKNOWN.
    """
    present = view.campaigns.get(key)
    _etag(etag, present)
    if present.state != "draft":
        raise FailedPrecondition(
            f"the campaign is {present.state}",
            field="key",
            mend="resume it" if present.state == "paused" else "only a draft can be launched",
            code="NOT_A_DRAFT",
        )
    if not present.messages:
        raise InvalidInput(
            "the campaign has no messages",
            field="campaign.messages",
            mend="name those it is to send, the most important first",
            code="NO_MESSAGES",
        )
    compiled = compile_campaign(view, present)
    refuse_unknown_entry_time(compiled)
    _check_drafts(view, present)
    return compiled


def _check_drafts(view: View, definition: CampaignDefinition) -> None:
    """Refuse what the launch of any of its drafts would refuse."""
    for key in definition.messages:
        if view.messages.get(key).state == "draft":
            handlers.check_launch(view, key, of_campaign=True)


def launch(work: Work, command: commands.LaunchCampaign) -> CampaignDefinition:
    """Make a draft live: who matches enters, and every message is launched.

    Raises:
        MusterError: what `check_campaign_launch` raises; InvalidInput: EXISTING_REQUIRED.
    """
    check_campaign_launch(work, command.key, command.etag)
    if command.existing is None:
        raise InvalidInput(
            "what becomes of those who match already is not said",
            field="existing",
            mend="EXISTING_SEND or EXISTING_SKIP",
            code="EXISTING_REQUIRED",
        )
    present = work.campaigns.get(command.key)
    live = replace(present, state="live", launched_at=work.now, revision=present.revision + 1)
    work.do(CampaignDefined(live))
    enter_everybody(work, live, left_out=MATCHED_AT_LAUNCH if command.existing == "skip" else "")
    _launch_drafts(work, live)
    return live


def _launch_drafts(work: Work, definition: CampaignDefinition) -> None:
    for key in definition.messages:
        if work.messages.get(key).state == "draft":
            handlers.launch(work, commands.LaunchMessage(key, "send"), of_campaign=True)


def pause(work: Work, command: commands.PauseCampaign) -> CampaignDefinition:
    """Pause a campaign with its messages: nobody enters, and no leave to begin is given from here on.

    Raises:
        NotFound; FailedPrecondition: NOT_LIVE.
    """
    present = work.campaigns.get(command.key)
    if present.state not in ("live", "paused"):
        raise FailedPrecondition(
            f"the campaign is {present.state}",
            field="key",
            mend="only a live campaign can be paused",
            code="NOT_LIVE",
        )
    if present.state == "live":
        pause_campaign(work, present, OPERATOR)
    return work.campaigns.get(command.key)


def resume(work: Work, command: commands.ResumeCampaign) -> CampaignDefinition:
    """Let those enter who match by now, and the messages go on that paused with the campaign; launch what was added.

    Raises:
        FailedPrecondition: NOT_PAUSED; MusterError: what the launch of an added message refuses.
    """
    present = work.campaigns.get(command.key)
    if present.state != "paused":
        raise FailedPrecondition(
            f"the campaign is {present.state}",
            field="key",
            mend="only a paused campaign can be resumed",
            code="NOT_PAUSED",
        )
    _check_drafts(work, present)
    live = replace(present, state="live", pause_reason="", paused_at=0, revision=present.revision + 1)
    work.do(CampaignDefined(live))
    enter_everybody(work, live)
    for key in live.messages:
        if work.messages.get(key).pause_reason == CAMPAIGN:
            handlers.resume(work, commands.ResumeMessage(key))
    _launch_drafts(work, live)
    return live


def end(work: Work, command: commands.EndCampaign) -> CampaignDefinition:
    """End a campaign and its messages; who is queued is skipped.

    Raises:
        FailedPrecondition: ALREADY_ENDED.
    """
    present = work.campaigns.get(command.key)
    if present.state == "ended":
        raise FailedPrecondition(
            "the campaign has ended", field="key", mend="nothing is left to end", code="ALREADY_ENDED"
        )
    ended = replace(present, state="ended", pause_reason="", revision=present.revision + 1)
    work.do(CampaignDefined(ended))
    for key in ended.messages:
        if work.messages.get(key).state != "ended":
            handlers.end(work, commands.EndMessage(key))
    return ended
