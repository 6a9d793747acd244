"""What a part of an expression reads, which decides how it can be evaluated and what that costs."""

from __future__ import annotations

from typing import Final

from core.evaluator.resolve import children
from core.evaluator.tree import AudienceRef, Call, Const, Ident, Macro, Node, Select
from core.evaluator.window import mentions

_PER_USER: Final = ("user", "events")


def user_property(node: Node) -> str | None:
    """The x where a node is `user.x` or `user["x"]`, else None. Macro variables must not hide `user`."""
    match node:
        case Select(operand=Ident(name="user"), field=name):
            return name
        case Call(function="_[_]", args=(Ident(name="user"), Const(value=str() as name))):
            return name
    return None


def is_constant(node: Node) -> bool:
    """Whether an expression is the same for every user at one instant, whatever macros do inside it."""
    return not has_audience(node) and not any(mentions(node, name) for name in _PER_USER) and not free_names(node)


def has_audience(node: Node) -> bool:
    """Whether a saved audience stands in an expression."""
    return isinstance(node, AudienceRef) or any(has_audience(part) for part in children(node))


def free_names(node: Node, bound: frozenset[str] = frozenset()) -> frozenset[str]:
    """The macro variables that an expression reads and does not bind itself. Such names have a `:`, see `scoping`."""
    match node:
        case Ident():
            return frozenset() if node.name in bound or ":" not in node.name else frozenset((node.name,))
        case Macro():
            within = bound | {node.variable}
            bodies = [part for part in (node.predicate, node.transform) if part is not None]
            return free_names(node.range, bound).union(*(free_names(body, within) for body in bodies))
    return frozenset().union(*(free_names(part, bound) for part in children(node)))


def reads_only_event(node: Node, variable: str) -> bool:
    """Whether an expression depends on nothing but one event, `now` and constants."""
    if has_audience(node) or any(mentions(node, name) for name in ("user", "events", "context")):
        return False
    return free_names(node) <= {variable}
