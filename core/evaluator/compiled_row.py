"""Trees as Python closures over one row: compiled once, run for many rows.

A closure takes a `Frame` and gives the node's CEL value or raises CelError with the position of what erred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from core.evaluator import functions, tree
from core.evaluator.cel_values import TYPES_BY_NAME, CelError, CelValue, Uint, plain_type
from core.evaluator.limits import MOST_JOINED, MOST_UNFOLDED, joined_too_much, unfolded_too_much
from core.evaluator.row import Row
from core.values import from_micros


class Frame:
    """A row's variables, and the macro variables in slots.

    `around` is the lengths of the lists of the macros around, multiplied; 0 outside of macros. `members` keeps what saved
    audiences say of the row, by a number that each mention of one has. `given` are the values of `tree.Given`.
    """

    __slots__ = ("around", "context", "events", "given", "members", "now", "row", "slots", "user")

    def __init__(self, row: Row, given: Sequence[CelValue] = ()) -> None:
        self.row = row
        self.user = row.user if type(row.user) is dict else dict(row.user)
        self.context = row.context if type(row.context) is dict else dict(row.context)
        self.events = row.events
        self.now: datetime = from_micros(row.now)
        self.slots: list[CelValue] = []
        self.around = 0
        self.members: dict[int, bool] = {}
        self.given = given


Evaluate = Callable[[Frame], CelValue]
Slots = Mapping[str, int]
_NO_SLOTS: Final[Slots] = {}


def compile_node(node: tree.Node, slots: Slots = _NO_SLOTS) -> Evaluate:
    """The closure of a node. `slots` says where the macro variables in scope stand in `Frame.slots`."""
    match node:
        case tree.Const():
            return _constant(node)
        case tree.Given():
            number = node.number
            return lambda frame: frame.given[number]
        case tree.Ident():
            return _variable(node, slots)
        case tree.Select():
            return _select(node, slots)
        case tree.Has():
            return _has(node, slots)
        case tree.ListOf():
            return _list_of(node, slots)
        case tree.MapOf():
            return _map_of(node, slots)
        case tree.Macro():
            return _macro(node, slots)
        case tree.AudienceRef():
            return _audience(node)
        case tree.Call():
            connective = _LAZY.get(node.function)
            return connective(node, slots) if connective is not None else _strict(node, slots)
    raise TypeError(f"no rule for a {type(node).__name__}")


def condition(value: CelValue, position: int) -> bool:
    """The value if it is a bool. Raises CelError `type` for anything else."""
    if value is True or value is False:
        return bool(value)
    raise CelError("type", f"a {plain_type(value)} stands where true or false is needed", position)


def path_of(node: tree.Node) -> str | None:
    """A node as a path such as `user.address.city`, or None where it is something else."""
    match node:
        case tree.Ident():
            return node.name
        case tree.Select():
            owner, field = path_of(node.operand), node.field
        case tree.Call(function="_[_]", args=(operand, tree.Const(value=str() as field))):
            owner = path_of(operand)
        case _:
            return None
    if owner is None:
        return None
    return f"{owner}.{field}" if field.isidentifier() else f'{owner}["{field}"]'


def _constant(node: tree.Const) -> Evaluate:
    value: CelValue = Uint(node.value) if node.unsigned and isinstance(node.value, int) else node.value
    return lambda frame: value


def _variable(node: tree.Ident, slots: Slots) -> Evaluate:
    slot = slots.get(node.name)
    if slot is not None:
        return lambda frame: frame.slots[slot]
    match node.name:
        case "user":
            return lambda frame: frame.user
        case "now":
            return lambda frame: frame.now
        case "context":
            return lambda frame: frame.context
    kind = TYPES_BY_NAME[node.name]
    return lambda frame: kind


def _is_events(node: tree.Node, slots: Slots) -> bool:
    return isinstance(node, tree.Ident) and node.name == "events" and "events" not in slots


def _events(name: str) -> Evaluate:
    return lambda frame: frame.events.get(name) or []


def _select(node: tree.Select, slots: Slots) -> Evaluate:
    if _is_events(node.operand, slots):
        return _events(node.field)
    return _field(node, node.operand, node.field, slots)


def _field(node: tree.Node, operand: tree.Node, field: str, slots: Slots) -> Evaluate:
    owner = compile_node(operand, slots)
    path, owner_path, position = path_of(node), path_of(operand), node.position

    def evaluate(frame: Frame) -> CelValue:
        container = owner(frame)
        if type(container) is dict and field in container:
            return container[field]
        if type(container) is dict:
            raise CelError("missing", f"{path or repr(field)} is missing", position)
        raise CelError("type", f"{owner_path or 'the value'} is a {plain_type(container)}, not a map", position)

    return evaluate


def _has(node: tree.Has, slots: Slots) -> Evaluate:
    owner, field, position = compile_node(node.operand, slots), node.field, node.position

    def evaluate(frame: Frame) -> bool:
        try:
            return functions.has(owner(frame), field)
        except CelError as error:
            raise _placed(error, position) from None

    return evaluate


def _placed(error: CelError, position: int) -> CelError:
    if error.position < 0:
        error.position = position
    return error


def _fits(frame: Frame, length: int, position: int) -> None:
    """Refuse what is put together too long inside macros. Raises CelError `other`."""
    if frame.around * length > MOST_JOINED:
        raise _placed(joined_too_much(), position)


def _list_of(node: tree.ListOf, slots: Slots, *, kept: bool = True) -> Evaluate:
    """A list literal; `kept` is False where it is only looked through, as in `x in [a, b]`."""
    parts = [compile_node(part, slots) for part in node.elements]
    length, position = len(parts) if kept else 0, node.position

    def evaluate(frame: Frame) -> list[CelValue]:
        made = [part(frame) for part in parts]
        _fits(frame, length, position)
        return made

    return evaluate


def _map_of(node: tree.MapOf, slots: Slots) -> Evaluate:
    entries = [(compile_node(key, slots), compile_node(value, slots)) for key, value in node.entries]
    position = node.position

    def evaluate(frame: Frame) -> CelValue:
        try:
            made = [(key(frame), value(frame)) for key, value in entries]
            _fits(frame, len(made), position)
            return functions.make_map(made)
        except CelError as error:
            raise _placed(error, position) from None

    return evaluate


def _strict(node: tree.Call, slots: Slots) -> Evaluate:
    return _applied(node, tuple(compile_node(part, slots) for part in node.args))


def _applied(node: tree.Call, parts: tuple[Evaluate, ...]) -> Evaluate:
    """A function on its computed arguments."""
    function, position = functions.FUNCTIONS[node.function], node.position
    if all(isinstance(part, tree.Const) for part in node.args) and node.function in ("timestamp", "duration"):
        return _once(node, function, parts)
    if len(parts) == 2:
        left, right = parts

        def evaluate_two(frame: Frame) -> CelValue:
            try:
                return function(left(frame), right(frame))
            except CelError as error:
                raise _placed(error, position) from None

        return evaluate_two

    def evaluate(frame: Frame) -> CelValue:
        try:
            return function(*[part(frame) for part in parts])
        except CelError as error:
            raise _placed(error, position) from None

    return evaluate


def _once(node: tree.Call, function: functions.Function, parts: tuple[Evaluate, ...]) -> Evaluate:
    """A literal timestamp or duration: computed when compiled, its error kept for each row that reaches it."""
    given = [part.value for part in node.args if isinstance(part, tree.Const)]
    try:
        value = function(*given)
    except CelError as error:
        kind, message, position = error.kind, error.message, node.position

        def fail(frame: Frame) -> CelValue:
            raise CelError(kind, message, position)

        return fail
    return lambda frame: value


def _index(node: tree.Call, slots: Slots) -> Evaluate:
    container, key = node.args
    if isinstance(key, tree.Const) and isinstance(key.value, str):
        if _is_events(container, slots):
            return _events(key.value)
        return _field(node, container, key.value, slots)
    return _strict(node, slots)


def _in(node: tree.Call, slots: Slots) -> Evaluate:
    value, container = node.args
    if not isinstance(container, tree.ListOf):
        return _strict(node, slots)
    return _applied(node, (compile_node(value, slots), _list_of(container, slots, kept=False)))


_JOINED: Final = (str, bytes, list)


def _add(node: tree.Call, slots: Slots) -> Evaluate:
    left, right = (compile_node(part, slots) for part in node.args)
    add, position = functions.FUNCTIONS["_+_"], node.position

    def evaluate(frame: Frame) -> CelValue:
        one, two = left(frame), right(frame)
        if type(one) is type(two) and type(one) in _JOINED:
            _fits(frame, len(one) + len(two), position)
        try:
            return add(one, two)
        except CelError as error:
            raise _placed(error, position) from None

    return evaluate


def _connective(node: tree.Call, slots: Slots, decisive: bool) -> Evaluate:
    """`||` (decisive true) or `&&` (decisive false): a decisive operand decides, whatever the other does."""
    left, right = (compile_node(part, slots) for part in node.args)
    left_position, right_position = (part.position for part in node.args)

    def evaluate(frame: Frame) -> bool:
        try:
            if condition(left(frame), left_position) is decisive:
                return decisive
        except CelError:
            try:
                if condition(right(frame), right_position) is decisive:
                    return decisive
            except CelError:
                pass  # both erred: the first error is the one to tell
            raise
        return condition(right(frame), right_position)

    return evaluate


def _and(node: tree.Call, slots: Slots) -> Evaluate:
    return _connective(node, slots, False)


def _or(node: tree.Call, slots: Slots) -> Evaluate:
    return _connective(node, slots, True)


def _choice(node: tree.Call, slots: Slots) -> Evaluate:
    test, if_true, if_false = (compile_node(part, slots) for part in node.args)
    position = node.args[0].position
    return lambda frame: if_true(frame) if condition(test(frame), position) else if_false(frame)


_LAZY: Final[dict[str, Callable[[tree.Call, Slots], Evaluate]]] = {
    "_&&_": _and,
    "_||_": _or,
    "_?_:_": _choice,
    "_[_]": _index,
    "_+_": _add,
    "@in": _in,
}


def _audience(node: tree.AudienceRef) -> Evaluate:
    name, members = node.name, node.members
    if node.parsed is None:
        listed = members if members is not None else frozenset[int]()
        return lambda frame: bool(
            frame.row.audiences.get(name, frame.row.ordinal in listed if frame.row.ordinal >= 0 else False)
        )
    root, number = compile_node(node.parsed.root), id(node)

    def evaluate(frame: Frame) -> bool:
        found = frame.members.get(number)
        if found is not None:
            return found
        slots, around = frame.slots, frame.around
        frame.slots, frame.around = [], 0
        try:
            found = root(frame) is True
        except CelError:
            found = False  # by definition: an audience's expression that errs does not match
        finally:
            frame.slots, frame.around = slots, around
        frame.members[number] = found
        return found

    return evaluate


def _macro(node: tree.Macro, slots: Slots) -> Evaluate:
    slot = len(set(slots.values()))
    within = {**slots, node.variable: slot}
    predicate = None if node.predicate is None else _predicate(node.predicate, within)
    transform = None if node.transform is None else compile_node(node.transform, within)
    if predicate is None:
        assert transform is not None
        return _over(node, slots, _mapped(slot, transform))
    if node.kind == "exists":
        return _over(node, slots, _quantified(slot, predicate, True))
    if node.kind == "all":
        return _over(node, slots, _quantified(slot, predicate, False))
    if node.kind == "exists_one":
        return _over(node, slots, _counted(slot, predicate))
    return _over(node, slots, _filtered(slot, predicate, transform))


Fold = Callable[[Frame, list[CelValue]], CelValue]
Predicate = Callable[[Frame], bool]


def _over(node: tree.Macro, slots: Slots, fold: Fold) -> Evaluate:
    """The fold of a macro over its list, which inside macros may be too long."""
    source, position = compile_node(node.range, slots), node.position

    def evaluate(frame: Frame) -> CelValue:
        try:
            values = functions.elements(source(frame))
        except CelError as error:
            raise _placed(error, position) from None
        above = frame.around
        around = (above or 1) * len(values)
        if above and around > MOST_UNFOLDED:
            raise _placed(unfolded_too_much(), position)
        frame.around = around
        try:
            return fold(frame, values)
        finally:
            frame.around = above

    return evaluate


def _predicate(node: tree.Node, slots: Slots) -> Predicate:
    evaluate, position = compile_node(node, slots), node.position
    return lambda frame: condition(evaluate(frame), position)


def _bind(frame: Frame, slot: int) -> list[CelValue]:
    while len(frame.slots) <= slot:
        frame.slots.append(None)
    return frame.slots


def _quantified(slot: int, predicate: Predicate, decisive: bool) -> Fold:
    """`exists` (decisive true) or `all`: a decisive element decides, else the first error, else the opposite."""

    def fold(frame: Frame, values: list[CelValue]) -> bool:
        variables = _bind(frame, slot)
        first: CelError | None = None
        for value in values:
            variables[slot] = value
            try:
                if predicate(frame) is decisive:
                    return decisive
            except CelError as error:
                first = first or error
        if first is not None:
            raise first
        return not decisive

    return fold


def _counted(slot: int, predicate: Predicate) -> Fold:
    def fold(frame: Frame, values: list[CelValue]) -> bool:
        variables = _bind(frame, slot)
        count = 0
        for value in values:
            variables[slot] = value
            count += predicate(frame)
        return count == 1

    return fold


def _mapped(slot: int, transform: Evaluate) -> Fold:
    def fold(frame: Frame, values: list[CelValue]) -> list[CelValue]:
        variables = _bind(frame, slot)
        made: list[CelValue] = []
        for value in values:
            variables[slot] = value
            made.append(transform(frame))
        return made

    return fold


def _filtered(slot: int, predicate: Predicate, transform: Evaluate | None) -> Fold:
    def fold(frame: Frame, values: list[CelValue]) -> list[CelValue]:
        variables = _bind(frame, slot)
        made: list[CelValue] = []
        for value in values:
            variables[slot] = value
            if predicate(frame):
                made.append(value if transform is None else transform(frame))
        return made

    return fold
