"""Steps that look at values: the interpreter over the rows of each block, and, for what it cannot do, user by user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from core.evaluator import words
from core.evaluator.plan import Split, Step, Want
from core.evaluator.tree import Node
from core.evaluator.vector import Index, Vector, falsehoods, truths

if TYPE_CHECKING:
    from core.evaluator.batch import Batch, Words


_MOST_ROWS: Final = 65_536


class General(Step):
    """Any condition, by the interpreter: all users of a block at once."""

    def __init__(self, text: str, position: int, node: Node, cost: float) -> None:
        super().__init__(f"{text}: by rows", position, cost)
        self._node = node

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        true, false = np.zeros_like(within), np.zeros_like(within)
        for rows, places, ordinals in _frames(batch, within):
            value = self._values(batch, ordinals)
            yes, no = truths(value), falsehoods(value)
            ends = np.searchsorted(ordinals, batch.blocks[rows].astype(np.int64) + 1 << 16)
            start = 0
            for row, end in zip(rows, ends.tolist(), strict=True):
                words.scatter(places[start:end], yes[start:end].view(np.uint8), true[row])
                words.scatter(places[start:end], no[start:end].view(np.uint8), false[row])
                start = end
        return Split(true, false)

    def values(self, batch: Batch, within: Words) -> Iterator[Vector]:
        """The condition's values for the users in turn, errors by kind."""
        for _, _, ordinals in _frames(batch, within):
            yield self._values(batch, ordinals)

    def _values(self, batch: Batch, ordinals: Index) -> Vector:
        batch.run.next_rows()
        return batch.run.interpreter.judged(self._node, batch.run.frame(ordinals))


def _frames(batch: Batch, within: Words) -> Iterator[tuple[list[int], Index, Index]]:
    """The users in portions: the rows of blocks in the words, and the users' places in them and ordinals, ascending.

    A portion is one block, or several with no more than a block's users between them.
    """
    rows: list[int] = []
    places: list[Index] = []
    ordinals: list[Index] = []
    waiting = 0
    for row, number in enumerate(batch.blocks.tolist()):
        found = words.positions(within[row])
        if not len(found):
            continue
        if waiting and waiting + len(found) > _MOST_ROWS:
            yield rows, np.concatenate(places), np.concatenate(ordinals)
            rows, places, ordinals, waiting = [], [], [], 0
        rows.append(row)
        places.append(found)
        ordinals.append(found + (number << 16))
        waiting += len(found)
    if waiting:
        yield rows, np.concatenate(places), np.concatenate(ordinals)
