"""What came of messages: by day and in all, by variant and against control, from sets and sums, never user by user.

An *exposure* is a message handed off to a user, at the instant of its `$campaign_delivery` event, or, for who is in the
control group or the holdout, the same moment without a message. What users did then is counted for the exposure: feedback,
which names its message and occurrence, and the goal's events, each for the user's last exposure before it. Users who were
deleted have left no events, and so are in no exposure; in the ledger's counts they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.analytics.comparison import Comparison, Kind, compare
from core.analytics.event_reading import amounts, events_about, events_between, whole_numbers
from core.analytics.exposures import NONE, Exposures
from core.analytics.sample_ratio import SampleRatio, sample_ratio
from core.analytics.sums import Sums
from core.bitmaps.cells import bitmap_of
from core.evaluator.one_event import parse_condition
from core.messaging.arms import MAIN, SENT, Arms, Firing, is_variant
from core.messaging.definitions import MessageDefinition
from core.messaging.dividing import control_percent_of
from core.messaging.goal import Goal
from core.messaging.groups import CONTROL, HOLDOUT, VARIANT
from core.messaging.occurrences import FIRST
from core.messaging.outcomes import DELIVERED
from core.messaging.reading import Counts, counts
from core.messaging.rows import of_users
from core.messaging.work import View
from core.values import MICROS_PER_DAY

OPEN_WINDOW: Final = 30 * MICROS_PER_DAY
"""For how long after the message an opening counts."""

FEEDBACK: Final = {
    "delivered": "$campaign_delivered",
    "opened": "$campaign_open",
    "clicked": "$campaign_click",
    "bounced": "$campaign_bounced",
    "complained": "$campaign_marked_spam",
    "unsubscribed": "$unsubscribe",
    "replied": "$campaign_reply",
    "dismissed": "$campaign_dismissed",
}
"""What may become of a message at its user, and the events that tell of it."""

Metric = Literal["converted", "revenue", "opened", "clicked"]
_KINDS: Final[dict[Metric, Kind]] = {
    "converted": "proportion",
    "revenue": "mean",
    "opened": "proportion",
    "clicked": "proportion",
}
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What followed some exposures: how many of them each thing followed, and the goal's values added up."""

    exposed: int
    delivered: int
    opened: int
    clicked: int
    bounced: int
    complained: int
    unsubscribed: int
    replied: int
    dismissed: int
    converted: int
    revenue: float


