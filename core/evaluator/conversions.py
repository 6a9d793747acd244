"""CEL's conversions: `int()`, `uint()`, `double()`, `string()`, `bytes()`, `bool()`, `timestamp()`, `duration()`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from core.evaluator.arithmetic import to_int, to_uint
from core.evaluator.cel_values import CelError, CelValue, Uint, no_overload
from core.evaluator.time_texts import (
    parse_duration,
    parse_timestamp,
    seconds_of,
    shift,
    write_duration,
    write_timestamp,
)
from core.values import EPOCH

_SPACES: Final = " \t\n\v\f\r"
_INT: Final = re.compile(r"[+-]?[0-9]+")
_UINT: Final = re.compile(r"\+?[0-9]+")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEX: Final = re.compile(r"[+-]?0[xX](?:[0-9A-Fa-f]+\.?[0-9A-Fa-f]*|\.[0-9A-Fa-f]+)(?:[pP][+-]?[0-9]+)?")
_SPECIAL: Final = re.compile(r"([+-]?)(?:(inf|infinity)|nan(?:\([A-Za-z0-9_]*\))?)", re.IGNORECASE)
_MAX_INT_DIGITS: Final = 64
_TRUE: Final = frozenset(("true", "True", "TRUE", "t", "1"))
_FALSE: Final = frozenset(("false", "False", "FALSE", "f", "0"))
_INT_LIMIT: Final = 2.0**63
_UINT_LIMIT: Final = 2.0**64
_MAX_SECONDS: Final = 10**12
"""Far outside the years 1 to 9999, and inside what a timedelta holds."""


def _no_number(text: str, kind: str) -> CelError:
    return CelError("other", f"{text[:40]!r} is no {kind}")


def _int_of_text(text: str) -> int:
    digits = text.strip(_SPACES)
    if not _INT.fullmatch(digits):
        raise _no_number(text, "int")
    if len(digits) > _MAX_INT_DIGITS and digits.lstrip("+-0")[_MAX_INT_DIGITS:]:
        raise CelError("overflow", "an int outside 64 bits")
    return to_int(int(digits))


def _uint_of_text(text: str) -> Uint:
    digits = text.strip(_SPACES)
    if not _UINT.fullmatch(digits):
        raise _no_number(text, "uint")
    if len(digits) > _MAX_INT_DIGITS and digits.lstrip("+0")[_MAX_INT_DIGITS:]:
        raise CelError("overflow", "a uint outside 64 bits")
    return to_uint(int(digits))


def _double_of_text(text: str) -> float:
    digits = text.strip(_SPACES)
    if _DECIMAL.fullmatch(digits):
        return float(digits)
    if _HEX.fullmatch(digits):
        try:
            return float.fromhex(digits)
        except OverflowError:
            return -math.inf if digits.startswith("-") else math.inf
    special = _SPECIAL.fullmatch(digits)
    if special is None:
        raise _no_number(text, "double")
    size = math.inf if special[2] else math.nan
    return -size if special[1] == "-" else size


def _int_of_double(value: float) -> int:
    if -_INT_LIMIT < value < _INT_LIMIT:
        return int(value)
    raise CelError("overflow", "a double outside the range of int")


def _uint_of_double(value: float) -> Uint:
    if 0.0 <= value < _UINT_LIMIT:
        return Uint(value)
    raise CelError("overflow", "a double outside the range of uint")


def write_double(value: float) -> str:
    """The shortest digits that read back the same; an exponent below 1e-4 and from 1e6 on, as C's %g has it."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    shown = "".join(map(str, digits)).lstrip("0")
    lead = "-" if sign else ""
    if not shown:
        return f"{lead}0"
    point = len(shown) + exponent
    shown = shown.rstrip("0")
    if not -4 <= point - 1 < 6:
        fraction = f".{shown[1:]}" if len(shown) > 1 else ""
        return f"{lead}{shown[0]}{fraction}e{point - 1:+03d}"
    if point <= 0:
        return f"{lead}0.{'0' * -point}{shown}"
    if len(shown) <= point:
        return lead + shown.ljust(point, "0")
    return f"{lead}{shown[:point]}.{shown[point:]}"


def _text_of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise CelError("other", "the bytes are no UTF-8") from None


def _bool_of_text(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise _no_number(text, "bool")


def _timestamp_of_seconds(seconds: int) -> datetime:
    if abs(seconds) > _MAX_SECONDS:
        raise CelError("overflow", "a timestamp outside the years 1 to 9999")
    return shift(EPOCH, timedelta(seconds=seconds))


def _same(value: CelValue) -> CelValue:
    return value


_CONVERSIONS: Final[dict[tuple[str, type], Callable[[CelValue], CelValue]]] = {
    ("int", int): _same,
    ("int", Uint): lambda value: to_int(int(value)),
    ("int", float): _int_of_double,
    ("int", str): _int_of_text,
    ("int", datetime): seconds_of,
    ("uint", Uint): _same,
    ("uint", int): to_uint,
    ("uint", float): _uint_of_double,
    ("uint", str): _uint_of_text,
    ("double", float): _same,
    ("double", int): float,
    ("double", Uint): float,
    ("double", str): _double_of_text,
    ("string", str): _same,
    ("string", int): str,
    ("string", Uint): lambda value: str(int(value)),
    ("string", float): write_double,
    ("string", bool): lambda value: "true" if value else "false",
    ("string", bytes): _text_of_bytes,
    ("string", datetime): write_timestamp,
    ("string", timedelta): write_duration,
    ("bytes", bytes): _same,
    ("bytes", str): lambda value: value.encode("utf-8", "surrogatepass"),
    ("bool", bool): _same,
    ("bool", str): _bool_of_text,
    ("timestamp", datetime): _same,
    ("timestamp", int): _timestamp_of_seconds,
    ("timestamp", str): parse_timestamp,
    ("duration", timedelta): _same,
    ("duration", str): parse_duration,
}
CONVERSIONS: Final = frozenset(name for name, _ in _CONVERSIONS)


def convert(name: str, value: CelValue) -> CelValue:
    """A conversion by name.

    Raises:
        CelError: `type` without an overload, `overflow` out of range, `other` where a text is not of the form.
    """
    overload = _CONVERSIONS.get((name, type(value)))
    if overload is None:
        raise no_overload(f"{name}()", value)
    return overload(value)
