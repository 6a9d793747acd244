"""Answers the commands that concern saved audiences: an audience's change is a change of the targeting that names it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pyroaring import BitMap

from core import commands
from core.errors import InvalidExpression, InvalidInput
from core.evaluator.audience import AudienceDefinition, AudienceDeleted, AudienceSaved
from core.evaluator.time_use import launch_problems
from core.messaging.campaign_compiled import compile_campaign
from core.messaging.campaign_definitions import JOURNEY_ENTERED, CampaignDefinition
from core.messaging.compiled import compile_message, listed_audiences
from core.messaging.definitions import MessageDefinition
from core.messaging.entry import enter_everybody
from core.messaging.judge import judge_everybody
from core.messaging.work import Work
from core.profiles.steps import UsersIssued
from core.profiles.validate import check_id


def save(work: Work, command: commands.SaveAudience) -> AudienceDefinition:
    """Save an audience by expression or by ids; live messages that name it judge everybody once.

    Raises:
        InvalidInput: INVALID_NAME, NO_MEMBERS, UNKNOWN_IDS with the first unknown one; InvalidExpression, also for
            a use of time that a live message naming the audience could not have been launched with.
    """
    if (command.expression is None) == (command.ids is None):
        raise InvalidInput(
            "give an expression or a list of ids",
            field="audience.members",
            mend="exactly one of the two",
            code="NO_MEMBERS",
        )
    bare = AudienceDefinition(command.name, command.description, command.expression, None, work.now)
    work.audiences.check(bare)
    naming = _naming(work, command.name)
    if command.ids is None:
        trial = work.audiences.fork()
        trial.save(AudienceSaved(bare))
        texts = [m.targeting for m in naming] + [campaign.entry for campaign in _entered_by(work, command.name)]
        for problem in [one for text in texts for one in launch_problems(trial.parse(text))]:
            problem.field = "audience.expression"
            raise problem
        if any(JOURNEY_ENTERED in trial.parse(one.entry).events for one in _entered_by(work, command.name)):
            raise InvalidExpression(
                f"a live campaign is entered by this audience, and that cannot depend on {JOURNEY_ENTERED}",
                field="audience.expression",
                mend="read what made them enter the other campaign, or save it under another name",
                code="ENTRY_READS_ENTRY",
            )
        definition = bare
    else:
        definition = replace(bare, members=_listed(work, command.ids, command.create_missing))
    saved(work, definition)
    return definition


def saved(work: Work, definition: AudienceDefinition) -> None:
    """An audience is this now: live campaigns and messages that name it judge everybody once."""
    work.do(AudienceSaved(definition))
    for campaign in _entered_by(work, definition.name):
        enter_everybody(work, campaign)
    for message in _naming(work, definition.name):
        judge_everybody(work, message, compile_message(work, message), work.now)


def _naming(work: Work, name: str) -> list[MessageDefinition]:
    live = [m for m in work.messages.live() if m.by_match]
    return [m for m in live if name in listed_audiences(compile_message(work, m))]


def _entered_by(work: Work, name: str) -> list[CampaignDefinition]:
    """Live campaigns whose entry names an audience."""
    return [one for one in work.campaigns.live() if name in compile_campaign(work, one).entry.audiences]


def _listed(work: Work, distinct_ids: list[str], create_missing: bool) -> BitMap:
    """The users of a list of ids; unknown ids become users where that is asked for."""
    for index, distinct_id in enumerate(distinct_ids):
        check_id(distinct_id, f"audience.ids.distinct_ids[{index}]")
    found = work.users.find_many(distinct_ids)
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        if not create_missing:
            first = int(unknown[0])
            raise InvalidInput(
                f"{len(unknown)} of {len(distinct_ids)} ids are unknown, the first is {distinct_ids[first]!r}",
                field=f"audience.ids.distinct_ids[{first}]",
                mend="leave them out, or set create_missing",
                code="UNKNOWN_IDS",
            )
        work.do(UsersIssued([distinct_ids[index] for index in unknown.tolist()]))
        found = work.users.find_many(distinct_ids)
    return BitMap(found.astype(np.uint32))


def delete(work: Work, command: commands.DeleteAudience) -> None:
    """Delete an audience that nothing uses.

    Raises:
        NotFound: AUDIENCE_NOT_FOUND; FailedPrecondition: AUDIENCE_IN_USE.
    """
    work.audiences.get(command.name)
    using = [
        m.key
        for m in work.messages.all()
        if m.state != "ended" and command.name in listed_audiences(compile_message(work, m))
    ]
    using_too = [
        one.key
        for one in work.campaigns.all()
        if one.state != "ended" and command.name in compile_campaign(work, one).audiences
    ]
    work.audiences.refuse_if_used(command.name, using, using_too)
    work.do(AudienceDeleted(command.name))
