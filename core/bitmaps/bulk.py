"""Whole columns from arrays, without a Python value per user."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.bitmaps.cells import BLOCK_ROWS, Data
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
        end = min(start + BLOCK_ROWS, len(data))
        inside = present[start:end]
        ordinals = np.arange(start, end, dtype=np.uint32)
        tags = np.where(inside, np.uint8(kind), np.uint8(0))
        column.set_cells(ordinals, tags, np.where(inside, data[start:end], 0))


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
