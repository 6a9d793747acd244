"""Jinja's immutable sandbox, narrowed further: no attribute of any Python object can be reached at all.

The rules (core/render/rules.py) refuse what is not allowed before it is compiled; this is the second wall. Reads of
properties are bound to `read` and `walk` below, which know maps and lists only, and every arithmetic operator is
intercepted and kept to 64-bit integers and finite doubles.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import StrictUndefined, pass_context
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from core.render.absent import NOWHERE, Absent
from core.render.filters import FILTERS, TESTS, concat
from core.render.limits import MAX_LIST_STEPS
from core.render.lists import list_of
from core.render.locales import LOCALE, locale_of
from core.render.numbers import bounded_number, number_of
from core.render.paths import DISTINCT_ID, Key, Place
from core.render.printing import PRINTERS, Escape, json_text_of
from core.render.results import RenderError, RenderRow, Source
from core.values import Value

# Names of what the binding puts into a tree. The space makes sure that no template can write them.
READ: Final = " read"
WALK: Final = " walk"
PLACED: Final = " placed"
SLICE: Final = " slice"
CONCAT: Final = " concat"
ITERATE: Final = " iterate"
PRINT_JSON_TEXT: Final = " print json text"
PRINT: Final = {escape: f" print {escape.value}" for escape in Escape}

_NO_EVENT: Final = Absent(Place("event", "", ""))


class RowContext:
    """What generated code sees of one row: its variables, and the steps it may still spend on lists.

    One instance serves all rows of a bulk rendering. `vars` and `exported_vars` are written by generated code for
    the sake of Jinja's imports, which templates here do not have; nothing reads them.
    """

    __slots__ = ("_names", "exported_vars", "row", "steps", "vars")

    def __init__(self) -> None:
        self.row = RenderRow({})
        self._names: dict[str, Any] = {}
        self.vars: dict[str, Any] = {}
        self.exported_vars: set[str] = set()
        self.steps = MAX_LIST_STEPS

    def turn_to(self, row: RenderRow) -> None:
        """Begin a row."""
        self.row = row
        self._names = {
            "user": row.user,
            "event": _NO_EVENT if row.event is None else row.event,
            "message": row.message,
            "project": row.project,
            "data": row.data,
            DISTINCT_ID: row.distinct_id,
        }
        self.steps = MAX_LIST_STEPS

    @property
    def locale(self) -> str:
        """The name of the reader's locale."""
        return locale_of(self.row.user.get(LOCALE))

    def resolve_or_missing(self, name: str) -> Any:
        """A variable's value; called by generated code. The rules admit known variables only."""
        return self._names[name]

    def spend(self, steps: int) -> None:
        """Take steps off. Raises RenderError TOO_MANY_STEPS where none are left."""
        self.steps -= steps
        if self.steps < 0:
            raise RenderError(f"loops and list filters visit more than {MAX_LIST_STEPS} items", code="TOO_MANY_STEPS")


def read(properties: Mapping[str, Value] | Absent, name: str, source: Source) -> Value | Absent:
    """One property of the user, the event, the message or the project. A null is absent."""
    value = properties.get(name) if properties is not _NO_EVENT else None  # type: ignore[union-attr]
    return Absent(Place(source, name, name)) if value is None else value


def walk(value: Value | Absent, keys: tuple[Key, ...], place: tuple[Source, str, str]) -> Value | Absent:
    """What lies under `keys` in a value; absent where any of them leads nowhere, or to a null.

    Arguments:
        value: where to begin.
        keys: names into maps, indexes (also from the end) into lists.
        place: source, property and path of what is read, for saying what is missing.
    """
    for key in keys:
        if type(key) is str and (type(value) is dict or isinstance(value, Mapping)):
            value = value.get(key)
        elif type(key) is int and type(value) is list and -len(value) <= key < len(value):
            value = value[key]
        else:
            return Absent(Place(*place))
    return Absent(Place(*place)) if value is None or isinstance(value, Absent) else value


def placed(value: Value | Absent, place: tuple[Source, str, str]) -> Value | Absent:
    """Say where a value that a filter did not find would have been."""
    return Absent(Place(*place)) if isinstance(value, Absent) and value.place is NOWHERE else value


def cut(value: Value | Absent, start: int | None, stop: int | None, step: int | None) -> Value | Absent:
    """A part of a list or text."""
    if isinstance(value, Absent):
        return value
    if step == 0:
        raise RenderError("a slice with step 0", code="PROPERTY_TYPE")
    part = slice(start, stop, step)
    return value[part] if type(value) is str else list_of(value)[part]


@pass_context
def iterate(context: Any, value: Value | Absent, place: tuple[Source, str, str]) -> list[Value | Absent]:
    """The items that a loop runs over; a null among them is absent."""
    if isinstance(value, Absent):
        value.needed()
    items = list_of(value)
    context.spend(len(items))
    return [Absent(Place(*place)) if item is None else item for item in items]


def _divide(left: Any, right: Any, divide: Callable[[Any, Any], Any]) -> Any:
    if right == 0:
        raise RenderError("a division by zero", code="DIVISION_BY_ZERO")
    return divide(left, right)


_BINARY: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: _divide(left, right, operator.truediv),
    "//": lambda left, right: _divide(left, right, operator.floordiv),
    "%": lambda left, right: _divide(left, right, operator.mod),
}
_UNARY: Final[dict[str, Callable[[Any], Any]]] = {"+": operator.pos, "-": operator.neg}


class Sandbox(ImmutableSandboxedEnvironment):
    """The one environment of all templates. It holds no state of any rendering."""

    intercepted_binops = frozenset((*_BINARY, "**"))
    intercepted_unops = frozenset(_UNARY)

    def __init__(self) -> None:
        super().__init__(
            autoescape=False,  # each output is printed by its template's own printer instead
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            optimized=False,
            cache_size=0,
        )
        self.globals.clear()
        self.filters.clear()
        self.tests.clear()
        self.filters.update({name: rule.function for name, rule in FILTERS.items()})
        self.filters.update({READ: read, WALK: walk, PLACED: placed, SLICE: cut, CONCAT: concat, ITERATE: iterate})
        self.filters.update({PRINT[escape]: PRINTERS[escape] for escape in Escape})
        self.filters[PRINT_JSON_TEXT] = json_text_of
        self.tests.update({name: rule.function for name, rule in TESTS.items()})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers only, and only inside 64-bit integers and finite doubles."""
        if operator not in _BINARY:
            raise RenderError(f"{operator} is not allowed", code="PROPERTY_TYPE")
        return bounded_number(_BINARY[operator](number_of(left), number_of(right)))

    def call_unop(self, context: Any, operator: str, arg: Any) -> Any:
        """A sign before a number."""
        return bounded_number(_UNARY[operator](number_of(arg)))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Facts of a loop; nothing else has attributes, and the rules admit a fixed list of these."""
        if isinstance(obj, LoopContext):
            return getattr(obj, attribute)
        raise RenderError("no attribute can be read", code="PROPERTY_TYPE")

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Nothing: reads are bound to `walk`."""
        raise RenderError("no item can be read", code="PROPERTY_TYPE")

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Nothing can be called."""
        raise RenderError("nothing can be called", code="PROPERTY_TYPE")


SANDBOX: Final = Sandbox()
