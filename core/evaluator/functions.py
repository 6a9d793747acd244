"""Every strict function and operator of the targeting language over Python values, by CEL's own name.

The row matcher and the set kernels both end here, so that there is one definition of each. Functions that do not always
compute their operands (`&&`, `||`, `?:`, macros) are the evaluators' own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import re2

from core.evaluator.arithmetic import compute, negate
from core.evaluator.cel_values import CelError, CelValue, Uint, no_overload, plain_type, type_of
from core.evaluator.comparing import ORDERS, contains, equal, has_key, ordered
from core.evaluator.conversions import CONVERSIONS, convert
from core.evaluator.tokens import brief
from core.evaluator.zones import DURATION_GETTERS, TIMESTAMP_GETTERS, local_micros, zone_of

Function = Callable[..., CelValue]
_UTC: Final = zone_of("")
_MOST_INSTRUCTIONS: Final = 1_000


@lru_cache(maxsize=1024)
def pattern(text: str) -> Any:
    """A compiled RE2 pattern.

    Raises:
        CelError: `other` where it is no RE2 pattern.
    """
    try:
        return re2.compile(text, _options())
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        reason = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise CelError("other", f"{text[:40]!r} is no RE2 pattern: {brief(reason)}") from None


def select(container: CelValue, field: str) -> CelValue:
    """`container.field`.

    Raises:
        CelError: `missing`, or `type` where the container is no map.
    """
    if type(container) is not dict:
        raise CelError("type", f"a {plain_type(container)} has no field {field!r}")
    try:
        return container[field]
    except KeyError:
        raise CelError("missing", f"{field!r} is missing") from None


def has(container: CelValue, field: str) -> bool:
    """`has(container.field)`. Raises CelError `type` where the container is no map."""
    if type(container) is not dict:
        raise CelError("type", f"a {plain_type(container)} has no field {field!r}")
    return field in container


def index(container: CelValue, key: CelValue) -> CelValue:
    """`container[key]` of a list or a map.

    Raises:
        CelError: `missing` for a key or a position that is not there, `type` for what is no key or no container.
    """
    if type(container) is dict:
        if has_key(container, key):
            return container[key]
        raise CelError("missing", f"{key!r} is missing")
    if type(container) is not list:
        raise CelError("type", f"a {plain_type(container)} has no elements")
    place = key
    if type(place) is float and place.is_integer():
        place = int(place)
    if type(place) is not int and type(place) is not Uint:
        raise CelError("type", f"a list has no element [{key!r}]")
    if not 0 <= place < len(container):
        raise CelError("missing", f"there is no element [{int(place)}] in a list of {len(container)}")
    return container[place]


def make_map(entries: Sequence[tuple[CelValue, CelValue]]) -> dict[CelValue, CelValue]:
    """`{key: value, …}`.

    Raises:
        CelError: `type` for what is no key, `other` for a repeated one.
    """
    made: dict[CelValue, CelValue] = {}
    for key, value in entries:
        if type(key) not in (str, int, Uint, bool):
            raise CelError("type", f"a {plain_type(key)} is no key of a map")
        if key in made:
            raise CelError("other", f"the key {key!r} stands twice in a map")
        made[key] = value
    return made


def elements(value: CelValue) -> list[CelValue]:
    """What a macro runs over: a list's elements or a map's keys. Raises CelError `type` for anything else."""
    if type(value) is list:
        return value
    if type(value) is dict:
        return list(value)
    raise CelError("type", f"a {plain_type(value)} is no list")


def _size(value: CelValue) -> int:
    if type(value) in (str, bytes, list, dict):
        return len(value)
    raise no_overload("size()", value)


def _on_texts(name: str, function: Callable[[str, str], bool]) -> Function:
    def call(left: CelValue, right: CelValue) -> bool:
        if type(left) is str and type(right) is str:
            return function(left, right)
        raise no_overload(f"{name}()", left, right)

    return call


def _matches(text: str, expression: str) -> bool:
    return finder(expression)(text)


@lru_cache(maxsize=1024)
def finder(expression: str) -> Callable[[str], bool]:
    """Whether an RE2 pattern is found anywhere in a text.

    Raises:
        CelError: `other` where it is no RE2 pattern.
    """
    compiled = pattern(expression)
    if compiled.programsize > _MOST_INSTRUCTIONS:
        return lambda text: compiled.search(text) is not None
    # A set of one pattern answers ten times as fast, as it does not say where. It has no automaton to fall back on
    # when its memory does not suffice, so that large patterns are not for it.
    only = re2.Set.SearchSet(_options())
    only.Add(expression)
    only.Compile()
    return lambda text: only.Match(text) is not None


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


def _getter(name: str) -> Function:
    of_timestamp, of_duration = TIMESTAMP_GETTERS[name], DURATION_GETTERS.get(name)

    def call(value: CelValue, *zone: CelValue) -> int:
        if type(value) is datetime:
            if not zone:
                return of_timestamp(local_micros(value, _UTC))
            if type(zone[0]) is str:
                return of_timestamp(local_micros(value, zone_of(zone[0])))
        if of_duration is not None and type(value) is timedelta and not zone:
            return of_duration(value)
        raise no_overload(f"{name}()", value, *zone)

    return call


def _listed(name: str, value: CelValue) -> list[CelValue]:
    if type(value) is list:
        return value
    raise no_overload(f"{name}()", value)


def _sum(value: CelValue) -> CelValue:
    total: CelValue = 0
    for place, item in enumerate(_listed("sum", value)):
        if type(item) not in (int, Uint, float):
            raise CelError("type", f"sum() does not take a list with a {plain_type(item)}")
        total = item if place == 0 else compute("_+_", total, item)
    return total


def _extreme(name: str, order: str) -> Function:
    def call(value: CelValue) -> CelValue:
        items = _listed(name, value)
        if not items:
            raise CelError("other", f"{name}() of an empty list")
        best = items[0]
        ordered(order, best, best)  # a lone element must have an order, too
        for item in items[1:]:
            if ordered(order, item, best):
                best = item
        return best

    return call


def _operator(name: str) -> Function:
    return lambda left, right: compute(name, left, right)


def _order(name: str) -> Function:
    return lambda left, right: ordered(name, left, right)


def _conversion(name: str) -> Function:
    return lambda value: convert(name, value)


def _not(value: CelValue) -> bool:
    if type(value) is bool:
        return not value
    raise no_overload("!", value)


FUNCTIONS: Final[dict[str, Function]] = {
    **{name: _operator(name) for name in ("_+_", "_-_", "_*_", "_/_", "_%_")},
    **{name: _order(name) for name in ORDERS},
    **{name: _conversion(name) for name in CONVERSIONS},
    **{name: _getter(name) for name in TIMESTAMP_GETTERS},
    "_==_": equal,
    "_!=_": lambda left, right: not equal(left, right),
    "@in": lambda value, container: contains(container, value),
    "_[_]": index,
    "-_": negate,
    "!_": _not,
    "size": _size,
    "contains": _on_texts("contains", lambda text, part: part in text),
    "startsWith": _on_texts("startsWith", str.startswith),
    "endsWith": _on_texts("endsWith", str.endswith),
    "matches": _on_texts("matches", _matches),
    "type": type_of,
    "dyn": lambda value: value,
    "sum": _sum,
    "min": _extreme("min", "_<_"),
    "max": _extreme("max", "_>_"),
}
"""The target of a method is the first argument."""


def call(name: str, args: Sequence[CelValue]) -> CelValue:
    """A strict function or operator by CEL's name, as in `FUNCTIONS`.

    Raises:
        CelError: without a position.
    """
    return FUNCTIONS[name](*args)
