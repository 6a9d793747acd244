"""Who gets a message: judgement of everybody, of touched users, and of the clock's crossings.

Users are independent of each other, so that one far move of the clock decides exactly what any finer sequence
of moves would: each user is judged at the instants at which that user's answer may change. The one thing that
couples users is a message's `max_recipients`; it is applied in the order of instants.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.evaluator.bind import bind
from core.evaluator.parse import Parsed
from core.evaluator.time_use import crossings, global_instants
from core.messaging.compiled import Compiled, compile_message
from core.messaging.definitions import Asap, MessageDefinition
from core.messaging.effects import (
    BACKFILLED,
    EXPIRED,
    MISSING_EVENT,
    MISSING_PROPERTY,
    NO_LONGER_MATCHES,
    UNREACHABLE,
    Caused,
    Defined,
    Moved,
    Selected,
)
from core.messaging.work import View, Work
from core.values import Value

Ordinals = npt.NDArray[np.uint32]
Instants = npt.NDArray[np.int64]
MAX_RECIPIENTS = "max_recipients"


def matching(view: View, parsed: Parsed, among: BitMap | None, now: int | tuple[Ordinals, Instants]) -> BitMap:
    """The users among those given (None: all) for whom an expression is true."""
    matched: BitMap = bind(parsed, view.population).run(view.population, among=among, now=now).true
    return matched


def _array(users: BitMap) -> Ordinals:
    return np.array(users.to_array(), np.uint32)


def _room(view: View, definition: MessageDefinition) -> int | None:
    """How many more may be selected for sending; None without a limit."""
    if not definition.max_recipients:
        return None
    ledger = view.messages.ledger(definition.key)
    return definition.max_recipients - (len(ledger.selected) - len(ledger.state("skipped")))


def _pause_at_limit(work: Work, definition: MessageDefinition, instant: int) -> None:
    paused = replace(
        definition, state="paused", pause_reason=MAX_RECIPIENTS, paused_at=instant, revision=definition.revision + 1
    )
    work.do(Defined(paused))


def _obstacles(view: View, compiled: Compiled, users: BitMap) -> dict[str, BitMap]:
    """Who cannot be sent to now, by reason; the first gate in the way counts."""
    found = {}
    reachable = matching(view, compiled.reachable, users, view.now)
    if len(reachable) < len(users):
        found[UNREACHABLE] = users - reachable
    rest = reachable
    for name, parsed in compiled.needs.items():
        having = matching(view, parsed, rest, view.now)
        if len(having) < len(rest):
            found[f"{MISSING_PROPERTY}:{name}"] = rest - having
        rest = having
    return found


def cause_of(view: View, compiled: Compiled, ordinal: int, instant: int) -> dict[str, Value] | None:
    """The event that made a user match at an instant: the latest of those read that arrived or came due then."""
    latest: tuple[int, dict[str, Value]] | None = None
    for name in sorted(compiled.targeting.events):
        table = view.population.events(name)
        if table is None:
            continue
        for time, arrival, properties in table.history(ordinal, instant):
            if instant in (time, arrival) and (latest is None or time >= latest[0]):
                latest = (time, {**properties, "name": name})
    return None if latest is None else latest[1]


def _causes(work: Work, compiled: Compiled, ordinals: Ordinals, instants: Instants) -> dict[int, dict[str, Value]]:
    found = {}
    for ordinal, instant in zip(ordinals.tolist(), instants.tolist(), strict=True):
        cause = cause_of(work, compiled, ordinal, instant)
        if cause is not None:
            found[ordinal] = cause
    return found


def admit(
    work: Work,
    definition: MessageDefinition,
    compiled: Compiled,
    ordinals: Ordinals,
    instants: Instants,
    *,
    skip: str = "",
) -> None:
    """Take users who match, and were never selected, into the ledger, through the gates.

    Arguments:
        ordinals, instants: uint32[n] and int64[n], the instant of each user's decision in micros.
        skip: a reason for which all of them are skipped, instead of the gates.
    """
    if not len(ordinals):
        return
    order = np.lexsort((ordinals, instants))
    ordinals, instants = ordinals[order], instants[order]
    users = BitMap(ordinals)
    obstacles = {skip: users} if skip else _obstacles(work, compiled, users)
    causes: dict[int, dict[str, Value]] = {}
    if compiled.content.needs_event and not skip:
        causes = _causes(work, compiled, ordinals, instants)
        blocked = BitMap().union(*obstacles.values()) if obstacles else BitMap()
        without = users - BitMap(causes) - blocked
        if without:
            obstacles[MISSING_EVENT] = without

    blocked = BitMap().union(*obstacles.values()) if obstacles else BitMap()
    room = _room(work, definition)
    limit_at: int | None = None
    if room is not None and len(users) - len(blocked) > room:
        free = ~np.isin(ordinals, _array(blocked))
        passing = np.flatnonzero(np.cumsum(free) > room)
        limit_at = int(instants[passing[0]])
        kept = instants < limit_at
        ordinals, instants = ordinals[kept], instants[kept]

    state_of = np.zeros(len(ordinals), np.int32)
    for number, reason_users in enumerate(obstacles.values(), 1):
        state_of[np.isin(ordinals, _array(reason_users))] = number
    queued = state_of == 0
    if queued.any():
        work.do(Selected(definition.key, "queued", "", ordinals[queued], instants[queued]))
    for number, reason in enumerate(obstacles, 1):
        rows = state_of == number
        if rows.any():
            work.do(Selected(definition.key, "skipped", reason, ordinals[rows], instants[rows]))
    kept_causes = {ordinal: causes[ordinal] for ordinal in ordinals[queued].tolist() if ordinal in causes}
    if kept_causes:
        work.do(Caused(definition.key, kept_causes))
    if limit_at is not None:
        _pause_at_limit(work, definition, limit_at)


def judge_everybody(work: Work, definition: MessageDefinition, compiled: Compiled, at: int, *, skip: str = "") -> None:
    """Select all who match at an instant and were not selected before."""
    new = matching(work, compiled.targeting, None, at) - work.messages.ledger(definition.key).selected
    ordinals = _array(new)
    admit(work, definition, compiled, ordinals, np.full(len(ordinals), at, np.int64), skip=skip)


def _rounds(
    pairs: tuple[Ordinals, Instants], everybody: BitMap, instants: list[int]
) -> Iterator[tuple[Ordinals, Instants]]:
    """Cut (user, instant) pairs into rounds: the k-th holds every user's k-th instant, in order of ordinals."""
    ordinals, times = pairs
    if instants:
        all_users = _array(everybody)
        ordinals = np.concatenate([ordinals, np.tile(all_users, len(instants))])
        times = np.concatenate([times, np.repeat(np.array(instants, np.int64), len(all_users))])
        keys = np.unique(np.stack([ordinals.astype(np.int64), times], axis=1), axis=0)
        ordinals, times = keys[:, 0].astype(np.uint32), keys[:, 1]
    if not len(ordinals):
        return
    starts = np.flatnonzero(np.concatenate([[True], ordinals[1:] != ordinals[:-1]]))
    lengths = np.diff(np.append(starts, len(ordinals)))
    for number in range(int(lengths.max())):
        rows = starts[lengths > number] + number
        yield ordinals[rows], times[rows]


