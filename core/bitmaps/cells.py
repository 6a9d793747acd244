"""Values as cells: a tag (ValueType) and 64 bits, strings, lists and maps by their code in a dictionary."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.bitmaps.strings import BlobTable, StringTable
from core.errors import StoreError
from core.values import ABSENT, Value, ValueType, from_micros, to_micros, type_of, unpack

Tags = NDArray[np.uint8]
Data = NDArray[np.int64]
Ordinals = NDArray[np.uint32]
BLOCK_BITS: Final = 16
BLOCK_ROWS: Final = 1 << BLOCK_BITS
TYPES: Final = len(ValueType)
_CELL: Final = struct.Struct("=q")
_DOUBLE: Final = struct.Struct("=d")


def bitmap_of(ordinals: Ordinals) -> BitMap:
    """Ordinals (uint32[n]) as a set. pyroaring would take an array of numpy's value by value."""
    return BitMap(array("I", np.ascontiguousarray(ordinals, np.uint32).tobytes()))


def encode(values: Sequence[Value], strings: StringTable, blobs: BlobTable) -> tuple[Tags, Data]:
    """Tags uint8[n] and data int64[n] of values; new strings, lists and maps enter the dictionaries.

    Raises:
        KeyError: for a Python type that is no value; OverflowError: for an int beyond 64 bits.
    """
    tags = np.fromiter((type_of(value) for value in values), np.uint8, len(values))
    data = np.zeros(len(values), np.int64)
    for tag in np.unique(tags).tolist():
        rows = np.flatnonzero(tags == tag)
        chosen = [values[row] for row in rows.tolist()]
        if tag == ValueType.DOUBLE:
            data[rows] = np.array(chosen, np.float64).view(np.int64)
        elif tag == ValueType.STRING:
            data[rows] = strings.intern_many(chosen)
        elif tag == ValueType.TIMESTAMP:
            data[rows] = [to_micros(value) for value in chosen]
        elif tag in (ValueType.LIST, ValueType.MAP):
            data[rows] = [blobs.intern(value) for value in chosen]
        elif tag in (ValueType.BOOL, ValueType.INT):
            data[rows] = np.array(chosen, np.int64)
    return tags, data


def decode(tags: Tags, data: Data, strings: StringTable, blobs: BlobTable) -> list[Value]:
    """The Python values of cells, ABSENT where the tag is ABSENT."""
    if len(tags) and bool((tags == tags[0]).all()):
        return _of_one_type(int(tags[0]), data, strings, blobs)
    values: list[Value] = [ABSENT] * len(tags)
    for tag in np.unique(tags).tolist():
        rows = np.flatnonzero(tags == tag)
        for row, value in zip(rows.tolist(), _of_one_type(tag, data[rows], strings, blobs), strict=True):
            values[row] = value
    return values


def _of_one_type(tag: int, data: Data, strings: StringTable, blobs: BlobTable) -> list[Value]:
    """The Python values of cells that all have one tag."""
    if tag == ValueType.ABSENT:
        return [ABSENT] * len(data)
    if tag == ValueType.NULL:
        return [None] * len(data)
    if tag == ValueType.BOOL:
        return cast("list[Value]", (data != 0).tolist())
    if tag == ValueType.INT:
        return cast("list[Value]", data.tolist())
    if tag == ValueType.DOUBLE:
        return cast("list[Value]", data.view(np.float64).tolist())
    if tag == ValueType.STRING:
        return _texts(data, strings)
    if tag == ValueType.TIMESTAMP:
        return [from_micros(micros) for micros in data.tolist()]
    return blobs.values_of(data)


def _texts(codes: Data, strings: StringTable) -> list[str]:
    """The texts of codes; where many rows share few texts, each is made once."""
    count = len(strings)
    if count * 4 > len(codes):
        return strings.texts(codes)
    known = strings.texts(range(count))
    return [known[code] for code in codes.tolist()]


def decode_one(tag: int, cell: int, strings: StringTable, blobs: BlobTable) -> Value:
    """The Python value of one cell: what `decode` gives for many."""
    if tag == ValueType.STRING:
        return strings.text(cell)
    if tag == ValueType.INT:
        return cell
    if tag == ValueType.DOUBLE:
        return _DOUBLE.unpack(_CELL.pack(cell))[0]
    if tag == ValueType.BOOL:
        return cell != 0
    if tag == ValueType.TIMESTAMP:
        return from_micros(cell)
    if tag == ValueType.NULL:
        return None
    if tag == ValueType.ABSENT:
        return ABSENT
    return unpack(blobs.blob(cell))


def check_codes(tags: Tags, data: NDArray[np.signedinteger], strings: StringTable, blobs: BlobTable) -> None:
    """Refuse loaded cells whose codes lie outside their dictionary. Raises StoreError."""
    texts = data[tags == ValueType.STRING]
    others = data[(tags == ValueType.LIST) | (tags == ValueType.MAP)]
    for codes, table in ((texts, strings), (others, blobs)):
        if len(codes) and (int(codes.min()) < 0 or int(codes.max()) >= len(table)):
            raise StoreError("a page refers to an entry that its dictionary lacks", code="STORE_DAMAGED")
