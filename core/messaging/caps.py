"""How much users were sent of late: what frequency caps and a campaign's least gap count.

A delivery counts from the instant at which it joined the queue, as long as it is not skipped, deferred or failed. The
ledgers are what is counted, so that a cap holds from the moment it is set. What a member of a control group would have
been sent counts for what members of such groups get, and for nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.limits import FrequencyCap
from core.messaging.definitions import MessageDefinition
from core.messaging.rows import Instants, Ordinals, Pairs, array_of
from core.messaging.work import View
from core.values import MAX_MICROS, MICROS_PER_SECOND

_GRAINS: Final = tuple(seconds * MICROS_PER_SECOND for seconds in (3600, 1800, 600, 300, 60, 30, 10, 5, 1))
_ENDS: Final = 2016
"""A wait ends on a multiple of the first of these that fit into a span so many times, five minutes for a week: so
that it ends for many at once."""

Firing = tuple[str, int]
"""A message's key and the number of an occurrence."""


class Counted:
    """Deliveries of some users, one a row: made once for a step, and told of each delivery that it adds.

    Arguments:
        users: whose.
        since: micros; nothing that joined the queue before is looked for.
    """

    def __init__(self, view: View, users: BitMap, since: int) -> None:
        self._definitions: list[MessageDefinition] = []
        self._numbers: dict[Firing, int] = {}
        self._parts: list[_Rows] = []
        for definition in view.messages.every():
            if _is_exempt(definition):
                continue
            for occurrence, ledger in view.messages.occurrences(definition.key).all():
                if ledger.last_at >= since:
                    for ghosts, here in ((False, ledger.handed(users)), (True, users & ledger.state("held_out"))):
                        if here:
                            self.add(definition, occurrence, ledger.joined(here), ghosts=ghosts)

    def add(self, definition: MessageDefinition, occurrence: int, pairs: Pairs, *, ghosts: bool) -> None:
        """Count deliveries: `pairs` are users and the instants, in micros, at which they joined the queue."""
        firing = definition.key, occurrence
        number = self._numbers.get(firing)
        if number is None:
            number = self._numbers[firing] = len(self._definitions)
            self._definitions.append(definition)
        count = len(pairs[0])
        self._parts.append(_Rows(*pairs, np.full(count, number, np.int32), np.full(count, ghosts, bool)))

    def waits(
        self,
        pairs: Pairs,
        ghosts: BitMap,
        counts: Callable[[MessageDefinition], bool],
        most: int,
        span: int,
        firing: Firing,
    ) -> Instants:
        """When each of some users may have another delivery: its instant where that is at once.

        Arguments:
            pairs: the users, ascending, each with the instant of asking.
            ghosts: those of them who are held out.
            counts: which messages count.
            most: how many deliveries may lie in any `span`, micros.
            firing: the delivery asked about, which does not count itself.

        Returns:
            int64[n], of the order of the pairs.
        """
        ordinals, instants = pairs
        rows = self._rows()
        own = self._numbers.get(firing, -1)
        chosen = np.array([counts(one) for one in self._definitions], bool)
        kept = (chosen[rows.firings] if len(chosen) else np.zeros(0, bool)) & (rows.firings != own)
        rows = rows.of(kept)
        place = np.searchsorted(ordinals, rows.ordinals)
        place[place == len(ordinals)] = 0
        at = instants[place]
        ghostly = np.isin(ordinals, array_of(ghosts))
        kept = (ordinals[place] == rows.ordinals) & (rows.instants <= at) & (rows.instants > at - span)
        kept &= ~rows.ghosts | ghostly[place]
        place, since = place[kept], rows.instants[kept]
        order = np.lexsort((since, place))
        number = np.bincount(place, minlength=len(ordinals))
        full = np.flatnonzero(number >= most)
        found = instants.copy()
        if len(full):
            leaves = (np.cumsum(number)[full] - most).astype(np.intp)  # of the last `most`, the first to leave the span
            grain = next((one for one in _GRAINS if one * _ENDS <= span), _GRAINS[-1])
            found[full] = np.minimum(-(-(since[order][leaves] + span) // grain) * grain, MAX_MICROS)
        return found

    def _rows(self) -> _Rows:
        if len(self._parts) != 1:
            self._parts = [_Rows(*map(np.concatenate, zip(_NONE, *self._parts, strict=True)))]
        return self._parts[0]


class _Rows(NamedTuple):
    """Deliveries, one a row, all of one length."""

    ordinals: Ordinals
    instants: Instants
    firings: npt.NDArray[np.int32]
    ghosts: npt.NDArray[np.bool_]

    def of(self, kept: npt.NDArray[np.bool_]) -> _Rows:
        """Some of the rows."""
        return _Rows(self.ordinals[kept], self.instants[kept], self.firings[kept], self.ghosts[kept])


_NONE: Final = _Rows(np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, bool))


def _is_exempt(definition: MessageDefinition) -> bool:
    """Whether a message neither counts nor waits: one sent on a call; one in the app, where it waits to be shown."""
    return definition.on_send or definition.channel == "in_app"


def caps_of(view: View, definition: MessageDefinition) -> list[FrequencyCap]:
    """The project's frequency caps that a message keeps to."""
    if _is_exempt(definition):
        return []
    return [cap for cap in view.settings.frequency_caps if cap.channel in ("", definition.channel)]


def gap_of(view: View, definition: MessageDefinition) -> int:
    """The least time, in micros, between any two messages of a message's campaign to a user; 0: none."""
    return view.campaigns.get(definition.campaign).rate_limit if definition.campaign else 0


def longest_span(view: View) -> int:
    """How far back anything counts, in micros."""
    spans = [cap.span for cap in view.settings.frequency_caps]
    return max([*spans, *(one.rate_limit for one in view.campaigns.all())], default=0)
