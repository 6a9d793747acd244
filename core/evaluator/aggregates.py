"""`sum()`, `min()` and `max()` of many lists at once.

Lists of one numeric type (or of timestamps) are folded here; a list that may overflow, mixes types or holds anything else
is marked REDO and folded by the row matcher's own function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.evaluator.operators import REDO
from core.evaluator.space import Space
from core.evaluator.vector import (
    DOUBLE,
    INT,
    LIST,
    OTHER_ERROR,
    TIMESTAMP,
    UINT,
    WRONG_TYPE,
    Builder,
    Data,
    Index,
    Tags,
    Vector,
)

Fold = Callable[[Data, Vector], Vector]
"""From the number of elements of each list, and all elements in a row, to a value per list."""
_SAFE: Final = 2.0**62
"""Ints whose magnitudes add up to less than this cannot overflow on the way."""


def folded(fold: Fold) -> Callable[[Space, Vector], Vector]:
    """The kernel of an aggregate on a vector of lists."""

    def kernel(space: Space, lists: Vector) -> Vector:
        builder = Builder(len(lists))
        for heap, rows, codes in space.groups(lists, LIST):
            counts, flat = heap.expand(codes)
            builder.put(rows, fold(counts, flat.spread(int(counts.sum()))))
        return builder.done()

    return kernel


def parents_of(counts: Data) -> Index:
    """The list of each element, int64[sum of counts]."""
    return np.repeat(np.arange(len(counts), dtype=np.int64), counts)


def total(counts: Data, flat: Vector) -> Vector:
    """`sum()`: doubles are added in their order, as the matcher adds them."""
    return total_of(len(counts), parents_of(counts), flat)


def total_of(size: int, parents: Index, elements: Vector) -> Vector:
    """The sum of each of `size` lists, REDO where the matcher must decide.

    Arguments:
        parents: int64[n], the list of each element; a list's elements stand in their order, but not together.
        elements: the n elements.
    """
    ints, doubles = elements.tags == INT, elements.tags == DOUBLE
    counts = np.bincount(parents, minlength=size)
    int_counts = np.bincount(parents[ints], minlength=size)
    double_counts = np.bincount(parents[doubles], minlength=size)
    data = np.zeros(size, np.int64)
    safe = np.ones(size, bool)
    if bool(ints.any()):
        values = elements.data[ints]
        magnitudes = np.bincount(parents[ints], weights=np.abs(values.astype(np.float64)), minlength=size)
        safe = magnitudes < _SAFE
        np.add.at(data, parents[ints], values)
    if bool(doubles.any()):
        owners, reals = parents[doubles], elements.data[doubles].view(np.float64)
        sums = np.bincount(owners, weights=reals, minlength=size)
        # bincount begins at 0.0, and 0.0 + -0.0 is 0.0; a list of nothing but -0.0 adds up to -0.0.
        negative_zeros = np.bincount(owners[(reals == 0.0) & np.signbit(reals)], minlength=size)
        sums[(negative_zeros == double_counts) & (double_counts > 0)] = -0.0
        of_doubles = (double_counts > 0) & (double_counts == counts)
        data[of_doubles] = sums.view(np.int64)[of_doubles]
    tags: Tags = np.full(size, WRONG_TYPE, np.uint8)
    tags[(double_counts == counts) & (counts > 0)] = DOUBLE
    tags[int_counts == counts] = INT
    tags[~safe] = REDO
    uints = elements.tags == UINT
    if bool(uints.any()):
        tags[np.bincount(parents[uints], minlength=size) > 0] = REDO
    return Vector(tags, np.where((tags == INT) | (tags == DOUBLE), data, 0))


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
