"""The *parsed* stage: a targeting expression as a tree, with macros recognised and nothing bound yet.

Every node carries `position`, the 0-based code point offset in the text of what it stands for, so that any
later stage can point at it. Nodes are immutable and compare by identity of structure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pyroaring import BitMap

if TYPE_CHECKING:
    from core.evaluator.parse import Parsed

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
