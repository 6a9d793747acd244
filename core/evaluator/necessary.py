"""What a user must have for an expression to be true: cheap to tell, for hundreds of expressions over the same users.

A message is judged whenever somebody is touched in what it reads, and hardly anybody whom a group touches can match it:
another country, another plan, never such an event. Of a conjunction, parts that compare a property with texts or truths,
or ask for an event at all, are necessary conditions. They are looked up in sets that all messages share, and most
expressions need not be run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from pyroaring import BitMap

from core.bitmaps.population import Population
from core.evaluator.reads import user_property
from core.evaluator.tree import Call, Const, Ident, ListOf, Macro, Node, Parsed, Select

_MOST_VALUES: Final = 16
"""A longer list of values is not worth a set each."""
_CACHED: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class OneOf:
    """A property is one of these texts or truths."""

    property: str
    values: tuple[str | bool, ...]


@dataclass(frozen=True, slots=True)
class Happened:
    """There is an event of that name."""

    name: str


Need = OneOf | Happened


@lru_cache(maxsize=_CACHED)
def needs_of(parsed: Parsed) -> tuple[Need, ...]:
    """Conditions without each of which an expression is not true for any user; there may be none."""
    return tuple(dict.fromkeys(need for part in _conjuncts(parsed.root) if (need := _need(part)) is not None))


def _conjuncts(node: Node) -> Iterator[Node]:
    if isinstance(node, Call) and node.function == "_&&_":
        for part in node.args:
            yield from _conjuncts(part)
    else:
        yield node


def _need(node: Node) -> Need | None:
    name = user_property(node)
    if name is not None:
        return OneOf(name, (True,))
    match node:
        case Macro(kind="exists" | "exists_one", range=range_):
            return _happened(range_)
        case Call(function="_==_", args=(owner, Const(value=str() | bool() as value))):
            return _one_of(owner, (value,))
        case Call(function="_==_", args=(Const(value=str() | bool() as value), owner)):
            return _one_of(owner, (value,))
        case Call(function="@in", args=(owner, ListOf(elements=elements))):
            values = [part.value for part in elements if isinstance(part, Const) and isinstance(part.value, str | bool)]
            return _one_of(owner, tuple(values)) if len(values) == len(elements) <= _MOST_VALUES else None
        case Call(function="_>_", args=(Call(function="size", args=(range_,)), Const(value=int() as least))):
            return _happened(range_) if least >= 0 else None
        case Call(function="_>=_" | "_==_", args=(Call(function="size", args=(range_,)), Const(value=int() as least))):
            return _happened(range_) if least >= 1 else None
    return None


def _one_of(owner: Node, values: tuple[str | bool, ...]) -> Need | None:
    name = user_property(owner)
    return None if name is None else OneOf(name, values)


def _happened(range_: Node) -> Need | None:
    """The need that a list has an element: one of events, or of those that a filter leaves of them."""
    match range_:
        case Macro(kind="filter", range=inner):
            return _happened(inner)
        case Select(operand=Ident(name="events"), field=name):
            return Happened(name)
        case Call(function="_[_]", args=(Ident(name="events"), Const(value=str() as name))):
            return Happened(name)
    return None


class Able:
    """Who has what expressions need, among the users of a population that is not written to meanwhile.

    Each set is made when it is first asked for, by one pass over a column or an event table: for a few users, gathered.
    """

    def __init__(self, population: Population) -> None:
        self._population = population
        self._having: dict[tuple[str, str | bool], BitMap] = {}
        self._happened: dict[str, BitMap] = {}

    def to(self, parsed: Parsed) -> BitMap | None:
        """A set outside of which the expression is true for nobody; None where nothing is known of it. Not to be
        written to."""
        found: BitMap | None = None
        for need in needs_of(parsed):
            users = self._of(need)
            found = users if found is None else found & users
            if not found:
                break
        return found

    def _of(self, need: Need) -> BitMap:
        if isinstance(need, Happened):
            if need.name not in self._happened:
                self._happened[need.name] = self._with_event(need.name)
            return self._happened[need.name]
        sets = [self._with(need.property, value) for value in need.values]
        return sets[0] if len(sets) == 1 else BitMap().union(*sets)

    def _with(self, name: str, value: str | bool) -> BitMap:
        key = name, value
        if key not in self._having:
            column = self._population.column(name)
            users = None if column is None else column.value_bitmap(value)
            self._having[key] = BitMap() if users is None else users
        return self._having[key]

    def _with_event(self, name: str) -> BitMap:
        table = self._population.events(name)
        found = BitMap()
        for day in [] if table is None else table.days():
            assert table is not None
            found |= BitMap(np.unique(table.chunk(day).ordinals))
        return found
