"""The event that made a user match, for templates that name `event`."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from core.bitmaps.events import EventTable
from core.bitmaps.gathered import Gathered
from core.bitmaps.rows import EventRows, concatenate
from core.evaluator.match import Row, match
from core.messaging.compiled import Compiled
from core.messaging.rows import Instants, Ordinals, Pairs
from core.messaging.work import View
from core.values import Value, from_micros

_FEW: Final = 16
"""Up to so many users are looked at one by one where nothing has been read for several messages."""


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


def causes_of(
    view: View, compiled: Compiled, pairs: Pairs, stirred: Stirred | None = None
) -> dict[int, dict[str, Value]]:
    """The cause of each user that has one, by ordinal.

    Arguments:
        pairs: the users, ascending, each once, with the instant in micros at which each came to match.
        stirred: what happened at these instants, where it was read for several messages already.
    """
    ordinals, instants = pairs
    if stirred is None:
        if len(ordinals) <= _FEW:
            return _one_by_one(view, compiled, pairs)
        stirred = Stirred(view, np.unique(instants))
    hits = [happened.of(pairs) for name in compiled.targeting.events if (happened := stirred.named(name)) is not None]
    count = np.zeros(len(ordinals), np.int64)
    for _, places, _ in hits:
        count += np.bincount(places, minlength=len(ordinals))
    found: dict[int, dict[str, Value]] = {}
    for happened, places, rows in hits:
        alone = count[places] == 1
        for ordinal, row in zip(ordinals[places[alone]].tolist(), rows[alone].tolist(), strict=True):
            found[ordinal] = happened.event(row)
    several = count > 1
    return found | _one_by_one(view, compiled, (ordinals[several], instants[several]))


def _one_by_one(view: View, compiled: Compiled, pairs: Pairs) -> dict[int, dict[str, Value]]:
    found = {}
    for ordinal, instant in zip(pairs[0].tolist(), pairs[1].tolist(), strict=True):
        cause = cause_of(view, compiled, ordinal, instant)
        if cause is not None:
            found[ordinal] = cause
    return found


class Stirred:
    """The events that arrived or came due at some instants: only they can be causes of matches at those.

    Each name is read once, when it is asked for, for as many messages as ask. The population may not be written to
    meanwhile.

    Arguments:
        instants: int64[n] in micros, ascending.
        touched: the only users who are asked about, where they have been gathered; None: everybody.
    """

    def __init__(self, view: View, instants: Instants, touched: Gathered | None = None) -> None:
        self._view = view
        self._instants = instants
        self._touched = touched
        self._found: dict[str, _Happened | None] = {}

    def named(self, name: str) -> _Happened | None:
        """Those of a name; None where there are none."""
        if name not in self._found:
            self._found[name] = self._read(name)
        return self._found[name]

    def _read(self, name: str) -> _Happened | None:
        table = (self._touched or self._view.population).events(name)
        if table is None or not len(self._instants):
            return None
        late_after = self._view.settings.late_after
        parts = []
        for day in table.days_between(int(self._instants[0]) - late_after - 1, int(self._instants[-1])):
            rows = table.chunk(day).rows
            stirring = np.isin(rows.times, self._instants) | np.isin(rows.arrivals, self._instants)
            if stirring.any():
                parts.append(rows.take(stirring))
        if not parts:
            return None
        rows = concatenate(parts)
        rows = rows.take(np.argsort(rows.ordinals, kind="stable"))
        ordinals = rows.ordinals if self._touched is None else self._touched.users[rows.ordinals]
        return _Happened(table, rows, ordinals, late_after)


class _Happened:
    """Events of one name, by user.

    Arguments:
        ordinals: uint32[n], ascending: of each row the user's, in the whole population.
        late_after: how old an event may be, in micros, to cause a match.
    """

    def __init__(self, table: EventTable, rows: EventRows, ordinals: Ordinals, late_after: int) -> None:
        self._table = table
        self._rows = rows
        self._ordinals = ordinals
        self._late_after = late_after
        self._events: list[dict[str, Value]] | None = None

    def of(self, pairs: Pairs) -> tuple[_Happened, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """These events where they are causes for users at instants: of each the place in `pairs`, and its row here."""
        ordinals, instants = pairs
        first = np.searchsorted(self._ordinals, ordinals, "left")
        counts = np.searchsorted(self._ordinals, ordinals, "right") - first
        places = np.repeat(np.arange(len(ordinals)), counts)
        rows = np.arange(len(places)) + np.repeat(first - np.cumsum(counts) + counts, counts)
        at, times, arrivals = instants[places], self._rows.times[rows], self._rows.arrivals[rows]
        causing = ((times == at) | ((arrivals == at) & (times <= at))) & (times >= at - self._late_after)
        return self, places[causing], rows[causing]

    def event(self, row: int) -> dict[str, Value]:
        """The event of a row as templates see it."""
        if (
            self._events is None
        ):  # all at once: most are asked for when one is, and one alone costs as much as a hundred
            times = self._rows.times.tolist()
            found = self._table.properties(self._rows)
            self._events = [_as_event(self._table.name, *one) for one in zip(times, found, strict=True)]
        return self._events[row]
