"""What came of a message, worked out one user and one exposure at a time: the naive twin of `core.messaging.results`."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from core.evaluator.match import Row, match
from core.evaluator.parse import parse
from core.messaging.definitions import MessageDefinition
from core.messaging.goal import Goal
from core.messaging.results import FEEDBACK, OPEN_WINDOW
from core.values import MICROS_PER_DAY, to_micros
from core.version import Version


@dataclass
class Exposed:
    """One exposure and what followed it."""

    ordinal: int
    arm: str
    instant: int
    since: int
    found: set[str]
    revenue: float = 0.0
    first: bool = False
    found_from_first: set[str] = field(default_factory=set)
    revenue_from_first: float = 0.0


def exposures(version: Version, definition: MessageDefinition, groups: dict[int, dict[str, set[int]]]) -> list[Exposed]:
    """Every exposure of a message.

    Arguments:
        groups: by occurrence, group name to ordinals.
    """
    found = []
    for ordinal in version.population.live:
        timeline = version.population.timeline(ordinal, version.now, 1 << 30, False)
        events = [(name, to_micros(properties["time"]), properties) for name, properties in timeline]
        mine: dict[int, Exposed] = {}
        for number, ledger in version.messages.occurrences(definition.key).all():
            group = next((name for name, users in groups.get(number, {}).items() if ordinal in users), "sent")
            sent = [
                time for name, time, properties in events if name == "$campaign_delivery" and about(properties, number)
            ]
            place = ledger.place(ordinal)
            if sent:
                mine[number] = Exposed(ordinal, group, min(sent), min(*sent, ledger.joined_at(ordinal)), set())
            elif place is not None and place[0] == "held_out":
                instant = ledger.decided_at(ordinal)
                assert instant is not None
                mine[number] = Exposed(ordinal, group, instant, instant, set())
        for number, one in mine.items():
            for word, event in FEEDBACK.items():
                for name, time, properties in events:
                    soon = word != "opened" or time - one.instant <= OPEN_WINDOW
                    if name == event and about(properties, number) and soon:
                        one.found.add(word)
        if mine:
            mine[min(mine, key=lambda number: (mine[number].instant, number))].first = True
        if definition.goal is not None:
            for name, time, properties in events:
                if name == definition.goal.event and satisfies(definition.goal, properties):
                    credit(definition.goal, list(mine.values()), time, properties)
        found += mine.values()
    return found


def about(properties: dict[str, Any], number: int) -> bool:
    """Whether an event tells of an occurrence of the message `hi`."""
    return properties.get("message_id") == "hi" and properties.get("occurrence", 0) == number


def satisfies(goal: Goal, properties: dict[str, Any]) -> bool:
    """Whether an event is one that the goal asks for, by the row matcher."""
    text = f"events.X.exists(e, {goal.condition or 'true'})"
    return match(parse(text), Row({}, {"X": [properties]}, 0)) is True


def credit(goal: Goal, mine: list[Exposed], time: int, properties: dict[str, Any]) -> None:
    """Count an event for its user's last exposure before it, and for the first from when it was let through."""
    amount = properties.get(goal.value)
    worth = amount if type(amount) in (int, float) else 0.0
    before = [one for one in mine if time - one.instant > 0]
    last = max(reversed(before), key=lambda one: one.instant, default=None)
    if last is not None and time - last.instant <= goal.within:
        last.found.add("converted")
        last.revenue += worth
    for one in mine:
        if one.first and 0 < time - one.since <= goal.within:
            one.found_from_first.add("converted")
            one.revenue_from_first += worth


def outcome(found: list[Exposed]) -> dict[str, float]:
    """Counts by name."""
    sums: Counter[str] = Counter()
    for one in found:
        sums.update(one.found)
    return {
        "exposed": len(found),
        "revenue": sum(one.revenue for one in found),
        **{name: sums[name] for name in (*FEEDBACK, "converted")},
    }


def by_day(found: list[Exposed]) -> dict[int, dict[str, float]]:
    """The same for each day of the exposures."""
    days = defaultdict(list)
    for one in found:
        days[one.instant // MICROS_PER_DAY * MICROS_PER_DAY].append(one)
    return {day: outcome(those) for day, those in days.items()}


def per_user(found: list[Exposed], metric: str) -> list[float]:
    """One number for each user whose first exposure is among these."""
    first = [one for one in found if one.first]
    if metric == "revenue":
        return [one.revenue_from_first for one in first]
    return [float(metric in (one.found_from_first if metric == "converted" else one.found)) for one in first]
