"""One block of a column: 65,536 cells, the data as narrow as its values allow."""

from __future__ import annotations

import struct
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.cells import BLOCK_ROWS, TYPES, Data, Tags
from core.errors import StoreError
from core.values import ValueType

_WIDTHS: Final = (np.int8, np.int16, np.int32, np.int64)
_HEAD: Final = struct.Struct("<B")
_RANGED: Final = (ValueType.INT, ValueType.DOUBLE, ValueType.TIMESTAMP)


def _narrow(data: Data) -> NDArray[np.signedinteger]:
    least, greatest = int(data.min()), int(data.max())
    for width in _WIDTHS:
        limits = np.iinfo(width)
        if limits.min <= least and greatest <= limits.max:
            return data.astype(width)
    return data.copy()


class Block:
    """Immutable cells of one block; a change makes a new block.

    Arguments:
        tags: uint8[65536], ValueType per row, 0 where the user has no value. Kept, not copied.
        data: int64[65536], 0 where absent. Copied at the least width that holds it.
    """

    def __init__(self, tags: Tags, data: NDArray[np.signedinteger]) -> None:
        self.tags = tags
        self.raw = _narrow(data) if data.dtype == np.int64 else data

    @property
    def width(self) -> int:
        """Bytes per row of `raw`: 1, 2, 4 or 8."""
        return self.raw.itemsize

    @property
    def data(self) -> Data:
        """int64[65536]: `raw` itself at full width, else a widened copy. Not to be written to."""
        return self.raw.astype(np.int64, copy=False)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many rows have each tag, int64[9]."""
        return np.bincount(self.tags, minlength=TYPES).astype(np.int64)

    @cached_property
    def uniform_tag(self) -> int:
        """The only tag of those rows that have a value; -1 where there are several or none."""
        present = np.flatnonzero(self.counts[1:]) + 1
        return int(present[0]) if len(present) == 1 else -1

    @cached_property
    def _ranges(self) -> dict[ValueType, tuple[int | float, int | float]]:
        found: dict[ValueType, tuple[int | float, int | float]] = {}
        for tag in _RANGED:
            if self.counts[tag]:
                cells = self.data[self.tags == tag]
                chosen = cells.view(np.float64) if tag == ValueType.DOUBLE else cells
                found[tag] = (chosen.min().item(), chosen.max().item())
        return found

    @property
    def least(self) -> dict[ValueType, int | float]:
        """The least value of each of INT, DOUBLE and TIMESTAMP (micros) that occurs."""
        return {tag: ends[0] for tag, ends in self._ranges.items()}

    @property
    def greatest(self) -> dict[ValueType, int | float]:
        """The greatest value of each of INT, DOUBLE and TIMESTAMP (micros) that occurs."""
        return {tag: ends[1] for tag, ends in self._ranges.items()}

    def dump(self) -> bytes:
        """The block as a page: width, tags, data (little-endian)."""
        return (
            _HEAD.pack(self.width) + self.tags.tobytes() + self.raw.astype(self.raw.dtype.newbyteorder("<")).tobytes()
        )

    @classmethod
    def load(cls, page: bytes) -> Block:
        """The block of a page. Raises StoreError where the page is damaged."""
        width = page[0] if page else 0
        if width not in (1, 2, 4, 8) or len(page) != _HEAD.size + BLOCK_ROWS * (1 + width):
            raise StoreError("a column block has the wrong length", code="STORE_DAMAGED")
        tags = np.frombuffer(page, np.uint8, BLOCK_ROWS, _HEAD.size).copy()
        if tags.max() >= TYPES:
            raise StoreError("a column block has a tag of no type", code="STORE_DAMAGED")
        return cls(tags, np.frombuffer(page, f"<i{width}", BLOCK_ROWS, _HEAD.size + BLOCK_ROWS).astype(f"=i{width}"))
