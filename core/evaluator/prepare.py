"""Prepared statements: a text is compiled once for all texts that differ from it in literals and parameters only.

The *shape* of a question is its text with the plain literals taken out, and the structure of its parameters. Google's
compiler and the stages after it see the first question of a shape; those that follow bring nothing but values, which a
plan takes at its run (`tree.Given`). What decides the form of the plan stays part of the question: a name in quotes
(`user["x"]`, `events["X"]`), a key, a pattern, a bool. Only literals that the compiler was seen to read as this module
does are taken out, so that a question is answered as if it had been compiled as it stands; where it would be refused,
it is compiled as it stands and refused in its own words.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from pyroaring import BitMap

from core.evaluator.cel_values import CelError, CelValue
from core.evaluator.literals import LITERAL_CHECKS
from core.evaluator.parse import compiled, made, parse
from core.evaluator.resolve import literal
from core.evaluator.tree import Call, Const, Given, MapOf, Node, Parsed, rebuilt
from core.evaluator.zones import TIMESTAMP_GETTERS
from core.values import Value

SHAPES: Final = 1024
MOST_CHARACTERS: Final = 8_192
"""A longer text is compiled as it stands: in UTF-8 it could be too long."""
MOST_GIVEN: Final = 1_000
_MARKS: Final = {"string": "\0s", "double": "\0d", "int": "\0i"}
_LITERAL: Final = re.compile(
    r"""
      (?P<other>//[^\n]*|`[^`\n]*`
        |[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?''')
        |[rRbB]{1,2}(?:"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    | (?P<string>"[^"\\\x00-\x1f\x7f\ud800-\udfff]*"|'[^'\\\x00-\x1f\x7f\ud800-\udfff]*')
    | (?<![A-Za-z0-9_.])(?P<double>[0-9]{1,15}\.[0-9]{1,15})(?![A-Za-z0-9_.])
    | (?<![A-Za-z0-9_.])(?P<int>[0-9]{1,18})(?![A-Za-z0-9_.])
    """,
    re.VERBOSE | re.DOTALL,
)
_SCALARS: Final = (int, float, str, datetime)
Source = Callable[[], Mapping[str, Parsed | BitMap]]


class Prepared(NamedTuple):
    """A question as its shape and the values that come with the run.

    `parsed` has the text, the positions and the parameters of the first question of its shape.
    """

    parsed: Parsed
    given: Sequence[CelValue]


@dataclass(frozen=True, slots=True)
class _Lifted(Const):
    """A literal or a parameter's scalar: `number` is its place in the question's, texts' before parameters'."""

    number: int = -1
    negated: bool = False


class _Statement(NamedTuple):
    """`places`: where the given values are among the question's, and whether a sign stands before them; `checks`: which
    of the given must be well formed, and by what."""

    parsed: Parsed
    places: tuple[tuple[int, bool], ...]
    checks: tuple[tuple[int, Callable[[str], object]], ...]


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Recent(Generic[K, V]):
    """A map of bounded size that forgets what was asked for least recently. Several threads may use it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._kept[key] = value
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)


class Statements:
    """The shapes asked lately. Thread-safe.

    One instance serves as long as the saved audiences do not change that its questions name.
    """

    def __init__(self, size: int = SHAPES) -> None:
        self._pinned: _Recent[Hashable, tuple[int, ...]] = _Recent(size)
        self._statements: _Recent[Hashable, _Statement] = _Recent(size)

    def prepare(self, text: str, params: Mapping[str, Value], audiences: Source) -> Prepared:
        """The statement of a question and its values.

        Arguments:
            params: the named parameters.
            audiences: gives the saved audiences that it may name.

        Raises:
            InvalidExpression: see `core.evaluator.parse.parse`.
        """
        if len(text) > MOST_CHARACTERS or "\0" in text:
            return _as_it_stands(text, params, audiences)
        values: list[Any] = []
        shape = _shape_of(text, values)
        texts = len(values)  # those after are parameters
        key = (shape, _structure(params, values) if params and "params" in text else None)
        if len(values) > MOST_GIVEN:
            return _as_it_stands(text, params, audiences)
        pinned = self._pinned.get(key)
        if pinned is None:
            return self._learn(key, text, params, audiences, values, texts)
        statement = self._statements.get((key, _fixed(values, pinned)))
        if statement is None:
            return self._learn(key, text, params, audiences, values, texts)
        given = [_value(values[place], place < texts, negated) for place, negated in statement.places]
        for place, check in statement.checks:
            if isinstance(given[place], str):
                try:
                    check(given[place])
                except CelError:
                    return _as_it_stands(text, params, audiences)
        return Prepared(statement.parsed, given)

    def _learn(
        self,
        key: Hashable,
        text: str,
        params: Mapping[str, Value],
        audiences: Source,
        values: list[Any],
        texts: int,
    ) -> Prepared:
        root, named = compiled(text)
        places = [part.start() for part in _LITERAL.finditer(text) if part.lastgroup in _MARKS]
        marked = _marked(root, text, places, values[:texts])
        standing, _ = _standing(params, texts)
        resolved = made(text, marked, standing, audiences() if named else {})
        free: dict[int, bool] = {}
        bound: set[int] = set()
        _sort(resolved.root, free, bound)
        pinned = tuple(number for number in range(len(values)) if number in bound or number not in free)
        kept = tuple((number, negated) for number, negated in free.items() if number not in bound)
        numbers = {number: place for place, (number, _) in enumerate(kept)}
        checks: list[tuple[int, Callable[[str], object]]] = []
        parsed = Parsed(
            text=text,
            root=_opened(resolved.root, numbers, checks),
            params=dict(params),
            properties=resolved.properties,
            events=resolved.events,
            audiences=resolved.audiences,
            uses_now=resolved.uses_now,
            uses_context=resolved.uses_context,
            depth=resolved.depth,
            expansion=resolved.expansion,
        )
        self._pinned.put(key, pinned)
        self._statements.put((key, _fixed(values, pinned)), _Statement(parsed, kept, tuple(checks)))
        return Prepared(parsed, [_value(values[number], number < texts, negated) for number, negated in kept])


def _as_it_stands(text: str, params: Mapping[str, Value], audiences: Source) -> Prepared:
    return Prepared(parse(text, params=params, audiences=audiences()), ())


def _shape_of(text: str, literals: list[Any]) -> str:
    """The text with its plain literals taken out and added to a list as they are written."""

    def take(part: re.Match[str]) -> str:
        kind = part.lastgroup
        if kind == "other":
            return part.group()
        literals.append(part.group())
        return _MARKS[cast(str, kind)]

    return _LITERAL.sub(take, text)


def _structure(value: Any, scalars: list[Any]) -> Hashable:
    """A parameter without its scalars, which are added to a list."""
    kind = type(value)
    if kind in _SCALARS:
        scalars.append(value)
        return str(kind)
    if isinstance(value, list):
        return (list, *[_structure(part, scalars) for part in value])
    if isinstance(value, Mapping):
        return (dict, *[(key, _structure(part, scalars)) for key, part in value.items()])
    return (kind, value)


def _standing(value: Any, number: int) -> tuple[Any, int]:
    """A parameter with its scalars marked by their numbers, counted from `number` on; and the number after them."""
    if type(value) in _SCALARS:
        return _Lifted(-1, cast(Any, value), number=number), number + 1
    if isinstance(value, list):
        parts = []
        for part in value:
            stands, number = _standing(part, number)
            parts.append(stands)
        return parts, number
    if isinstance(value, Mapping):
        entries = {}
        for key, part in value.items():
            entries[key], number = _standing(part, number)
        return entries, number
    return value, number


def _value(value: Any, written: bool, negated: bool) -> CelValue:
    """What a literal of a text or a parameter's scalar stands for."""
    if not written:
        return value
    if value[0] in "\"'":
        return value[1:-1]
    number = float(value) if "." in value else int(value)
    return -number if negated else number


def _fixed(values: Sequence[Any], pinned: tuple[int, ...]) -> Hashable:
    """The values that are part of the question, so that equal ones mean the same."""
    return tuple(repr(values[place]) for place in pinned)


def _marked(root: Node, text: str, places: Sequence[int], literals: Sequence[str]) -> Node:
    """The tree with the literals marked that the compiler read at these places and with these values."""
    numbers = {place: number for number, place in enumerate(places)}

    def change(node: Node) -> Node:
        if not isinstance(node, Const):
            return rebuilt(node, change)
        at, negated = node.position, False
        number = numbers.get(at)
        if number is None and text[at : at + 1] == "-":
            after = at + 1 + len(text[at + 1 :]) - len(text[at + 1 :].lstrip())
            number, negated = numbers.get(after), True
        if number is None:
            return node
        value = _value(literals[number], True, negated)
        if type(value) is not type(node.value) or repr(value) != repr(node.value) or node.unsigned:
            return node
        return _Lifted(at, node.value, number=number, negated=negated)

    return change(root)


def _sort(node: Node, free: dict[int, bool], bound: set[int], within: bool = False) -> None:
    """Tell the marked values that a run may give from those that decide the form of the plan (keys, patterns, zones)."""
    match node:
        case _Lifted():
            if within:
                bound.add(node.number)
            else:
                free[node.number] = node.negated
        case Call(function=function, args=(first, *others)) if function in ("_[_]", "matches", *TIMESTAMP_GETTERS):
            _sort(first, free, bound, within)
            for part in others:
                _sort(part, free, bound, True)
        case MapOf():
            for key, value in node.entries:
                _sort(key, free, bound, True)
                _sort(value, free, bound, within)
        case _:
            for part in _below(node):
                _sort(part, free, bound, within)


def _below(node: Node) -> list[Node]:
    found: list[Node] = []
    rebuilt(node, lambda part: found.append(part) or part)  # type: ignore[func-returns-value]
    return found


def _opened(root: Node, numbers: Mapping[int, int], checks: list[tuple[int, Callable[[str], object]]]) -> Node:
    """The tree with places for what a run gives, and plain literals for the rest."""

    def change(node: Node) -> Node:
        if isinstance(node, _Lifted):
            place = numbers.get(node.number)
            return literal(node.value, node.position) if place is None else Given(node.position, place)
        if isinstance(node, Call):
            which, check = LITERAL_CHECKS.get(node.function, (0, None))
            if check is not None and len(node.args) > which:
                argument = node.args[which]
                if isinstance(argument, _Lifted) and argument.number in numbers:
                    checks.append((numbers[argument.number], check))
        return rebuilt(node, change)

    return change(root)
