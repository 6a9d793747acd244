"""A run of a plan: one population at one `now`, a batch of blocks at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.evaluator.apply import Applier
from core.evaluator.cel_values import CelValue
from core.evaluator.compiled_row import Frame as RowFrame
from core.evaluator.frame import Frame
from core.evaluator.interpret import Interpreter
from core.evaluator.meter import Meter
from core.evaluator.row import Row
from core.evaluator.sources import Now, Sources
from core.evaluator.space import Space
from core.evaluator.tree import Node
from core.evaluator.vector import Index, Vector
from core.evaluator.window import mentions

if TYPE_CHECKING:
    from core.bitmaps.population import Population
    from core.evaluator.program import Program

Words = NDArray[np.uint64]
"""uint64[n, 1024]: one row per block of the batch."""


class Run:
    """What all batches of a run share.

    Arguments:
        most: how many elements macros inside macros may unfold, of all users together; None for any number.
        given: the values of a prepared statement, see `core.evaluator.prepare`.
    """

    def __init__(
        self, population: Population, now: Now, most: int | None = None, given: Sequence[CelValue] = ()
    ) -> None:
        self.population = population
        self._now, self._most, self._given = now, most, given
        self.programs: dict[int, Program | None] = {}  # by step
        self.partial: dict[int, tuple[Program | None, Sequence[int]]] = {}  # by connective: with its other operands

    @cached_property
    def space(self) -> Space:
        """The run's heaps."""
        return Space(Meter(self._most))

    @cached_property
    def sources(self) -> Sources:
        """The population as vectors see it."""
        return Sources(self.population, self._now, self.space)

    @cached_property
    def interpreter(self) -> Interpreter:
        """What computes by rows."""
        return Interpreter(self.sources, Applier(self.space, self._given))

    @property
    def instant(self) -> int | None:
        """The one instant for everybody, or None where each user has one; micros UTC."""
        return None if isinstance(self._now, tuple) else self._now

    @cached_property
    def constants(self) -> RowFrame:
        """What the row matcher computes constants from; with an instant for each user, those that do not use `now`."""
        return RowFrame(Row({}, {}, self.instant or 0), self._given)

    def constant(self, node: Node) -> Vector | None:
        """The one value, as a constant, of an expression that reads neither user nor events.

        None where it depends on `now` and each user has an instant of their own.
        """
        if self.sources.instant() is None and mentions(node, "now"):
            return None
        return self._apart(node, self.sources.any_now()).for_all()

    def at_every_instant(self, node: Node) -> Vector:
        """The values of an expression that reads neither user nor events, at the instants of this run."""
        return self._apart(node, self.sources.every_now())

    def _apart(self, node: Node, nows: Vector) -> Vector:
        self.next_rows()
        names = {"context": self.interpreter.applier.empty_map(), "now": nows}
        return self.interpreter.compute(node, Frame(len(nows), names))

    def frame(self, ordinals: Index) -> Frame:
        """Users as rows, with the variables of the language. Rows of an earlier frame mean nothing any more."""
        sources = self.sources
        return Frame(
            len(ordinals),
            {
                "user": sources.users(ordinals),
                "events": sources.event_maps(ordinals),
                "now": sources.nows(ordinals),
                "context": self.interpreter.applier.empty_map(),
            },
        )

    def next_rows(self) -> None:
        """Forget the values of the rows before."""
        self.space.next_block()
        self.sources.next_block()

    def end(self) -> None:
        """Forget all values. Heaps and what they belong to know each other: they would stay until they are looked for."""
        if "space" in self.__dict__:
            self.space.clear()


class Batch:
    """Some blocks of a run. `blocks` uint32[n] are their numbers, ascending."""

    def __init__(self, run: Run, blocks: NDArray[np.uint32]) -> None:
        self.run = run
        self.blocks = blocks

    def empty(self) -> Words:
        """No users."""
        return np.zeros((len(self.blocks), 1024), np.uint64)
