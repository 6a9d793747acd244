"""When those whom all other gates let through go out: timing gates let them go or defer them, in the order of instants.

What one message sends a user bears on when the user gets the next, so that each user's turns are taken one after the
other, across messages: the k-th round takes every user's k-th turn, by instant, then priority, then launch. A deferral
that ends within the same move of the clock is another turn. One far move therefore decides what any finer sequence of
moves would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.messaging.admission import deferrals, move_stopped
from core.messaging.caps import Counted, longest_span
from core.messaging.compiled import compile_message
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import DeliveryState, Moved
from core.messaging.firings import Homes, due
from core.messaging.gates import MATCH, STANDING, Asked, is_timed, stopped, through
from core.messaging.judge import attributed
from core.messaging.rows import Instants, Ordinals, array_of, by_value, inside
from core.messaging.schedules import Recurring
from core.messaging.work import Pending, View, Work


class Turns(NamedTuple):
    """Turns of users, one a row, all of one length: the user, the instant, which firing, and whether it is fresh."""

    ordinals: Ordinals
    instants: Instants
    firings: npt.NDArray[np.int32]
    fresh: npt.NDArray[np.bool_]

    def rows(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Turns:
        """Some of the turns."""
        return Turns(self.ordinals[chosen], self.instants[chosen], self.firings[chosen], self.fresh[chosen])


@dataclass(frozen=True, slots=True)
class _Firing:
    """An occurrence of a message, as the release sees it. `rank`: of two at one instant, the lesser goes first."""

    key: str
    occurrence: int
    rank: int


def settle(work: Work, after: int | None = None) -> None:
    """Let go, or defer, whoever waits for timing gates to judge.

    Arguments:
        after: where the clock came from, micros: whose deferral ends since then has a turn. None: only who is pending.
    """
    if after is not None:
        work.pending += _due(work, after)
    pending, work.pending = [one for one in work.pending if len(one.ordinals)], []
    if not pending:
        return
    firings = _ranked(work, pending)
    numbers = {(firing.key, firing.occurrence): number for number, firing in enumerate(firings)}
    ranks = np.array([firing.rank for firing in firings], np.int32)
    counted = _counted(work, pending)
    left = _joined([_turns(one, numbers[one.key, one.occurrence]) for one in pending])
    while len(left.ordinals):
        left = left.rows(np.lexsort((ranks[left.firings], left.instants, left.ordinals)))
        first = np.append(True, left.ordinals[1:] != left.ordinals[:-1])
        now, later = left.rows(first), [left.rows(~first)]
        for number in sorted(np.unique(now.firings).tolist(), key=lambda one: firings[one].rank):
            definition = work.messages.get(firings[number].key)
            with attributed(definition):
                later += _decide(work, definition, firings[number].occurrence, now.rows(now.firings == number), counted)
        left = _joined(later)


def run_instants(view: View, after: int, upto: int) -> list[int]:
    """Where a move of the clock is cut, as what a message's run brings hangs on what became of the runs before it: at the
    runs, in (after, upto), of recurring messages that timing gates have to do with. Ascending, in micros."""
    homes = Homes(view)
    found = {
        run.at
        for definition in view.messages.live()
        if isinstance(definition.schedule, Recurring) and is_timed(view, definition)
        for run in due(view, definition.schedule, homes, after, upto)
    }
    return sorted(found - {upto})


def _due(work: Work, after: int) -> Iterator[Pending]:
    """Of the live messages, those whose deferral ends by now."""
    for definition in work.messages.live():
        for occurrence, ledger in work.messages.occurrences(definition.key).active():
            fresh = ledger.unjudged
            for ends, users in ledger.dues(work.now):
                ordinals = array_of(users - fresh)
                instants = np.full(len(ordinals), max(ends, after), np.int64)
                yield Pending(definition.key, occurrence, ordinals, instants, fresh=False)


def _ranked(work: Work, pending: Sequence[Pending]) -> list[_Firing]:
    """The firings that somebody waits in, in the order in which they go out at one instant."""
    definitions = [work.messages.get(key) for key in {one.key for one in pending}]
    definitions.sort(key=lambda one: (work.campaigns.priority(one), one.launched_at, one.key))
    order = {definition.key: place for place, definition in enumerate(definitions)}
    found = sorted({(order[one.key], one.occurrence, one.key) for one in pending})
    return [_Firing(key, occurrence, rank) for rank, (_, occurrence, key) in enumerate(found)]


def _counted(work: Work, pending: Sequence[Pending]) -> Counted | None:
    """What those who wait were sent of late, where any limit counts that."""
    span = longest_span(work)
    if not span:
        return None
    users = BitMap.union(*(BitMap(one.ordinals) for one in pending))
    return Counted(work, users, min(int(one.instants.min()) for one in pending if len(one.instants)) - span)


def _turns(pending: Pending, firing: int) -> Turns:
    count = len(pending.ordinals)
    return Turns(
        pending.ordinals, pending.instants, np.full(count, firing, np.int32), np.full(count, pending.fresh, bool)
    )


def _joined(parts: Sequence[Turns]) -> Turns:
    return parts[0] if len(parts) == 1 else Turns(*map(np.concatenate, zip(*parts, strict=True)))


def _decide(
    work: Work, definition: MessageDefinition, occurrence: int, turns: Turns, counted: Counted | None
) -> list[Turns]:
    """Judge one turn each of users of a firing; the turns that a deferral gives them before the present instant."""
    ledger = work.messages.ledger(definition.key, occurrence)
    if definition.state != "live":  # it paused on the way: whom it had let through by then goes on
        before = turns.instants < definition.paused_at
        turns = turns.rows(before | inside(turns.ordinals, ledger.unjudged))
    turns = turns.rows(inside(turns.ordinals, ledger.state("deferred")))
    if not len(turns.ordinals):
        return []
    users, again = BitMap(turns.ordinals), BitMap(turns.ordinals[~turns.fresh])
    compiled = compile_message(work, definition)
    asked = Asked(work, definition, compiled, occurrence, "release", (turns.ordinals, turns.instants), counted=counted)
    stops = through(asked, again, (*MATCH, *STANDING)) if again else []
    stops += deferrals(asked, users - stopped(stops))
    passing = users - stopped(stops)
    ghosts = passing & ledger.held_back
    if counted is not None:
        for some, ghostly in ((passing - ghosts, False), (ghosts, True)):
            if some:
                counted.add(definition, occurrence, asked.pairs(some), ghosts=ghostly)
    places = [(reason, present & users) for reason, present in ledger.reasons("deferred")]
    sides: list[tuple[DeliveryState, BitMap]] = [("queued", passing - ghosts), ("held_out", ghosts)]
    for reason, here in places:
        for state, going in sides:
            for at, some in _at_instants(turns, here & going):
                work.do(Moved(definition.key, some, "deferred", reason, state, "", at, occurrence=occurrence))
        for stop in stops:
            move_stopped(work, definition.key, occurrence, stop, here, "deferred", reason)
    if any(stop.due and (turns.instants[inside(turns.ordinals, stop.users)] >= stop.due).any() for stop in stops):
        raise RuntimeError(f"a gate of {definition.key} defers to an instant that is no later")
    return [
        Turns(
            ordinals := array_of(stop.users),
            np.full(len(ordinals), stop.due, np.int64),
            np.full(len(ordinals), turns.firings[0], np.int32),
            np.zeros(len(ordinals), bool),
        )
        for stop in stops
        if stop.due and stop.due <= work.now
    ]


def _at_instants(turns: Turns, users: BitMap) -> Iterator[tuple[int, BitMap]]:
    """Users by the instant of their turn; 0 for those whose turn is the decision itself."""
    if not users:
        return
    chosen = turns.rows(inside(turns.ordinals, users))
    yield from by_value(chosen.ordinals, np.where(chosen.fresh, 0, chosen.instants))
