"""Reads timestamps that stand in comparisons: `now - duration("1h")`, `user.seen + duration("24h")`, `e.time`.

A term is a base plus a constant number of micros. Bases are `now`, a user property, the time of an event of one name,
and a constant instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.evaluator import functions
from core.evaluator.cel_values import CelError
from core.evaluator.tree import Call, Const, Ident, Macro, Node, Select
from core.values import to_micros

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class PropertySource:
    """The timestamps of one user property, each user's own."""

    name: str


@dataclass(frozen=True, slots=True)
class EventSource:
    """The times of all events of one name, each its user's own."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """One instant for everybody, in micros UTC."""

    instant: int


@dataclass(frozen=True, slots=True)
class Now:
    """The variable `now`."""


Base = PropertySource | EventSource | Constant | Now


@dataclass(frozen=True, slots=True)
class Term:
    """`base + offset`, offset in micros. `within` is the node to search further for uses of `now`, or None."""

    base: Base
    offset: int
    within: Node | None = None


Scope = Mapping[str, str | None]
"""The macro variables in scope: the event name where the variable is an event of it, else None."""


def term_of(node: Node, scope: Scope) -> Term | None:
    """The timestamp term that a node is, or None where it is something else."""
    match node:
        case Ident(name="now") if "now" not in scope:
            return Term(Now(), 0)
        case Call(function="timestamp", args=(Const(value=str() | int()) as given,)):
            return _constant(given)
        case Call(function="timestamp" | "dyn", args=(inner,)):
            found = term_of(inner, scope)
            # timestamp(user.x) takes texts and numbers too, which no index of times holds.
            return None if node.function == "timestamp" and found and isinstance(found.base, PropertySource) else found
        case Call(function="_+_", args=(left, right)):
            return _moved(left, right, 1, scope) or _moved(right, left, 1, scope)
        case Call(function="_-_", args=(left, right)):
            return _moved(left, right, -1, scope)
        case Call(
            function="max" | "min", args=(Macro(kind="map", transform=transform, variable=name, range=listed) as macro,)
        ):
            event = event_list(listed, scope)
            if (
                event is not None
                and transform is not None
                and _is_time_of(transform, {**scope, name: event}) is not None
            ):
                return Term(EventSource(event), 0, macro)
            return None
    event = _is_time_of(node, scope)
    if event is not None:
        return Term(EventSource(event), 0, node)
    owned = property_name(node, scope)
    return None if owned is None else Term(PropertySource(owned), 0)


def length_of(node: Node) -> int | None:
    """The micros of a constant duration, or None where the node is something else."""
    match node:
        case Call(function="duration", args=(Const(value=value),)):
            try:
                length: timedelta = functions.call("duration", [value])
            except CelError:
                return None
            return length // _MICROSECOND
        case Call(function="_+_" | "_-_", args=(left, right)):
            one, two = length_of(left), length_of(right)
            if one is None or two is None:
                return None
            return one + two if node.function == "_+_" else one - two
    return None


def event_list(node: Node, scope: Scope) -> str | None:
    """The X where a node is `events["X"]` or some of its events in order, else None."""
    match node:
        case Select(operand=Ident(name="events"), field=name) if "events" not in scope:
            return name
        case Call(function="_[_]", args=(Ident(name="events"), Const(value=str() as name))) if "events" not in scope:
            return name
        case Macro(kind="filter"):
            return event_list(node.range, scope)
        case Macro(kind="map", transform=Ident(name=name)) if name == node.variable:
            return event_list(node.range, scope)
    return None


def property_name(node: Node, scope: Scope) -> str | None:
    """The x where a node is `user.x` or `user["x"]`, else None."""
    match node:
        case Select(operand=Ident(name="user"), field=name) if "user" not in scope:
            return name
        case Call(function="_[_]", args=(Ident(name="user"), Const(value=str() as name))) if "user" not in scope:
            return name
    return None


def _is_time_of(node: Node, scope: Scope) -> str | None:
    """The event name where a node is the time of one of its events."""
    match node:
        case Select(operand=owner, field="time") | Call(function="_[_]", args=(owner, Const(value="time"))):
            if isinstance(owner, Ident):
                return scope.get(owner.name)
            match owner:
                case Call(function="_[_]", args=(listed, _)):
                    return event_list(listed, scope)
    return None


def _constant(given: Const) -> Term | None:
    try:
        moment: datetime = functions.call("timestamp", [given.value])
    except CelError:
        return None
    return Term(Constant(to_micros(moment)), 0)


def _moved(moment: Node, length: Node, sign: int, scope: Scope) -> Term | None:
    by = length_of(length)
    term = None if by is None else term_of(moment, scope)
    return None if by is None or term is None else Term(term.base, term.offset + sign * by, term.within)
