"""Python values as cells of a vector: a tag and 64 bits, or a tag alone where the value goes to a heap."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from typing import Final

from core.evaluator.cel_values import CelError, CelType, CelValue, ErrorKind, Uint
from core.evaluator.vector import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    LIST,
    MAP,
    MISSING,
    NULL,
    OTHER_ERROR,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    WRONG_TYPE,
)
from core.values import from_micros, to_micros

_MICROSECOND: Final = timedelta(microseconds=1)
_TWO_63: Final = 1 << 63
_TWO_64: Final = 1 << 64
_IN_HEAP: Final[dict[type, int]] = {str: STRING, bytes: BYTES, list: LIST, dict: MAP, CelType: TYPE}
_TAG_OF_ERROR: Final[dict[ErrorKind, int]] = {
    "missing": MISSING,
    "type": WRONG_TYPE,
    "overflow": OTHER_ERROR,
    "other": OTHER_ERROR,
}
_ERROR_OF_TAG: Final[dict[int, tuple[ErrorKind, str]]] = {
    MISSING: ("missing", "a property is missing"),
    WRONG_TYPE: ("type", "a value has the wrong type"),
    OTHER_ERROR: ("other", "the value cannot be computed"),
}


def to_cell(value: CelValue) -> tuple[int, int | None]:
    """The tag of a value and its 64 bits as an int64; None for the bits where the value goes to a heap.

    A CelError, which stands for an error, gives the tag of its kind.

    Raises:
        KeyError: for a Python type that is no CEL value.
    """
    kind = type(value)
    in_heap = _IN_HEAP.get(kind)
    if in_heap is not None:
        return in_heap, None
    if value is None:
        return NULL, 0
    if kind is bool:
        return BOOL, int(value)
    if kind is int:
        return INT, value
    if kind is float:
        return DOUBLE, struct.unpack("<q", struct.pack("<d", value))[0]
    if kind is datetime:
        return TIMESTAMP, to_micros(value)
    if kind is timedelta:
        return DURATION, value // _MICROSECOND
    if kind is Uint:
        return UINT, int(value) - (_TWO_64 if value >= _TWO_63 else 0)
    if kind is CelError:
        return _TAG_OF_ERROR[value.kind], 0
    raise KeyError(kind)


def from_cell(tag: int, cell: int) -> CelValue:
    """The value of a tag and 64 bits: None for what is in a heap, the CelError of its kind for an error."""
    if tag == BOOL:
        return cell == 1
    if tag == INT:
        return cell
    if tag == DOUBLE:
        return struct.unpack("<d", struct.pack("<q", cell))[0]
    if tag == TIMESTAMP:
        return from_micros(cell)
    if tag == DURATION:
        return timedelta(microseconds=cell)
    if tag == UINT:
        return Uint(cell & (_TWO_64 - 1))
    if tag in _ERROR_OF_TAG:
        return CelError(*_ERROR_OF_TAG[tag])
    return None
