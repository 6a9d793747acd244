"""Conditions on one event that a kernel can answer: comparisons of its time and properties with constants, combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from core.evaluator.cel_values import CelError, CelValue
from core.evaluator.constants import Constant, Varies
from core.evaluator.leaves import bounds_with
from core.evaluator.plan import NoKernel
from core.evaluator.ranges import COMPARISONS, MIRRORED, Bounds, bounds_of
from core.evaluator.reads import is_constant
from core.evaluator.tree import Call, Const, Has, Ident, ListOf, Macro, Node, Select
from core.evaluator.vector import BOOL, TIMESTAMP
from core.evaluator.window import operands
from core.values import MIN_MICROS

if TYPE_CHECKING:
    from core.bitmaps.events import EventTable
    from core.evaluator.batch import Run

AND, OR, NOT = -1, -2, -3
HAS, IS_TRUE = "has", "true"
OF_TIME: Final = -1
UNKNOWN: Final = -2
IS_TRUE_BOUNDS: Final = bounds_of("_>=_", BOOL, 1)
"""A bool as a condition is an order, so that what is no bool errs."""
_MOST_LEAVES: Final = 12
"""A condition of more is a list of constants, for which the general step has a better way."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A leaf: `name <function> constant`, or without a constant `HAS` or `IS_TRUE`, the name alone as a condition."""

    name: str
    function: str
    constant: Constant | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition in postfix order: the number of a leaf, or AND, OR, NOT.

    Attributes:
        timed: the comparisons of the time that alone can tell that an event does not matter: where one of them is
            false, or for `all` true.
        for_all: whether the condition is that of `all`.
    """

    leaves: tuple[Asked, ...] = ()
    operations: tuple[int, ...] = ()
    timed: tuple[int, ...] = ()
    for_all: bool = False

    def bound(self, table: EventTable, run: Run) -> list[tuple[int, Bounds | None]]:
        """The leaves for the kernel: a property's number in the table (`OF_TIME`, `UNKNOWN`) and the bounds; None for `HAS`.

        Raises:
            NoKernel: a constant is of a type that it cannot compare, in error, or not the same for all users.
        """
        found: list[tuple[int, Bounds | None]] = []
        for leaf in self.leaves:
            owner = OF_TIME if leaf.name == "time" else table.number_of(leaf.name)
            if leaf.function == HAS:
                found.append((owner, None))
            elif leaf.constant is None:
                found.append((owner, IS_TRUE_BOUNDS))
            else:
                find = table.strings(leaf.name).find if owner >= 0 else _of_no_code
                found.append((owner, bounds_with(leaf.function, value_of(leaf.constant, run), find)))
        return found

    def window(self, leaves: Sequence[tuple[int, Bounds | None]], now: int) -> tuple[int, int]:
        """Events with a time in (after, upto] can matter, no others; micros UTC.

        Arguments:
            leaves: as `bound` gave them.
            now: no later event does.
        """
        after, upto = MIN_MICROS - 1, now
        for number in self.timed:
            bounds = leaves[number][1]
            assert bounds is not None
            if bounds.negate or bounds.int_tag != TIMESTAMP:
                continue
            least, greatest = bounds.ints
            if not self.for_all:
                after, upto = max(after, least - 1), min(upto, greatest)
            elif least <= MIN_MICROS:
                after = max(after, greatest)
            elif greatest >= now:
                upto = min(upto, least - 1)
        return after, upto


def _of_no_code(text: str) -> int:
    return -1


def value_of(constant: Constant, run: Run) -> CelValue:
    """A constant's value in a run. Raises NoKernel where there is none for all users."""
    try:
        return constant.value(run)
    except (CelError, Varies):
        raise NoKernel from None


def condition_of(macro: Macro) -> Condition | None:
    """A macro's condition for the kernel, None where it asks more than that can answer."""
    leaves: list[Asked] = []
    operations: list[int] = []
    timed: list[int] = []
    assert macro.predicate is not None
    for_all = macro.kind == "all"
    for place, part in enumerate(operands(macro.predicate, "_||_" if for_all else "_&&_")):
        first = len(leaves)
        if not _compile(part, macro.variable, leaves, operations):
            return None
        if (
            leaves[first].name == "time"
            and leaves[first].constant is not None
            and _leaf(part, macro.variable) is not None
        ):
            timed.append(first)
        if place:
            operations.append(OR if for_all else AND)
    if len(leaves) > _MOST_LEAVES:
        return None
    return Condition(tuple(leaves), tuple(operations), tuple(timed), for_all)


def _compile(node: Node, variable: str, leaves: list[Asked], operations: list[int]) -> bool:
    match node:
        case Call(function="_&&_" | "_||_" as function, args=(left, right)):
            if not _compile(left, variable, leaves, operations) or not _compile(right, variable, leaves, operations):
                return False
            operations.append(AND if function == "_&&_" else OR)
            return True
        case Call(function="!_", args=(operand,)):
            if not _compile(operand, variable, leaves, operations):
                return False
            operations.append(NOT)
            return True
        case Call(function="@in", args=(subject, ListOf(elements=elements))) if elements:
            name = _field(subject, variable)
            if name is None or not all(is_constant(element) for element in elements):
                return False
            for place, element in enumerate(elements):
                _ask(Asked(name, "_==_", Constant(element)), leaves, operations)
                if place:
                    operations.append(OR)
            return True
    leaf = _leaf(node, variable)
    if leaf is not None:
        _ask(leaf, leaves, operations)
    return leaf is not None


def _ask(leaf: Asked, leaves: list[Asked], operations: list[int]) -> None:
    operations.append(len(leaves))
    leaves.append(leaf)


def _leaf(node: Node, variable: str) -> Asked | None:
    match node:
        case Has(operand=Ident(name=element), field=field) if element == variable:
            return Asked(field, HAS)
        case Call(function=function, args=(left, right)) if function in COMPARISONS:
            if is_constant(left):
                function, left, right = MIRRORED[function], right, left
            name = _field(left, variable)
            return Asked(name, function, Constant(right)) if name is not None and is_constant(right) else None
    flag = _field(node, variable)
    return None if flag is None else Asked(flag, IS_TRUE)


def _field(node: Node, variable: str) -> str | None:
    """The x where a node is `variable.x` or `variable["x"]`."""
    match node:
        case Select(operand=Ident(name=name), field=field) if name == variable:
            return field
        case Call(function="_[_]", args=(Ident(name=name), Const(value=str() as field))) if name == variable:
            return field
    return None
