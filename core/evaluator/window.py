"""Which events a macro can ignore because of their time, known before any event is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from core.evaluator import tree
from core.evaluator.sources import BEFORE_ALL
from core.evaluator.vector import TIMESTAMP, Vector

_LATER: Final = {"_>_": 0, "_>=_": 1}
_MIRRORED: Final = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}
_OPPOSITE: Final = {"_<_": "_>=_", "_<=_": "_>_", "_>_": "_<=_", "_>=_": "_<_"}


def earliest_that_matters(macro: tree.Macro, compute: Callable[[tree.Node], Vector]) -> int:
    """The instant such that events at or before it change nothing in the macro's value.

    In `exists`, `exists_one`, `filter` and `map` an event is out when a conjunct such as `e.time > X` is false; in
    `all` when a disjunct such as `e.time <= X` is true. A false conjunct outweighs errors of the others, so the event
    need not be read. X must not depend on the element and must be a timestamp for every row.

    Arguments:
        compute: gives X's value on the rows around the macro.

    Returns:
        Microseconds UTC; `BEFORE_ALL` where every event matters.
    """
    if macro.predicate is None or macro.range is None:
        return BEFORE_ALL
    connective = "_||_" if macro.kind == "all" else "_&&_"
    earliest = BEFORE_ALL
    for part in operands(macro.predicate, connective):
        bound = _bound_of(part, macro)
        if bound is None:
            continue
        node, slack = bound
        value = compute(node)
        if value.tag() == TIMESTAMP:
            earliest = max(earliest, int(value.data.min()) - slack)
    return earliest


def operands(node: tree.Node, connective: str) -> Iterator[tree.Node]:
    """The operands of a chain of one connective, in the text's order."""
    if isinstance(node, tree.Call) and node.function == connective:
        for part in node.args:
            yield from operands(part, connective)
    else:
        yield node


def _bound_of(part: tree.Node, macro: tree.Macro) -> tuple[tree.Node, int] | None:
    """X and its slack (1 where an event at X itself matters) of a comparison of the element's time with X."""
    if not isinstance(part, tree.Call) or part.function not in _MIRRORED:
        return None
    function, (left, right) = part.function, part.args
    if _is_time(right, macro.variable):
        function, left, right = _MIRRORED[function], right, left
    if not _is_time(left, macro.variable) or mentions(right, macro.variable):
        return None
    if macro.kind == "all":
        function = _OPPOSITE[function]
    return (right, _LATER[function]) if function in _LATER else None


def _is_time(node: tree.Node, variable: str) -> bool:
    match node:
        case tree.Select(operand=tree.Ident(name=name), field="time"):
            return name == variable
        case tree.Call(function="_[_]", args=(tree.Ident(name=name), tree.Const(value="time"))):
            return name == variable
    return False


def mentions(node: tree.Node, name: str) -> bool:
    """Whether an expression reads a variable from outside itself."""
    match node:
        case tree.Ident():
            return node.name == name
        case tree.Select() | tree.Has():
            return mentions(node.operand, name)
        case tree.Call():
            return any(mentions(part, name) for part in node.args)
        case tree.ListOf():
            return any(mentions(part, name) for part in node.elements)
        case tree.MapOf():
            return any(mentions(part, name) for entry in node.entries for part in entry)
        case tree.Macro():
            bodies = [part for part in (node.predicate, node.transform) if part is not None]
            return mentions(node.range, name) or (
                node.variable != name and any(mentions(body, name) for body in bodies)
            )
    return False
