"""Steps that kernels answer block by block, see `core.evaluator.program`: they never look at a user alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pyroaring import BitMap

from core.bitmaps.blocks import BlockTest
from core.bitmaps.user_set import UserSet
from core.evaluator.cel_values import CelError, CelValue, Uint
from core.evaluator.constants import Constant, Varies
from core.evaluator.plan import Fusible, NoKernel, Split, Step, Want
from core.evaluator.program import ComparisonLeaf, MembersLeaf, PresenceLeaf
from core.evaluator.ranges import Bounds, bounds_of
from core.evaluator.vector import BOOL, DOUBLE, DURATION, INT, NULL, STRING, TIMESTAMP, UINT
from core.values import to_micros

if TYPE_CHECKING:
    from core.evaluator.batch import Batch, Run, Words
    from core.evaluator.program import Part
    from core.evaluator.tree import Node

_TAGS: Final[dict[type, int]] = {
    type(None): NULL,
    bool: BOOL,
    int: INT,
    Uint: UINT,
    float: DOUBLE,
    str: STRING,
    datetime: TIMESTAMP,
    timedelta: DURATION,
}
"""The types of constants that a kernel can compare with."""
_FLAG: Final = bounds_of("_>=_", BOOL, 1)
"""A bool as a condition is an order, so that what is no bool errs."""


class Leaf(Fusible):
    """A step without children that a kernel answers; where none can, the interpreter does.

    Arguments:
        general: the same condition by the interpreter; None where a kernel always answers.
    """

    def __init__(self, text: str, position: int, cost: float, general: Step | None = None) -> None:
        super().__init__(text, position, cost)
        self._general = general

    def apart(self, batch: Batch, within: Words, want: Want) -> Split:
        assert self._general is not None
        return self._general.judge(batch, within, want)


class Fixed(Leaf):
    """The same for everybody: true, false, or (None) an error."""

    def __init__(self, text: str, position: int, answer: bool | None) -> None:
        super().__init__(f"{text}: {'in error' if answer is None else str(answer).lower()} for all", position, 0.0)
        self._answer = answer

    def part(self, run: Run) -> Part:
        return self._answer


class Computed(Leaf):
    """A condition that reads neither user nor events, such as one on `now`: computed once per run."""

    def __init__(self, text: str, position: int, node: Node, general: Step) -> None:
        super().__init__(f"{text}: once for all", position, 0.001, general)
        self._condition = Constant(node)

    def part(self, run: Run) -> Part:
        try:
            value = self._condition.value(run)
        except CelError:
            return None
        except Varies:
            raise NoKernel from None
        return value if isinstance(value, bool) else None


class Members(Leaf):
    """`audiences["x"]` where x is a list of users."""

    def __init__(self, text: str, position: int, members: BitMap) -> None:
        super().__init__(f"{text}: listed users", position, 0.02)
        self._members = UserSet(members)

    def part(self, run: Run) -> Part:
        return MembersLeaf(self._members)


class Flag(Leaf):
    """`user.x` as a condition."""

    def __init__(self, text: str, position: int, name: str) -> None:
        super().__init__(f"{text}: column blocks", position, 0.03)
        self._name = name

    def part(self, run: Run) -> Part:
        column = run.population.column(self._name)
        assert _FLAG is not None
        return None if column is None else ComparisonLeaf(column.blocks, _FLAG.test())


class Presence(Leaf):
    """`has(user.x)`; never in error."""

    def __init__(self, text: str, position: int, name: str) -> None:
        super().__init__(f"{text}: column blocks", position, 0.02)
        self._name = name

    def part(self, run: Run) -> Part:
        column = run.population.column(self._name)
        return False if column is None else PresenceLeaf(column.blocks)


class Comparison(Leaf):
    """A property compared with constants: true where any of them compares so.

    One constant for an operator, several for `in`. Where a constant turns out to be of a type that no kernel can compare
    (or in error), the general step decides.

    Arguments:
        name: the property.
        function: CEL's comparison, the property on its left; `_==_` where there are several constants.
        constants: expressions that read neither user nor events.
        general: the same condition by the interpreter.
    """

    def __init__(
        self, text: str, position: int, name: str, function: str, constants: Sequence[Node], general: Step
    ) -> None:
        super().__init__(f"{text}: column blocks", position, 0.05, general)
        self._name, self._function = name, function
        self._constants = [Constant(node) for node in constants]

    def part(self, run: Run) -> Part:
        column = run.population.column(self._name)
        if column is None:
            return None
        try:
            code_of = column.strings.find
            bounds = [bounds_with(self._function, constant.value(run), code_of) for constant in self._constants]
        except (CelError, Varies):
            raise NoKernel from None
        return ComparisonLeaf(column.blocks, bounds[0].test() if len(bounds) == 1 else _any_of(bounds))


def bounds_with(function: str, value: CelValue, code_of: Callable[[str], int]) -> Bounds:
    """What compares so with a constant. Raises NoKernel where no kernel can tell.

    Arguments:
        code_of: gives a string's code where the values are, -1 for none.
    """
    tag = _TAGS.get(type(value))
    known: Any = value
    if tag == STRING:
        known = code_of(known)
    elif tag == TIMESTAMP:
        known = to_micros(known)
    elif tag in (NULL, DURATION):
        known = 0
    found = None if tag is None else bounds_of(function, tag, known)
    if found is None:
        raise NoKernel
    return found


def _any_of(bounds: Sequence[Bounds]) -> BlockTest:
    """Equality with any of several constants, each given by its bounds for `==`."""
    tags: list[int] = []
    data: list[int] = []
    doubles: list[float] = []
    for bound in bounds:
        if bound.int_tag and bound.ints[0] <= bound.ints[1]:
            tags.append(bound.int_tag)
            data.append(0 if bound.int_tag == NULL else bound.ints[0])
        if bound.double_tag and bound.doubles[0] <= bound.doubles[1]:
            doubles.append(bound.doubles[0])
    cells = np.array(data, np.int64)
    if doubles:
        tags += [DOUBLE] * len(doubles)
        cells = np.concatenate((cells, np.array(doubles, np.float64).view(np.int64)))
    return BlockTest(wanted=(np.array(tags, np.uint8), cells))
