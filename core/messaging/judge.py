"""Who gets a message: judgement of everybody, of touched users, and of the clock's crossings.

Users are independent of each other, so that one far move of the clock decides exactly what any finer sequence
of moves would: each user is judged at the instants at which that user's answer may change. The one thing that
couples users is a message's `max_recipients`; it is applied in the order of instants.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy as np
from pyroaring import BitMap

from core.bitmaps.cells import BLOCK_ROWS
from core.bitmaps.gathered import Gathered
from core.errors import StoreError
from core.evaluator.bind import bind
from core.evaluator.parse import Parsed
from core.evaluator.time_use import crossings, global_instants
from core.messaging.admission import admit, rejudge
from core.messaging.cause import Stirred
from core.messaging.compiled import Compiled, compile_message
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import BACKFILLED, SUPERSEDED, Defined, Moved, is_open
from core.messaging.firings import Homes, Run, due, next_run, unpunctual
from core.messaging.gates import had_enough, matching
from core.messaging.occurrences import FIRST
from core.messaging.rows import Instants, Ordinals, array_of, at_once, inside
from core.messaging.runs import Fired, Outcome
from core.messaging.schedules import Once
from core.messaging.work import Work
from core.values import MICROS_PER_DAY

JUDGEMENT_FAILED: Final = "judgement_failed"
"""Why a message pauses whose judgement met a defect: it must not keep others from being judged, nor events out."""
MISSED: Final = "missed"
"""Why a one-time message ended that nobody could be sent."""
_MOST_GATHERED: Final = BLOCK_ROWS
"""Touched users who are judged side by side: one block of them. More are judged where they stand."""
_SPAN: Final = 32 * MICROS_PER_DAY
_MOST_SPANS: Final = 64
_MOST_PAIRS: Final = 4_000_000
"""A far move of the clock is judged in spans of about a month, at most so many of them unless everybody has to be
judged at so many instants that the (user, instant) pairs would fill the memory."""


class Defective(Exception):
    """Judging a message failed for no reason of anybody's making: the draft is unusable. Never leaves the engine."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


@contextmanager
def _attributed(definition: MessageDefinition) -> Iterator[None]:
    """What fails in here is the judgement of this message; what the disk does is not.

    Raises:
        Defective: in place of whatever was raised.
    """
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise Defective(definition.key) from error


def pause_defective(work: Work, key: str) -> None:
    """Pause a message whose judgement failed, before it is judged again."""
    definition = work.messages.get(key)
    paused = replace(
        definition,
        state="paused",
        pause_reason=JUDGEMENT_FAILED,
        paused_at=work.now,
        revision=definition.revision + 1,
    )
    work.do(Defined(paused))


def judge_everybody(work: Work, definition: MessageDefinition, compiled: Compiled, at: int, *, skip: str = "") -> None:
    """Select all who match at an instant and were not selected before."""
    _judge_at_once(work, definition, compiled, None, at, skip=skip)


def _judge_at_once(
    work: Work,
    definition: MessageDefinition,
    compiled: Compiled,
    among: BitMap | None,
    at: int,
    *,
    skip: str = "",
    occurrence: int = FIRST,
) -> None:
    """Select, of some users (None: all), those who match at an instant and whom the occurrence may select."""
    new = matching(work, compiled.targeting, among, at) - work.messages.ledger(definition.key, occurrence).closed_to
    new -= had_enough(work, definition, occurrence)
    admit(work, definition, compiled, *at_once(new, at), skip=skip, occurrence=occurrence)


