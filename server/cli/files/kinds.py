"""The kinds of value a column may have, and how one is made of what a file holds."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final


class Kind(StrEnum):
    """What a column's values are taken as."""

    STRING = "string"
    INT = "int"
    DOUBLE = "double"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    JSON = "json"
    """A list or a map written as JSON."""


INT_TEXT: Final = re.compile(r"(?:0|-?[1-9][0-9]{0,17})\Z")
"""Whole numbers of 64 bits. Not `007`, which is a code, nor 19 digits and more, which are ids."""
DOUBLE_TEXT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)\Z")
TIME_TEXT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?(?:Z|z| ?UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?\Z"
)
"""ISO 8601 dates and times as files have them; without a zone they are UTC."""
BOOL_TEXTS: Final = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}

_FRACTION: Final = re.compile(r"[.,]([0-9]{1,9})")
# Numbers below are seconds until the year 5138, milliseconds from 1973 on, microseconds beyond.
_MOST_SECONDS: Final = 100_000_000_000
_MOST_MILLIS: Final = _MOST_SECONDS * 1_000


def time_of_text(text: str) -> datetime:
    """The instant that an ISO 8601 text or a number of seconds or milliseconds names; without a zone it is UTC.

    Raises:
        ValueError: where it names none.
    """
    if TIME_TEXT.match(text):
        plain = text.replace(" UTC", "Z").replace("UTC", "Z").replace("z", "Z")
        # Parts of a microsecond are cut off, as the store keeps micros.
        plain = _FRACTION.sub(lambda found: "." + found[1][:6].ljust(6, "0"), plain)
        moment = datetime.fromisoformat(plain)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return time_of_number(float(text) if not text.lstrip("-").isdecimal() else int(text))


def time_of_number(number: float) -> datetime:
    """The instant of a Unix time in seconds, milliseconds or microseconds, told apart by size.

    Raises:
        ValueError: for no finite number, or one outside years 1 to 9999.
    """
    if not math.isfinite(number):
        raise ValueError("no finite number")
    size = abs(number)
    divisor = 1 if size < _MOST_SECONDS else 1_000 if size < _MOST_MILLIS else 1_000_000
    try:
        return datetime.fromtimestamp(number / divisor, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError("outside the years 1 to 9999") from error


def iso(moment: datetime) -> str:
    """An instant in UTC as people and programs read it, such as `1998-07-01T00:00:00Z`; micros only where there are any."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def json_text(value: Any) -> str:
    """A value as one line of JSON, instants as `iso` writes them."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_string)


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, list | dict):
        return json_text(value)
    return str(value)


def _int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError("no whole number")
    return int(value)


def _double(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("no number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("no finite number")
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    found = BOOL_TEXTS.get(str(value).strip()) if not isinstance(value, int) else {0: False, 1: True}.get(value)
    if found is None:
        raise ValueError("neither true nor false")
    return found


def _timestamp(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, bool):
        raise ValueError("no time")
    return time_of_number(value) if isinstance(value, int | float) else time_of_text(str(value).strip())


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


MAKERS: Final[dict[Kind, Callable[[Any], Any]]] = {
    Kind.STRING: _string,
    Kind.INT: _int,
    Kind.DOUBLE: _double,
    Kind.BOOL: _bool,
    Kind.TIMESTAMP: _timestamp,
    Kind.JSON: _json,
}
"""By kind, what makes a value of a text or of a typed value; it raises ValueError or TypeError where it cannot."""


def plain(value: Any) -> Any:
    """A typed value of a Parquet file as a property holds it: dates become instants, decimals doubles.

    Raises:
        ValueError: for bytes that are no UTF-8 and other things that no property holds.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8")  # UnicodeDecodeError is a ValueError
    if isinstance(value, list):
        # Arrow gives a map as a list of pairs.
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
            return {str(key): plain(item) for key, item in value}
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    raise ValueError(f"a {type(value).__name__} is no property")
