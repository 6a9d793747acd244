"""Macros over lists: unfold the elements into rows, judge them all at once, fold the answers back to the lists."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from core.evaluator.heaps import SpanHeap, ranges
from core.evaluator.space import Space
from core.evaluator.tree import MacroKind
from core.evaluator.vector import (
    BOOL,
    LIST,
    MAP,
    OTHER_ERROR,
    WRONG_TYPE,
    Data,
    Index,
    Tags,
    Vector,
    condition_errors,
    errors,
    is_error,
    truths,
)

Counts = NDArray[np.int64]
Admit = Callable[[Counts], NDArray[np.bool_] | None]
"""Told how many elements each row has, counts them before they are unfolded; gives the rows that have too many."""


class Unfolded:
    """The elements of one list (or the keys of one map) per row, all in one vector.

    Attributes:
        elements: every element, a row's elements together and in order.
        parents: int64[elements], the row of each element.
        starts, counts: int64[rows], where each row's elements stand; a row without a list has none.
        tags: uint8[rows], LIST where the row has elements to speak of, else the row's error.
    """

    def __init__(self, space: Space, lists: Vector, admit: Admit) -> None:
        size = len(lists)
        self.size = size
        self.starts: Index = np.zeros(size, np.int64)
        self.counts: Counts = np.zeros(size, np.int64)
        self.tags: Tags = np.where(is_error(lists.tags), lists.tags, np.uint8(WRONG_TYPE))
        found: list[tuple[Index, Index, Vector]] = []
        for tag in (LIST, MAP):
            for heap, rows, codes in space.groups(lists, tag):
                starts, counts, flat = heap.spans(codes)
                found.append((rows, starts, flat))
                self.counts[rows] = counts
                self.tags[rows] = LIST
        refused = admit(self.counts)
        if refused is not None:
            refused &= self.tags == LIST
            self.tags[refused] = OTHER_ERROR
            self.counts[refused] = 0
        tags: list[Tags] = [np.zeros(0, np.uint8)]
        data: list[Data] = [np.zeros(0, np.int64)]
        parents: list[Index] = [np.zeros(0, np.int64)]
        total = 0
        for rows, starts, flat in found:
            counts = self.counts[rows]
            self.starts[rows] = total + np.cumsum(counts) - counts
            elements = flat.take(ranges(starts, counts))
            parents.append(np.repeat(rows, counts))
            tags.append(elements.tags)
            data.append(elements.data)
            total += len(elements)
        self.elements = Vector(np.concatenate(tags), np.concatenate(data))
        self.parents: Index = np.concatenate(parents)

    def count(self, flags: NDArray[np.bool_]) -> Counts:
        """How many flagged elements each row has."""
        return np.bincount(self.parents[flags], minlength=self.size)

    def answer(self, flags: NDArray[np.bool_], failed: Tags) -> Vector:
        """Bools per row, but an error where `failed` (uint8[rows], 1 for none) or the row itself has one."""
        tags = np.where(self.tags == LIST, np.where(failed != 1, failed, np.uint8(BOOL)), self.tags)
        return Vector(tags, np.where(tags == BOOL, flags, False).astype(np.int64))

    def first_error(self, element_errors: Tags) -> Tags:
        """Per row, the error of its first element that has one (1 for none)."""
        result = np.ones(self.size, np.uint8)
        failed = np.flatnonzero(element_errors != 1)[::-1]
        result[self.parents[failed]] = element_errors[failed]
        return result

    def kept(self, space: Space, flags: NDArray[np.bool_], values: Vector, failed: Tags) -> Vector:
        """Lists of `values` (one per flagged element, in order), or the row's error."""
        before = np.zeros(len(flags) + 1, np.int64)
        np.cumsum(flags, out=before[1:])
        starts: Index = before[self.starts]
        counts = before[self.starts + self.counts] - starts
        base = space.register(SpanHeap(space, starts, counts, values))
        tags = np.where(self.tags == LIST, np.where(failed != 1, failed, np.uint8(LIST)), self.tags)
        return Vector(tags, np.where(tags == LIST, np.arange(self.size, dtype=np.int64) + base, 0))


Judge = Callable[[Index | None], Vector]
"""Computes an expression over the elements of the given positions (None for all); the vector has a row for each."""


def fold(kind: MacroKind, unfolded: Unfolded, space: Space, predicate: Judge | None, transform: Judge | None) -> Vector:
    """The value of a macro per row.

    Any element that satisfies `exists` (or fails `all`) decides it, whatever errs elsewhere; `exists_one`, `filter`
    and `map` err where any element errs.
    """
    total = len(unfolded.parents)
    if predicate is None:
        chosen = np.ones(total, bool)
        wrong: Tags = np.ones(total, np.uint8)
    else:
        judged = predicate(None) if total else errors(0, WRONG_TYPE)
        chosen = truths(judged)
        wrong = condition_errors(judged)
    failed = unfolded.first_error(wrong)
    if kind == "exists":
        hits = unfolded.count(chosen) > 0
        return unfolded.answer(hits, np.where(hits, np.uint8(1), failed))
    if kind == "all":
        misses = unfolded.count(~chosen & (wrong == 1)) > 0
        return unfolded.answer(~misses, np.where(misses, np.uint8(1), failed))
    if kind == "exists_one":
        return unfolded.answer(unfolded.count(chosen) == 1, failed)
    positions = np.flatnonzero(chosen)
    if transform is None:
        return unfolded.kept(space, chosen, unfolded.elements.take(positions), failed)
    values = transform(positions) if len(positions) else errors(0, WRONG_TYPE)
    bad: Tags = np.ones(total, np.uint8)
    bad[positions] = np.where(is_error(values.tags), values.tags, np.uint8(1))
    first = unfolded.first_error(np.where(wrong != 1, wrong, bad))
    return unfolded.kept(space, chosen, values, first)