_NOTHING: Final = Outcome(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0)


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day of an arm, from `start` in micros: who was decided on it, and what followed the exposures of that day.

    `skipped`: (reason, users).
    """

    start: int
    selected: int
    held_out: int
    skipped: list[tuple[str, int]]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Arm:
    """All that is known of those who were treated alike: `sent` (to whom it goes), each variant, `control`, `holdout`.

    `users`: how many different ones were exposed.
    """

    name: str
    counts: Counts
    users: int
    outcome: Outcome
    days: list[Day]


@dataclass(frozen=True, slots=True)
class Compared:
    """One number of an arm's users beside the same of another's.

    A user is of the arm of the first exposure, and is looked at from when it was decided to be sent on, for as long as the
    goal's window: alike in all arms, however late the hand-off was and however many messages followed.
    """

    metric: Metric
    arm: str
    baseline: str
    found: Comparison


@dataclass(frozen=True, slots=True)
class Division:
    """How users were to be divided: the shares of arms, of any sum, after an instant (micros; 0: ever)."""

    shares: Mapping[str, float]
    since: int = 0


@dataclass(frozen=True, slots=True)
class Divided:
    """How they were. `sizes`: users of each arm who were exposed or still may be, with the share meant."""

    sizes: Mapping[str, tuple[int, float]]
    found: SampleRatio


@dataclass(frozen=True, slots=True)
class Results:
    """What came of one or several messages.

    `maturing`: exposures whose time for the goal is not over yet.
    """

    goal: Goal | None
    now: int
    arms: list[Arm]
    compared: list[Compared]
    divided: list[Divided]
    maturing: int


def message_results(view: View, key: str) -> Results:
    """What came of a message, over all its occurrences.

    Raises:
        NotFound: MESSAGE_NOT_FOUND.
    """
    definition = view.messages.get(key)
    campaign = view.campaigns.get(definition.campaign) if definition.campaign else None
    shares = _shares(control_percent_of(view, definition), definition)
    divided_at = max(definition.divided_at, 0 if campaign is None else campaign.divided_at)
    goal = definition.goal or (campaign.goal if campaign is not None else None)
    return results(view, [definition], goal, [Division(shares, divided_at)])


def campaign_results(view: View, key: str) -> Results:
    """What came of a campaign's messages together.

    Raises:
        NotFound: CAMPAIGN_NOT_FOUND.
    """
    campaign = view.campaigns.get(key)
    control = Division(_shares(campaign.control_percent), campaign.divided_at)
    definitions = [view.messages.get(one) for one in campaign.messages]
    return results(view, definitions, campaign.goal, [control], variants=False)


def _shares(control_percent: float, definition: MessageDefinition | None = None) -> dict[str, float]:
    """Of users let through the percentages of each arm that they were divided into."""
    sent = 100 - control_percent
    if definition is None or not definition.variants:
        return {CONTROL: control_percent, SENT: sent}
    variants = {VARIANT + variant.key: sent * variant.percent / 100 for variant in definition.variants}
    rest = round(sent - sum(variants.values()), 9)  # percentages that add up to 100 leave nothing, floats or not
    return {CONTROL: control_percent, MAIN: rest, **variants}


def results(
    view: View,
    definitions: Sequence[MessageDefinition],
    goal: Goal | None,
    divisions: Sequence[Division] = (),
    *,
    variants: bool = True,
) -> Results:
    """What came of messages together: one exposure is a message's occurrence reaching a user.

    Arguments:
        divisions: to be checked.
        variants: whether they are arms of their own.
    """
    firings = [
        Firing(definition, number, ledger)
        for definition in definitions
        for number, ledger in view.messages.occurrences(definition.key).all()
    ]
    arms = Arms.of(firings, variants=variants)
    tally = _Tally(view, firings, arms)
    if goal is not None:
        tally.pursue(goal)
    made = [_arm(tally, firings, arms, name) for name in arms.names]
    maturing = 0
    if goal is not None:
        maturing = int(np.count_nonzero(tally.exposures.instants > view.now - goal.within))
    live = view.population.live
    divided = [found for division in divisions if (found := _divided(firings, arms, division, live)) is not None]
    return Results(goal, view.now, made, _compared(tally, arms, goal), divided, maturing)


def _divided(firings: Sequence[Firing], arms: Arms, division: Division, live: BitMap) -> Divided | None:
    """None where there is nothing to check: one arm, or nobody in any."""
    sizes = {}
    for name, share in division.shares.items():
        users = BitMap()
        for number, firing in enumerate(firings):
            users |= firing.going_through(division.since) & arms.users(number, name) & live
        sizes[name] = (len(users), share)
    found = sample_ratio([size for size, _ in sizes.values()], [share for _, share in sizes.values()])
    return None if found is None else Divided(sizes, found)


class _Tally:
    """The exposures of firings, the part of the arms that each is of, and what followed it."""

    def __init__(self, view: View, firings: Sequence[Firing], arms: Arms) -> None:
        self._view = view
        self._keys = list(dict.fromkeys(firing.definition.key for firing in firings))
        most = max((firing.occurrence for firing in firings), default=FIRST)
        self._numbers = np.full((len(self._keys), most + 2), NONE, np.int64)
        for number, firing in enumerate(firings):
            self._numbers[self._keys.index(firing.definition.key), firing.occurrence] = number
        spans = [span for firing in firings if (span := firing.ledger.span()) is not None]
        self._after = min((first for first, _ in spans), default=view.now) - 1
        self.exposures = self._exposed(firings)
        self._since = self._let_through(firings)
        self.parts = arms.parts_of(self.exposures.ordinals, self.exposures.things)
        nothing = np.zeros(len(self.exposures), bool)
        self.followed: dict[str, Flags] = {name: self._heard(name, event) for name, event in FEEDBACK.items()}
        self.followed["converted"] = nothing
        self.revenue = np.zeros(len(self.exposures))
        # Of users' first exposures, whatever followed them: what users are compared by.
        self._converted_from_first, self._revenue_from_first = nothing.copy(), self.revenue.copy()

    def _about(self, event: str) -> list[tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]]:
        """Ordinals, firings and instants of the events of a name that tell of any of the messages."""
        table = self._view.population.events(event)
        found = []
        for rows, messages in events_about(table, "message_id", self._keys, self._after, self._view.now):
            assert table is not None
            occurrences = whole_numbers(table, rows, "occurrence", FIRST)
            found.append((rows.ordinals, self._firings(messages, occurrences), rows.times))
        return found

    def _firings(self, messages: NDArray[np.int64], occurrences: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of firings by message and occurrence; NONE where there is none such."""
        none = self._numbers.shape[1] - 1
        found: NDArray[np.int64] = self._numbers[
            messages, np.where(occurrences < 0, none, np.minimum(occurrences, none))
        ]
        return found

    def _exposed(self, firings: Sequence[Firing]) -> Exposures:
        parts = self._about(DELIVERED)
        for number, firing in enumerate(firings):
            ordinals, instants = of_users(firing.ledger.ghosts(), self._view.population.live)
            parts.append((ordinals, np.full(len(ordinals), number, np.int64), instants))
        ordinals = np.concatenate([np.zeros(0, np.uint32), *(part[0] for part in parts)])
        things = np.concatenate([np.zeros(0, np.int64), *(part[1] for part in parts)])
        instants = np.concatenate([np.zeros(0, np.int64), *(part[2] for part in parts)])
        known = things != NONE
        return Exposures(ordinals[known], things[known], instants[known])

    def _let_through(self, firings: Sequence[Firing]) -> NDArray[np.int64]:
        """Since when the user of each exposure would have had the message but for the time that a hand-off takes.

        Those held out are exposed at that very moment. Were those sent to looked at from the hand-off only, what they did
        until then would count for nobody, and the message would seem to do harm by as much as it was late.
        """
        found = self.exposures.instants.copy()
        for number, firing in enumerate(firings):
            users = bitmap_of(self.exposures.ordinals[self.exposures.things == number])
            ordinals, instants = firing.ledger.joined(users)
            places = self.exposures.of_pairs(ordinals, np.full(len(ordinals), number, np.int64))
            known = places != NONE
            found[places[known]] = np.minimum(found[places[known]], instants[known])
        return found

    def _heard(self, name: str, event: str) -> Flags:
        found = np.zeros(len(self.exposures), bool)
        for ordinals, firings, times in self._about(event):
            places = self.exposures.of_pairs(ordinals, firings)
            known = places != NONE
            places, times = places[known], times[known]
            if name == "opened":
                places = places[times - self.exposures.instants[places] <= OPEN_WINDOW]
            found[places] = True
        return found

    def pursue(self, goal: Goal) -> None:
        """Find which exposures the goal's events followed."""
        table = self._view.population.events(goal.event)
        if table is None or not len(self.exposures):
            return
        condition = parse_condition(goal.event, goal.condition) if goal.condition else None
        earliest = int(self._since.min())
        for rows in events_between(table, earliest, self._view.now):
            last = self.exposures.followed(rows.ordinals, rows.times, goal.within)
            first = self.exposures.followed_first(rows.ordinals, rows.times, goal.within, self._since)
            chosen = (last != NONE) | (first != NONE)
            rows, last, first = rows.take(chosen), last[chosen], first[chosen]
            if condition is not None:
                holding = condition.holds(self._view.population, rows, self._view.now)
                rows, last, first = rows.take(holding), last[holding], first[holding]
            worth = amounts(table, rows, goal.value) if goal.value else np.zeros(len(rows))
            for places, converted, revenue in (
                (last, self.followed["converted"], self.revenue),
                (first, self._converted_from_first, self._revenue_from_first),
            ):
                counted = places != NONE
                converted[places[counted]] = True
                if goal.value:
                    revenue += np.bincount(places[counted], weights=worth[counted], minlength=len(revenue))

    def among(self, parts: Sequence[int]) -> Flags:
        """Which exposures are of some parts."""
        wanted = np.zeros(int(self.parts.max(initial=0)) + 1, bool)
        wanted[[part for part in parts if part < len(wanted)]] = True
        found: Flags = wanted[self.parts]
        return found

    def outcome(self, chosen: Flags) -> Outcome:
        """What followed some of the exposures."""
        sums = {name: int(np.count_nonzero(flags & chosen)) for name, flags in self.followed.items()}
        return Outcome(exposed=int(np.count_nonzero(chosen)), revenue=float(self.revenue[chosen].sum()), **sums)

    def outcomes(self, chosen: Flags, groups: NDArray[np.int64]) -> dict[int, Outcome]:
        """What followed some of the exposures, by a number that each has (int64[n])."""
        numbers, places = np.unique(groups[chosen], return_inverse=True)

        def summed(values: NDArray[Any]) -> list[float]:
            found: list[float] = np.bincount(places, weights=values[chosen], minlength=len(numbers)).tolist()
            return found

        sums = {name: summed(flags) for name, flags in self.followed.items()}
        exposed, revenue = np.bincount(places, minlength=len(numbers)).tolist(), summed(self.revenue)
        return {
            number: Outcome(
                exposed=exposed[n], revenue=revenue[n], **{name: int(counts[n]) for name, counts in sums.items()}
            )
            for n, number in enumerate(numbers.tolist())
        }

    def sums(self, metric: Metric, chosen: Flags) -> Sums:
        """The sufficient statistics of a metric over the users whose first exposures are among some."""
        first = chosen & self.exposures.first
        users = int(np.count_nonzero(first))
        if metric == "revenue":
            return Sums.of_values(users, self._revenue_from_first[first])
        having = self._converted_from_first if metric == "converted" else self.followed[metric]
        return Sums.of_count(users, int(np.count_nonzero(having & first)))


