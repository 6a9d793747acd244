"""The values a profile or an event property can hold, and their one binary encoding.

A value is null, bool, int (64 bit), double, string, timestamp (UTC, microseconds), list or map. In Python
they are None, bool, int, float, str, aware datetime, list and dict. Packed they are msgpack, a timestamp
being extension type 1 with eight bytes: big-endian signed microseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, Final

import msgpack

from core.errors import InvalidInput

Value = (
    Any  # None | bool | int | float | str | datetime | list["Value"] | dict[str, "Value"]; mypy cannot recurse usefully
)

MAX_DEPTH: Final = 16
MAX_NAME_BYTES: Final = 255
MAX_STRING_BYTES: Final = 65_536
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
MICROS_PER_SECOND: Final = 1_000_000
MICROS_PER_DAY: Final = 86_400 * MICROS_PER_SECOND
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MIN_MICROS: Final = -62_135_596_800 * MICROS_PER_SECOND  # 0001-01-01T00:00:00Z, CEL's least timestamp
MAX_MICROS: Final = 253_402_300_799 * MICROS_PER_SECOND + 999_999  # 9999-12-31T23:59:59.999999Z
_TIMESTAMP_EXT: Final = 1
_MICROSECOND: Final = timedelta(microseconds=1)


class ValueType(IntEnum):
    """Tag of a value in a column. The numbers are part of the store's format."""

    ABSENT = 0
    NULL = 1
    BOOL = 2
    INT = 3
    DOUBLE = 4
    STRING = 5
    TIMESTAMP = 6
    LIST = 7
    MAP = 8


class _Absent:
    """The type of ABSENT: there is no value, which is not the same as a null."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()

_TYPES: Final[dict[type, ValueType]] = {
    type(None): ValueType.NULL,
    bool: ValueType.BOOL,
    int: ValueType.INT,
    float: ValueType.DOUBLE,
    str: ValueType.STRING,
    datetime: ValueType.TIMESTAMP,
    list: ValueType.LIST,
    dict: ValueType.MAP,
    _Absent: ValueType.ABSENT,
}


def type_of(value: Value) -> ValueType:
    """The tag of a Python value. Raises KeyError for a type that is no value."""
    return _TYPES[type(value)]


def to_micros(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The UTC datetime of microseconds since the epoch. Raises OverflowError outside years 1 to 9999."""
    return EPOCH + timedelta(microseconds=micros)


def utf8_length(text: str, field: str) -> int:
    """How many bytes a text has in UTF-8.

    Raises:
        InvalidInput: VALUE_NOT_UNICODE for half of a surrogate pair, which no encoding can hold.
    """
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(
            "half of a surrogate pair is no character", field=field, mend="send valid UTF-8", code="VALUE_NOT_UNICODE"
        ) from None


def is_plain(value: Value) -> bool:
    """Whether a value is one of those that are quickly seen to be right; `check_value` tells of the others."""
    kind = type(value)
    if kind is str:
        return len(value) <= MAX_STRING_BYTES and bool(value.isascii())
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return bool(INT_MIN <= value <= INT_MAX)
    return kind is bool or value is None


def check_value(value: Value, field: str, depth: int = 0) -> None:
    """Refuse what no property may hold: NaN, infinities, 64-bit overflow, too deep nesting, unknown types.

    Arguments:
        value: the Python value as decoded from a request.
        field: where it stands, for the error.
        depth: nesting of the value inside its property; callers leave it 0.

    Raises:
        InvalidInput: with the field and what would be right.
    """
    kind = type(value)
    if kind is str:
        if utf8_length(value, field) > MAX_STRING_BYTES:
            raise InvalidInput(
                f"a string of more than {MAX_STRING_BYTES} bytes",
                field=field,
                mend=f"send at most {MAX_STRING_BYTES} bytes of UTF-8",
                code="VALUE_TOO_LONG",
            )
    elif kind is float:
        if not math.isfinite(value):
            raise InvalidInput(
                f"{value} is not a number that can be stored",
                field=field,
                mend="send a finite double, or leave the property out",
                code="VALUE_NOT_FINITE",
            )
    elif kind is int:
        if not INT_MIN <= value <= INT_MAX:
            raise InvalidInput(
                "an integer outside 64 bits", field=field, mend="send a double or a string", code="VALUE_OUT_OF_RANGE"
            )
    elif kind is list or kind is dict:
        if depth >= MAX_DEPTH:
            raise InvalidInput(
                f"nested deeper than {MAX_DEPTH}",
                field=field,
                mend=f"nest at most {MAX_DEPTH} levels",
                code="VALUE_TOO_DEEP",
            )
        if kind is list:
            for index, item in enumerate(value):
                check_value(item, f"{field}[{index}]", depth + 1)
        else:
            for name, item in value.items():
                if type(name) is not str:
                    raise InvalidInput(
                        "a map key that is no string", field=field, mend="use string keys", code="VALUE_TYPE"
                    )
                utf8_length(name, field)
                check_value(item, f"{field}.{name}", depth + 1)
    elif kind is datetime:
        if value.tzinfo is None:
            raise InvalidInput(
                "a timestamp without a time zone", field=field, mend="send UTC", code="TIME_OUT_OF_RANGE"
            )
        if not MIN_MICROS <= to_micros(value) <= MAX_MICROS:
            raise InvalidInput(
                "a timestamp out of range", field=field, mend="years 0001 to 9999 in UTC", code="TIME_OUT_OF_RANGE"
            )
    elif kind not in _TYPES or kind is _Absent:
        raise InvalidInput(f"a {kind.__name__} is no value", field=field, mend="see core/values.py", code="VALUE_TYPE")


def _encode(value: object) -> msgpack.ExtType:
    if isinstance(value, datetime):
        return msgpack.ExtType(_TIMESTAMP_EXT, to_micros(value).to_bytes(8, "big", signed=True))
    raise TypeError(f"a {type(value).__name__} is no value")


def _decode(code: int, data: bytes) -> Value:
    if code == _TIMESTAMP_EXT:
        return from_micros(int.from_bytes(data, "big", signed=True))
    return msgpack.ExtType(code, data)


def pack(value: Value) -> bytes:
    """The encoding of a value (or of any tree of values, bytes included). Map order is kept."""
    packed: bytes = msgpack.packb(value, default=_encode, use_bin_type=True)
    return packed


def unpack(data: bytes | memoryview) -> Value:
    """The value of an encoding made by `pack`."""
    return msgpack.unpackb(data, ext_hook=_decode, raw=False, strict_map_key=False)
