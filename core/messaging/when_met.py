"""Messages sent each time their criteria are met: an occurrence opens for a user who goes from not matching to matching.

An opening begins the user's gap. Who comes to match again inside it waits, and is judged at its end: whoever matches then
has the next opening there. A user's k-th opening is of the k-th occurrence.

All of a move of the clock is followed at once: in rounds, of which the k-th judges every user at that user's k-th
instant. What a user does hangs on nobody else, so that a far move opens exactly what any finer sequence of moves would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.bitmaps.gathered import Gathered
from core.evaluator.crossing import each_once
from core.evaluator.time_use import crossings, global_instants
from core.messaging.admission import admit
from core.messaging.cause import Stirred
from core.messaging.compiled import Compiled
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import SUPERSEDED, Moved, is_open
from core.messaging.entry import audience_of
from core.messaging.gates import had_enough, matching
from core.messaging.gathering import matching_touched
from core.messaging.presence import NO_GAP, Crossed, Presence
from core.messaging.rounds import arrived, rounds, spans
from core.messaging.rows import Instants, Ordinals, Pairs, array_of, inside
from core.messaging.schedules import WhenMet
from core.messaging.work import Work

_NOBODY: Final[Pairs] = (np.zeros(0, np.uint32), np.zeros(0, np.int64))


@dataclass(slots=True)
class _Course:
    """What becomes of some users on the way: who is inside, who waits, when gaps end, and what opened.

    users: uint32[n], ascending; the others are of the same order. `openings` are pairs in order of each user's instants.
    """

    users: Ordinals
    inside: npt.NDArray[np.bool_]
    waiting: npt.NDArray[np.bool_]
    ends: Instants
    openings: list[Pairs]

    @classmethod
    def of(cls, presence: Presence, users: BitMap) -> _Course:
        ordinals = array_of(users)
        ends = presence.ends(ordinals)
        return cls(ordinals, inside(ordinals, presence.inside), inside(ordinals, presence.waiting), ends, [])

    def end_gaps(self, rows: npt.NDArray[np.intp], until: Instants | int, gap: int) -> None:
        """Of users, by their rows, who wait for the end of a gap before or at an instant, open at it."""
        rows = rows[self.waiting[rows] & (self.ends[rows] <= until)]
        self._open(rows, self.ends[rows], gap)

    def judge(self, rows: npt.NDArray[np.intp], times: Instants, holds: npt.NDArray[np.bool_], gap: int) -> None:
        """Users, by their rows, match or do not match at instants."""
        self.end_gaps(rows, times - 1, gap)
        entering = holds & ~self.inside[rows]
        free = self.ends[rows] <= times
        self.inside[rows] = holds
        self.waiting[rows] &= holds
        opening = holds & free & (entering | self.waiting[rows])
        self.waiting[rows[entering & ~free]] = True
        self._open(rows[opening], times[opening], gap)

    def _open(self, rows: npt.NDArray[np.intp], instants: Instants, gap: int) -> None:
        if len(rows):
            self.openings.append((self.users[rows], instants))
            self.ends[rows] = instants + gap
            self.waiting[rows] = False


def _gap(definition: MessageDefinition) -> int:
    assert isinstance(definition.schedule, WhenMet)
    return definition.schedule.gap


def _record(work: Work, key: str, presence: Presence, course: _Course, over: int) -> None:
    """Keep how a course ended."""
    now_inside, waiting = BitMap(course.users[course.inside]), BitMap(course.users[course.waiting])
    was_inside = BitMap(course.users) & presence.inside
    opened = BitMap(np.concatenate([pairs[0] for pairs in course.openings])) if course.openings else BitMap()
    rows = inside(course.users, opened) & (course.ends > over)
    entered, left = now_inside - was_inside, was_inside - now_inside
    named = BitMap(course.users)
    if entered or left or opened or waiting != (presence.waiting & named):
        ordinals, ends = course.users[rows], course.ends[rows]
        work.do(Crossed(key, entered, left, waiting, named, ordinals, ends, over))


def _select(
    work: Work,
    definition: MessageDefinition,
    compiled: Compiled,
    openings: list[Pairs],
    *,
    skip: str = "",
    stirred: Stirred | None = None,
) -> None:
    """Take openings into the ledgers: each user's into the occurrences that come next for that user, one after another."""
    if not openings:
        return
    ordinals, instants = (np.concatenate(part) for part in zip(*openings, strict=True))
    order = np.lexsort((instants, ordinals))
    ordinals, instants = ordinals[order], instants[order]
    first = np.ones(len(ordinals), bool)
    first[1:] = ordinals[1:] != ordinals[:-1]
    starts = np.flatnonzero(first)
    numbers = np.arange(len(ordinals)) - np.repeat(starts, np.diff(np.append(starts, len(ordinals))))
    for occurrence, users in work.messages.occurrences(definition.key).next_of(BitMap(ordinals)):
        numbers[inside(ordinals, users)] += occurrence
    # Where there is a limit, one user's opening may pause the message before another's.
    steps = np.unique(instants).tolist() if definition.max_recipients else [None]
    for instant in steps:
        for occurrence in np.unique(numbers if instant is None else numbers[instants == instant]).tolist():
            rows = numbers == occurrence
            if instant is not None:
                rows &= instants == instant
            definition = work.messages.get(definition.key)
            if definition.state == "live" or skip:
                pairs = (ordinals[rows], instants[rows])
                _open(work, definition, compiled, pairs, occurrence, skip, stirred)


