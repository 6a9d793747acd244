"""Steps that answer from an index or by scanning one column, and never look at a user by himself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

from core.bitmaps.blocks import BlockTest
from core.evaluator.membership import Wanted
from core.evaluator.plan import Split, Step, Want
from core.evaluator.ranges import Bounds, bounds_of
from core.evaluator.vector import BOOL, DOUBLE, DURATION, INT, NULL, STRING, TIMESTAMP, UINT, Vector, is_error

if TYPE_CHECKING:
    from core.bitmaps.blocks import Block
    from core.bitmaps.column import Column
    from core.evaluator.batch import Batch, Words
    from core.evaluator.tree import Node


class Fixed(Step):
    """The same for everybody: true, false, or (None) an error."""

    def __init__(self, text: str, position: int, answer: bool | None) -> None:
        super().__init__(f"{text}: {'in error' if answer is None else str(answer).lower()} for all", position, 0.0)
        self._answer = answer

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        none = np.zeros_like(within)
        if self._answer is None:
            return Split(none, none.copy())
        return Split(within.copy(), none) if self._answer else Split(none, within.copy())


class Computed(Step):
    """A condition that reads neither user nor events, such as one on `now`: computed once per batch.

    Arguments:
        general: the same condition by the interpreter, for users with an instant each.
    """

    def __init__(self, text: str, position: int, node: Node, general: Step) -> None:
        super().__init__(f"{text}: once for all", position, 0.001)
        self._node, self._general = node, general

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        value = batch.run.constant(self._node)
        if value is None:
            return self._general.judge(batch, within, want)
        none = np.zeros_like(within)
        if value.tag() != BOOL:
            return Split(none, none.copy())
        return Split(within.copy(), none) if value.data[0] else Split(none, within.copy())


class Members(Step):
    """`audiences["x"]` where x is a list of users."""

    def __init__(self, text: str, position: int, members: BitMap) -> None:
        super().__init__(f"{text}: listed users", position, 0.02)
        self._members = members

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        true = batch.words_of(self._members)
        return Split(true, within & ~true)


class SavedAudience(Step):
    """`audiences["x"]` where x is an expression: never in error, who errs there is not in it."""

    def __init__(self, text: str, position: int, expression: Step) -> None:
        super().__init__(f"{text}: saved expression", position, expression.cost)
        self._expression = expression

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        true = self._expression.judge(batch, within, Want.TRUE).true
        return Split(true, within & ~true)

    def describe(self, depth: int = 0) -> str:
        return f"{super().describe(depth)}\n{self._expression.describe(depth + 1)}"


class Flag(Step):
    """`user.x` as a condition: true and false by the value bitmaps where there are any, else by a column scan."""

    def __init__(self, text: str, position: int, name: str, *, indexed: bool) -> None:
        how = "value bitmaps" if indexed else "column scan"
        super().__init__(f"{text}: {how}", position, 0.05 if indexed else 0.6)
        self._name = name

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        column = batch.run.population.column(self._name)
        if column is None:
            return Split(np.zeros_like(within), np.zeros_like(within))
        bounds = bounds_of("_>=_", BOOL, 1)  # an order, so that what is no bool errs
        assert bounds is not None
        return scan_column(batch, column, bounds, within)


class Presence(Step):
    """`has(user.x)`: the presence bitmap; never in error."""

    def __init__(self, text: str, position: int, name: str) -> None:
        super().__init__(f"{text}: presence bitmap", position, 0.02)
        self._name = name

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        column = batch.run.population.column(self._name)
        if column is None:
            return Split(np.zeros_like(within), within.copy())
        true = np.zeros_like(within)
        for row, block in _blocks_within(batch, column, within):
            true[row] = block.present()
        return Split(true, within & ~true)


class Comparison(Step):
    """A property compared with constants: true where any of them compares so.

    One constant for an operator, several for `in`. A bool or string that the column indexes is a bitmap; anything else
    is a scan of the column, block by block. Where the constant turns out to be of a type that no scan can compare
    (or in error), the general step decides.

    Arguments:
        name: the property.
        function: CEL's comparison, the property on its left; `_==_` where there are several constants.
        constants: expressions that read neither user nor events.
        general: the same condition by the interpreter.
    """

    def __init__(
        self,
        text: str,
        position: int,
        name: str,
        function: str,
        constants: Sequence[Node],
        general: Step,
        *,
        indexed: bool,
    ) -> None:
        how = "value bitmaps" if indexed else "column scan"
        super().__init__(f"{text}: {how}", position, 0.05 if indexed else 0.6)
        self._name, self._function, self._constants, self._general = name, function, constants, general

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        column = batch.run.population.column(self._name)
        if column is None:
            return Split(np.zeros_like(within), np.zeros_like(within))
        bounds: list[Bounds] = []
        for node in self._constants:
            value = batch.run.constant(node)
            if value is None or is_error(value.tags)[0]:
                return self._general.judge(batch, within, want)
            bound = self._bounds(batch, column, value)
            if bound is None:
                return self._general.judge(batch, within, want)
            bounds.append(bound)
        if len(bounds) == 1:
            return scan_column(batch, column, bounds[0], within)
        return scan_for_many(batch, column, bounds, within)

    def _bounds(self, batch: Batch, column: Column, value: Vector) -> Bounds | None:
        tag = value.tag()
        if tag == STRING:
            return bounds_of(self._function, tag, column.strings.find(batch.run.space.decode(value)[0]))
        if tag == DOUBLE:
            return bounds_of(self._function, tag, float(value.doubles[0]))
        if tag in (NULL, BOOL, INT, UINT, TIMESTAMP, DURATION):
            return bounds_of(self._function, tag, as_int(value))
        return None


def as_int(value: Vector) -> int:
    """A constant's number; of a uint without its sign."""
    cell = int(value.data[0])
    return cell & 0xFFFF_FFFF_FFFF_FFFF if value.tag() == UINT else cell


def scan_column(batch: Batch, column: Column, bounds: Bounds, within: Words) -> Split:
    """Ask the blocks of a batch that have users in `within`."""
    return _ask_blocks(batch, column, bounds.test(), within)


def _ask_blocks(batch: Batch, column: Column, test: BlockTest, within: Words) -> Split:
    true, false = np.zeros_like(within), np.zeros_like(within)
    for row, block in _blocks_within(batch, column, within):
        block.split(test, within[row], true[row], false[row])
    return Split(true, false)


def _blocks_within(batch: Batch, column: Column, within: Words) -> Iterator[tuple[int, Block]]:
    """The blocks of a column that have users in `within`, each with its row in the batch."""
    for row, number in enumerate(batch.blocks.tolist()):
        block = column.blocks.get(number)
        if block is not None and within[row].any():
            yield row, block


def scan_for_many(batch: Batch, column: Column, bounds: Sequence[Bounds], within: Words) -> Split:
    """The values that equal any of many constants, each given by its bounds; no present value errs."""
    return _ask_blocks(batch, column, BlockTest(wanted=Wanted(bounds).cells()), within)
