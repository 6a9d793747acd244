"""Puts parameters and saved audiences into a tree, notes what it reads, and refuses what is not supported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Final

from pyroaring import BitMap

from core.errors import InvalidExpression
from core.evaluator.cel_values import TYPES_BY_NAME
from core.evaluator.checker import FUNCTIONS
from core.evaluator.literals import check_literal
from core.evaluator.tokens import brief
from core.evaluator.tree import AudienceRef, Call, Const, Has, Ident, ListOf, Macro, MapOf, Node, Parsed, Select
from core.values import Value

MAX_AUDIENCE_DEPTH: Final = 8
MAX_EXPANSION: Final = 1_000
"""How many times an expression may name audiences by expression, those that these name included, and so on."""
OPERATORS: Final = frozenset(
    [
        "_&&_",
        "_||_",
        "!_",
        "_?_:_",
        "_==_",
        "_!=_",
        "_<_",
        "_<=_",
        "_>_",
        "_>=_",
        "@in",
        "_[_]",
        "_+_",
        "_-_",
        "_*_",
        "_/_",
        "_%_",
        "-_",
    ]
)
Bound = frozenset[str]


class Resolution:
    """What one expression is resolved against, and what it was found to read."""

    def __init__(self, params: Mapping[str, Value], audiences: Mapping[str, Parsed | BitMap]) -> None:
        self.params = params
        self.audiences = audiences
        self.properties: set[str] = set()
        self.any_property = False
        self.events: set[str] = set()
        self.audience_names: set[str] = set()
        self.uses_now = False
        self.uses_context = False
        self.depth = 0
        self.expansion = 0

    def include(self, parsed: Parsed) -> None:
        """Add what a saved audience reads."""
        self.any_property |= parsed.properties is None
        self.properties |= parsed.properties or frozenset()
        self.events |= parsed.events
        self.audience_names |= parsed.audiences
        self.uses_now |= parsed.uses_now
        self.uses_context |= parsed.uses_context
        self.depth = max(self.depth, parsed.depth + 1)
        self.expansion += parsed.expansion + 1


def children(node: Node) -> Iterator[Node]:
    """The nodes right below a node, in the text's order. A saved audience has none: it is a text of its own."""
    match node:
        case Select() | Has():
            yield node.operand
        case Call():
            yield from node.args
        case ListOf():
            yield from node.elements
        case MapOf():
            for key, value in node.entries:
                yield key
                yield value
        case Macro():
            yield node.range
            yield from (part for part in (node.predicate, node.transform) if part is not None)


def names_of(node: Node) -> set[str]:
    """Every variable that a tree mentions, macros' own included."""
    found = {node.name} if isinstance(node, Ident) else set()
    for child in children(node):
        found |= names_of(child)
    return found


def resolve(root: Node, resolution: Resolution) -> Node:
    """The tree with parameters as literals and audiences as `AudienceRef`.

    Raises:
        InvalidExpression: see `core.evaluator.parse.parse`.
    """
    return _Resolver(resolution).node(root, frozenset())


def refuse(construct: str, position: int, mend: str = "") -> InvalidExpression:
    """The error for a valid CEL text that is not supported."""
    return InvalidExpression(
        f"{construct} is not supported", position=position, mend=mend, code="UNSUPPORTED_CONSTRUCT"
    )


