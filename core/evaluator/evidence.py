"""What stands behind a verdict: the value of every part of an expression, and the events that made it so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from core.evaluator.cel_values import CelError
from core.evaluator.compiled_row import Frame, compile_node, path_of
from core.evaluator.interpret import event_name
from core.evaluator.resolve import children
from core.evaluator.row import Row
from core.evaluator.shown import cut, shown
from core.evaluator.tree import AudienceRef, Call, Const, Has, Ident, Macro, Node, Select
from core.evaluator.window import mentions
from core.evaluator.writing import written

MOST_EVENTS: Final = 3
"""So many events are shown of a list; how many there are is told besides."""

Satisfies = Literal["yes", "no", "errs", "not_asked"]


@dataclass(frozen=True, slots=True)
class Computed:
    """A part of a leaf and what it comes to for the user.

    Attributes:
        text: the part, written anew.
        value: as one would write it, or why it errs.
        parts: what it was computed from, without constants.
    """

    text: str
    value: str
    errs: bool
    parts: tuple[Computed, ...]


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """One event of a user.

    Attributes:
        values: the properties that the expression reads, as `amount = 12.5`.
        satisfies: whether the condition on it holds; `not_asked` where there is none.
    """

    time: datetime | None
    values: tuple[str, ...]
    satisfies: Satisfies


@dataclass(frozen=True, slots=True)
class Evidence:
    """The events of one name that a leaf looks at.

    Attributes:
        event: their name.
        condition: what is asked of each, with its variable, as `e.amount > 50.0`; "" where nothing is.
        count: how many the user has.
        satisfying: for how many of these the condition holds; all of them where there is none.
        events: the latest few, newest first; before others those that decide.
    """

    event: str
    condition: str
    count: int
    satisfying: int
    events: tuple[SeenEvent, ...]


def computed(leaf: Node, frame: Frame) -> tuple[Computed, ...]:
    """The parts that a leaf is computed from, each with its value. Conditions inside macros have none of their own."""
    return tuple(_computed(part, frame) for part in _parts(leaf))


def _parts(node: Node) -> Iterator[Node]:
    """What is computed on the way to a node's value, for the user as a whole."""
    below = (node.range,) if isinstance(node, Macro) else children(node)
    for part in below:
        if not isinstance(part, Const | Ident) or (isinstance(part, Ident) and part.name == "now"):
            yield part


def _computed(node: Node, frame: Frame) -> Computed:
    path = path_of(node)
    of_context = path is not None and not isinstance(node, Ident)
    below = () if of_context or isinstance(node, Has | AudienceRef) else tuple(_parts(node))
    try:
        found = compile_node(node)(frame)
    except CelError as error:
        return Computed(written(node), cut(error.message), True, tuple(_computed(part, frame) for part in below))
    value = _events_shown(found) if _gives_events(node) else shown(found)
    return Computed(written(node), value, False, tuple(_computed(part, frame) for part in below))


def _events_shown(found: Any) -> str:
    return f"{len(found)} event{'' if len(found) == 1 else 's'}"


def _gives_events(node: Node) -> bool:
    """Whether a node is a list of a user's events, whole or filtered."""
    return event_name(node) is not None or (
        isinstance(node, Macro) and node.kind == "filter" and _gives_events(node.range)
    )


def evidence(leaf: Node, row: Row) -> tuple[Evidence, ...]:
    """The events that a leaf looks at, in the text's order, each question once."""
    found = dict.fromkeys(_looks(leaf, ()))
    return tuple(_evidence(look, row) for look in found)


@dataclass(frozen=True, slots=True)
class _Look:
    """How an expression looks at the events of a name: the macro right over them, and what its macros read of each."""

    event: str
    macro: Macro | None
    reads: tuple[str, ...]


def _looks(node: Node, over: tuple[Macro, ...]) -> Iterator[_Look]:
    """`over`: the macros right above, which see the same events, the innermost first."""
    name = event_name(node)
    if name is not None:
        reads = dict.fromkeys(read for macro in over for read in _fields(macro))
        asking = over[0] if over and over[0].predicate is not None else None
        yield _Look(name, asking, tuple(reads))
        return
    if isinstance(node, Macro):
        same = over if node.kind == "filter" else ()
        yield from _looks(node.range, (node, *same))
        return
    for child in children(node):
        yield from _looks(child, ())


def _fields(macro: Macro) -> Iterator[str]:
    """The properties that a macro reads of its own elements, `time` aside, which is always told."""
    for body in (macro.predicate, macro.transform):
        if body is not None:
            yield from (name for name in _fields_of(body, macro.variable) if name != "time")


def _fields_of(node: Node, variable: str) -> Iterator[str]:
    match node:
        case Select(operand=Ident(name=name), field=field) | Has(operand=Ident(name=name), field=field):
            if name == variable:
                yield field
            return
        case Call(function="_[_]", args=(Ident(name=name), Const(value=str() as field))):
            if name == variable:
                yield field
            return
        case Macro() if node.variable == variable:
            node = node.range  # its own elements are called so, too
    for child in children(node):
        yield from _fields_of(child, variable)


def _evidence(look: _Look, row: Row) -> Evidence:
    events = row.events.get(look.event, [])
    answers = [_satisfies(look, row, event) for event in events]
    decisive = "no" if look.macro is not None and look.macro.kind == "all" else "yes"
    places = sorted(range(len(events)), key=lambda place: (answers[place] == decisive, place), reverse=True)
    shown_places = sorted(places[:MOST_EVENTS], reverse=True)
    condition = "" if look.macro is None or look.macro.predicate is None else written(look.macro.predicate)
    return Evidence(
        look.event,
        condition,
        len(events),
        sum(answer in ("yes", "not_asked") for answer in answers),
        tuple(SeenEvent(events[n].get("time"), _read(look, events[n]), answers[n]) for n in shown_places),
    )


def _read(look: _Look, event: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{name} = {shown(event[name])}" if name in event else f"{name} is missing" for name in look.reads)


def _satisfies(look: _Look, row: Row, event: dict[str, Any]) -> Satisfies:
    """Whether one event satisfies the condition of the macro over it, asked of a user who has no other of the name."""
    macro = look.macro
    if macro is None or macro.predicate is None or mentions(macro.predicate, "events"):
        return "not_asked"
    alone = Row(row.user, {**row.events, look.event: [event]}, row.now, row.context, row.audiences, row.ordinal)
    asked = Macro(macro.position, "filter", macro.variable, macro.range, macro.predicate, None)
    try:
        return "yes" if compile_node(asked)(Frame(alone)) else "no"
    except CelError:
        return "errs"
