"""Google's own CEL runtime as the judge of a row: true, false or erred (None)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from cel_expr_python import cel
from google.protobuf.timestamp_pb2 import Timestamp

from core.values import EPOCH, INT_MAX, INT_MIN, from_micros

NAMES = ("A", "B")
"""The event names of generated cases: Google's runtime needs an empty list for one without events."""


def judge(text: str, user: Mapping[str, Any], events: Mapping[str, list[dict[str, Any]]], now: int) -> bool | None:
    """What Google's runtime says of one user; None where the expression errs or gives no bool."""
    data = {
        "user": _proto(dict(user)),
        "events": _proto({**{name: [] for name in NAMES}, **events}),
        "now": from_micros(now),
        "context": {},
        "params": {},
        "audiences": {},
    }
    try:
        answer = _compiled(text).eval(data=data)
    except RuntimeError:
        return None  # an error that constant folding met before the row was looked at
    value = answer.value() if answer.type().name() == "BOOL" else None
    return value if isinstance(value, bool) else None


def compiles(text: str) -> bool:
    """Whether Google's compiler takes the text."""
    try:
        _compiled(text)
    except RuntimeError:
        return False
    return True


@lru_cache(maxsize=512)
def _compiled(text: str) -> cel.Expression:
    return _environment().compile(text)


@cache
def _environment() -> cel.Env:
    kinds = cel.Type
    values = kinds.Map(kinds.STRING, kinds.DYN)
    listed = [kinds.List(kinds.DYN)]
    functions = [
        cel.FunctionDecl(
            name,
            [
                cel.Overload(id=f"{name}_f", return_type=kinds.DYN, parameters=listed, is_member=False, impl=function),
                cel.Overload(id=f"{name}_m", return_type=kinds.DYN, parameters=listed, is_member=True, impl=function),
            ],
        )
        for name, function in (("sum", _sum), ("min", _least), ("max", _greatest))
    ]
    return cel.NewEnv(
        variables={
            "user": values,
            "events": kinds.Map(kinds.STRING, kinds.List(values)),
            "now": kinds.TIMESTAMP,
            "context": values,
            "params": values,
            "audiences": kinds.Map(kinds.STRING, kinds.BOOL),
        },
        functions=functions,
    )


def _proto(value: Any) -> Any:
    """The value with its timestamps as protobuf messages, which is the only form that Google's maps take."""
    if isinstance(value, datetime):
        whole = value - EPOCH
        return Timestamp(seconds=whole.days * 86_400 + whole.seconds, nanos=whole.microseconds * 1000)
    if isinstance(value, dict):
        return {key: _proto(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_proto(item) for item in value]
    return value


def _sum(items: list[Any]) -> Any:
    if any(type(item) not in (int, float) for item in items) or len({type(item) for item in items}) > 1:
        raise ValueError("no overload")
    total = items[0] if items else 0
    for item in items[1:]:
        total += item
        if type(total) is int and not INT_MIN <= total <= INT_MAX:
            raise ValueError("overflow")
    return total


def _kind(item: Any) -> str:
    if type(item) in (int, float):
        return "number"
    if type(item) in (bool, str, datetime):
        return type(item).__name__
    raise ValueError("no order")


def _least(items: list[Any]) -> Any:
    if len({_kind(item) for item in items}) != 1:
        raise ValueError("no order")
    return _proto(min(items))


def _greatest(items: list[Any]) -> Any:
    if len({_kind(item) for item in items}) != 1:
        raise ValueError("no order")
    return _proto(max(items))
