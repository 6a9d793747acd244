"""The *parsed* stage: a targeting expression as a tree, with macros recognised and nothing bound yet.

Every node carries `position`, the 0-based code point offset in the text of what it stands for, so that any
later stage can point at it. Nodes are immutable and compare by identity of structure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pyroaring import BitMap

from core.values import Value

MacroKind = Literal["exists", "all", "exists_one", "filter", "map"]
"""CEL's list macros; `map` carries both its optional predicate and its transform."""


@dataclass(frozen=True, slots=True)
class Node:
    """Base of all nodes. `position` is a code point offset into the text, -1 where it is not known."""

    position: int


@dataclass(frozen=True, slots=True)
class Const(Node):
    """A literal: None, bool, int, float, str or bytes. `unsigned` marks a CEL uint literal such as `3u`."""

    value: bool | int | float | str | bytes | None
    unsigned: bool = False


@dataclass(frozen=True, slots=True)
class Given(Node):
    """A literal or parameter whose value comes with each run, see `core.evaluator.prepare`: its place among them."""

    number: int


@dataclass(frozen=True, slots=True)
class Ident(Node):
    """A variable: `user`, `events`, `now`, `context`, `params`, `audiences`, or a macro's own variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    """`operand.field`."""

    operand: Node
    field: str


@dataclass(frozen=True, slots=True)
class Has(Node):
    """`has(operand.field)`."""

    operand: Node
    field: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function or operator by CEL's own name (`_&&_`, `_==_`, `@in`, `size`, …).

    The target of a member call is the first argument: `x.contains(y)` is `contains(x, y)`.
    """

    function: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    """`[a, b]`."""

    elements: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf(Node):
    """`{a: b}`."""

    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Macro(Node):
    """A list macro over `range`, binding `variable`.

    `predicate` is the condition (exists, all, exists_one, filter, and map's optional middle argument);
    `transform` is what map yields. The one that does not apply is None.
    """

    kind: MacroKind
    variable: str
    range: Node
    predicate: Node | None
    transform: Node | None


@dataclass(frozen=True, slots=True)
class AudienceRef(Node):
    """`audiences["name"]`: a saved audience, by expression (`parsed`) or by list (`members`); the other one is None.

    True iff the user is in it and false otherwise, never an error: an expression that errs does not match.
    """

    name: str
    parsed: Parsed | None
    members: BitMap | None = field(hash=False)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Parsed:
    """A checked expression, ready to be bound or matched. Compares by identity; equal texts without params are one.

    Attributes:
        text: as given.
        root: the tree. Parameters stand in it as literals, saved audiences as `AudienceRef`.
        params: as given.
        properties: the user properties it reads, or None where it may read any (`user[context.p]`, `size(user)`).
        events: the names of the events it reads.
        audiences: the saved audiences it names, theirs included.
        uses_now, uses_context: whether it mentions those variables. What reads events depends on time even
            without `now`, as an event shows from its own time on.
        depth: how deep saved audiences nest in it.
        expansion: how many times audiences by expression are named in it and in those.
    """

    text: str
    root: Node
    params: Mapping[str, Value] = field(repr=False)
    properties: frozenset[str] | None
    events: frozenset[str]
    audiences: frozenset[str]
    uses_now: bool
    uses_context: bool
    depth: int = 0
    expansion: int = 0


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same node over changed children."""
    match node:
        case Select():
            return Select(node.position, change(node.operand), node.field)
        case Has():
            return Has(node.position, change(node.operand), node.field)
        case Call():
            return Call(node.position, node.function, tuple(change(part) for part in node.args))
        case ListOf():
            return ListOf(node.position, tuple(change(part) for part in node.elements))
        case MapOf():
            return MapOf(node.position, tuple((change(key), change(value)) for key, value in node.entries))
        case Macro():
            predicate = None if node.predicate is None else change(node.predicate)
            transform = None if node.transform is None else change(node.transform)
            return Macro(node.position, node.kind, node.variable, change(node.range), predicate, transform)
    return node
