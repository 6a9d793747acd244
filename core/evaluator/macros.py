"""Recognises CEL's list macros by the shape of the comprehension that they expand to."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import InvalidExpression
from core.evaluator.tree import Call, Const, Ident, ListOf, Macro, MacroKind, Node


@dataclass(frozen=True, slots=True)
class Comprehension:
    """CEL's fold: `accumulator` begins as `start`, becomes `step` for each element, and ends as `result`."""

    position: int
    variable: str
    range: Node
    accumulator: str
    start: Node
    step: Node
    result: Node


def recognise(fold: Comprehension) -> Macro:
    """The macro that expands to this comprehension.

    `exists` begins false with step `accu || p`; `all` begins true with `accu && p`; `exists_one` begins 0 with step
    `p ? accu + 1 : accu` and ends as `accu == 1`; `filter` and `map` begin with [] and append `[x]`, under a
    condition or not.

    Raises:
        InvalidExpression: UNSUPPORTED_CONSTRUCT where it is none of these.
    """
    macro = _boolean(fold) or _counting(fold) or _growing(fold)
    if macro is None:
        raise InvalidExpression(
            "this macro is not supported",
            position=fold.position,
            mend="there are exists, all, exists_one, filter and map",
            code="UNSUPPORTED_CONSTRUCT",
        )
    return macro


def _made(fold: Comprehension, kind: MacroKind, predicate: Node | None, transform: Node | None = None) -> Macro:
    return Macro(fold.position, kind, fold.variable, fold.range, predicate, transform)


def _is_accumulator(node: Node, fold: Comprehension) -> bool:
    return isinstance(node, Ident) and node.name == fold.accumulator


def _boolean(fold: Comprehension) -> Macro | None:
    match fold.start, fold.step:
        case Const(value=False), Call(function="_||_", args=(left, predicate)) if _is_accumulator(left, fold):
            return _made(fold, "exists", predicate)
        case Const(value=True), Call(function="_&&_", args=(left, predicate)) if _is_accumulator(left, fold):
            return _made(fold, "all", predicate)
    return None


def _counting(fold: Comprehension) -> Macro | None:
    match fold.start, fold.step, fold.result:
        case (
            Const(value=0),
            Call(function="_?_:_", args=(predicate, Call(function="_+_", args=(left, Const(value=1))), otherwise)),
            Call(function="_==_"),
        ) if _is_accumulator(left, fold) and _is_accumulator(otherwise, fold):
            return _made(fold, "exists_one", predicate)
    return None


def _growing(fold: Comprehension) -> Macro | None:
    step, predicate = fold.step, None
    match step:
        case Call(function="_?_:_", args=(condition, grown, otherwise)) if _is_accumulator(otherwise, fold):
            step, predicate = grown, condition
    match fold.start, step:
        case ListOf(elements=()), Call(function="_+_", args=(left, ListOf(elements=(item,)))) if _is_accumulator(
            left, fold
        ):
            if predicate is not None and item == Ident(item.position, fold.variable):
                return _made(fold, "filter", predicate)
            return _made(fold, "map", predicate, item)
    return None
