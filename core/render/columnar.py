"""The fast path of a template: a program over the columns of a batch, where jinja2 would run once a row.

Every step gives a column: one value, or one text, for each row. A value that many rows share is filtered, tested and
printed once; the texts of a row are put together by a kernel (core/render/texts.pyx). A branch is computed for the rows
that take it. The functions that run are those of the row path (core/render/template.py), so that both write the same.

What the path has no words for (loops, `set`, filters that visit lists) has no program. A row that fails, or lacks what
it needs, has no text here: the row path renders it once more and says what is in its way.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from jinja2 import TemplateError, nodes

from core.render import environment
from core.render.absent import Absent
from core.render.batch import RenderBatch
from core.render.environment import SANDBOX
from core.render.filters import FILTERS, TESTS, concat
from core.render.limits import MAX_OUTPUT
from core.render.locales import LOCALE, locale_of
from core.render.paths import DISTINCT_ID, SOURCES, Key, Place, split
from core.render.printing import PRINTERS, Escape, json_text_of
from core.render.results import MissingProperty, RenderError, RenderRow
from core.render.texts import (
    FAILED,
    assembled,
    chosen,
    compared,
    contained,
    defaulted,
    either,
    mapped,
    parted,
    picked,
    present,
    printed,
    put,
    shaped,
    zipped,
)
from core.values import Value

Column = list[Any]
"""One value for each row; GONE where it is missing, FAILED where it cannot be told."""
Texts = list[str | None]
"""One text for each row, None where there is none."""

ERRORS: Final = (
    *(MissingProperty, RenderError, TemplateError),
    *(TypeError, ValueError, ArithmeticError, LookupError, RecursionError),
)
"""What values that do not fit can raise in a filter, a test or an operator."""

GONE: Final = Absent(Place("user", "", ""))
"""A missing value. The path does not tell what is missing: the row path does."""

Program = Callable[["Frame"], Texts]
"""Writes the text of each row of a frame."""

_Step = Callable[["Frame"], Column]
_Part = str | Program

_COMPARISONS: Final[dict[str, tuple[int, Callable[[Any, Any], Any]]]] = {
    "lt": (0, operator.lt),
    "lteq": (1, operator.le),
    "eq": (2, operator.eq),
    "ne": (3, operator.ne),
    "gt": (4, operator.gt),
    "gteq": (5, operator.ge),
}
"""Comparisons by Jinja's names: the number that CPython has for each, and the function."""

MAX_COLUMNS: Final = 1_000
"""Outputs of a template that has a program: each is a column in memory while a batch is rendered."""

_STEPPING: Final = frozenset({"join", "sort", "reverse", "unique", "sum", "min", "max"})
"""Filters that spend a rendering's steps on lists."""


class Frame:
    """Some rows of a batch and what has been read of them.

    Arguments:
        batch: whose rows they are.
        every: the frame of all rows, None where this is it.
        places: which of all rows these are, ascending.
    """

    __slots__ = ("_all", "_batch", "_places", "_read", "size")

    def __init__(self, batch: RenderBatch, every: Frame | None = None, places: list[int] = []) -> None:  # noqa: B006
        self._batch, self._all, self._places = batch, every, places
        self._read: dict[tuple[str, str], Column] = {}
        self.size = len(batch) if every is None else len(places)

    def part(self, places: list[int]) -> Frame:
        """Some of its rows."""
        if self._all is None:
            return Frame(self._batch, self, places)
        return Frame(self._batch, self._all, picked(self._places, places))

    @property
    def locales(self) -> list[str]:
        """The name of each reader's locale."""
        return [locale_of(value) for value in self.column("user", LOCALE)]

    def row(self, place: int) -> RenderRow:
        """One of its rows."""
        return self._batch.row(place if self._all is None else self._places[place])

    def column(self, source: str, name: str) -> Column:
        """A property of the user, event, message or project; the whole event, or the user's id, where it is ""."""
        found = self._read.get((source, name))
        if found is None:
            if self._all is None:
                found = self._column(source, name)
            else:
                whole = self._all.column(source, name)
                found = picked(whole, self._places)
            self._read[source, name] = found
        return found

    def _column(self, source: str, name: str) -> Column:
        batch = self._batch
        if source == DISTINCT_ID:
            return list(batch.distinct_ids)
        if source == "user":
            values = batch.user.get(name)
            return [GONE] * self.size if values is None else present(values, GONE)
        if source == "event":
            events = batch.events
            if events is None:
                return [GONE] * self.size
            return present(
                events if not name else [None if event is None else event.get(name) for event in events], GONE
            )
        if source == "data":
            return present([batch.data_of(place).get(name) for place in range(self.size)], GONE)
        value = (batch.message if source == "message" else batch.project).get(name)
        return [GONE if value is None else value] * self.size


class NoProgram(Exception):
    """Raised while a program is made, for what it has no words for."""