def _arm(tally: _Tally, firings: Sequence[Firing], arms: Arms, name: str) -> Arm:
    parts = arms.parts[name]
    chosen = tally.among(parts)
    ended = all(firing.definition.state == "ended" for firing in firings)
    ledgers = [firing.ledger for firing in firings]
    accounts = counts(ledgers, ended=ended, among=[arms.users(number, name) for number in range(len(firings))])
    return Arm(
        name, accounts, tally.exposures.users(chosen), tally.outcome(chosen), _days(tally, firings, arms, name, chosen)
    )


def _days(tally: _Tally, firings: Sequence[Firing], arms: Arms, name: str, chosen: Flags) -> list[Day]:
    """An arm's days on which anybody was decided or exposed."""
    decided: dict[str, dict[int, int]] = {}
    for number, firing in enumerate(firings):
        for place, days in firing.days(arms.users(number, name)):
            so_far = decided.setdefault(place, {})
            for day, users in days:
                so_far[day] = so_far.get(day, 0) + users
    followed = tally.outcomes(chosen, tally.exposures.instants // MICROS_PER_DAY)
    every = sorted({*decided.get("selected", {}), *followed})
    skips = sorted(place for place in decided if place.startswith("skipped:"))
    found = []
    for day in every:
        skipped = [(place.partition(":")[2], users) for place in skips if (users := decided[place].get(day, 0))]
        found.append(
            Day(
                day * MICROS_PER_DAY,
                decided.get("selected", {}).get(day, 0),
                decided.get("held_out", {}).get(day, 0),
                skipped,
                followed.get(day, _NOTHING),
            )
        )
    return found


def _compared(tally: _Tally, arms: Arms, goal: Goal | None) -> list[Compared]:
    """What went to users beside what did not, and each further variant beside the first."""
    variants = [name for name in arms.names if is_variant(name)]
    baselines = [name for name in (CONTROL, HOLDOUT) if name in arms.names]
    after_goal: list[Metric] = [] if goal is None else ["converted", "revenue"] if goal.value else ["converted"]
    asked: list[tuple[Metric, str, str]] = [
        (metric, name, baseline) for metric in after_goal for name in (SENT, *variants) for baseline in baselines
    ]
    asked += [(metric, name, variants[0]) for metric in (*after_goal, "opened", "clicked") for name in variants[1:]]
    return [
        Compared(
            metric,
            name,
            baseline,
            compare(
                tally.sums(metric, tally.among(arms.parts[name])),
                tally.sums(metric, tally.among(arms.parts[baseline])),
                _KINDS[metric],
            ),
        )
        for metric, name, baseline in asked
    ]
