"""Gives every macro's variable a name of its own, so that none hides a variable of the language or an outer macro's."""

from __future__ import annotations

from collections.abc import Mapping

from core.evaluator.tree import Call, Has, Ident, ListOf, Macro, MapOf, Node, Select


def distinct_variables(root: Node) -> Node:
    """The same expression with macro variables renamed to `name:depth`, which no text can spell."""
    return _renamed(root, {})


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    match node:
        case Ident() if node.name in names:
            return Ident(node.position, names[node.name])
        case Select():
            return Select(node.position, _renamed(node.operand, names), node.field)
        case Has():
            return Has(node.position, _renamed(node.operand, names), node.field)
        case Call():
            return Call(node.position, node.function, tuple(_renamed(part, names) for part in node.args))
        case ListOf():
            return ListOf(node.position, tuple(_renamed(part, names) for part in node.elements))
        case MapOf():
            entries = tuple((_renamed(key, names), _renamed(value, names)) for key, value in node.entries)
            return MapOf(node.position, entries)
        case Macro():
            own = f"{node.variable}:{len(names)}"
            within = {**names, node.variable: own}
            return Macro(
                node.position,
                node.kind,
                own,
                _renamed(node.range, names),
                None if node.predicate is None else _renamed(node.predicate, within),
                None if node.transform is None else _renamed(node.transform, within),
            )
    return node
