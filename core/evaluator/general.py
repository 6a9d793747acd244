"""Steps that look at values: the interpreter over the rows of each block, and, for what it cannot do, user by user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from core.evaluator import words
from core.evaluator.plan import Split, Step, Want, Words
from core.evaluator.tree import Node
from core.evaluator.vector import Index, Vector, falsehoods, truths

if TYPE_CHECKING:
    from core.evaluator.batch import Batch


class General(Step):
    """Any condition, by the interpreter: all users of a block at once."""

    def __init__(self, text: str, position: int, node: Node, cost: float) -> None:
        super().__init__(f"{text}: by rows", position, cost)
        self._node = node

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        true, false = np.zeros_like(within), np.zeros_like(within)
        for row, places, ordinals in _blocks(batch, within):
            value = self._values(batch, ordinals)
            words.scatter(places, truths(value).view(np.uint8), true[row])
            words.scatter(places, falsehoods(value).view(np.uint8), false[row])
        return Split(true, false)

    def each_block(self, batch: Batch, within: Words) -> Iterator[Vector]:
        """The condition's values for the users of each block, errors by kind."""
        for _, _, ordinals in _blocks(batch, within):
            yield self._values(batch, ordinals)

    def _values(self, batch: Batch, ordinals: Index) -> Vector:
        batch.run.next_rows()
        return batch.run.interpreter.rows_of(self._node, batch.run.frame(ordinals))


def _blocks(batch: Batch, within: Words) -> Iterator[tuple[int, Index, Index]]:
    """Each block with users: its row in the words, and their places in it and ordinals, int64 ascending."""
    for row, number in enumerate(batch.blocks.tolist()):
        places = words.positions(within[row])
        if len(places):
            yield row, places, places + (number << 16)
