"""`sum()`, `min()` and `max()` of many lists at once.

For `min()` and `max()`, lists of one type that numpy can compare are folded here; any other list is marked REDO and folded
by the row matcher's own function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.evaluator.heaps import ranges
from core.evaluator.limits import CELLS_PER_PORTION
from core.evaluator.operators import REDO
from core.evaluator.space import Space
from core.evaluator.tally import sum_into
from core.evaluator.vector import (
    DOUBLE,
    INT,
    LIST,
    MISSING,
    OTHER_ERROR,
    TIMESTAMP,
    Builder,
    Data,
    Index,
    Tags,
    Vector,
)

Fold = Callable[[Data, Vector], Vector]
"""From the number of elements of each list, and all elements in a row, to a value per list."""


def folded(fold: Fold) -> Callable[[Space, Vector], Vector]:
    """The kernel of an aggregate on a vector of lists."""

    def kernel(space: Space, lists: Vector) -> Vector:
        builder = Builder(len(lists))
        for heap, rows, codes in space.groups(lists, LIST):
            starts, counts, flat = heap.spans(codes)
            for some in _portions(counts):
                builder.put(rows[some], fold(counts[some], flat.take(ranges(starts[some], counts[some]))))
        return builder.done()

    return kernel


def _portions(counts: Data) -> Iterator[slice]:
    """Consecutive lists with no more elements together than are unfolded at once, or one list."""
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + CELLS_PER_PORTION, "right")))
        yield slice(first, last)
        first = last


def total(counts: Data, flat: Vector) -> Vector:
    """`sum()` of each list; doubles are added in their order, as the matcher adds them."""
    sums = Sums(len(counts))
    sums.add(np.repeat(np.arange(len(counts), dtype=np.int64), counts), flat)
    return sums.done()


class Sums:
    """`sum()` of many lists whose elements come piece by piece; see `core.evaluator.tally.sum_into`.

    Arguments:
        size: how many lists there are.
    """

    def __init__(self, size: int) -> None:
        self._tags: Tags = np.zeros(size, np.uint8)
        self._data: Data = np.zeros(size, np.int64)

    def add(self, lists: Index, elements: Vector) -> None:
        """Add elements, one row each, to the sums of their lists (int64[n]), in their order."""
        sum_into(
            np.ascontiguousarray(lists),
            np.ascontiguousarray(elements.tags),
            np.ascontiguousarray(elements.data),
            self._tags,
            self._data,
        )

    def done(self) -> Vector:
        """The sums: 0 for a list without elements."""
        return Vector(np.where(self._tags == MISSING, np.uint8(INT), self._tags), self._data)


def extreme(pick: np.ufunc) -> Fold:
    """`min()` (pick = np.minimum) or `max()` (np.maximum)."""

    def fold(counts: Data, flat: Vector) -> Vector:
        tags: Tags = np.full(len(counts), REDO, np.uint8)
        data = np.zeros(len(counts), np.int64)
        tags[counts == 0] = OTHER_ERROR
        filled = np.flatnonzero(counts)
        if not len(filled):
            return Vector(tags, data)
        starts = (np.cumsum(counts) - counts)[filled]
        for tag in (INT, TIMESTAMP, DOUBLE):
            whole = np.logical_and.reduceat(flat.tags == tag, starts)
            if not bool(whole.any()):
                continue
            best = pick.reduceat(flat.doubles if tag == DOUBLE else flat.data, starts)
            found = whole & _decided(best, tag)
            tags[filled[found]] = tag
            data[filled[found]] = best.view(np.int64)[found]
        return Vector(tags, data)

    return fold


def _decided(best: NDArray[np.generic], tag: int) -> NDArray[np.bool_]:
    """Where the fold says what the matcher says: which zero is the least, and what NaN does, is the matcher's matter."""
    if tag != DOUBLE:
        return np.ones(len(best), bool)
    reals = best.view(np.float64)
    decided: NDArray[np.bool_] = (reals != 0.0) & ~np.isnan(reals)
    return decided


AGGREGATES: Final[dict[str, Callable[[Space, Vector], Vector]]] = {
    "sum": folded(total),
    "min": folded(extreme(np.minimum)),
    "max": folded(extreme(np.maximum)),
}
