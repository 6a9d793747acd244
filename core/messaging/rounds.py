"""The instants at which time alone may change answers, in spans and rounds: who comes to match, and when first.

Users are independent of each other: each is judged at the instants at which that user's answer may change, so that one far
move of the clock finds exactly what any finer sequence of moves would.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.evaluator.crossing import each_once
from core.evaluator.parse import Parsed
from core.evaluator.time_use import TimeUse, crossings, global_instants
from core.messaging.gates import matching
from core.messaging.rows import Instants, Ordinals, Pairs, array_of, inside
from core.messaging.work import View
from core.values import MICROS_PER_DAY

_SPAN: Final = 32 * MICROS_PER_DAY
_MOST_SPANS: Final = 64
_MOST_PAIRS: Final = 4_000_000
"""A far move of the clock is judged in spans of about a month, at most so many of them unless everybody has to be
judged at so many instants that the (user, instant) pairs would fill the memory."""


def spans(after: int, upto: int, everywhere: Sequence[int], users: int) -> Iterator[tuple[int, int, list[int]]]:
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


def rounds(pairs: Pairs, everybody: BitMap, instants: list[int]) -> Iterator[Pairs]:
    """Cut (user, instant) pairs into rounds: the k-th holds every user's k-th instant, in order of ordinals."""
    ordinals, times = pairs
    kept = inside(ordinals, everybody)
    ordinals, times = ordinals[kept], times[kept]
    if instants:
        all_users = array_of(everybody)
        ordinals = np.concatenate([ordinals, np.tile(all_users, len(instants))])
        times = np.concatenate([times, np.repeat(np.array(instants, np.int64), len(all_users))])
        ordinals, times = each_once(ordinals, times)
    if not len(ordinals):
        return
    starts = np.flatnonzero(np.concatenate([[True], ordinals[1:] != ordinals[:-1]]))
    lengths = np.diff(np.append(starts, len(ordinals)))
    for number in range(int(lengths.max())):
        rows = starts[lengths > number] + number
        yield ordinals[rows], times[rows]


def first_matches(
    view: View,
    parsed: Parsed,
    time_use: TimeUse,
    candidates: BitMap,
    after: int,
    upto: int,
    arrivals: Pairs | None = None,
) -> Iterator[Pairs]:
    """Those of the candidates whom time alone makes match in (after, upto], each at the first such instant.

    Arguments:
        time_use: of the expression.
        after, upto: micros UTC.
        arrivals: for users who came among the candidates on the way, ascending by ordinal, each once: the instant of it.
            They are judged then, and not before.

    Yields:
        Users and instants, for each span of time in which there are any.
    """
    candidates = candidates.copy()
    everywhere = global_instants(time_use, after, upto)
    for first, last, instants in spans(after, upto, everywhere, len(candidates)):
        pairs = crossings(time_use, view.population, first, last)
        if arrivals is not None:
            inside_span = (arrivals[1] > first) & (arrivals[1] <= last)
            pairs = each_once(
                np.concatenate([pairs[0], arrivals[0][inside_span]]),
                np.concatenate([pairs[1], arrivals[1][inside_span]]),
            )
        found = _of_span(view, parsed, pairs, candidates, instants, arrivals)
        if len(found[0]):
            candidates -= BitMap(found[0])
            yield found


def _of_span(
    view: View, parsed: Parsed, pairs: Pairs, candidates: BitMap, instants: list[int], arrivals: Pairs | None
) -> Pairs:
    """Of the candidates, those who match at any of their instants, and the first at which each does."""
    found_ordinals: list[Ordinals] = [np.zeros(0, np.uint32)]
    found_instants: list[Instants] = [np.zeros(0, np.int64)]
    decided = BitMap()
    for ordinals, times in rounds(pairs, candidates, instants):
        rows = ~inside(ordinals, decided)
        if arrivals is not None:
            rows &= arrived(ordinals, times, arrivals)
        if not rows.any():
            continue
        ordinals, times = ordinals[rows], times[rows]
        matched = matching(view, parsed, BitMap(ordinals), (ordinals, times))
        hits = inside(ordinals, matched)
        found_ordinals.append(ordinals[hits])
        found_instants.append(times[hits])
        decided |= matched
    return np.concatenate(found_ordinals), np.concatenate(found_instants)


def arrived(ordinals: Ordinals, times: Instants, arrivals: Pairs) -> npt.NDArray[np.bool_]:
    """Of each (user, instant) whether the user had come by then; bool[n]."""
    if not len(arrivals[0]):
        return np.ones(len(ordinals), bool)
    places = np.minimum(np.searchsorted(arrivals[0], ordinals), len(arrivals[0]) - 1)
    there: npt.NDArray[np.bool_] = (arrivals[0][places] != ordinals) | (times >= arrivals[1][places])
    return there
