"""A general interpreter of CEL over rows: every subexpression for all rows of a frame at once.

`&&`, `||` and `?:` compute an operand only on the rows that it can still change, a macro unfolds lists into a frame of
their elements and folds the answers back, everything else is a kernel or the row matcher's own function applied once
per distinct combination of arguments.

Rows that would take too much memory together are computed in portions (`judged`), and what a macro or a list literal made
is released as soon as the bool that it was made for is known. What one row may take is held by `core.evaluator.limits`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.evaluator import tree
from core.evaluator.apply import JOINED, Applier
from core.evaluator.comprehend import Unfolded, fold
from core.evaluator.frame import Frame
from core.evaluator.heaps import CODE_MASK, SpanHeap
from core.evaluator.limits import CELLS_PER_PORTION, MOST_JOINED, MOST_UNFOLDED
from core.evaluator.membership import MANY, among
from core.evaluator.meter import TooMuch
from core.evaluator.scoping import distinct_variables
from core.evaluator.sources import BEFORE_ALL, Sources
from core.evaluator.vector import (
    BOOL,
    LIST,
    MAP,
    MISSING,
    OTHER_ERROR,
    WRONG_TYPE,
    Builder,
    Data,
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
        self._fitting: dict[int, int] = {}  # by node: how many rows fitted into a portion when not all did

    def judged(self, node: tree.Node, frame: Frame) -> Vector:
        """An expression's bools, numbers or errors, a row for each row of the frame, in portions of bounded memory.

        What refers to a heap (a text, a list) has its tag here, but no meaning any more.

        Raises:
            ExpressionTooCostly: where the run may not unfold so much.
        """
        parts: list[Vector] = []
        start, mark = 0, self.space.mark()
        size = self._fitting.get(id(node), max(frame.size, 1))
        while not parts or start < frame.size:
            end = min(start + size, frame.size)
            rows = frame if end - start == frame.size else frame.narrow(np.arange(start, end, dtype=np.int64))
            try:
                with self.space.meter.portion(CELLS_PER_PORTION if rows.size > 1 else None):
                    parts.append(self.rows_of(node, rows))
            except TooMuch:
                size = self._fitting[id(node)] = (end - start) // 2
                continue
            finally:
                self.sources.next_block()
                self.space.release(mark, block=True)
            start = end
        if len(parts) == 1:
            return parts[0]
        return Vector(np.concatenate([part.tags for part in parts]), np.concatenate([part.data for part in parts]))

    def compute(self, node: tree.Node, frame: Frame) -> Vector:
        """The value of an expression: a row for each row of the frame, or a constant."""
        if not _gives_bool(node):
            return self._compute(node, frame)
        mark = self.space.mark()
        value = self._compute(node, frame)
        self.space.release(mark)
        return value

    def _compute(self, node: tree.Node, frame: Frame) -> Vector:
        match node:
            case tree.Const():
                return self.applier.constant(node)
            case tree.Given():
                return self.applier.given(node.number)
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
                flat = [self.compute(part, frame) for entry in node.entries for part in entry]
                if flat:
                    flat[0] = _refused(flat[0], frame, np.full(1, len(node.entries)))
                return self.applier.make_map(flat, frame.size)
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
        return self.sources.events_of(name, self._ordinals(frame), after)

    def _ordinals(self, frame: Frame) -> Index:
        """The user of each row."""
        return frame.lookup("events").spread(frame.size).data & CODE_MASK

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
        if parts:
            parts[0] = _refused(parts[0], frame, np.full(1, width))
        constant = all(part.constant for part in parts)
        size = 1 if constant else frame.size
        own: Tags = np.full(size, LIST, np.uint8)
        for part in reversed(parts):
            own = np.where(is_error(part.tags), part.tags, own)
        rows = np.flatnonzero(own == LIST)
        self.space.meter.take(len(rows) * width)
        tags = np.zeros((len(rows), width), np.uint8)
        data = np.zeros((len(rows), width), np.int64)
        for column, part in enumerate(parts):
            chosen = part.take(rows)
            tags[:, column] = chosen.tags
            data[:, column] = chosen.data
        places = np.arange(len(rows), dtype=np.int64)
        counts = np.full(len(rows), width, np.int64)
        flat = Vector(tags.reshape(-1), data.reshape(-1))
        base = self.space.register(SpanHeap(self.space, places * width, counts, flat))
        codes = np.zeros(size, np.int64)
        codes[rows] = places + base
        return Vector(own, codes, constant=constant)

    def _macro(self, node: tree.Macro, frame: Frame) -> Vector:
        after = earliest_that_matters(node, lambda bound: self.compute(bound, frame))
        name = event_name(node.range)
        if name is None:
            lists = self.compute(node.range, frame).spread(frame.size)
        else:
            lists = self.sources.events_of(name, self._ordinals(frame), after)

        def lengths(counts: Data) -> Data:
            """The lengths of the lists, of which `counts` may leave out events that do not matter."""
            if name is None or after == BEFORE_ALL:
                return counts
            return self.sources.event_counts(name, self._ordinals(frame))

        def admit(counts: Data) -> NDArray[np.bool_] | None:
            around = frame.around()
            if around is None:
                self.space.meter.take(int(counts.sum()))
                return None
            refused: NDArray[np.bool_] = around * lengths(counts) > MOST_UNFOLDED
            self.space.meter.take_nested(int(counts[~refused].sum()), node.position)
            return refused

        unfolded = Unfolded(self.space, lists, admit)
        elements = frame.within(
            node.variable, unfolded.elements, unfolded.parents, lambda: lengths(unfolded.counts)[unfolded.parents]
        )

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


_BOOLS: Final = frozenset(("_&&_", "_||_", "!_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in"))


def _gives_bool(node: tree.Node) -> bool:
    """Whether an expression gives a bool or an error, and never anything that refers to a heap."""
    match node:
        case tree.Macro():
            return node.kind in ("exists", "all", "exists_one")
        case tree.Call():
            return node.function in _BOOLS
    return False


def _refused(part: Vector, frame: Frame, lengths: Data) -> Vector:
    """A part of what is put together, in error where the whole (of such lengths, one or one per row) is too long."""
    around = frame.around()
    if around is None:
        return part
    refused = (around * lengths > MOST_JOINED) & ~is_error(part.tags)
    if not bool(refused.any()):
        return part
    part = part.spread(frame.size)
    return Vector(np.where(refused, np.uint8(OTHER_ERROR), part.tags), np.where(refused, 0, part.data))


def _add(interpreter: Interpreter, node: tree.Call, frame: Frame) -> Vector:
    """`+`; inside macros, what it puts together may be too long there."""
    left, right = (interpreter.compute(part, frame) for part in node.args)
    if bool(np.isin(left.tags, list(JOINED)).any()) and frame.around() is not None:
        sizes = interpreter.applier.sizes
        joined = np.where(left.tags == right.tags, sizes(left) + sizes(right), 0)
        left = _refused(left, frame, joined)
    return interpreter.applier.call("_+_", [left, right], frame.size)


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
    tags = np.full(size, BOOL, np.uint8)
    found: NDArray[np.bool_] | None = None
    if len(elements) > MANY and all(isinstance(element, tree.Const | tree.Given) for element in container.elements):
        found = among(interpreter.space, left, elements)
    if found is None:
        found = np.zeros(size, bool)
        for element in elements:
            equal = interpreter.applier.call("_==_", [left, element], frame.size)
            # Lists may have too many elements to compare; an element that is equal before that decides.
            tags = np.where(is_error(equal.tags) & ~found & (tags == BOOL), equal.tags, tags)
            found = found | truths(equal)
    for operand in (*reversed(elements), left):
        tags = np.where(is_error(operand.tags), operand.tags, tags)
    return Vector(tags, np.where(tags == BOOL, found, False).astype(np.int64), constant=constant)


_HANDLERS: Final[dict[str, Handler]] = {
    "_+_": _add,
    "_&&_": _and,
    "_||_": _or,
    "!_": _not,
    "_?_:_": _choose,
    "_[_]": _index,
    "@in": _in,
}
