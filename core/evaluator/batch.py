"""A run of a plan: one population at one `now`, a batch of blocks at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.evaluator import words
from core.evaluator.apply import Applier
from core.evaluator.cel_values import CelValue
from core.evaluator.frame import Frame
from core.evaluator.interpret import Interpreter
from core.evaluator.meter import Meter
from core.evaluator.sources import Now, Sources
from core.evaluator.space import Space
from core.evaluator.tree import Node
from core.evaluator.vector import Index, Vector
from core.evaluator.window import mentions

if TYPE_CHECKING:
    from core.bitmaps.population import Population

Words = NDArray[np.uint64]
"""uint64[n, 1024]: one row per block of the batch."""
_FEW: Final = 65_536
"""A run over no more users than this cuts index bitmaps to them before it reads them."""


class Run:
    """What all batches of a run share.

    Arguments:
        judged: the users asked about.
        most: how many elements macros inside macros may unfold, of all users together; None for any number.
        given: the values of a prepared statement, see `core.evaluator.prepare`.
    """

    def __init__(
        self,
        population: Population,
        now: Now,
        judged: BitMap,
        most: int | None = None,
        given: Sequence[CelValue] = (),
    ) -> None:
        self.population = population
        self.judged = judged
        self.given = given
        self.space = Space(Meter(most))
        self.sources = Sources(population, now, self.space)
        self.interpreter = Interpreter(self.sources, Applier(self.space, given))
        self._few = len(judged) <= _FEW
        self._serialized: dict[int, tuple[BitMap, bytes]] = {}

    def serialized(self, users: BitMap) -> bytes:
        """A set in the portable Roaring format, at least as far as this run's users are concerned."""
        found = self._serialized.get(id(users))
        if found is None:
            cut = users & self.judged if self._few else users
            found = self._serialized[id(users)] = (users, cut.serialize())
        return found[1]

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


class Batch:
    """Some blocks of a run. `blocks` uint32[n] are their numbers, ascending."""

    def __init__(self, run: Run, blocks: NDArray[np.uint32]) -> None:
        self.run = run
        self.blocks = blocks

    def words_of(self, users: BitMap) -> Words:
        """A set as the batch's words."""
        return words.expand(self.run.serialized(users), self.blocks)

    def empty(self) -> Words:
        """No users."""
        return np.zeros((len(self.blocks), 1024), np.uint64)
