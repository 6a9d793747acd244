"""Fields of what providers send: read with care, for nothing about their types is promised."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from channels.callbacks.source import Unreadable


def json_of(body: bytes) -> Any:
    """The JSON of a body.

    Raises:
        Unreadable.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable("the body is no JSON") from error


def object_of(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a body.

    Raises:
        Unreadable.
    """
    found = json_of(body)
    if not isinstance(found, dict):
        raise Unreadable("the body is no JSON object")
    return found


def text(found: Mapping[str, Any], *names: str) -> str:
    """A text or number at a path of names, as text; "" for anything else."""
    value = inner(found, *names[:-1]).get(names[-1])
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)


def inner(found: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The object at a path of names; an empty one for anything else."""
    for name in names:
        value = found.get(name)
        found = value if isinstance(value, dict) else {}
    return found


def objects(found: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """The objects of a list."""
    value = found.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def moment(value: str) -> datetime | None:
    """An instant written by RFC 3339, or in seconds since 1970; None for anything else."""
    try:
        if value[:4].isdecimal() and value[4:5] == "-":
            found = datetime.fromisoformat(value)
            return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def one_line(*parts: str) -> str:
    """Texts for people, in one line."""
    return " ".join(" ".join(parts).split())
