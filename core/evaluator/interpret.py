"""A general interpreter of CEL over rows: every subexpression for all rows of a frame at once.

`&&`, `||` and `?:` compute an operand only on the rows that it can still change, a macro unfolds lists into a frame of
their elements and folds the answers back, everything else is a kernel or the row matcher's own function applied once
per distinct combination of arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.evaluator import tree
from core.evaluator.apply import Applier
from core.evaluator.comprehend import Unfolded, fold
from core.evaluator.frame import Frame
from core.evaluator.heaps import CODE_MASK, SpanHeap
from core.evaluator.membership import MANY, among
from core.evaluator.scoping import distinct_variables
from core.evaluator.sources import BEFORE_ALL, Sources
from core.evaluator.vector import (
    BOOL,
    LIST,
    MAP,
    MISSING,
    WRONG_TYPE,
    Builder,
    Index,
    Tags,
    Vector,
    condition_errors,
    falsehoods,
    is_error,
    of_bools,
    truths,
)
from core.evaluator.window import earliest_that_matters

Handler = Callable[["Interpreter", tree.Call, Frame], Vector]


class Interpreter:
    """Computes expressions over frames of one population at one `now`."""

    def __init__(self, sources: Sources, applier: Applier) -> None:
        self.sources = sources
        self.space = sources.space
        self.applier = applier

    def compute(self, node: tree.Node, frame: Frame) -> Vector:
        """The value of an expression: a row for each row of the frame, or a constant."""
        match node:
            case tree.Const():
                return self.applier.constant(node)
            case tree.Ident():
                found = frame.find(node.name)
                return self.applier.type_named(node.name) if found is None else found
            case tree.Select():
                events = self._events(node, frame)
                return self.field(self.compute(node.operand, frame), node.field) if events is None else events
            case tree.Has():
                return self._has(node, frame)
            case tree.ListOf():
                return self._list(node, frame)
            case tree.MapOf():
                flat = [part for entry in node.entries for part in entry]
                return self.applier.make_map([self.compute(part, frame) for part in flat], frame.size)
            case tree.Macro():
                return self._macro(node, frame)
            case tree.AudienceRef():
                return self._audience(node, frame)
            case tree.Call():
                handler = _HANDLERS.get(node.function)
                if handler is not None:
                    return handler(self, node, frame)
                return self.applier.call(node.function, [self.compute(part, frame) for part in node.args], frame.size)
        raise TypeError(f"no rule for a {type(node).__name__}")

    def rows_of(self, node: tree.Node, frame: Frame) -> Vector:
        """The same with a row of its own for each row of the frame."""
        return self.compute(node, frame).spread(frame.size)

    def field(self, maps: Vector, name: str) -> Vector:
        """`maps.name`: MISSING where a map lacks it, WRONG_TYPE where the row is no map."""
        builder = Builder(len(maps))
        builder.fail(slice(None), np.where(is_error(maps.tags), maps.tags, np.uint8(WRONG_TYPE)))
        for heap, rows, codes in self.space.groups(maps, MAP):
            builder.put(rows, heap.fields(codes, name))
        return builder.done().for_all() if maps.constant else builder.done()

    def _events(self, node: tree.Node, frame: Frame, after: int = BEFORE_ALL) -> Vector | None:
        """The list that `events["X"]` or `events.X` names, or None where the node is something else."""
        name = event_name(node)
        if name is None:
            return None
        maps = frame.lookup("events").spread(frame.size)
        for _, _, codes in self.space.groups(maps, MAP):
            return self.sources.events_of(name, codes, after)
        return Vector(np.zeros(0, np.uint8), np.zeros(0, np.int64))

    def _has(self, node: tree.Has, frame: Frame) -> Vector:
        maps = self.compute(node.operand, frame)
        found = self.field(maps, node.field)
        present = of_bools(found.tags != MISSING)
        operand_fails = is_error(maps.tags) | (maps.tags != MAP)
        return Vector(
            np.where(operand_fails, found.tags, present.tags),
            np.where(operand_fails, 0, present.data),
            constant=maps.constant,
        )

    def _audience(self, node: tree.AudienceRef, frame: Frame) -> Vector:
        """Membership in a saved audience, of each user once however many rows the user has; never in error."""
        everybody, rows = frame.users()
        distinct, inverse = np.unique(rows, return_inverse=True)
        users = everybody.narrow(distinct)
        if node.parsed is not None:
            flags = truths(self.rows_of(distinct_variables(node.parsed.root), users))
        else:
            members = node.members if node.members is not None else BitMap()
            ordinals = users.lookup("user").spread(len(distinct)).data & CODE_MASK
            inside = members & BitMap(ordinals.astype(np.uint32))
            flags = np.isin(ordinals, np.array(inside.to_array(), np.int64))
        return of_bools(flags[inverse])

    def _list(self, node: tree.ListOf, frame: Frame) -> Vector:
        parts = [self.compute(element, frame) for element in node.elements]
        width = len(parts)
        constant = all(part.constant for part in parts)
        size = 1 if constant else frame.size
        tags = np.zeros((size, width), np.uint8)
        data = np.zeros((size, width), np.int64)
        for column, part in enumerate(parts):
            tags[:, column] = part.tags
            data[:, column] = part.data
        starts = np.arange(size, dtype=np.int64) * width
        counts = np.full(size, width, np.int64)
        base = self.space.register(SpanHeap(self.space, starts, counts, Vector(tags.reshape(-1), data.reshape(-1))))
        own: Tags = np.full(size, LIST, np.uint8)
        for part in reversed(parts):
            own = np.where(is_error(part.tags), part.tags, own)
        return Vector(own, np.where(own == LIST, np.arange(size, dtype=np.int64) + base, 0), constant=constant)

    def _macro(self, node: tree.Macro, frame: Frame) -> Vector:
        after = earliest_that_matters(node, lambda bound: self.compute(bound, frame))
        lists = self._events(node.range, frame, after)
        if lists is None:
            lists = self.compute(node.range, frame).spread(frame.size)
        unfolded = Unfolded(self.space, lists)
        elements = frame.within(node.variable, unfolded.elements, unfolded.parents)

        def judge(body: tree.Node) -> Callable[[Index | None], Vector]:
            def compute(positions: Index | None) -> Vector:
                return self.rows_of(body, elements if positions is None else elements.narrow(positions))

            return compute

        predicate = None if node.predicate is None else judge(node.predicate)
        transform = None if node.transform is None else judge(node.transform)
        return fold(node.kind, unfolded, self.space, predicate, transform)


def event_name(node: tree.Node) -> str | None:
    """The X of `events["X"]` or `events.X`, or None where the node is something else."""
    match node:
        case tree.Select(operand=tree.Ident(name="events"), field=name):
            return name
        case tree.Call(function="_[_]", args=(tree.Ident(name="events"), tree.Const(value=str() as name))):
            return name
    return None


def _connect(interpreter: Interpreter, node: tree.Call, frame: Frame, *, conjunction: bool) -> Vector:
    """`&&` (or `||`): decided by any false (true) operand, else in error if any errs or is no bool, else true (false)."""
    left = interpreter.rows_of(node.args[0], frame)
    decided = falsehoods(left) if conjunction else truths(left)
    open_rows = np.flatnonzero(~decided)
    tags = np.full(frame.size, BOOL, np.uint8)
    data = np.full(frame.size, 0 if conjunction else 1, np.int64)
    if len(open_rows):
        right = interpreter.rows_of(node.args[1], frame.narrow(open_rows))
        ends = falsehoods(right) if conjunction else truths(right)
        first = condition_errors(left.take(open_rows))
        second = condition_errors(right)
        failed = np.where(first != 1, first, second)
        going_on = ~ends
        rows = open_rows[going_on]
        tags[rows] = np.where(failed[going_on] != 1, failed[going_on], np.uint8(BOOL))
        data[rows] = np.where(failed[going_on] != 1, 0, 1 if conjunction else 0)
    return Vector(tags, data)


def _and(interpreter: Interpreter, node: tree.Call, frame: Frame) -> Vector:
    return _connect(interpreter, node, frame, conjunction=True)


def _or(interpreter: Interpreter, node: tree.Call, frame: Frame) -> Vector:
    return _connect(interpreter, node, frame, conjunction=False)


def _not(interpreter: Interpreter, node: tree.Call, frame: Frame) -> Vector:
    operand = interpreter.compute(node.args[0], frame)
    failed = condition_errors(operand)
    tags = np.where(failed != 1, failed, np.uint8(BOOL))
    return Vector(tags, np.where(failed != 1, 0, 1 - operand.data), constant=operand.constant)


def _choose(interpreter: Interpreter, node: tree.Call, frame: Frame) -> Vector:
    condition = interpreter.rows_of(node.args[0], frame)
    builder = Builder(frame.size)
    builder.fail(slice(None), condition_errors(condition))
    for flags, branch in ((truths(condition), node.args[1]), (falsehoods(condition), node.args[2])):
        rows = np.flatnonzero(flags)
        if len(rows):
            builder.put(rows, interpreter.rows_of(branch, frame.narrow(rows)))
    return builder.done()


def _index(interpreter: Interpreter, node: tree.Call, frame: Frame) -> Vector:
    events = interpreter._events(node, frame)
    if events is not None:
        return events
    container, key = (interpreter.compute(part, frame) for part in node.args)
    if isinstance(node.args[1], tree.Const) and isinstance(node.args[1].value, str):
        maps = container.tags == MAP
        if bool((maps | is_error(container.tags)).all()):
            return interpreter.field(container, node.args[1].value)
    return interpreter.applier.index(container, key, frame.size)


def _in(interpreter: Interpreter, node: tree.Call, frame: Frame) -> Vector:
    """`x in [a, b]` is a chain of equalities; any other container is the matcher's own matter."""
    value, container = node.args
    if not isinstance(container, tree.ListOf) or not container.elements:
        return interpreter.applier.call("@in", [interpreter.compute(part, frame) for part in node.args], frame.size)
    left = interpreter.compute(value, frame)
    elements = [interpreter.compute(element, frame) for element in container.elements]
    constant = left.constant and all(element.constant for element in elements)
    size = 1 if constant else frame.size
    found: NDArray[np.bool_] | None = None
    if len(elements) > MANY and all(isinstance(element, tree.Const) for element in container.elements):
        found = among(interpreter.space, left, elements)
    if found is None:
        found = np.zeros(size, bool)
        for element in elements:
            found = found | truths(interpreter.applier.call("_==_", [left, element], frame.size))
    tags = np.full(size, BOOL, np.uint8)
    for operand in (*reversed(elements), left):
        tags = np.where(is_error(operand.tags), operand.tags, tags)
    return Vector(tags, np.where(tags == BOOL, found, False).astype(np.int64), constant=constant)


_HANDLERS: Final[dict[str, Handler]] = {
    "_&&_": _and,
    "_||_": _or,
    "!_": _not,
    "_?_:_": _choose,
    "_[_]": _index,
    "@in": _in,
}
