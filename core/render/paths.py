"""Which property an expression reads: `user.address.city`, `event["amount"]`, `item.price` of a loop over a list.

Subscripts are constants (core/render/rules.py holds that), so every read is known before anything is rendered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from jinja2 import nodes

from core.render.results import Source

SOURCES: Final[tuple[Source, ...]] = ("user", "event", "message", "project", "data")
"""The variables whose properties a template reads."""

DISTINCT_ID: Final = "distinct_id"
"""The variable that holds the user's id."""

Key = str | int
EACH: Final = "[]"


@dataclass(frozen=True, slots=True)
class Path:
    """A variable and the constant keys read from it, outermost first; no keys is the variable itself."""

    root: str
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value came from, in the profile's or event's own terms.

    Arguments:
        source: whose property it is.
        property: the name of the property; "" for the whole event.
        path: the place inside, such as `items[].price`.
    """

    source: Source
    property: str
    path: str

    def at(self, keys: tuple[Key, ...]) -> Place:
        """The place of what lies deeper."""
        found = self
        for key in keys:
            found = found._step(key)
        return found

    def each(self) -> Place:
        """The place of an item of this list."""
        return Place(self.source, self.property, self.path + EACH)

    def _step(self, key: Key) -> Place:
        if not self.property and isinstance(key, str):
            return Place(self.source, key, key)
        return Place(
            self.source, self.property, f"{self.path}[{key}]" if isinstance(key, int) else f"{self.path}.{key}"
        )


def constant_key(node: nodes.Node) -> Key | None:
    """The key of a subscript that is a string or whole number written out; None for any other."""
    if isinstance(node, nodes.Neg) and isinstance(node.node, nodes.Const) and type(node.node.value) is int:
        return -node.node.value
    if isinstance(node, nodes.Const) and type(node.value) in (str, int):
        return cast(Key, node.value)
    return None


def split(node: nodes.Node) -> tuple[nodes.Node, tuple[Key, ...]]:
    """Take the constant keys off an expression: `a.b["c"]` is (a, ("b", "c"))."""
    keys: list[Key] = []
    while True:
        if isinstance(node, nodes.Getattr):
            keys.append(node.attr)
            node = node.node
        elif isinstance(node, nodes.Getitem) and (key := constant_key(node.arg)) is not None:
            keys.append(key)
            node = node.node
        else:
            return node, tuple(reversed(keys))


def path_of(node: nodes.Node) -> Path | None:
    """The path that an expression is, or None where it is computed."""
    base, keys = split(node)
    return Path(base.name, keys) if isinstance(base, nodes.Name) else None


def place_of(node: nodes.Node, local: dict[str, Place | None]) -> Place | None:
    """Where an expression's value comes from, followed through filters and slices; None where from nowhere in particular.

    Arguments:
        node: the expression.
        local: the places of the variables that loops and `set` made.
    """
    base, keys = split(node)
    if isinstance(base, nodes.Name):
        if base.name in local:
            known = local[base.name]
            return known.at(keys) if known is not None else None
        for source in SOURCES:
            if base.name == source:
                return Place(source, "", "").at(keys)
        return None
    if isinstance(base, nodes.Filter) and base.node is not None:
        inner = place_of(base.node, local)
        return inner.at(keys) if inner is not None else None
    if isinstance(base, nodes.Getitem):
        inner = place_of(base.node, local)
        return inner.at(keys) if inner is not None else None
    return None
