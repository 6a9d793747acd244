"""Who enters a campaign: whoever comes to match its entry, by writes or by time alone, once.

Entry is decided before messages are, so that a message can read the event of it that same instant. It depends on no other
entry (such an expression is refused), so that the order of campaigns does not matter.
"""

from __future__ import annotations

from pyroaring import BitMap

from core.bitmaps.gathered import Gathered
from core.messaging.campaign_compiled import compile_campaign
from core.messaging.campaign_definitions import CampaignDefinition, CampaignEntered
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import BACKFILLED
from core.messaging.gates import matching
from core.messaging.gathering import matching_touched
from core.messaging.groups import CONTROL, below
from core.messaging.rounds import first_matches
from core.messaging.rows import Pairs, at_once
from core.messaging.work import View, Work


def audience_of(view: View, definition: MessageDefinition, at: int) -> BitMap:
    """Whom a message may select at an instant (micros): who has entered its campaign by then, or, outside, everybody."""
    if not definition.campaign:
        return view.population.live
    return view.campaigns.members_at(definition.campaign, at) & view.population.live


def _enter(work: Work, definition: CampaignDefinition, pairs: Pairs, left_out: str = "") -> None:
    """Let users in, each at an instant; chance decides, once, who of them is held out of all messages."""
    if not len(pairs[0]):
        return
    control = BitMap()
    if not left_out:
        salt = f"{CONTROL}:campaign/{definition.key}"
        control = below(work.settings.uid, salt, definition.control_percent, BitMap(pairs[0]))
    work.do(CampaignEntered(definition.key, *pairs, left_out, control))


def enter_everybody(work: Work, definition: CampaignDefinition, *, left_out: str = "") -> None:
    """All who match now and did not enter before do, or are left out for a reason."""
    compiled = compile_campaign(work, definition)
    new = matching(work, compiled.entry, None, work.now) - work.campaigns.membership(definition.key).closed_to
    _enter(work, definition, at_once(new, work.now), left_out)


def enter_by_time(work: Work, definition: CampaignDefinition, after: int, upto: int) -> None:
    """Those whom time alone makes match in (after, upto] enter, each at the first such instant."""
    compiled = compile_campaign(work, definition)
    candidates = work.population.live - work.campaigns.membership(definition.key).closed_to
    for found in first_matches(work, compiled.entry, compiled.time_use, candidates, after, upto):
        _enter(work, definition, found)


def enter_touched(work: Work, definition: CampaignDefinition, touched: Gathered | None) -> int:
    """How many enter: of those whom this group touched in what the entry reads, whoever matches enters.

    Who matches by an import or a late event never does. A paused campaign takes in nobody; but the latter are recorded, so
    that they are not taken for new ones at the resume.
    """
    compiled = compile_campaign(work, definition)
    entered = 0
    live, late = work.touched.by(compiled.entry.properties, compiled.entry.events)
    if compiled.entry.audiences:
        live = live | BitMap(
            [stays for _, stays in work.touched.merged]
        )  # who may have come into a list with the other
    for users, left_out in ((live if definition.state == "live" else BitMap(), ""), (late - live, BACKFILLED)):
        new = (users & work.population.live) - work.campaigns.membership(definition.key).closed_to
        if new:
            matched = matching_touched(work, compiled.entry, new, touched)
            _enter(work, definition, at_once(matched, work.now), left_out)
            entered += 0 if left_out else len(matched)
    return entered