def program_of(tree: nodes.Template, escape: Escape, inside: frozenset[int] = frozenset()) -> Program | None:
    """The program of a template; None where the row path has to render it.

    Arguments:
        tree: one that `rules.check` passed and that is not bound; it stays as it is.
        escape: what the result is.
        inside: `id`s of the outputs that stand inside a string of a JSON text.
    """
    try:
        return _Maker(escape, inside).body(tree.body)
    except NoProgram:
        return None


class _Maker:
    """Makes the program of one tree."""

    def __init__(self, escape: Escape, inside: frozenset[int]) -> None:
        self.escape, self.inside = escape, inside
        self.columns = 0

    # Statements

    def body(self, body: Iterable[nodes.Node]) -> Program:
        parts: list[_Part] = []
        for node in body:
            if isinstance(node, nodes.Output):
                parts += [self._printed(child) for child in node.nodes]
            elif isinstance(node, nodes.If):
                parts.append(self._if(node))
            else:
                raise NoProgram
        fixed = [part for part in parts if isinstance(part, str)]
        if len(fixed) == len(parts) and sum(map(len, fixed)) <= MAX_OUTPUT:
            text = "".join(fixed)
            return lambda frame: [text] * frame.size
        return partial(_written, parts)

    def _printed(self, child: nodes.Expr) -> _Part:
        if isinstance(child, nodes.TemplateData):
            return child.data
        self.columns += 1
        if self.columns > MAX_COLUMNS:
            raise NoProgram
        value = self.value(child)
        printer = json_text_of if id(child) in self.inside else PRINTERS[self.escape]
        verbatim, html = self.escape is Escape.TEXT, self.escape is Escape.HTML
        return lambda frame: printed(value(frame), printer, ERRORS, verbatim=verbatim, html=html)

    def _if(self, node: nodes.If) -> Program:
        branches = [(self.value(branch.test), self.body(branch.body)) for branch in (node, *node.elif_)]
        return partial(_branched, branches, self.body(node.else_))

    # Expressions

    def value(self, node: nodes.Node) -> _Step:
        """The step that computes an expression."""
        if isinstance(node, nodes.Const):
            constant = node.value
            return lambda frame: [constant] * frame.size
        if isinstance(node, nodes.Name | nodes.Getattr):
            return self._read(node)
        if isinstance(node, nodes.Getitem):
            return self._slice(node) if isinstance(node.arg, nodes.Slice) else self._read(node)
        if isinstance(node, nodes.Filter) and node.node is not None:
            return self._filter(node, node.node)
        if isinstance(node, nodes.Test):
            function = partial(_second_on, TESTS[node.name].function, self._constants(node.args), {})
            return self._mapped(function, node.node)
        if isinstance(node, nodes.Compare):
            return self._compare(node)
        if isinstance(node, nodes.Not):
            return self._mapped(operator.not_, node.node)
        if isinstance(node, nodes.And | nodes.Or):
            return self._either(node, first_if=isinstance(node, nodes.Or))
        if isinstance(node, nodes.CondExpr) and node.expr2 is not None:
            return self._choice(self.value(node.test), self.value(node.expr1), self.value(node.expr2))
        if isinstance(node, nodes.Concat):
            return self._zipped(concat, *node.nodes)
        if isinstance(node, nodes.BinExpr):
            return self._zipped(partial(SANDBOX.call_binop, None, node.operator), node.left, node.right)
        if isinstance(node, nodes.Neg | nodes.Pos):
            return self._mapped(partial(SANDBOX.call_unop, None, node.operator), node.node)
        raise NoProgram

    def _mapped(self, function: Callable[[Any], Any], node: nodes.Node) -> _Step:
        value = self.value(node)
        return lambda frame: mapped(function, value(frame), ERRORS)

    def _zipped(self, function: Callable[..., Any], *of: nodes.Node) -> _Step:
        values = [self.value(node) for node in of]
        return lambda frame: zipped(function, [value(frame) for value in values], ERRORS)

    def _read(self, node: nodes.Node) -> _Step:
        base, keys = split(node)
        if isinstance(base, nodes.Name) and base.name == DISTINCT_ID:
            source, name, deeper = DISTINCT_ID, "", keys
        elif isinstance(base, nodes.Name) and base.name == "event" and not keys:
            source, name, deeper = "event", "", ()
        elif isinstance(base, nodes.Name) and base.name in SOURCES and keys and isinstance(keys[0], str):
            source, name, deeper = base.name, keys[0], keys[1:]
        elif keys and isinstance(base, nodes.Filter | nodes.Getitem):
            return self._deeper(self.value(base), keys)
        else:
            raise NoProgram
        step: _Step = lambda frame: frame.column(source, name)  # noqa: E731
        return self._deeper(step, deeper) if deeper else step

    def _deeper(self, step: _Step, keys: tuple[Key, ...]) -> _Step:
        function = partial(environment.walk, keys=keys, place=("user", "", ""))
        return lambda frame: mapped(function, step(frame), ERRORS)

    def _slice(self, node: nodes.Getitem) -> _Step:
        assert isinstance(node.arg, nodes.Slice)
        bounds = [
            part.as_const() if part is not None else None for part in (node.arg.start, node.arg.stop, node.arg.step)
        ]
        return self._mapped(partial(_second_on, environment.cut, bounds, {}), node.node)

    def _filter(self, node: nodes.Filter, inner: nodes.Node) -> _Step:
        if node.name in _STEPPING:
            raise NoProgram
        rule = FILTERS[node.name]
        function = rule.function
        if rule.of_string is not None and not node.args and not node.kwargs:
            value, of_string = self.value(inner), rule.of_string
            return lambda frame: shaped(value(frame), of_string, function, ERRORS)
        if node.name in ("default", "d") and len(node.args) == 1 and not node.kwargs:
            return self._default(self.value(inner), self.value(node.args[0]))
        if rule.in_locale is not None:
            return self._in_locales(node, inner, rule.in_locale)
        named: dict[str, Value] = {str(pair.key): self._constant(pair.value) for pair in node.kwargs}
        return self._mapped(partial(_second_on, function, self._constants(node.args), named), inner)

    def _in_locales(self, node: nodes.Filter, inner: nodes.Node, function: Callable[..., Any]) -> _Step:
        value, arguments = self.value(inner), self._constants(node.args)
        named: dict[str, Value] = {str(pair.key): self._constant(pair.value) for pair in node.kwargs}

        def run(frame: Frame) -> Column:
            values, locales = value(frame), frame.locales
            found: Column = [FAILED] * frame.size
            for name in set(locales):
                places = [place for place, own in enumerate(locales) if own == name]
                once = partial(_third_on, function, name, arguments, named)
                put(found, places, mapped(once, picked(values, places), ERRORS))
            return found

        return run

    def _default(self, value: _Step, other: _Step) -> _Step:
        # What stands in is computed for every row, as jinja2 does: where it fails, the row fails.
        return lambda frame: defaulted(value(frame), other(frame))

    def _compare(self, node: nodes.Compare) -> _Step:
        if len(node.ops) != 1:
            raise NoProgram
        (operand,) = node.ops
        right = operand.expr
        if operand.op in ("in", "notin"):
            return self._contains(node.expr, right, negated=operand.op == "notin")
        how, compare = _COMPARISONS[operand.op]
        if isinstance(right, nodes.Const):
            value, constant = self.value(node.expr), right.value
            return lambda frame: compared(value(frame), constant, how, ERRORS)
        return self._zipped(compare, node.expr, right)

    def _contains(self, left: nodes.Node, right: nodes.Node, *, negated: bool) -> _Step:
        if isinstance(right, nodes.Const | nodes.List | nodes.Tuple):
            value, constant = self.value(left), right.as_const()
            return lambda frame: contained(value(frame), constant, negated, ERRORS)
        if negated:
            return self._zipped(lambda value, within: value not in within, left, right)
        return self._zipped(lambda value, within: value in within, left, right)

    def _either(self, node: nodes.And | nodes.Or, *, first_if: bool) -> _Step:
        left, right = self.value(node.left), self.value(node.right)
        return lambda frame: either(left(frame), right(frame), first_if)

    def _choice(self, test: _Step, then: _Step, otherwise: _Step) -> _Step:
        return lambda frame: chosen(test(frame), then(frame), otherwise(frame))

    def _constant(self, node: nodes.Node) -> Value:
        if isinstance(node, nodes.Neg) and isinstance(node.node, nodes.Const):
            return -node.node.value
        if isinstance(node, nodes.Const):
            return node.value
        raise NoProgram

    def _constants(self, of: Iterable[nodes.Node]) -> list[Value]:
        return [self._constant(node) for node in of]


