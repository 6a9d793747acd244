"""One property over all users: typed cells in blocks, whose pages carry the indexes that answer without a scan."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap
from typing_extensions import Buffer

from core.bitmaps.block_tables import BlockTable
from core.bitmaps.blocks import Block, BlockTest
from core.bitmaps.cells import TYPES, Data, Ordinals, Tags, decode, decode_one, encode
from core.bitmaps.pagekeys import COLUMNS, key_of
from core.bitmaps.strings import BlobTable, StringTable
from core.errors import StoreError
from core.values import Value, ValueType

_BLOCK, _STRINGS, _BLOBS = b"b", b"s", b"v"

Page = tuple[bytes, Callable[[], bytes | None]]


def _dump(block: Block | None) -> bytes | None:
    return None if block is None else block.dump()


class Column:
    """One version of a property. Only a fork that was not published is written to.

    `strings` and `blobs` are shared by all versions and only grow: a dropped fork may leave unused entries there and
    nothing else.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.strings = StringTable()
        self.blobs = BlobTable()
        self.blocks = BlockTable()
        self._dirty: set[int] = set()
        self._saved_strings = 0
        self._saved_blobs = 0

    def fork(self) -> Column:
        """A version to change; blocks are shared until written."""
        twin = Column.__new__(Column)
        twin.name, twin.strings, twin.blobs = self.name, self.strings, self.blobs
        twin.blocks = self.blocks.fork()
        twin._dirty = set(self._dirty)
        twin._saved_strings, twin._saved_blobs = self._saved_strings, self._saved_blobs
        return twin

    def gathered(self, users: Ordinals) -> Column:
        """The cells of some users (uint32[n], each once) as a column of the same dictionaries; the n-th has ordinal n."""
        twin = Column(self.name)
        twin.strings, twin.blobs = self.strings, self.blobs
        twin.set_cells(np.arange(len(users), dtype=np.uint32), *self.cells(users))
        return twin

    def type_counts(self) -> dict[ValueType, int]:
        """How many users have a value of each type that occurs."""
        total = np.zeros(TYPES, np.int64)
        for block in self.blocks.values():
            total += block.counts
        return {ValueType(tag): int(total[tag]) for tag in range(1, TYPES) if total[tag]}

    def cells(self, ordinals: Ordinals) -> tuple[Tags, Data]:
        """Tags uint8[n] and data int64[n] of users, in their order."""
        return self.blocks.cells(np.ascontiguousarray(ordinals, np.uint32))

    def has(self, ordinal: int) -> bool:
        """Whether a user has a value, null included."""
        return self.blocks.cell(ordinal)[0] != ValueType.ABSENT

    def get(self, ordinal: int) -> Value:
        """A user's value, or ABSENT."""
        return decode_one(*self.blocks.cell(ordinal), self.strings, self.blobs)

    def gather(self, ordinals: Ordinals) -> list[Value]:
        """The values of users, ABSENT where there is none."""
        return decode(*self.cells(np.asarray(ordinals, np.uint32)), self.strings, self.blobs)

    def set_many(self, ordinals: Ordinals, values: Sequence[Value]) -> None:
        """Give users values; ABSENT takes a value away; of repeated ordinals the last wins. Writer only."""
        if len(ordinals) != len(values):
            raise ValueError(f"{len(ordinals)} ordinals with {len(values)} values")
        self.set_cells(np.asarray(ordinals, np.uint32), *encode(values, self.strings, self.blobs))

    def set_cells(self, ordinals: Ordinals, tags: Tags, data: Data) -> None:
        """`set_many` with cells whose codes are of this column's own dictionaries. Writer only."""
        self._dirty.update(
            self.blocks.set_cells(
                np.ascontiguousarray(ordinals, np.uint32),
                np.ascontiguousarray(tags, np.uint8),
                np.ascontiguousarray(data, np.int64),
            )
        )

    def put_block(self, number: int, block: Block | None) -> None:
        """Put a block in the place of another. Writer only."""
        self.blocks.put(number, block)
        self._dirty.add(number)

    def adopt(self, number: int, saved: Block, page: Buffer) -> None:
        """After a checkpoint: take a block's stored page in place of the one in memory, unless it changed since.

        Arguments:
            saved: the block as it was when `dirty_pages` gave its page.
            page: the same page where it is stored; kept as long as the block.

        Raises:
            StoreError: where the page is damaged.
        """
        if self.blocks.get(number) is saved:
            self.blocks.put(number, Block.load(page))

    def adopt_saved(self, saved: Column, get: Callable[[bytes], Buffer | None]) -> None:
        """After a checkpoint of `saved`: use in place all of its pages that still say what is here. Writer only.

        Arguments:
            get: gives the stored page of a key, None where there is none.
        """
        for number in saved._dirty:
            block = saved.blocks.get(number)
            page = None if block is None else get(key_of(COLUMNS, self.name, _BLOCK, 0, number))
            if block is not None and page is not None:
                self.adopt(number, block, page)
        for what, table in ((_STRINGS, self.strings), (_BLOBS, self.blobs)):
            table.adopt(partial(self._stored, get, what))

    def _stored(self, get: Callable[[bytes], Buffer | None], what: bytes, number: int) -> Buffer | None:
        return get(key_of(COLUMNS, self.name, what, 0, number))

    @property
    def presence(self) -> BitMap:
        """The users who have any value, null included: a new set, made from all blocks."""
        return _bitmap_of(self.blocks.select(None))

    def value_bitmap(self, value: Value) -> BitMap | None:
        """The users who have exactly this bool or string: a new set, made from all blocks; None for other types."""
        if isinstance(value, bool):
            tag, cell = ValueType.BOOL, int(value)
        elif isinstance(value, str):
            tag, cell = ValueType.STRING, self.strings.find(value)
        else:
            return None
        if cell < 0:
            return BitMap()
        return _bitmap_of(self.blocks.select(BlockTest(int_tag=tag, int_least=cell, int_greatest=cell)))

    def time_between(self, after: int, upto: int) -> tuple[Ordinals, NDArray[np.int64]]:
        """The users whose TIMESTAMP value lies in (after, upto], and the values in micros, by ordinal."""
        within = BlockTest(int_tag=ValueType.TIMESTAMP, int_least=after + 1, int_greatest=upto)
        ordinals = self.blocks.select(within)
        return ordinals, self.blocks.cells(ordinals)[1]

    def dirty_pages(self) -> Iterator[Page]:
        """Keys of what changed since `clean`, each with a function that gives the page (None = deleted)."""
        for number in self._dirty:
            yield key_of(COLUMNS, self.name, _BLOCK, 0, number), partial(_dump, self.blocks.get(number))
        tables = ((_STRINGS, self.strings, self._saved_strings), (_BLOBS, self.blobs, self._saved_blobs))
        for what, table, saved in tables:
            for number, dump in table.pages_since(saved):
                yield key_of(COLUMNS, self.name, what, 0, number), dump

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._dirty.clear()
        self._saved_strings, self._saved_blobs = len(self.strings), len(self.blobs)

    @property
    def is_clean(self) -> bool:
        """Whether `dirty_pages` gives none."""
        return not self._dirty and (self._saved_strings, self._saved_blobs) == (len(self.strings), len(self.blobs))

    def soil(self, frozen: Column) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty |= frozen._dirty
        self._saved_strings = min(self._saved_strings, frozen._saved_strings)
        self._saved_blobs = min(self._saved_blobs, frozen._saved_blobs)

    def load_page(self, what: bytes, number: int, page: Buffer) -> None:
        """Take one page; pages come in key order. `settle` follows the last.

        Arguments:
            page: any buffer, which is kept and pointed into.

        Raises:
            StoreError: where it is damaged.
        """
        if what == _BLOCK:
            self.blocks.put(number, Block.load(page))
        elif what in (_STRINGS, _BLOBS):
            (self.strings if what == _STRINGS else self.blobs).load_page(number, page)
        else:
            raise StoreError(f"a column page of unknown kind {what!r}", code="STORE_DAMAGED")

    def settle(self) -> None:
        """Check the blocks against the dictionaries, after loading. Raises StoreError."""
        for block in self.blocks.values():
            if block.most_code(False) >= len(self.strings) or block.most_code(True) >= len(self.blobs):
                raise StoreError("a page refers to an entry that its dictionary lacks", code="STORE_DAMAGED")
        self.clean()


def _bitmap_of(ordinals: Ordinals) -> BitMap:
    """Ordinals as a set. pyroaring would take an array of numpy's value by value."""
    return BitMap(array("I", ordinals.tobytes()))