def _open(
    work: Work,
    definition: MessageDefinition,
    compiled: Compiled,
    pairs: Pairs,
    occurrence: int,
    skip: str,
    stirred: Stirred | None,
) -> None:
    """One occurrence opens for users, and what they waited for in earlier ones is over."""
    users = BitMap(pairs[0])
    for number, ledger in work.messages.occurrences(definition.key).active():
        if number < occurrence:
            for reason, skipped in ledger.reasons("skipped"):
                over = skipped & users
                if over and is_open(reason):
                    work.do(Moved(definition.key, over, "skipped", reason, "skipped", SUPERSEDED, occurrence=number))
    enough = had_enough(work, definition, occurrence)
    if enough:
        kept = ~inside(pairs[0], enough)
        pairs = pairs[0][kept], pairs[1][kept]
    admit(work, definition, compiled, *pairs, skip=skip, stirred=stirred, occurrence=occurrence)


def judge(
    work: Work,
    definition: MessageDefinition,
    compiled: Compiled,
    users: BitMap,
    holding: BitMap,
    *,
    skip: str = "",
    stirred: Stirred | None = None,
) -> None:
    """Judge users now: who of them matches is known.

    Arguments:
        holding: of the users, those who match.
        skip: a reason for which all that open are skipped.
    """
    if not _is_open_at(definition, work.now):
        return
    key = definition.key
    presence = work.messages.occurrences(key).presence
    course = _Course.of(presence, users)
    rows, times = np.arange(len(course.users)), np.full(len(course.users), work.now, np.int64)
    course.judge(rows, times, inside(course.users, holding), _gap(definition))
    _select(work, definition, compiled, course.openings, skip=skip, stirred=stirred)
    if not skip and work.messages.get(key).state != "live":  # there is a limit: who found no room has not come inside
        _shut_out(work, key, course, work.now)
    _record(work, key, presence, course, work.now)


def _shut_out(work: Work, key: str, course: _Course, at: int) -> None:
    """Who opened at an instant and was not selected then never came inside: the message paused before."""
    chosen = BitMap()
    for _, ledger in work.messages.occurrences(key).all():
        for users, instants in ledger.decisions():
            chosen |= BitMap(users[instants == at])
    for number, (ordinals, instants) in enumerate(course.openings):
        refused = (instants == at) & ~inside(ordinals, chosen)
        course.openings[number] = ordinals[~refused], instants[~refused]
        rows = inside(course.users, BitMap(ordinals[refused]))
        course.inside[rows] = False
        course.ends[rows] = NO_GAP


def judge_everybody(work: Work, definition: MessageDefinition, compiled: Compiled, *, skip: str = "") -> None:
    """Judge all users now."""
    among = audience_of(work, definition, work.now)
    holding = matching(work, compiled.targeting, among, work.now)
    presence = work.messages.occurrences(definition.key).presence
    judge(work, definition, compiled, holding | presence.inside, holding, skip=skip)


def judge_touched(
    work: Work,
    definition: MessageDefinition,
    compiled: Compiled,
    users: BitMap,
    touched: Gathered | None,
    *,
    skip: str = "",
    stirred: Stirred | None = None,
) -> None:
    """Judge some users now, who may be gathered."""
    among = users & audience_of(work, definition, work.now)
    holding = matching_touched(work, compiled.targeting, among, touched) if among else BitMap()
    judge(work, definition, compiled, users, holding, skip=skip, stirred=stirred)


def advance(work: Work, definition: MessageDefinition, compiled: Compiled, after: int, upto: int) -> None:
    """Follow whom time alone makes match or cease to, and gaps that end, in (after, upto]; in micros."""
    assert isinstance(definition.schedule, WhenMet)
    if definition.schedule.end:
        upto = min(upto, definition.schedule.end)
    if after >= upto:
        return
    everybody = audience_of(work, definition, upto)
    everywhere = global_instants(compiled.time_use, after, upto)
    for first, last, instants in spans(after, upto, everywhere, len(everybody)):
        _advance_span(work, definition, compiled, everybody, first, last, instants)
        definition = work.messages.get(definition.key)
        if definition.state != "live":
            return


def _advance_span(
    work: Work,
    definition: MessageDefinition,
    compiled: Compiled,
    everybody: BitMap,
    first: int,
    last: int,
    instants: list[int],
) -> None:
    pairs, arrivals = crossings(compiled.time_use, work.population, first, last), None
    if definition.campaign:
        arrivals = work.campaigns.arrivals(definition.campaign)
        here = (arrivals[1] > first) & (arrivals[1] <= last)
        joined = (np.concatenate([pairs[part], arrivals[part][here]]) for part in (0, 1))
        pairs = each_once(*joined)
    presence = work.messages.occurrences(definition.key).presence

    def followed(upto: int) -> _Course:
        users = everybody if instants else everybody & (BitMap(pairs[0]) | presence.waiting)
        course = _Course.of(presence, users)
        for ordinals, times in rounds(pairs, users, instants):
            kept = times <= upto
            ordinals, times = ordinals[kept], times[kept]
            if len(ordinals):
                matched = matching(work, compiled.targeting, BitMap(ordinals), (ordinals, times))
                holds = inside(ordinals, matched)
                if arrivals is not None:
                    holds &= arrived(ordinals, times, arrivals)
                course.judge(np.searchsorted(course.users, ordinals), times, holds, _gap(definition))
        course.end_gaps(np.arange(len(course.users)), upto, _gap(definition))
        return course

    course = followed(last)
    _select(work, definition, compiled, course.openings)
    paused = work.messages.get(definition.key)
    if paused.state == "live":
        _record(work, definition.key, presence, course, last)
    else:  # at a limit: what was to come after it did not
        course = followed(paused.paused_at)
        _shut_out(work, definition.key, course, paused.paused_at)
        _record(work, definition.key, presence, course, paused.paused_at)


def _is_open_at(definition: MessageDefinition, instant: int) -> bool:
    assert isinstance(definition.schedule, WhenMet)
    return not definition.schedule.end or instant <= definition.schedule.end