def _spans(after: int, upto: int, everywhere: Sequence[int], users: int) -> Iterator[tuple[int, int, list[int]]]:
    """Cut (after, upto] into spans that follow one another, each small enough to be judged at once.

    Arguments:
        everywhere: the instants at which every one of `users` is judged, ascending.

    Yields:
        Where a span begins (not included) and ends, and its instants of `everywhere`.
    """
    longest = max(_SPAN, (upto - after) // _MOST_SPANS + 1)
    most = max(1, _MOST_PAIRS // max(users, 1))
    number = 0
    while after < upto:
        end = min(after + longest, upto)
        if number + most < len(everywhere):
            end = min(end, everywhere[number + most - 1])
        here = list(everywhere[number : bisect_right(everywhere, end)])
        number += len(here)
        yield after, end, here
        after = end


def _rounds(
    pairs: tuple[Ordinals, Instants], everybody: BitMap, instants: list[int]
) -> Iterator[tuple[Ordinals, Instants]]:
    """Cut (user, instant) pairs into rounds: the k-th holds every user's k-th instant, in order of ordinals."""
    ordinals, times = pairs
    kept = inside(ordinals, everybody)
    ordinals, times = ordinals[kept], times[kept]
    if instants:
        all_users = array_of(everybody)
        ordinals = np.concatenate([ordinals, np.tile(all_users, len(instants))])
        times = np.concatenate([times, np.repeat(np.array(instants, np.int64), len(all_users))])
        order = np.lexsort((times, ordinals))
        ordinals, times = ordinals[order], times[order]
        first = np.ones(len(ordinals), bool)
        first[1:] = (ordinals[1:] != ordinals[:-1]) | (times[1:] != times[:-1])
        ordinals, times = ordinals[first], times[first]
    if not len(ordinals):
        return
    starts = np.flatnonzero(np.concatenate([[True], ordinals[1:] != ordinals[:-1]]))
    lengths = np.diff(np.append(starts, len(ordinals)))
    for number in range(int(lengths.max())):
        rows = starts[lengths > number] + number
        yield ordinals[rows], times[rows]


def _cross(work: Work, definition: MessageDefinition, compiled: Compiled, after: int, upto: int) -> None:
    """Select those whom time alone makes match in (after, upto], each at the first such instant."""
    candidates = work.population.live - work.messages.ledger(definition.key).closed_to
    everywhere = global_instants(compiled.time_use, after, upto)
    for first, last, instants in _spans(after, upto, everywhere, len(candidates)):
        pairs = crossings(compiled.time_use, work.population, first, last)
        found = _first_matches(work, compiled, pairs, candidates, instants)
        if len(found[0]):
            admit(work, definition, compiled, *found)
            candidates -= BitMap(found[0])
            definition = work.messages.get(definition.key)
            if definition.state != "live":
                return


def _first_matches(
    work: Work, compiled: Compiled, pairs: tuple[Ordinals, Instants], candidates: BitMap, instants: list[int]
) -> tuple[Ordinals, Instants]:
    """Of the candidates, those who match at any of their instants, and the first at which each does."""
    found_ordinals: list[Ordinals] = [np.zeros(0, np.uint32)]
    found_instants: list[Instants] = [np.zeros(0, np.int64)]
    decided = BitMap()
    for ordinals, times in _rounds(pairs, candidates, instants):
        rows = ~inside(ordinals, decided)
        if not rows.any():
            continue
        ordinals, times = ordinals[rows], times[rows]
        matched = matching(work, compiled.targeting, BitMap(ordinals), (ordinals, times))
        hits = inside(ordinals, matched)
        found_ordinals.append(ordinals[hits])
        found_instants.append(times[hits])
        decided |= matched
    return np.concatenate(found_ordinals), np.concatenate(found_instants)


def advance(work: Work, after: int, upto: int, unwatched_since: int = 0) -> None:
    """Decide what time alone decides in (after, upto], for every live message. `work.now` is already `upto`.

    Arguments:
        unwatched_since: from when on nobody could decide anything until `upto`, in micros; 0: everything was watched.
            Runs of that time are late, or missed. Who comes to match by time does so at the instant, all the same.
    """
    homes = Homes(work)
    watched = unwatched_since or upto
    for definition in work.messages.live():
        with _attributed(definition):
            if definition.by_match:
                _cross(work, definition, compile_message(work, definition), after, upto)
            else:
                for run in due(work, definition.schedule, homes, after, watched):
                    fire(work, definition.key, run, "fired", run.at)
                settle_runs(work, definition.key, due(work, definition.schedule, homes, watched, upto))


def settle_runs(work: Work, key: str, runs: Sequence[Run]) -> None:
    """Decide now about runs whose own instants passed while nobody could judge them, in the order of these.

    A one-time message that has nothing to come, and never had anything but missed runs, ends.
    """
    definition = work.messages.get(key)
    if definition.state != "live" or not runs:
        return
    for run, outcome in unpunctual(runs, definition, work.now):
        if outcome == "late" and work.messages.get(key).state == "live":
            fire(work, key, run, "late", work.now)
        else:
            work.do(Fired(key, run.occurrence, run.at, work.now, "missed"))
    missed = all(one.outcome == "missed" for one in work.messages.occurrences(key).runs.all(key))
    if missed and isinstance(definition.schedule, Once) and next_run(work, definition.schedule, work.now) is None:
        work.do(Defined(replace(definition, state="ended", pause_reason=MISSED, revision=definition.revision + 1)))


def fire(work: Work, key: str, run: Run, outcome: Outcome, at: int, *, skip: str = "") -> None:
    """A run of a live message: everybody it is for who matches is selected; earlier runs are over for them.

    Arguments:
        at: when it is judged, in micros.
        skip: a reason for which all of them are skipped.
    """
    definition = work.messages.get(key)
    if definition.state != "live":  # an earlier run paused it
        return
    work.do(Fired(key, run.occurrence, run.at, at, outcome))
    _supersede(work, key, run)
    compiled = compile_message(work, definition)
    _judge_at_once(work, definition, compiled, run.users, at, skip=skip, occurrence=run.occurrence)


def _supersede(work: Work, key: str, run: Run) -> None:
    """Nobody waits for an earlier run any more of those whom a new one is for."""
    for occurrence, ledger in work.messages.occurrences(key).active():
        if occurrence >= run.occurrence:
            continue
        for reason, skipped in ledger.reasons("skipped"):
            users = skipped.copy() if run.users is None else skipped & run.users
            if users and is_open(reason):
                work.do(Moved(key, users, "skipped", reason, "skipped", SUPERSEDED, occurrence=occurrence))


def judge_touched(work: Work) -> None:
    """Judge, for every live message, the users whom this group touched in what the message reads.

    A paused message judges nobody but those whose match an import or a late event decides: recorded now, they are
    not taken for new ones at the resume.
    """
    if not work.touched:
        return
    touched = _gathered(work)
    stirred = Stirred(work, np.array([work.now], np.int64), touched)
    for definition in work.messages.all():
        if definition.state in ("live", "paused") and definition.pause_reason != JUDGEMENT_FAILED:
            with _attributed(definition):
                _judge_touched(work, definition, touched, stirred)


def _gathered(work: Work) -> Gathered | None:
    """The users whom this group touched, as a population of their own; None where they are too many for that.

    No message's judgement writes to the population, so it is good for all of them.
    """
    users = work.touched.users() & work.population.live
    if len(users) > _MOST_GATHERED:
        return None
    return Gathered(work.population, array_of(users))


def _judge_touched(work: Work, definition: MessageDefinition, touched: Gathered | None, stirred: Stirred) -> None:
    compiled = compile_message(work, definition)
    if definition.by_match:
        _judge_new(work, definition, compiled, touched, stirred)
    if definition.state == "live":
        touched_users: BitMap | None = None
        for occurrence, ledger in work.messages.occurrences(definition.key).active():
            skipped = ledger.open_skips()
            if skipped and touched_users is None:
                touched_users = BitMap.union(*work.touched.by(compiled.reads, ()))
            if skipped and touched_users:
                again = skipped & touched_users
                rejudge(work, work.messages.get(definition.key), compiled, again, occurrence)


def _judge_new(
    work: Work, definition: MessageDefinition, compiled: Compiled, touched: Gathered | None, stirred: Stirred
) -> None:
    """Select who of those touched matches and was not selected before."""
    properties = None if compiled.everything else compiled.targeting.properties
    live, late = work.touched.by(properties, compiled.targeting.events)
    if compiled.targeting.audiences:
        live |= BitMap([stays for _, stays in work.touched.merged])  # who may have come into a list with the other
    late -= live
    for users, skip in ((live if definition.state == "live" else BitMap(), ""), (late, BACKFILLED)):
        if not users:
            continue
        new = work.messages.ledger(definition.key).open_to(users & work.population.live)
        if new:
            matched = _matching_touched(work, compiled.targeting, new, touched)
            admit(work, definition, compiled, *at_once(matched, work.now), skip=skip, stirred=stirred)


def _matching_touched(work: Work, parsed: Parsed, users: BitMap, touched: Gathered | None) -> BitMap:
    """`matching` at the present instant, among users who may be gathered."""
    if touched is None or parsed.audiences:  # a saved audience is a set of the whole project's ordinals
        return matching(work, parsed, users, work.now)
    plan = bind(parsed, work.population)
    return touched.without(plan.select(touched, among=touched.within(users), now=work.now))
