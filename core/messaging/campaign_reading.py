"""Reads campaigns from a pinned version: forecast of a launch, and who entered and what became of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyroaring import BitMap

from core.bitmaps.event_identity import identities_of
from core.evaluator.asking import LeafCount, NameWarning, leaf_counts, warnings
from core.messaging.campaign_compiled import compile_campaign
from core.messaging.campaign_definitions import JOURNEY_ENTERED, CampaignDefinition, entry_insert_id
from core.messaging.definitions import State
from core.messaging.gates import matching
from core.messaging.reading import Counts, Forecast, counts, forecast
from core.messaging.rows import Pairs, inside
from core.messaging.work import View
from core.values import MICROS_PER_DAY, MIN_MICROS


@dataclass(frozen=True, slots=True)
class CampaignForecast:
    """What a launch would do now: how many enter, and by message, in order, what it does among them."""

    entering: int
    leaves: list[LeafCount]
    warnings: list[NameWarning]
    messages: list[tuple[str, Forecast]]


@dataclass(frozen=True, slots=True)
class CampaignCounts:
    """A campaign accounted for.

    Arguments:
        entered: users who did and still exist.
        control: of them, who are held out.
        left_out: (reason, users) of those who never will.
        exited: of those who entered, for how many the exit is true now.
        messages: (key, counts), in the campaign's order.
        per_day: (start of a UTC day in micros, users who entered).
        now: micros UTC.
    """

    definition: CampaignDefinition
    entered: int
    control: int
    left_out: list[tuple[str, int]]
    exited: int
    messages: list[tuple[str, Counts]]
    per_day: list[tuple[int, int]]
    now: int


def campaigns_page(
    view: View, after: str, limit: int, state: State | None = None
) -> tuple[list[CampaignDefinition], str | None]:
    """Campaigns by key.

    Arguments:
        after: the key to go on after, "" to begin.

    Returns:
        The campaigns, and the key to go on after, None on the last page.
    """
    found = [one for one in view.campaigns.all() if one.key > after and state in (None, one.state)]
    return found[:limit], found[limit - 1].key if len(found) > limit else None


def campaign_warnings(view: View, key: str) -> list[NameWarning]:
    """Names in a campaign's entry and exit that were never seen, with the nearest that were.

    Raises:
        NotFound: CAMPAIGN_NOT_FOUND.
    """
    compiled = compile_campaign(view, view.campaigns.get(key))
    found = warnings(view.population, compiled.entry)
    return found if compiled.exit is None else found + warnings(view.population, compiled.exit)


def campaign_forecast(view: View, key: str) -> CampaignForecast:
    """What launching a campaign now would do.

    Raises:
        NotFound: CAMPAIGN_NOT_FOUND.
    """
    definition = view.campaigns.get(key)
    compiled = compile_campaign(view, definition)
    entering = matching(view, compiled.entry, None, view.now) - view.campaigns.membership(key).closed_to
    return CampaignForecast(
        len(entering),
        leaf_counts(view.population, compiled.entry, view.now),
        campaign_warnings(view, key),
        [(one, forecast(view, one, among=entering)) for one in definition.messages],
    )


def campaign_counts(view: View, key: str) -> CampaignCounts:
    """Who entered a campaign, and what became of them.

    Raises:
        NotFound: CAMPAIGN_NOT_FOUND.
    """
    definition = view.campaigns.get(key)
    membership = view.campaigns.membership(key)
    leaving = compile_campaign(view, definition).exit
    exited = BitMap() if leaving is None else matching(view, leaving, membership.members, view.now)
    messages = []
    for one in definition.messages:
        ledgers = [ledger for _, ledger in view.messages.occurrences(one).all()]
        messages.append((one, counts(ledgers, ended=view.messages.get(one).state == "ended")))
    return CampaignCounts(
        definition,
        len(membership.members),
        len(membership.control),
        sorted((reason, len(users)) for reason, users in membership.left_out.items() if users),
        len(exited),
        messages,
        _entered_per_day(view, key, membership.members),
        view.now,
    )


def _entered_per_day(view: View, key: str, members: BitMap) -> list[tuple[int, int]]:
    ordinals, instants = entries(view, key)
    days, users = np.unique(instants[inside(ordinals, members)] // MICROS_PER_DAY * MICROS_PER_DAY, return_counts=True)
    return list(zip(days.tolist(), users.tolist(), strict=True))


def entries(view: View, key: str) -> Pairs:
    """Who entered a campaign, ascending, each once, and the instant (micros) of it; of two who became one, the first."""
    table = view.population.events(JOURNEY_ENTERED)
    if table is None:
        return np.zeros(0, np.uint32), np.zeros(0, np.int64)
    rows = table.slice(0, 0xFFFFFFFF, MIN_MICROS, view.now)
    mine = rows.identities == identities_of([""], [entry_insert_id(key)])[0]
    ordinals, first = np.unique(rows.ordinals[mine], return_index=True)
    return ordinals, rows.times[mine][first]
