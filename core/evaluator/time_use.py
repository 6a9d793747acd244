"""When can time alone change an answer? The leaves of an expression that depend on `now`, and when each may flip.

Every use of `now` is either understood (a comparison of `now` with a timestamp, or a calendar part of `now`) or listed as
unknown with its position. What is understood yields instants: for a user whose property or event has the time t, the
answer may change exactly at t + offset for the leaf's offsets, and at no other instant. An event of any name that the
expression reads also becomes visible at its own time (offset 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from core.errors import InvalidExpression
from core.evaluator.arithmetic import MAX_COMPUTED_MICROS
from core.evaluator.calendar_steps import UNIT_OF_GETTER
from core.evaluator.crossing import crossings, global_instants
from core.evaluator.parse import Parsed
from core.evaluator.resolve import children
from core.evaluator.time_leaves import Calendar, Source, TimeLeaf, TimeUse, UnknownUse
from core.evaluator.time_terms import (
    Constant,
    EventSource,
    Now,
    PropertySource,
    Scope,
    Term,
    event_list,
    length_of,
    term_of,
)
from core.evaluator.tree import AudienceRef, Call, Const, Ident, Macro, Node
from core.values import MAX_MICROS, MIN_MICROS

_MIRRORED: Final = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}
_FLIPS: Final = {"_<_": (0,), "_<=_": (1,), "_>_": (1,), "_>=_": (0,), "_==_": (0, 1), "_!=_": (0, 1)}
"""For `now op t`: how many micros after t the answer flips, as `now` grows."""
_MEND: Final = (
    'compare `now` with a timestamp, as user.x < now - duration("24h"); use a timestamp property rather than text; '
    'or use parts of `now` down to the minute, as now.getHours("Europe/Berlin")'
)


def analyse(parsed: Parsed) -> TimeUse:
    """The time leaves of an expression, saved audiences included, and the uses of `now` that have none."""
    search = _Search()
    search.walk(parsed.root, {})
    for name in sorted(parsed.events):
        search.add(EventSource(name), (0,), -1)
    return TimeUse(tuple(search.leaves), tuple(search.unknown))


def launch_problems(parsed: Parsed) -> list[InvalidExpression]:
    """Why a message that fires by itself cannot have this targeting: one error per unknown use of `now`.

    They carry TIME_USE_UNKNOWN and the position; the list is empty where time is understood throughout.
    """
    return [
        InvalidExpression(use.message, position=use.position, mend=_MEND, code="TIME_USE_UNKNOWN")
        for use in analyse(parsed).unknown
    ]


class _Search:
    def __init__(self) -> None:
        self.leaves: list[TimeLeaf] = []
        self.unknown: list[UnknownUse] = []
        self._at: int | None = None

    def add(self, source: Source, offsets: Iterable[int], position: int) -> None:
        """Note a leaf, once."""
        leaf = TimeLeaf(source, tuple(sorted(set(offsets))), position if self._at is None else self._at)
        if leaf not in self.leaves:
            self.leaves.append(leaf)

    def walk(self, node: Node, scope: Scope) -> None:
        """Look for uses of `now` in a node. `scope` are the macro variables."""
        match node:
            case Ident(name="now") if "now" not in scope:
                position = node.position if self._at is None else self._at
                self.unknown.append(
                    UnknownUse(position, "when this use of `now` next changes the answer cannot be known")
                )
            case Call() if node.function in _FLIPS and self._comparison(node, scope):
                pass
            case Call() if node.function in UNIT_OF_GETTER and self._calendar(node, scope):
                pass
            case Macro():
                self.walk(node.range, scope)
                within = {**scope, node.variable: event_list(node.range, scope)}
                for part in (node.predicate, node.transform):
                    if part is not None:
                        self.walk(part, within)
            case AudienceRef():
                if node.parsed is not None:
                    outer = self._at
                    self._at = node.position if outer is None else outer
                    self.walk(node.parsed.root, {})
                    self._at = outer
            case _:
                for child in children(node):
                    self.walk(child, scope)

    def _comparison(self, node: Call, scope: Scope) -> bool:
        left, right = node.args
        return (
            self._instants(node, left, right, node.function, scope)
            or self._lengths(node, left, right, node.function, scope)
            or self._lengths(node, right, left, _MIRRORED[node.function], scope)
        )

    def _instants(self, node: Call, left: Node, right: Node, function: str, scope: Scope) -> bool:
        """A comparison of two timestamps."""
        one, two = term_of(left, scope), term_of(right, scope)
        if one is None or two is None:
            return False
        if isinstance(two.base, Now):
            one, two, function = two, one, _MIRRORED[function]
        self._range_of(one, node.position)
        self._range_of(two, node.position)
        if isinstance(one.base, Now) and not isinstance(two.base, Now):
            shift = two.offset - one.offset
            self.add(two.base, (shift + flip for flip in _FLIPS[function]), node.position)
        self._inside((one, two), scope)
        return True

    def _lengths(self, node: Call, difference: Node, constant: Node, function: str, scope: Scope) -> bool:
        """`now - t op length` or `t - now op length`."""
        length = length_of(constant)
        if length is None or not isinstance(difference, Call) or difference.function != "_-_":
            return False
        one, two = (term_of(part, scope) for part in difference.args)
        if one is None or two is None:
            return False
        if isinstance(two.base, Now):
            one, two, function, length = two, one, _MIRRORED[function], -length
        self._range_of(one, node.position)
        self._range_of(two, node.position)
        if isinstance(one.base, Now) and not isinstance(two.base, Now):
            shift = two.offset - one.offset
            flips = [shift + length + flip for flip in _FLIPS[function]]
            # A computed duration of more than 292 years errs, so the answer changes there, too.
            flips += [shift - MAX_COMPUTED_MICROS, shift + MAX_COMPUTED_MICROS + 1]
            self.add(two.base, flips, node.position)
        self._inside((one, two), scope)
        return True

    def _range_of(self, term: Term, position: int) -> None:
        """`now + offset` errs outside the years 1 to 9999, so the answer changes when it gets there."""
        if isinstance(term.base, Now) and term.offset:
            edge = MAX_MICROS - term.offset + 1 if term.offset > 0 else MIN_MICROS - term.offset
            if MIN_MICROS < edge <= MAX_MICROS:
                self.add(Constant(edge), (0,), position)

    def _inside(self, terms: Iterable[Term], scope: Scope) -> None:
        for within in _nodes(terms):
            for child in children(within):
                if isinstance(within, Macro) and child is not within.range:
                    continue
                self.walk(child, scope)

    def _calendar(self, node: Call, scope: Scope) -> bool:
        """A part of `now`, in a zone that is written out."""
        unit = UNIT_OF_GETTER[node.function]
        term = term_of(node.args[0], scope)
        if term is None or not isinstance(term.base, Now) or unit is None:
            return False
        zone = ""
        if len(node.args) == 2:
            given = node.args[1]
            if not isinstance(given, Const) or not isinstance(given.value, str):
                return False
            zone = given.value
        self._range_of(term, node.position)
        self.add(Calendar(unit, zone), (-term.offset,), node.position)
        return True


def _nodes(terms: Iterable[Term]) -> Iterator[Node]:
    return (term.within for term in terms if term.within is not None)


__all__ = [
    "Calendar",
    "Constant",
    "EventSource",
    "PropertySource",
    "TimeLeaf",
    "TimeUse",
    "UnknownUse",
    "analyse",
    "crossings",
    "global_instants",
    "launch_problems",
]
