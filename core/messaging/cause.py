"""The event that made a user match, for templates that name `event`."""

from __future__ import annotations

from typing import Final

import numpy as np
from pyroaring import BitMap

from core.evaluator.match import Row, match
from core.messaging.compiled import Compiled
from core.messaging.rows import Pairs, inside
from core.messaging.work import View
from core.values import Value, from_micros

_MANY: Final = 256
"""Up to so many users are looked at one by one at once; of more it is asked first who can have a cause."""


def _as_event(name: str, time: int, properties: dict[str, Value]) -> dict[str, Value]:
    """An event as templates see it: its properties, its time, and its name unless a property is called so."""
    return {"name": name, **properties, "time": from_micros(time)}


def cause_of(view: View, compiled: Compiled, ordinal: int, instant: int) -> dict[str, Value] | None:
    """The event that made a user match at an instant: of those read that arrived or came due then, the one without
    which the user would not match; where that is true of several or of none, the latest."""
    found: list[tuple[int, str, int, dict[str, Value]]] = []
    for name in sorted(compiled.targeting.events):
        table = view.population.events(name)
        if table is not None:
            recent = table.history(ordinal, instant, since=instant - view.settings.late_after)
            for place, (time, arrival, properties) in enumerate(recent):
                if instant in (time, arrival):
                    found.append((time, name, place - len(recent), properties))
    found.sort(key=lambda one: one[0], reverse=True)
    if len(found) > 1:
        found.sort(key=lambda one: _matches_without(view, compiled, ordinal, instant, one[1], one[2]))
    return _as_event(found[0][1], found[0][0], found[0][3]) if found else None


def _matches_without(view: View, compiled: Compiled, ordinal: int, instant: int, name: str, place: int) -> bool:
    """Whether a user would match had one event, at a place counted from the end of its name's, not been."""
    events = {}
    for other in compiled.targeting.events:
        table = view.population.events(other)
        if table is not None:
            events[other] = table.of_user(ordinal, instant)
    del events[name][place]
    return bool(match(compiled.targeting, Row(view.population.profile(ordinal), events, instant, ordinal=ordinal)))


def latest_event(view: View, compiled: Compiled, ordinal: int) -> dict[str, Value] | None:
    """The latest event of a user, up to now, of those that the targeting reads."""
    found = [
        (time, _as_event(name, time, properties))
        for name in sorted(compiled.targeting.events)
        if (table := view.population.events(name)) is not None
        for time, _, properties in table.history(ordinal, view.now)[-1:]
    ]
    return max(found, key=lambda one: one[0])[1] if found else None


def causes_of(view: View, compiled: Compiled, pairs: Pairs) -> dict[int, dict[str, Value]]:
    """The cause of each user that has one, by ordinal.

    Arguments:
        pairs: the users, each once, with the instant in micros at which each came to match.
    """
    ordinals, instants = pairs
    if len(ordinals) > _MANY:
        rows = inside(ordinals, _stirred(view, compiled, pairs))
        ordinals, instants = ordinals[rows], instants[rows]
    found = {}
    for ordinal, instant in zip(ordinals.tolist(), instants.tolist(), strict=True):
        cause = cause_of(view, compiled, ordinal, instant)
        if cause is not None:
            found[ordinal] = cause
    return found


def _stirred(view: View, compiled: Compiled, pairs: Pairs) -> BitMap:
    """Users, not only those given, of whom an event that the targeting reads arrived or came due at one of the instants:
    only they can have a cause. Most of those who match at a launch have none, and need not be looked at one by one."""
    instants = np.unique(pairs[1])
    found = BitMap()
    for name in compiled.targeting.events:
        table = view.population.events(name)
        if table is None:
            continue
        after, upto = int(instants[0]) - view.settings.late_after - 1, int(instants[-1])
        for day in table.days_between(after, upto):
            for rows in table.chunk(day).between(after, upto):
                stirring = np.isin(rows.times, instants) | np.isin(rows.arrivals, instants)
                found |= BitMap(rows.ordinals[stirring])
    return found
