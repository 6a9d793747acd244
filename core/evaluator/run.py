"""The *run* stage: a bound plan over a population, a batch of blocks at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.bitmaps.cells import bitmap_of
from core.bitmaps.user_set import UserSet
from core.errors import InvalidInput
from core.evaluator import words
from core.evaluator.batch import Batch, Run, Words
from core.evaluator.cel_values import CelValue
from core.evaluator.plan import Split, Step, Want, program_of
from core.evaluator.program import Blocks, Program
from core.evaluator.sources import Now
from core.evaluator.threads import together

if TYPE_CHECKING:
    from core.bitmaps.population import Population
    from core.evaluator.parse import Parsed

BLOCKS_PER_BATCH: Final = 32
"""Blocks that go through the steps together: 2 million users, whose sets (256 kB each) stay in the cache."""
_RANKED_FROM: Final = 4
"""A program over so many blocks asks one of them first, to learn the best order of its operands."""


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

    All ways to run it take:
        population: the version of the data.
        among: the users to judge; None for all that exist. Users that do not exist are left out.
        now: micros UTC, one for everybody or (ordinals uint32[n] ascending, instants int64[n]), in which case only
            the users named there are judged. An event later than a user's instant is invisible.
        most: how many elements macros inside macros may unfold, of all users together; None for any number.
        given: the values of a prepared statement, see `core.evaluator.prepare`.

    and raise InvalidInput (NOW_MISSING or NOW_INVALID), and ExpressionTooCostly where more would be unfolded.
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
        """Judge users."""
        run = Run(population, checked(now), most, given)
        judged = users_to_judge(population, among, now)
        true: list[bytes] = []
        false: list[bytes] = []
        for batch, split in self._splits(run, judged, Want.BOTH):
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
        run = Run(population, checked(now), most, given)
        program = program_of(self.root, run)
        if program is None:
            splits = self._splits(run, users_to_judge(population, among, now), Want.TRUE)
            return _united([words.collapse(batch.blocks, split.true) for batch, split in splits])
        named = _named(among, now)
        numbers = _ranked(program, population, named)
        found = np.empty((len(numbers), 1024), np.uint64)
        blocks = Blocks(numbers)
        together(len(numbers), lambda: program.select(population.living, named, blocks, found))
        return BitMap.deserialize(words.collapse(numbers, found))

    def count(
        self,
        population: Population,
        among: BitMap | None = None,
        now: Now | None = None,
        most: int | None = None,
        given: Sequence[CelValue] = (),
    ) -> int:
        """How many users match: `len(select(...))`, faster, as nobody asks who."""
        run = Run(population, checked(now), most, given)
        program = program_of(self.root, run)
        if program is None:
            splits = self._splits(run, users_to_judge(population, among, now), Want.TRUE)
            return sum(words.count(split.true) for _, split in splits)
        named = _named(among, now)
        numbers = _ranked(program, population, named)
        blocks = Blocks(numbers)
        return sum(together(len(numbers), lambda: program.count(population.living, named, blocks)))

    def describe(self) -> str:
        """The steps as an indented text with their estimated costs."""
        return self.root.describe()

    def _splits(self, run: Run, judged: BitMap, want: Want) -> Iterator[tuple[Batch, Split]]:
        """The judged users' answers, a batch at a time: the sets that are wanted."""
        for batch, within in batches(run, judged):
            split = self.root.judge(batch, within, want)
            yield batch, Split(split.true & within, split.false & within)


def checked(now: Now | None) -> Now:
    """An instant for everybody or one for each of some users.

    Raises:
        InvalidInput: NOW_MISSING or NOW_INVALID.
    """
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
    return now


def users_to_judge(population: Population, among: BitMap | None, now: Now | None) -> BitMap:
    """The existing users of `among` that have an instant."""
    judged: BitMap = population.live.copy() if among is None else population.live & among
    if isinstance(now, tuple):
        judged &= bitmap_of(now[0])
    return judged


def _named(among: BitMap | None, now: Now | None) -> UserSet | None:
    """Those of `among` that have an instant, None for all; they may not exist."""
    if isinstance(now, tuple):
        own = bitmap_of(now[0])
        return UserSet(own if among is None else own & among)
    return None if among is None else UserSet(among)


def _ranked(program: Program, population: Population, named: UserSet | None) -> NDArray[np.uint32]:
    """The numbers of the blocks that a program is to look at; and its operands are in order for them."""
    blocks = population.living.blocks if named is None else named.blocks
    if len(blocks) >= _RANKED_FROM:
        program.rank(int(blocks[len(blocks) // 2]))
    return blocks


def batches(run: Run, judged: BitMap) -> Iterator[tuple[Batch, Words]]:
    """The blocks that hold judged users, a batch at a time, with those users as words. After them the run has ended."""
    users = UserSet(judged)
    try:
        for first in range(0, len(users.blocks), BLOCKS_PER_BATCH):
            blocks = users.blocks[first : first + BLOCKS_PER_BATCH]
            yield Batch(run, blocks), users.words(blocks)
    finally:
        run.end()


def _united(parts: list[bytes]) -> BitMap:
    return BitMap.union(*map(BitMap.deserialize, parts)) if parts else BitMap()
