"""How a value is written: as text, inside HTML, inside a URL, as JSON, or inside a JSON string.

A timestamp is ISO 8601 in UTC (`2026-01-31T09:00:00Z`), a double the shortest text that reads back as the same
double, a bool `true` or `false`. A list or map has no text (only JSON): a template joins it or loops over it.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Final, NoReturn
from urllib.parse import quote

from jinja2 import Undefined

from core.render.absent import Absent
from core.render.limits import MAX_OUTPUT
from core.render.results import RenderError
from core.values import INT_MAX, INT_MIN, Value


class Escape(Enum):
    """What a template's result is, and so how values are put into it."""

    HTML = "html"
    TEXT = "text"
    JSON = "json"
    URL = "url"


def timestamp_text(moment: datetime) -> str:
    """ISO 8601 in UTC with `Z`; microseconds only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def refuse_type(value: object, wanted: str) -> NoReturn:
    """Raise PROPERTY_TYPE for a value of the wrong type, or MissingProperty for one that is not there."""
    if isinstance(value, Absent):
        value.needed()
    if isinstance(value, Undefined):
        raise RenderError("a variable is used before it is set", code="VARIABLE_UNSET")
    name = _TYPE_NAMES.get(type(value), type(value).__name__)
    raise RenderError(f"{name} where {wanted} is needed", code="PROPERTY_TYPE")


_TYPE_NAMES: Final[dict[type, str]] = {
    type(None): "a null",
    bool: "a bool",
    int: "an integer",
    float: "a double",
    str: "a string",
    datetime: "a timestamp",
    list: "a list",
    dict: "a map",
}


def text_of(value: Value) -> str:
    """A value as plain text. A null written in the template itself is empty.

    Raises:
        MissingProperty: the value is absent.
        RenderError: PROPERTY_TYPE for a list or map.
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return str(value)
    if kind is float:
        return repr(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is datetime:
        return timestamp_text(value)
    if value is None:
        return ""
    refuse_type(value, "a text, number, bool or timestamp")


def html_of(value: Value) -> str:
    """A value as text with `& < > " '` escaped: safe in an element and in a quoted attribute."""
    return html.escape(text_of(value))


def url_of(value: Value) -> str:
    """A value percent-encoded whole, `/` included, so that it stays within its part of a URL."""
    return quote(text_of(value), safe="")


def json_of(value: Value) -> str:
    """A value as JSON: strings with their quotes, lists and maps whole, timestamps as ISO 8601 strings."""
    if isinstance(value, Absent | Undefined):
        refuse_type(value, "a value")
    return bounded(_encode(value))


def json_text_of(value: Value) -> str:
    """A value as text inside the quotes of a JSON string."""
    return _quote(text_of(value))[1:-1]


def bounded(text: str) -> str:
    """The text itself. Raises RenderError OUTPUT_TOO_LARGE where it is too long."""
    if len(text) > MAX_OUTPUT:
        refuse_length()
    return text


def refuse_length() -> NoReturn:
    """Raise OUTPUT_TOO_LARGE."""
    raise RenderError(f"more than {MAX_OUTPUT} characters", mend="shorten the template", code="OUTPUT_TOO_LARGE")


def bounded_integer(value: int) -> int:
    """The integer itself. Raises RenderError NUMBER_OUT_OF_RANGE where it has more than 64 bits."""
    if not INT_MIN <= value <= INT_MAX:
        raise RenderError("an integer outside 64 bits", code="NUMBER_OUT_OF_RANGE")
    return value


def _json_default(value: object) -> str:
    if isinstance(value, datetime):
        return timestamp_text(value)
    refuse_type(value, "a value")


_encode: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_json_default
).encode
_quote: Final = json.JSONEncoder(ensure_ascii=False).encode

PRINTERS: Final[dict[Escape, Callable[[Value], str]]] = {
    Escape.HTML: html_of,
    Escape.TEXT: text_of,
    Escape.JSON: json_of,
    Escape.URL: url_of,
}
"""How each kind of template writes a value; inside a quoted JSON string it is `json_text_of` instead."""