def _cross(work: Work, definition: MessageDefinition, compiled: Compiled, after: int, upto: int) -> None:
    """Select those whom time alone makes match in (after, upto], each at the first such instant."""
    selected = work.messages.ledger(definition.key).selected
    candidates = work.population.live - selected
    pairs = crossings(compiled.time_use, work.population, after, upto)
    everywhere = global_instants(compiled.time_use, after, upto)
    found_ordinals: list[Ordinals] = []
    found_instants: list[Instants] = []
    decided = BitMap()
    for ordinals, instants in _rounds(pairs, candidates, everywhere):
        open_ = candidates - decided
        rows = np.isin(ordinals, _array(open_ & BitMap(ordinals)))
        if not rows.any():
            continue
        ordinals, instants = ordinals[rows], instants[rows]
        matched = matching(work, compiled.targeting, BitMap(ordinals), (ordinals, instants))
        hits = np.isin(ordinals, _array(matched))
        found_ordinals.append(ordinals[hits])
        found_instants.append(instants[hits])
        decided |= matched
    if found_ordinals:
        admit(work, definition, compiled, np.concatenate(found_ordinals), np.concatenate(found_instants))


def advance(work: Work, after: int, upto: int) -> None:
    """Decide what time alone decides in (after, upto], for every live message. `work.now` is already `upto`."""
    for definition in work.messages.live():
        schedule = definition.schedule
        if isinstance(schedule, Asap):
            _cross(work, definition, compile_message(work, definition), after, upto)
        elif not definition.fired_at and schedule.at <= upto:
            fire(work, definition, schedule.at)


