"""The *run* stage: a bound plan over a population, a batch of blocks at a time."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.errors import InvalidInput
from core.evaluator import words
from core.evaluator.batch import Batch, Run, Words
from core.evaluator.cel_values import CelValue
from core.evaluator.plan import Split, Step, Want
from core.evaluator.sources import Now

if TYPE_CHECKING:
    from core.bitmaps.population import Population
    from core.evaluator.parse import Parsed

BLOCKS_PER_BATCH: Final = 32
"""Blocks that go through the plan together: 2 million users, whose sets (256 kB each) stay in the cache."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who was judged, and how. Disjoint `true` and `false`; the rest of `judged` erred."""

    true: BitMap
    false: BitMap
    judged: BitMap

    @property
    def erred(self) -> BitMap:
        """The users for whom the expression erred: they do not match."""
        erred: BitMap = self.judged - self.true - self.false
        return erred


class Plan:
    """A bound expression. Made by `core.evaluator.bind.bind`; may run over any later version of the same project.

    A plan keeps nothing between runs and may run in several threads at once, each with a population of its own pinning.
    """

    def __init__(self, parsed: Parsed, root: Step) -> None:
        self.parsed = parsed
        self.root = root

    def run(
        self,
        population: Population,
        among: BitMap | None = None,
        now: Now | None = None,
        most: int | None = None,
        given: Sequence[CelValue] = (),
    ) -> Outcome:
        """Judge users.

        Arguments:
            population: the version of the data.
            among: the users to judge; None for all that exist. Users that do not exist are left out.
            now: micros UTC, one for everybody or (ordinals uint32[n] ascending, instants int64[n]), in which case only
                the users named there are judged. An event later than a user's instant is invisible.
            most: how many elements macros inside macros may unfold, of all users together; None for any number.
            given: the values of a prepared statement, see `core.evaluator.prepare`.

        Raises:
            InvalidInput: NOW_MISSING or NOW_INVALID.
            ExpressionTooCostly: where more would be unfolded.
        """
        judged = users_to_judge(population, among, now)
        true: list[bytes] = []
        false: list[bytes] = []
        for batch, split in self._splits(population, judged, now, most, given, Want.BOTH):
            true.append(words.collapse(batch.blocks, split.true))
            false.append(words.collapse(batch.blocks, split.false))
        return Outcome(_united(true), _united(false), judged)

    def select(
        self,
        population: Population,
        among: BitMap | None = None,
        now: Now | None = None,
        most: int | None = None,
        given: Sequence[CelValue] = (),
    ) -> BitMap:
        """The users who match: `run(...).true`, faster, as nobody asks who is false and who erred."""
        judged = users_to_judge(population, among, now)
        splits = self._splits(population, judged, now, most, given, Want.TRUE)
        return _united([words.collapse(batch.blocks, split.true) for batch, split in splits])

    def count(
        self,
        population: Population,
        among: BitMap | None = None,
        now: Now | None = None,
        most: int | None = None,
        given: Sequence[CelValue] = (),
    ) -> int:
        """How many users match: `len(select(...))`, faster, as nobody asks who."""
        judged = users_to_judge(population, among, now)
        splits = self._splits(population, judged, now, most, given, Want.TRUE)
        return sum(words.count(split.true) for _, split in splits)

    def describe(self) -> str:
        """The steps as an indented text with their estimated costs."""
        return self.root.describe()

    def _splits(
        self,
        population: Population,
        judged: BitMap,
        now: Now | None,
        most: int | None,
        given: Sequence[CelValue],
        want: Want,
    ) -> Iterator[tuple[Batch, Split]]:
        """The judged users' answers, a batch at a time: the sets that are wanted."""
        if not judged or now is None:
            return
        run = Run(population, now, judged, most, given)
        for batch, within in batches(run):
            split = self.root.judge(batch, within, want)
            for words_of in (split.true, split.false):
                words_of &= within
            yield batch, split


def users_to_judge(population: Population, among: BitMap | None, now: Now | None) -> BitMap:
    """The existing users of `among` that have an instant.

    Raises:
        InvalidInput: NOW_MISSING or NOW_INVALID.
    """
    judged: BitMap = population.live.copy() if among is None else population.live & among
    if now is None:
        raise InvalidInput("no instant to judge at", field="now", mend="give microseconds UTC", code="NOW_MISSING")
    if isinstance(now, tuple):
        ordinals, instants = now
        if len(ordinals) != len(instants) or bool((ordinals[1:] <= ordinals[:-1]).any()):
            raise InvalidInput(
                f"{len(ordinals)} users with {len(instants)} instants, or users out of order",
                field="now",
                mend="give strictly ascending ordinals and one instant for each",
                code="NOW_INVALID",
            )
        judged &= bitmap_of(ordinals)
    return judged


def bitmap_of(ordinals: NDArray[np.uint32]) -> BitMap:
    """Ordinals (uint32[n]) as a set. pyroaring would take an array of numpy's value by value."""
    return BitMap(array("I", np.ascontiguousarray(ordinals, np.uint32).tobytes()))


def batches(run: Run) -> Iterator[tuple[Batch, Words]]:
    """The blocks that hold judged users, a batch at a time, with those users as words."""
    numbers = blocks_of(run.judged)
    serialized = run.judged.serialize()
    for first in range(0, len(numbers), BLOCKS_PER_BATCH):
        blocks = numbers[first : first + BLOCKS_PER_BATCH]
        yield Batch(run, blocks), words.expand(serialized, blocks)


def blocks_of(users: BitMap) -> NDArray[np.uint32]:
    """The numbers of the blocks that hold at least one of the users, ascending."""
    numbers: list[int] = []
    if users:
        at: int | None = users.min()
        last = users.max() >> 16
        while at is not None:
            numbers.append(at >> 16)
            at = users.next_set_bit((numbers[-1] + 1) << 16) if numbers[-1] < last else None
    return np.array(numbers, np.uint32)


def _united(parts: list[bytes]) -> BitMap:
    return BitMap.union(*map(BitMap.deserialize, parts)) if parts else BitMap()
