"""Steps that look at values: the interpreter over the rows of each block, and, for what it cannot do, user by user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.evaluator import words
from core.evaluator.plan import Split, Step, Want, Words
from core.evaluator.tree import Node
from core.evaluator.vector import Index, Vector, falsehoods, truths

if TYPE_CHECKING:
    from core.evaluator.batch import Batch


def ordinals_of(batch: Batch, within: Words, row: int) -> tuple[Index, Index]:
    """The users of one block of a batch: their places in the block and their ordinals, int64 ascending."""
    places = words.positions(within[row])
    return places, places + (int(batch.blocks[row]) << 16)


class General(Step):
    """Any condition, by the interpreter: all users of a block at once."""

    def __init__(self, text: str, position: int, node: Node, cost: float) -> None:
        super().__init__(f"{text}: by rows", position, cost)
        self._node = node

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        true, false = np.zeros_like(within), np.zeros_like(within)
        for row in range(len(batch.blocks)):
            places, ordinals = ordinals_of(batch, within, row)
            if not len(places):
                continue
            value = self.values(batch, ordinals)
            words.scatter(places, truths(value).view(np.uint8), true[row])
            words.scatter(places, falsehoods(value).view(np.uint8), false[row])
        return Split(true, false)

    def values(self, batch: Batch, ordinals: Index) -> Vector:
        """The condition's value for each user of one block (int64[n], ascending), errors by kind."""
        batch.run.next_rows()
        return batch.run.interpreter.rows_of(self._node, batch.run.frame(ordinals))
