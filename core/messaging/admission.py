"""What becomes of users whom a message selects: the gates decide, and effects say so for the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.messaging.cause import Stirred
from core.messaging.compiled import Compiled, compile_message
from core.messaging.definitions import MessageDefinition
from core.messaging.dividing import by_variant, sides
from core.messaging.effects import (
    EXPIRED,
    NO_LONGER_MATCHES,
    Assigned,
    Caused,
    Defined,
    DeliveryState,
    Moved,
    Selected,
    is_open,
    lasting,
)
from core.messaging.gates import (
    MATCH,
    STANDING,
    TIMING,
    Asked,
    Stop,
    has_groups,
    is_timed,
    matching,
    stopped,
    through,
)
from core.messaging.groups import VARIANT
from core.messaging.occurrences import FIRST
from core.messaging.pace import room
from core.messaging.render import unchanged
from core.messaging.rows import Instants, Ordinals, at_once, inside
from core.messaging.work import Pending, View, Work

MAX_RECIPIENTS: Final = "max_recipients"


def _room(view: View, definition: MessageDefinition, occurrence: int) -> int | None:
    """How many more may be selected for sending in an occurrence; None without a limit.

    Whoever was let through once counts, whatever came of it: what becomes of one user later never lets another in, in
    whatever steps the clock moves.
    """
    if not definition.max_recipients:
        return None
    ledger = view.messages.ledger(definition.key, occurrence)
    return definition.max_recipients - len(ledger.selected) + len(ledger.state("skipped") - ledger.let_through)


def assign(work: Work, definition: MessageDefinition, occurrence: int, users: BitMap) -> BitMap:
    """Let chance decide, once, who of those that are let through is held out, and which variant the others get.

    Returns:
        Of the users, all that are held out, by now or since before.
    """
    held_out = _hold_out(work, definition, occurrence, users)
    settle_variants(work, definition, occurrence, users - held_out)
    return held_out


def _hold_out(work: Work, definition: MessageDefinition, occurrence: int, users: BitMap) -> BitMap:
    ledger = work.messages.ledger(definition.key, occurrence)
    if not has_groups(work, definition):
        return BitMap()
    for group, members in sides(work, definition, users - ledger.let_through).items():
        if members:
            work.do(Assigned(definition.key, occurrence, group, members))
    return users & work.messages.ledger(definition.key, occurrence).held_back


def settle_variants(work: Work, definition: MessageDefinition, occurrence: int, users: BitMap) -> None:
    """Record which variant users get of those that are let through now, where there are several."""
    if not definition.variants:
        return
    ledger = work.messages.ledger(definition.key, occurrence)
    for key, members in by_variant(work, definition, occurrence, users - ledger.let_through):
        fresh = members - ledger.groups().get(VARIANT + key, BitMap())
        if fresh:
            work.do(Assigned(definition.key, occurrence, VARIANT + key, fresh))


def _pause_at_limit(work: Work, definition: MessageDefinition, instant: int) -> None:
    paused = replace(
        definition, state="paused", pause_reason=MAX_RECIPIENTS, paused_at=instant, revision=definition.revision + 1
    )
    work.do(Defined(paused))


def admit(
    work: Work,
    definition: MessageDefinition,
    compiled: Compiled,
    ordinals: Ordinals,
    instants: Instants,
    *,
    skip: str = "",
    stirred: Stirred | None = None,
    occurrence: int = FIRST,
) -> None:
    """Take users who match, and whom the occurrence never selected, into its ledger, through the gates.

    Arguments:
        ordinals, instants: uint32[n] and int64[n], the instant of each user's decision in micros.
        stirred: what happened at these instants, where it was read for several messages.
        skip: a reason for which all of them are skipped, instead of the gates.
        stirred: what happened at these instants, where it was read for several messages.
    """
    if not len(ordinals):
        return
    order = np.lexsort((ordinals, instants))
    ordinals, instants = ordinals[order], instants[order]
    users = BitMap(ordinals)
    asked = Asked(work, definition, compiled, occurrence, "decide", (ordinals, instants), stirred)
    stops = [Stop(skip, users)] if skip else through(asked, users, STANDING)

    room = _room(work, definition, occurrence)
    blocked = stopped(stops)
    limit_at: int | None = None
    if room is not None and len(users) - len(blocked) > room:
        passing = np.flatnonzero(np.cumsum(~inside(ordinals, blocked)) > room)
        limit_at = int(instants[passing[0]])
        kept = instants < limit_at
        ordinals, instants = ordinals[kept], instants[kept]
        users &= BitMap(ordinals)

    state_of = np.zeros(len(ordinals), np.int32)
    for number, stop in enumerate(stops, 1):
        state_of[inside(ordinals, stop.users)] = number
    passing = state_of == 0
    held_out = inside(ordinals, assign(work, definition, occurrence, users - blocked))
    timed = is_timed(work, definition)
    queued = passing & ~held_out
    by_state: list[tuple[DeliveryState, npt.NDArray[np.bool_]]] = [("queued", queued), ("held_out", passing & held_out)]
    if timed:
        by_state = [("deferred", passing)]
    for state, rows in by_state:
        if rows.any():
            due = work.now if timed else 0
            work.do(Selected(definition.key, state, "", ordinals[rows], instants[rows], occurrence, due))
    if timed and passing.any():
        work.pending.append(Pending(definition.key, occurrence, ordinals[passing], instants[passing], fresh=True))
    for number, stop in enumerate(stops, 1):
        rows = state_of == number
        if rows.any():
            work.do(Selected(definition.key, "skipped", stop.reason, ordinals[rows], instants[rows], occurrence))
    if asked.causes:
        kept_causes = {one: asked.causes[one] for one in ordinals[queued].tolist() if one in asked.causes}
        if kept_causes:
            work.do(Caused(definition.key, kept_causes, occurrence))
    if limit_at is not None:
        _pause_at_limit(work, definition, limit_at)


def rejudge(
    work: Work, definition: MessageDefinition, compiled: Compiled, users: BitMap, occurrence: int = FIRST
) -> None:
    """Judge open skips of an occurrence again.

    Whose obstacle is gone is queued, or, who no longer matches, skipped for good; whose obstacle is another now is
    told so; the rest stay as they are.
    """
    if definition.state != "live" or not users:
        return
    key = definition.key
    asked = Asked(work, definition, compiled, occurrence, "again", work.now)
    stops = through(asked, users, STANDING)
    free = users - stopped(stops)
    lost = stopped(through(asked, free, MATCH))
    room = _room(work, definition, occurrence)
    if room is not None and len(free) - len(lost) > room:
        _pause_at_limit(work, definition, work.now)
        return
    for reason, skipped in work.messages.ledger(key, occurrence).reasons("skipped"):
        if not is_open(reason):
            continue
        passing = skipped & (free - lost)
        _let_through_now(work, definition, occurrence, passing, reason)
        for stop in (Stop(NO_LONGER_MATCHES, lost), *stops):
            moving = skipped & stop.users
            if moving and stop.reason != reason:
                work.do(Moved(key, moving, "skipped", reason, "skipped", stop.reason, occurrence=occurrence))


def _let_through_now(work: Work, definition: MessageDefinition, occurrence: int, users: BitMap, reason: str) -> None:
    """Those whose open skip is over join the queue, are held out, or are for timing gates to judge."""
    ghosts = assign(work, definition, occurrence, users)
    moves: list[tuple[BitMap, DeliveryState]] = [(users - ghosts, "queued"), (ghosts, "held_out")]
    if is_timed(work, definition):
        moves = [(users, "deferred")]
    for some, state in moves:
        if some:
            due = work.now if state == "deferred" else 0
            work.do(Moved(definition.key, some, "skipped", reason, state, "", work.now, occurrence=occurrence, due=due))
            if due:
                work.pending.append(Pending(definition.key, occurrence, *at_once(some, work.now), fresh=False))


def defer_again(work: Work, definition: MessageDefinition) -> None:
    """Give everybody whom a message defers a turn now: what they wait for may be another thing by now."""
    for occurrence, ledger in work.messages.occurrences(definition.key).active():
        deferred = ledger.state("deferred")
        if deferred:
            work.pending.append(Pending(definition.key, occurrence, *at_once(deferred, work.now), fresh=False))


def judge_queue_again(work: Work, definition: MessageDefinition, compiled: Compiled, occurrence: int) -> None:
    """After a resume: drop from the queue what waited too long and who no longer matches; judge again who is deferred."""
    ledger = work.messages.ledger(definition.key, occurrence)
    deferred = ledger.state("deferred")
    if deferred:
        work.pending.append(Pending(definition.key, occurrence, *at_once(deferred, work.now), fresh=False))
    queued = ledger.state("queued")
    if not queued:
        return
    expired = ledger.waiting_since_before(queued, work.now - definition.expiry)
    rest = queued - expired
    lost = rest - matching(work, compiled.targeting, rest, work.now)
    for reason, users in ((EXPIRED, expired), (NO_LONGER_MATCHES, lost)):
        if users:
            work.do(Moved(definition.key, users, "queued", "", "skipped", reason, occurrence=occurrence))


def leave(
    work: Work,
    definition: MessageDefinition,
    users: BitMap,
    bases: Mapping[int, bytes],
    occurrence: int,
    *,
    paced: bool,
) -> BitMap:
    """Leave to begin: the last look at pause, match, address and what was rendered.

    Who no longer matches, cannot be reached or has waited longer than `expires_after` leaves the queue with the reason;
    who may not be sent to at this time of day is deferred. Who would be rendered otherwise by now than `bases` tell
    stays in it, to be offered anew; and so does, where hand-offs are `paced`, who is one too many for this second.
    What goes to an inbox is not `paced`: it comes there once a far move of the clock is over, which is nobody's
    delay, so neither time nor pace has a say in it again.
    """
    if definition.state != "live":
        return BitMap()
    queued = work.messages.ledger(definition.key, occurrence).state("queued") & users
    if not queued:
        return queued
    compiled = compile_message(work, definition)
    asked = Asked(work, definition, compiled, occurrence, "leave", work.now)
    stops = through(asked, queued, (*MATCH, *STANDING))
    if paced:
        stops += deferrals(asked, queued - stopped(stops))
        stops += expired(asked, queued - stopped(stops))
    for stop in stops:
        reason = stop.reason if stop.due else lasting(stop.reason, at_send=definition.on_send)
        stop = Stop(reason, stop.users, stop.due)
        move_stopped(work, definition.key, occurrence, stop, queued, "queued")
    passing = queued - stopped(stops)
    granted = unchanged(work, definition, compiled, passing, bases, occurrence=occurrence)
    most = room(work, definition, work.now) if paced else None
    if most is not None and len(granted) > most:
        granted = granted[:most]
    if granted:
        work.do(
            Moved(definition.key, granted, "queued", "", "begun", "", work.now if paced else 0, occurrence=occurrence)
        )
    return granted


def deferrals(asked: Asked, users: BitMap) -> list[Stop]:
    """Whom timing gates stop; who would wait beyond the message's `expires_after` is skipped (`expired`) instead."""
    timing = [gate for gate in TIMING if gate.concerns(asked.view, asked.definition)]
    stops = through(asked, users, timing)
    limit = asked.definition.expires_after
    if not limit or not stops:
        return stops
    ordinals, since = asked.view.messages.ledger(asked.definition.key, asked.occurrence).joined(stopped(stops))
    found = []
    for stop in stops:
        late = stop.users & BitMap(ordinals[since < stop.due - limit])
        found += [Stop(EXPIRED, late), Stop(stop.reason, stop.users - late, stop.due)]
    return [stop for stop in found if stop.users]


def move_stopped(
    work: Work, key: str, occurrence: int, stop: Stop, among: BitMap, source: DeliveryState, reason: str = ""
) -> None:
    """Skip or defer those of some users, all in one place, whom a gate stopped."""
    users = among & stop.users
    if not users:
        return
    target: DeliveryState = "deferred" if stop.due else "skipped"
    work.do(Moved(key, users, source, reason, target, stop.reason, occurrence=occurrence, due=stop.due))


def expired(asked: Asked, users: BitMap) -> list[Stop]:
    """Of queued users, those who have waited longer than the message's `expires_after`, where it says how long."""
    limit = asked.definition.expires_after
    ledger = asked.view.messages.ledger(asked.definition.key, asked.occurrence)
    if not limit or ledger.first_at >= asked.view.now - limit:
        return []
    return [Stop(EXPIRED, ledger.waiting_since_before(users, asked.view.now - limit))]