class _Resolver:
    def __init__(self, resolution: Resolution) -> None:
        self._found = resolution

    def node(self, node: Node, bound: Bound) -> Node:
        """The node resolved. `bound` are the macro variables in scope, which hide the language's own."""
        match node:
            case Ident():
                return self._variable(node, bound)
            case Select() | Has():
                return self._field(node, bound)
            case Call(function="_[_]"):
                return self._index(node, bound)
            case Call(function="@in", args=(Const(value=str() as name), Ident(name="user"))) if "user" not in bound:
                self._found.properties.add(name)
                return Has(node.position, node.args[1], name)
            case Call():
                if node.function not in OPERATORS and node.function not in FUNCTIONS:
                    raise refuse(f"{brief(node.function)}()", node.position)
                call = Call(node.position, node.function, tuple(self.node(part, bound) for part in node.args))
                check_literal(call)
                return call
            case ListOf():
                return ListOf(node.position, tuple(self.node(part, bound) for part in node.elements))
            case MapOf():
                return MapOf(
                    node.position, tuple((self.node(key, bound), self.node(part, bound)) for key, part in node.entries)
                )
            case Macro():
                within = bound | {node.variable}
                return Macro(
                    node.position,
                    node.kind,
                    node.variable,
                    self.node(node.range, bound),
                    None if node.predicate is None else self.node(node.predicate, within),
                    None if node.transform is None else self.node(node.transform, within),
                )
        return node

    def _variable(self, node: Ident, bound: Bound) -> Node:
        if node.name in bound:
            return node
        match node.name:
            case "user":
                self._found.any_property = True
            case "now":
                self._found.uses_now = True
            case "context":
                self._found.uses_context = True
            case "params":
                return literal(dict(self._found.params), node.position)
            case "events":
                raise refuse("`events` as a whole", node.position, 'name the event: events["Purchase"]')
            case "audiences":
                raise refuse("`audiences` as a whole", node.position, 'name the audience: audiences["vip"]')
            case name if name not in TYPES_BY_NAME:
                raise refuse(f"the type {brief(name)}", node.position)
        return node

    def _field(self, node: Select | Has, bound: Bound) -> Node:
        owner = _variable_of(node.operand, bound)
        if owner == "params" or self._is_param(node.operand, bound):
            return self._parameter(node, bound)
        if owner == "user":
            self._found.properties.add(node.field)
            return node
        if isinstance(node, Has):
            if owner in ("events", "audiences"):
                field = brief(node.field)
                mend = f'events["{field}"].size() > 0' if owner == "events" else f'audiences["{field}"]'
                raise refuse(f"has() of {owner}", node.position, f"write {mend}")
            return Has(node.position, self.node(node.operand, bound), node.field)
        if owner == "events":
            self._found.events.add(node.field)
            return node
        if owner == "audiences":
            return self._audience(node.field, node.position)
        return Select(node.position, self.node(node.operand, bound), node.field)

    def _index(self, node: Call, bound: Bound) -> Node:
        container, given = node.args
        owner = _variable_of(container, bound)
        if owner == "params" or self._is_param(container, bound):
            return self._parameter(node, bound)
        key = self.node(given, bound)
        if owner not in ("user", "events", "audiences"):
            return Call(node.position, node.function, (self.node(container, bound), key))
        name = key.value if isinstance(key, Const) and isinstance(key.value, str) else None
        if owner == "user":
            if name is None:
                self._found.any_property = True
            else:
                self._found.properties.add(name)
        elif name is None:
            raise refuse(f"a computed name in {owner}[…]", node.position, "write the name in quotes, or as params.name")
        elif owner == "audiences":
            return self._audience(name, node.position)
        else:
            self._found.events.add(name)
        return Call(node.position, node.function, (container, key))

    def _audience(self, name: str, position: int) -> Node:
        try:
            source = self._found.audiences.get(name)
        except InvalidExpression as error:
            message = f"the audience {name!r} cannot be used here: {error.message}"
            raise InvalidExpression(message, position=position, mend=error.mend, code=error.code) from error
        if source is None:
            near = get_close_matches(name, self._found.audiences, 1)
            raise InvalidExpression(
                f"there is no audience {brief(name)!r}",
                position=position,
                mend=f"did you mean {near[0]!r}?" if near else "save it first; an audience cannot name itself",
                code="UNKNOWN_AUDIENCE",
            )
        self._found.audience_names.add(name)
        if isinstance(source, BitMap):
            return AudienceRef(position, name, None, source)
        self._found.include(source)
        if self._found.depth > MAX_AUDIENCE_DEPTH:
            raise InvalidExpression(
                "saved audiences nest too deeply",
                position=position,
                mend=f"nest them at most {MAX_AUDIENCE_DEPTH} deep",
                code="EXPRESSION_TOO_DEEP",
            )
        if self._found.expansion > MAX_EXPANSION:
            raise InvalidExpression(
                "too much stands behind the saved audiences that are named",
                position=position,
                mend=f"name audiences at most {MAX_EXPANSION} times, those within audiences included",
                code="EXPRESSION_TOO_LONG",
            )
        return AudienceRef(position, name, source, None)

    def _is_param(self, node: Node, bound: Bound) -> bool:
        """Whether a node is a path below `params` with keys that are known here."""
        match node:
            case Select():
                return _variable_of(node.operand, bound) == "params" or self._is_param(node.operand, bound)
            case Call(function="_[_]", args=(container, Const())):
                return _variable_of(container, bound) == "params" or self._is_param(container, bound)
        return False

    def _parameter(self, node: Node, bound: Bound) -> Node:
        """A path below `params` as a literal; with a computed key, the index of the whole as a literal."""
        match node:
            case Has():
                value = self._parameter_value(node.operand)
                if not isinstance(value, dict):
                    raise InvalidExpression(
                        "has() needs a map", position=node.position, mend="ask for a field of a map", code="NO_OVERLOAD"
                    )
                return Const(node.position, node.field in value)
            case Call(args=(container, key)) if not isinstance(key, Const):
                known = literal(self._parameter_value(container), container.position)
                return Call(node.position, "_[_]", (known, self.node(key, bound)))
        return literal(self._parameter_value(node), node.position)

    def _parameter_value(self, node: Node) -> Value:
        match node:
            case Select(operand=operand, field=key) | Call(args=(operand, Const(value=key))):
                container = self._parameter_value(operand)
                if isinstance(container, dict) and isinstance(key, str) and key in container:
                    return container[key]
                if isinstance(container, list) and type(key) is int and 0 <= key < len(container):
                    return container[key]
                known = [str(name) for name in container] if isinstance(container, dict) else []
                near = get_close_matches(str(key), known, 1)
                raise InvalidExpression(
                    f"there is no parameter {brief(str(key))!r}",
                    position=node.position,
                    mend=f"did you mean {near[0]!r}?" if near else "give it with the request",
                    code="UNKNOWN_PARAMETER",
                )
        return dict(self._found.params)


def _variable_of(node: Node, bound: Bound) -> str | None:
    return node.name if isinstance(node, Ident) and node.name not in bound else None


def literal(value: Value, position: int) -> Node:
    """The node that stands for a value; a timestamp is `timestamp("…")`, a literal itself."""
    if isinstance(value, Const):
        return replace(value, position=position)
    if isinstance(value, datetime):
        text = value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        return Call(position, "timestamp", (Const(position, text),))
    if isinstance(value, list):
        return ListOf(position, tuple(literal(item, position) for item in value))
    if isinstance(value, dict):
        return MapOf(position, tuple((Const(position, key), literal(item, position)) for key, item in value.items()))
    return Const(position, value)
