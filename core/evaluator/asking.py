"""What people ask about an expression: why one user matches, what each leaf loses, which names were never seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

from core.evaluator import words
from core.evaluator.batch import Run
from core.evaluator.bind import Binder
from core.evaluator.costs import Schema
from core.evaluator.explain import Explanation, explain
from core.evaluator.limits import CELLS_PER_QUESTION
from core.evaluator.outline import Part, outline
from core.evaluator.parse import Parsed
from core.evaluator.plan import Want
from core.evaluator.resolve import children
from core.evaluator.row import Row
from core.evaluator.run import batches, users_to_judge
from core.evaluator.scoping import distinct_variables
from core.evaluator.time_terms import Scope, event_list, property_name
from core.evaluator.tokens import brief
from core.evaluator.tree import AudienceRef, Call, Const, Has, Ident, Macro, Node, Select
from core.evaluator.vector import MISSING, WRONG_TYPE, condition_errors

if TYPE_CHECKING:
    from core.bitmaps.population import Population


class View(Protocol):
    """One version, read only. `now` is micros UTC."""

    now: int
    population: Population


@dataclass(frozen=True, slots=True)
class LeafCount:
    """One leaf of the logic and what became of all users, whatever the other leaves say.

    The five numbers add up to the users there are. `position` is the code point offset of `text` in the expression.
    """

    text: str
    position: int
    matched: int
    not_matched: int
    missing: int
    wrong_type: int
    other_error: int


@dataclass(frozen=True, slots=True)
class NameWarning:
    """A name never seen: of a property, an event or an event's property. `nearest` is one that was, or ""."""

    name: str
    position: int
    nearest: str
    message: str


def explain_user(view: View, parsed: Parsed, ordinal: int) -> Explanation:
    """Why one user matches or does not, at the version's instant."""
    population = view.population
    events = {}
    for name in parsed.events:
        table = population.events(name)
        if table is not None:
            events[name] = table.of_user(ordinal, view.now)
    return explain(parsed, Row(population.profile(ordinal), events, view.now, ordinal=ordinal))


def leaf_counts(population: Population, parsed: Parsed, now: int) -> list[LeafCount]:
    """What each leaf of an expression matches and loses, in the text's order.

    Arguments:
        now: micros UTC.

    Raises:
        ExpressionTooCostly: EXPRESSION_TOO_COSTLY.
    """
    binder = Binder(Schema.of(parsed, population))
    return [_counted(population, binder, leaf, now) for leaf in outline(parsed).leaves()]


def _counted(population: Population, binder: Binder, leaf: Part, now: int) -> LeafCount:
    node = distinct_variables(leaf.node)
    step, by_rows = binder.condition(node), binder.by_rows(node)
    matched = not_matched = 0
    lost = {MISSING: 0, WRONG_TYPE: 0}
    judged = users_to_judge(population, None, now)
    run = Run(population, now, CELLS_PER_QUESTION)
    for batch, within in batches(run, judged):
        split = step.judge(batch, within, Want.BOTH)
        true, false = split.true & within, split.false & within
        matched += words.count(true)
        not_matched += words.count(false)
        for errors in by_rows.values(batch, within & ~true & ~false):
            kinds = condition_errors(errors)
            for kind in lost:
                lost[kind] += int((kinds == kind).sum())
    other = len(judged) - matched - not_matched - sum(lost.values())
    return LeafCount(leaf.text, leaf.position, matched, not_matched, lost[MISSING], lost[WRONG_TYPE], other)


def warnings(population: Population, parsed: Parsed) -> list[NameWarning]:
    """The names that no profile and no event ever had, in the text's order, each once."""
    if not parsed.events and parsed.properties is not None and parsed.properties <= population.columns.keys():
        return []
    found: dict[tuple[str, str], NameWarning] = {}
    for what, name, position, known in _names(population, parsed.root, {}, None):
        if name in known or (what, name) in found:
            continue
        near = get_close_matches(name, known, 1)
        nearest = near[0] if near else ""
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        found[what, name] = NameWarning(name, position, nearest, f"no {what} {brief(name)!r} was ever seen{hint}")
    return sorted(found.values(), key=lambda warning: warning.position)


Mention = tuple[str, str, int, Iterable[str]]
"""What is named (a property, an event, a property of an event), its name, where, and the names that exist."""


def _names(population: Population, node: Node, scope: Scope, at: int | None) -> Iterator[Mention]:
    """Every name that an expression mentions. `at` is the position to tell inside a saved audience."""
    position = node.position if at is None else at
    owner = property_name(node, scope)
    if owner is None and isinstance(node, Has):
        owner = property_name(Select(node.position, node.operand, node.field), scope)
    if owner is not None:
        yield "property", owner, position, population.columns
        return
    event = event_list(node, scope) if not isinstance(node, Macro) else None
    if event is not None:
        yield "event", event, position, [name for name, table in population.event_tables.items() if table.count]
        return
    yield from _event_property(population, node, scope, position)
    match node:
        case AudienceRef(parsed=Parsed() as parsed):
            yield from _names(population, parsed.root, {}, position)
        case Macro():
            yield from _names(population, node.range, scope, at)
            within = {**scope, node.variable: event_list(node.range, scope)}
            for body in (node.predicate, node.transform):
                if body is not None:
                    yield from _names(population, body, within, at)
        case _:
            for child in children(node):
                yield from _names(population, child, scope, at)


def _event_property(population: Population, node: Node, scope: Scope, position: int) -> Iterator[Mention]:
    match node:
        case Select(operand=owner, field=name) | Has(operand=owner, field=name):
            pass
        case Call(function="_[_]", args=(owner, Const(value=str() as name))):
            pass
        case _:
            return
    event = scope.get(owner.name) if isinstance(owner, Ident) else None
    if event is None and isinstance(owner, Call) and owner.function == "_[_]":
        event = event_list(owner.args[0], scope)
    table = None if event is None else population.events(event)
    if table is not None and table.count:
        yield f"property of the event {event!r}", name, position, ["time", *table.property_names()]