def _second_on(
    function: Callable[..., Any], arguments: Sequence[Value], named: Mapping[str, Value], value: Value
) -> Any:
    """Call a filter or test with the arguments that stand after the value."""
    return function(value, *arguments, **named)


def _third_on(
    function: Callable[..., Any], locale: str, arguments: Sequence[Value], named: Mapping[str, Value], value: Value
) -> Any:
    """Call a filter that knows its reader's locale with the arguments that stand after the value."""
    return function(locale, value, *arguments, **named)


def _written(parts: Sequence[_Part], frame: Frame) -> Texts:
    """The text of a run of statements for each row."""
    columns = [part if isinstance(part, str) else part(frame) for part in parts]
    return assembled(columns, frame.size, MAX_OUTPUT)


def _branched(branches: Sequence[tuple[_Step, Program]], otherwise: Program, frame: Frame) -> Texts:
    """The text of the branch that each row takes."""
    texts: Texts = [None] * frame.size
    places = list(range(frame.size))
    rest = frame
    for test, body in branches:
        taken, left = parted(test(rest))
        _put(texts, picked(places, taken), body, rest, taken)
        places, rest = picked(places, left), rest.part(left)
    _put(texts, places, otherwise, rest, list(range(rest.size)))
    return texts


def _put(texts: Texts, where: list[int], body: Program, frame: Frame, places: list[int]) -> None:
    """Write a branch's texts where they belong."""
    if not places:
        return
    part = frame if len(places) == frame.size else frame.part(places)
    put(texts, where, body(part))
