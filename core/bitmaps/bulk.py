"""Whole columns from arrays, without a Python value per user."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.bitmaps.blocks import Block
from core.bitmaps.cells import BLOCK_BITS, BLOCK_ROWS, Data
from core.bitmaps.column import Column
from core.values import ValueType

Codes = tuple[NDArray[np.unsignedinteger], list[str]]
_PLAIN: Final = (ValueType.BOOL, ValueType.INT, ValueType.TIMESTAMP)


def fill_column(column: Column, kind: ValueType, values: NDArray[np.generic] | Codes, presence: BitMap | None) -> None:
    """See `Population.bulk_column`."""
    data = _data(column, kind, values)
    present = np.ones(len(data), bool)
    if presence is not None:
        present[:] = False
        members = np.array(presence.to_array(), np.int64)
        present[members[members < len(data)]] = True
    for start in range(0, len(data), BLOCK_ROWS):
        inside = present[start : start + BLOCK_ROWS]
        number = start >> BLOCK_BITS
        old = column.blocks.get(number)
        # The users after the last of the array keep what they have.
        tags = np.zeros(BLOCK_ROWS, np.uint8) if old is None else old.tags
        cells = np.zeros(BLOCK_ROWS, np.int64) if old is None else old.data
        tags[: len(inside)] = np.where(inside, np.uint8(kind), np.uint8(0))
        cells[: len(inside)] = data[start : start + BLOCK_ROWS]
        column.put_block(number, Block(tags, cells) if tags.any() else None)


def _data(column: Column, kind: ValueType, values: NDArray[np.generic] | Codes) -> Data:
    if kind == ValueType.STRING:
        if not isinstance(values, tuple):
            raise ValueError("strings come as (codes, dictionary)")
        codes, texts = values
        if len(codes) and int(codes.max()) >= len(texts):
            raise ValueError("a code outside the dictionary")
        own = column.strings.intern_many(texts).astype(np.int64)
        return own[codes] if len(codes) else np.zeros(0, np.int64)
    if isinstance(values, tuple):
        raise ValueError(f"a dictionary for values of type {kind.name}")
    if kind == ValueType.DOUBLE:
        return np.ascontiguousarray(values, np.float64).view(np.int64)
    if kind in _PLAIN:
        return np.asarray(values).astype(np.int64)
    raise ValueError(f"no bulk path for values of type {kind.name}")
