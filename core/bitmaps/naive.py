"""The kernels of `core.bitmaps.kernels` in plain Python, row by row: what they must equal. See there for arguments."""

from __future__ import annotations

import operator as operators
import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from core.bitmaps.cells import BLOCK_BITS, BLOCK_ROWS, Data, Mask, Ordinals, Tags, Words
from core.values import INT_MAX, INT_MIN, ValueType

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}


def words_of(rows: set[int]) -> Words:
    """A set of rows as uint64[1024]."""
    flags = np.zeros(BLOCK_ROWS, np.uint8)
    flags[list(rows)] = 1
    words: Words = np.packbits(flags, bitorder="little").view("<u8").astype(np.uint64)
    return words


def rows_of(words: Words) -> set[int]:
    """The rows of a set, uint64[1024]."""
    return {row for row in range(BLOCK_ROWS) if int(words[row // 64]) >> row % 64 & 1}


def compare(tags: Tags, data: Data, operator: str, constant: int | float) -> Words:
    """Python compares int and float by value, exactly."""
    found = set()
    for row in np.flatnonzero((tags == ValueType.INT) | (tags == ValueType.DOUBLE)).tolist():
        cell = int(data[row])
        value = cell if tags[row] == ValueType.INT else struct.unpack("<d", struct.pack("<q", cell))[0]
        if _COMPARE[operator](value, constant):
            found.add(row)
    return words_of(found)


def both(left: Words, right: Words) -> Words:
    """Rows in both sets."""
    return words_of(rows_of(left) & rows_of(right))


def either(left: Words, right: Words) -> Words:
    """Rows in either set."""
    return words_of(rows_of(left) | rows_of(right))


def without(left: Words, right: Words) -> Words:
    """Rows in the left set only."""
    return words_of(rows_of(left) - rows_of(right))


def count(words: Words) -> int:
    """How many rows."""
    return len(rows_of(words))


def to_ordinals(words: Words, block: int) -> Ordinals:
    """The set's users."""
    return np.array(sorted(row + (block << BLOCK_BITS) for row in rows_of(words)), np.uint32)


def from_ordinals(ordinals: Ordinals, block: int) -> Words:
    """The users of a block."""
    return words_of({ordinal % BLOCK_ROWS for ordinal in ordinals.tolist() if ordinal // BLOCK_ROWS == block})


def _rows(ordinals: Ordinals, mask: Mask, block: int) -> list[tuple[int, int]]:
    numbered = enumerate(ordinals.tolist())
    return [(row, user % BLOCK_ROWS) for row, user in numbered if mask[row] and user // BLOCK_ROWS == block]


def count_rows(ordinals: Ordinals, mask: Mask, block: int, counters: Ordinals) -> None:
    """Event rows per user."""
    for _, place in _rows(ordinals, mask, block):
        counters[place] += 1


def sum_ints(ordinals: Ordinals, mask: Mask, values: Data, block: int, sums: Data, overflowed: Words) -> None:
    """Sums per user, users that overflow apart."""
    failed = rows_of(overflowed)
    for row, place in _rows(ordinals, mask, block):
        total = int(sums[place]) + int(values[row])
        if place in failed or not INT_MIN <= total <= INT_MAX:
            failed.add(place)
        else:
            sums[place] = total
    overflowed[:] = words_of(failed)


def sum_doubles(
    ordinals: Ordinals,
    mask: Mask,
    values: np.ndarray[Any, np.dtype[np.float64]],
    block: int,
    sums: np.ndarray[Any, np.dtype[np.float64]],
) -> None:
    """Sums per user in the order of rows."""
    for row, place in _rows(ordinals, mask, block):
        sums[place] += values[row]
