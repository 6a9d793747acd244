"""Conditions on one event that a kernel can answer: comparisons of its time and properties with constants, combined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from core.evaluator.ranges import COMPARISONS, MIRRORED, Bounds, bounds_of
from core.evaluator.reads import is_constant
from core.evaluator.tree import Call, Const, Has, Ident, ListOf, Macro, Node, Select
from core.evaluator.vector import BOOL, DOUBLE, DURATION, INT, NULL, STRING, TIMESTAMP, UINT, Vector, is_error

if TYPE_CHECKING:
    from core.bitmaps.events import EventTable
    from core.evaluator.batch import Run

AND, OR, NOT = -1, -2, -3
HAS, IS_TRUE = "has", "true"
OF_TIME: Final = -1
UNKNOWN: Final = -2
_MOST_LEAVES: Final = 12
"""A condition of more is a list of constants, for which the general step has a better way."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A leaf: `name <function> constant`, or without a constant `HAS` or `IS_TRUE`, the name alone as a condition."""

    name: str
    function: str
    constant: Node | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition in postfix order: the number of a leaf, or AND, OR, NOT."""

    leaves: tuple[Asked, ...]
    operations: tuple[int, ...]

    def bound(self, table: EventTable, run: Run) -> list[tuple[int, Bounds | None]] | None:
        """The leaves for the kernel, None where a constant is of a type that it cannot compare.

        Each is a property's number in the table (`OF_TIME`, or `UNKNOWN` where the table has none) and the bounds.
        """
        found: list[tuple[int, Bounds | None]] = []
        for leaf in self.leaves:
            owner = OF_TIME if leaf.name == "time" else table.number_of(leaf.name)
            if leaf.function == HAS:
                found.append((owner, None))
                continue
            bounds = self._bounds(leaf, table, run)
            if bounds is None:
                return None
            found.append((owner, bounds))
        return found

    def _bounds(self, leaf: Asked, table: EventTable, run: Run) -> Bounds | None:
        if leaf.constant is None:  # IS_TRUE
            return bounds_of("_>=_", BOOL, 1)  # an order, so that what is no bool errs
        value = run.constant(leaf.constant)
        if value is None or is_error(value.tags)[0]:
            return None
        tag = value.tag()
        if tag == STRING:
            text: str = run.space.decode(value)[0]
            known = leaf.name != "time" and table.number_of(leaf.name) != UNKNOWN
            return bounds_of(leaf.function, tag, table.strings(leaf.name).find(text) if known else -1)
        return numeric_bounds(leaf.function, value)


NO_CONDITION: Final = Condition((), ())
"""Every event counts."""


def numeric_bounds(function: str, value: Vector) -> Bounds | None:
    """The bounds of a comparison with a constant that is no string; None for a type that has none."""
    tag = value.tag()
    if tag == DOUBLE:
        return bounds_of(function, tag, float(value.doubles[0]))
    if tag in (NULL, BOOL, INT, UINT, TIMESTAMP, DURATION):
        return bounds_of(function, tag, as_int(value))
    return None


def as_int(value: Vector) -> int:
    """A constant's number; of a uint without its sign."""
    cell = int(value.data[0])
    return cell & 0xFFFF_FFFF_FFFF_FFFF if value.tag() == UINT else cell


def condition_of(macro: Macro) -> Condition | None:
    """A macro's condition for the kernel, None where it asks more than that can answer."""
    leaves: list[Asked] = []
    operations: list[int] = []
    assert macro.predicate is not None
    if not _compile(macro.predicate, macro.variable, leaves, operations) or len(leaves) > _MOST_LEAVES:
        return None
    return Condition(tuple(leaves), tuple(operations))


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
                _ask(Asked(name, "_==_", element), leaves, operations)
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
            return Asked(name, function, right) if name is not None and is_constant(right) else None
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
