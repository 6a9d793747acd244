"""Runs of messages that are sent by time: which come due in a span of time, for whom, and what becomes of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from pyroaring import BitMap

from core.messaging.definitions import MessageDefinition
from core.messaging.occurrences import FIRST
from core.messaging.recurrence import recurrence
from core.messaging.runs import Outcome
from core.messaging.schedules import USERS_ZONE, Once, Recurring, Schedule, read_wall
from core.messaging.wall_times import FARTHEST_OFFSET, instant_of
from core.messaging.work import View
from core.messaging.zones import users_in, zone_names
from core.values import MAX_MICROS, MIN_MICROS, from_micros

_HOUR: Final = 3_600_000_000
USUAL_GRACE: Final = _HOUR
"""How late a run of a recurring message may fire, where the message does not say."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, for the users of the zones in which it comes due at one instant.

    Arguments:
        occurrence: its number.
        at: the instant, micros UTC.
        users: whom it is for; None: everybody.
    """

    occurrence: int
    at: int
    users: BitMap | None = None


class Homes:
    """Where the users of a version live, found when it is asked for."""

    def __init__(self, view: View) -> None:
        self._view = view

    @cached_property
    def zones(self) -> frozenset[str]:
        """Every zone that a user may live in: those of `$timezone`, and the project's."""
        return frozenset((*zone_names(self._view), self._view.settings.time_zone))

    @cached_property
    def _homeless(self) -> BitMap:
        """Who has no readable zone, and so the project's."""
        return self._view.population.live - BitMap.union(BitMap(), *(users_in(self._view, one) for one in self._named))

    @cached_property
    def _named(self) -> list[str]:
        return zone_names(self._view)

    def users(self, zones: Iterable[str]) -> BitMap:
        """Who lives in any of some zones."""
        found = BitMap()
        for zone in zones:
            found |= users_in(self._view, zone)
            if zone == self._view.settings.time_zone:
                found |= self._homeless
        return found


def due(view: View, schedule: Schedule, homes: Homes, after: int, upto: int) -> list[Run]:
    """The runs whose instants lie in (after, upto], in the order of these; runs for nobody are left out.

    Arguments:
        after, upto: micros UTC.
    """
    if isinstance(schedule, Once) and not schedule.wall:
        return [Run(FIRST, schedule.at)] if after < schedule.at <= upto else []
    if not isinstance(schedule, Once | Recurring):
        return []
    walls = _walls(schedule, after, upto)
    if schedule.zone != USERS_ZONE:
        zone = schedule.zone or view.settings.time_zone
        found = [Run(number, instant_of(wall, zone)) for number, wall in walls]
        return [run for run in found if after < run.at <= upto]
    zones_at: dict[tuple[int, int], list[str]] = {}
    for number, wall in walls:
        for zone in homes.zones:
            instant = instant_of(wall, zone)
            if after < instant <= upto:
                zones_at.setdefault((instant, number), []).append(zone)
    runs = [Run(number, at, homes.users(zones)) for (at, number), zones in sorted(zones_at.items())]
    return [run for run in runs if run.users]


def _walls(schedule: Once | Recurring, after: int, upto: int) -> Sequence[tuple[int, datetime]]:
    """The runs, by number and wall time, that clocks somewhere may show in a span of time."""
    first, last = _naive(after) - FARTHEST_OFFSET, _naive(upto) + FARTHEST_OFFSET
    if isinstance(schedule, Recurring):
        return recurrence(read_wall(schedule.start, ""), schedule.rule).between(first, last)
    wall = read_wall(schedule.wall, "")
    return [(FIRST, wall)] if first <= wall <= last else []


def _naive(instant: int) -> datetime:
    """An instant as clocks in UTC show it, far enough from the ends of time to add a day to it."""
    edge = FARTHEST_OFFSET
    shown = from_micros(min(max(instant, MIN_MICROS), MAX_MICROS)).replace(tzinfo=None)
    return min(max(shown, datetime.min + edge), datetime.max - edge)


def next_run(view: View, schedule: Schedule, after: int) -> int | None:
    """The instant of the first run after another, both micros UTC; None where there is none."""
    if isinstance(schedule, Once) and not schedule.wall:
        return schedule.at if schedule.at > after else None
    if not isinstance(schedule, Once | Recurring):
        return None
    zones = Homes(view).zones if schedule.zone == USERS_ZONE else [schedule.zone or view.settings.time_zone]
    wall = _naive(after) - FARTHEST_OFFSET
    while True:
        if isinstance(schedule, Recurring):
            found = recurrence(read_wall(schedule.start, ""), schedule.rule).following(wall)
            if found is None:
                return None
            wall = found[1]
        else:
            wall = read_wall(schedule.wall, "")
        coming = [at for at in (instant_of(wall, zone) for zone in zones) if at > after]
        if coming or isinstance(schedule, Once):
            return min(coming, default=None)


def grace(definition: MessageDefinition) -> int:
    """How late a run may fire, in micros."""
    return definition.grace or (USUAL_GRACE if isinstance(definition.schedule, Recurring) else definition.expiry)


def unpunctual(runs: Sequence[Run], definition: MessageDefinition, now: int) -> list[tuple[Run, Outcome]]:
    """What becomes, at an instant, of runs whose own instants passed while nobody could judge them.

    Of each user's runs the latest is late, if it is so by at most the grace; all others are missed.

    Arguments:
        runs: in the order of their instants.
        now: micros UTC.

    Returns:
        Each run with its outcome, in the order of their instants; one that is late for some of its users and missed
        for the rest stands there twice.
    """
    found: list[tuple[Run, Outcome]] = []
    most = grace(definition)
    later: BitMap | None = BitMap()
    for run in reversed(runs):
        if later is None or now - run.at > most:
            found.append((run, "missed"))
            continue
        if run.users is None:
            found.append((run, "late"))
            later = None
            continue
        rest = run.users - later
        if len(rest) < len(run.users):
            found.append((Run(run.occurrence, run.at, run.users & later), "missed"))
        if rest:
            found.append((Run(run.occurrence, run.at, rest), "late"))
        later = later | run.users
    return found[::-1]
