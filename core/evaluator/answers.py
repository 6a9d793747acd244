"""Questions about a pinned version in the targeting language, from text to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pyroaring import BitMap

from core.errors import InvalidExpression
from core.evaluator import asking
from core.evaluator.asking import LeafCount, NameWarning, explain_user, leaf_counts, warnings
from core.evaluator.audience import Audiences
from core.evaluator.bind import bind
from core.evaluator.explain import Explanation
from core.evaluator.limits import CELLS_PER_QUESTION
from core.values import Value


class View(asking.View, Protocol):
    """One version, read only."""

    audiences: Audiences


@dataclass(frozen=True, slots=True)
class Count:
    """How many match, of how many users, at which instant (`now`, micros UTC).

    `leaves` and `plan` are empty unless asked for; `plan` is how the expression is evaluated, as an indented text.
    """

    count: int
    total: int
    now: int
    warnings: list[NameWarning]
    leaves: list[LeafCount]
    plan: str


def count(view: View, expression: str, params: Mapping[str, Value], explain: bool = False) -> Count:
    """How many users match.

    Arguments:
        params: the named parameters.
        explain: whether to tell the plan, and what each leaf matched and lost.

    Raises:
        InvalidExpression: see `core.evaluator.parse.parse`.
        ExpressionTooCostly: EXPRESSION_TOO_COSTLY.
    """
    population = view.population
    prepared = view.audiences.prepare(expression, params)
    plan = bind(prepared.parsed, population)
    count = plan.count(population, now=view.now, most=CELLS_PER_QUESTION, given=prepared.given)
    names = warnings(population, prepared.parsed)
    leaves, described = [], ""
    if names or explain:  # these tell of the text itself, which may be another than the one prepared
        parsed = view.audiences.parse(expression, params)
        names = warnings(population, parsed)
        if explain:
            leaves, described = leaf_counts(population, parsed, view.now), bind(parsed, population).describe()
    return Count(count, len(population.live), view.now, names, leaves, described)


def select(view: View, expression: str, params: Mapping[str, Value]) -> BitMap:
    """The users who match.

    Raises:
        InvalidExpression: see `core.evaluator.parse.parse`.
        ExpressionTooCostly: EXPRESSION_TOO_COSTLY.
    """
    prepared = view.audiences.prepare(expression, params)
    plan = bind(prepared.parsed, view.population)
    return plan.select(view.population, now=view.now, most=CELLS_PER_QUESTION, given=prepared.given)


@dataclass(frozen=True, slots=True)
class Difference:
    """Who matches one expression and not another, at one instant (`now`, micros UTC).

    `before` and `after` are how many match each; `warnings` are of the one that comes after.
    """

    before: int
    after: int
    total: int
    now: int
    entering: BitMap
    leaving: BitMap
    warnings: list[NameWarning]


def diff(view: View, before: str, after: str, params: Mapping[str, Value]) -> Difference:
    """Who would come into an audience, and who would leave it, if its expression were another.

    Raises:
        InvalidExpression: see `core.evaluator.parse.parse`; its field is `before` or `after`.
        ExpressionTooCostly: EXPRESSION_TOO_COSTLY.
    """
    sides = []
    for field, text in (("before", before), ("after", after)):
        try:
            sides.append(select(view, text, params))
        except InvalidExpression as error:
            error.field = field
            raise
    old, new = sides
    names = warnings(view.population, view.audiences.parse(after, params))
    return Difference(len(old), len(new), len(view.population.live), view.now, new - old, old - new, names)


def explain(
    view: View, expression: str, params: Mapping[str, Value], ordinal: int
) -> tuple[Explanation, list[NameWarning]]:
    """Why one user matches or does not, and the names never seen.

    Arguments:
        ordinal: of an existing user.

    Raises:
        InvalidExpression: see `core.evaluator.parse.parse`.
    """
    parsed = view.audiences.parse(expression, params)
    return explain_user(view, parsed, ordinal), warnings(view.population, parsed)