def fire(work: Work, definition: MessageDefinition, at: int) -> None:
    """The one occurrence of a scheduled message: everybody who matches at that instant."""
    fired = replace(definition, fired_at=at, revision=definition.revision + 1)
    work.do(Defined(fired))
    judge_everybody(work, fired, compile_message(work, fired), at)


def judge_touched(work: Work) -> None:
    """Judge, for every live message, the users whom this group touched in what the message reads."""
    touched = work.touched
    if not touched:
        return
    for definition in work.messages.live():
        compiled = compile_message(work, definition)
        if isinstance(definition.schedule, Asap):
            properties = None if compiled.everything else compiled.targeting.properties
            users = touched.by(properties, compiled.targeting.events) & work.population.live
            new = users - work.messages.ledger(definition.key).selected
            if new:
                matched = matching(work, compiled.targeting, new, work.now)
                for group, skip in ((matched & touched.live, ""), (matched - touched.live, BACKFILLED)):
                    ordinals = _array(group)
                    current = work.messages.get(definition.key)
                    if current.state == "live":
                        admit(work, current, compiled, ordinals, np.full(len(ordinals), work.now, np.int64), skip=skip)
        again = touched.by(compiled.reads, ()) & work.messages.ledger(definition.key).open_skips()
        if again:
            rejudge(work, work.messages.get(definition.key), compiled, again)


def rejudge(work: Work, definition: MessageDefinition, compiled: Compiled, users: BitMap) -> None:
    """Judge open skips again: who matches and has no obstacle left is queued, whose obstacle changed is told so."""
    if definition.state != "live":
        return
    matched = matching(work, compiled.targeting, users, work.now)
    obstacles = _obstacles(work, compiled, matched)
    blocked = BitMap().union(*obstacles.values()) if obstacles else BitMap()
    free = matched - blocked
    room = _room(work, definition)
    if room is not None and len(free) > room:
        _pause_at_limit(work, definition, work.now)
        return
    for reason, skipped in work.messages.ledger(definition.key).reasons("skipped"):
        passing = skipped & free & users
        if passing:
            work.do(Moved(definition.key, passing, "skipped", reason, "queued", ""))
        for fresh, group in obstacles.items():
            moving = skipped & group & users
            if moving and fresh != reason:
                work.do(Moved(definition.key, moving, "skipped", reason, "skipped", fresh))


def judge_queue_again(work: Work, definition: MessageDefinition, compiled: Compiled) -> None:
    """After a resume: drop from the queue what waited too long and who no longer matches."""
    ledger = work.messages.ledger(definition.key)
    queued = ledger.state("queued")
    if not queued:
        return
    oldest = work.now - definition.expiry
    expired = BitMap()
    for ordinals, instants in ledger.decisions():
        expired.update(ordinals[instants < oldest].tolist())
    expired &= queued
    if expired:
        work.do(Moved(definition.key, expired, "queued", "", "skipped", EXPIRED))
    rest = queued - expired
    lost = rest - matching(work, compiled.targeting, rest, work.now)
    if lost:
        work.do(Moved(definition.key, lost, "queued", "", "skipped", NO_LONGER_MATCHES))


def leave(work: Work, definition: MessageDefinition, users: BitMap) -> BitMap:
    """Leave to begin: the last look at pause, match and address; who fails it leaves the queue with the reason."""
    if definition.state != "live":
        return BitMap()
    queued = work.messages.ledger(definition.key).state("queued") & users
    if not queued:
        return queued
    compiled = compile_message(work, definition)
    matched = matching(work, compiled.targeting, queued, work.now)
    lost = queued - matched
    if lost:
        work.do(Moved(definition.key, lost, "queued", "", "skipped", NO_LONGER_MATCHES))
    for reason, blocked in _obstacles(work, compiled, matched).items():
        work.do(Moved(definition.key, blocked, "queued", "", "skipped", reason))
        matched = matched - blocked
    if matched:
        work.do(Moved(definition.key, matched, "queued", "", "begun", ""))
    return matched
