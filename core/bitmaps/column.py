"""One property over all users: typed cells in blocks, with the indexes that answer without a scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.bitmaps.block import Block
from core.bitmaps.cells import (
    BLOCK_BITS,
    BLOCK_ROWS,
    TYPES,
    Data,
    Ordinals,
    Tags,
    check_codes,
    decode,
    decode_one,
    encode,
)
from core.bitmaps.pagekeys import COLUMNS, DICTIONARY_PAGE, dictionary_pages, key_of
from core.bitmaps.strings import BlobTable, StringTable
from core.bitmaps.value_sets import UserSets, by_key
from core.errors import StoreError
from core.values import ABSENT, MICROS_PER_DAY, Value, ValueType

CARDINALITY_LIMIT: Final = 256
"""A column with more distinct strings and bools than this has no bitmap per value, and gets none again before it is next loaded."""
_CODE_SHIFT: Final = 8  # a value's key in the index is code << 8 | tag
_BLOCK, _STRINGS, _BLOBS = b"b", b"s", b"v"

Page = tuple[bytes, Callable[[], bytes | None]]


def _dump(block: Block | None) -> bytes | None:
    return None if block is None else block.dump()


class Column:
    """One version of a property. Only a fork that was not published is written to.

    `presence` holds the ordinals that have any value, null included. `strings` and `blobs` are shared by all
    versions and only grow: a dropped fork may leave unused entries there and nothing else.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.presence = BitMap()
        self.strings = StringTable()
        self.blobs = BlobTable()
        self._blocks: dict[int, Block] = {}
        self._values: UserSets[int] | None = UserSets()
        self._days: UserSets[int] = UserSets()
        self._dirty: set[int] = set()
        self._saved_strings = 0
        self._saved_blobs = 0

    def fork(self) -> Column:
        """A version to change; blocks and bitmaps are shared until written."""
        twin = Column.__new__(Column)
        twin.name, twin.strings, twin.blobs = self.name, self.strings, self.blobs
        twin.presence = self.presence.copy()
        twin._blocks = dict(self._blocks)
        twin._values = None if self._values is None else self._values.fork()
        twin._days = self._days.fork()
        twin._dirty = set(self._dirty)
        twin._saved_strings, twin._saved_blobs = self._saved_strings, self._saved_blobs
        return twin

    @property
    def blocks(self) -> Mapping[int, Block]:
        """Blocks that hold any value, by number."""
        return self._blocks

    def type_counts(self) -> dict[ValueType, int]:
        """How many users have a value of each type that occurs."""
        total = np.zeros(TYPES, np.int64)
        for block in self._blocks.values():
            total += block.counts
        return {ValueType(tag): int(total[tag]) for tag in range(1, TYPES) if total[tag]}

    def cells(self, ordinals: Ordinals) -> tuple[Tags, Data]:
        """Tags uint8[n] and data int64[n] of users, in their order."""
        tags = np.zeros(len(ordinals), np.uint8)
        data = np.zeros(len(ordinals), np.int64)
        numbers = ordinals >> BLOCK_BITS
        for number, rows in by_key(numbers.astype(np.int64), np.arange(len(ordinals), dtype=np.uint32)):
            block = self._blocks.get(number)
            if block is not None:
                places = ordinals[rows] & (BLOCK_ROWS - 1)
                tags[rows], data[rows] = block.tags[places], block.raw[places]
        return tags, data

    def get(self, ordinal: int) -> Value:
        """A user's value, or ABSENT."""
        block = self._blocks.get(ordinal >> BLOCK_BITS)
        if block is None:
            return ABSENT
        place = ordinal & (BLOCK_ROWS - 1)
        return decode_one(block.tags.item(place), block.raw.item(place), self.strings, self.blobs)

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
        last = len(ordinals) - 1 - np.unique(ordinals[::-1], return_index=True)[1]
        ordinals, tags, data = ordinals[last], tags[last], data[last]
        old_tags, old_data = self.cells(ordinals)
        changed = (tags != old_tags) | (data != old_data)
        ordinals, tags, data, old_tags, old_data = (
            part[changed] for part in (ordinals, tags, data, old_tags, old_data)
        )
        for number, rows in by_key(
            (ordinals >> BLOCK_BITS).astype(np.int64), np.arange(len(ordinals), dtype=np.uint32)
        ):
            self._write_block(number, ordinals[rows] & (BLOCK_ROWS - 1), tags[rows], data[rows])
        self.presence.difference_update(BitMap(ordinals[tags == 0]))
        self.presence.update(BitMap(ordinals[tags != 0]))
        self._index(ordinals, old_tags, old_data, add=False)
        self._index(ordinals, tags, data, add=True)

    def _write_block(self, number: int, places: NDArray[np.integer], tags: Tags, data: Data) -> None:
        old = self._blocks.get(number)
        new_tags = np.zeros(BLOCK_ROWS, np.uint8) if old is None else old.tags.copy()
        new_data = np.zeros(BLOCK_ROWS, np.int64) if old is None else old.raw.astype(np.int64)
        new_tags[places] = tags
        new_data[places] = data
        self._dirty.add(number)
        if new_tags.any():
            self._blocks[number] = Block(new_tags, new_data)
        else:
            self._blocks.pop(number, None)

    def _index(self, ordinals: Ordinals, tags: Tags, data: Data, *, add: bool) -> None:
        times = tags == ValueType.TIMESTAMP
        for day, users in by_key(data[times] // MICROS_PER_DAY, ordinals[times]):
            (self._days.add if add else self._days.remove)(day, users)
        if self._values is None:
            return
        plain = (tags == ValueType.BOOL) | (tags == ValueType.STRING)
        keys = data[plain] << _CODE_SHIFT | tags[plain]
        if add and len(set(self._values) | set(np.unique(keys).tolist())) > CARDINALITY_LIMIT:
            self._values = None
            return
        for key, users in by_key(keys, ordinals[plain]):
            (self._values.add if add else self._values.remove)(key, users)

    def value_bitmap(self, value: Value) -> BitMap | None:
        """The users who have exactly this bool or string; None where the column does not index it. Not to be changed."""
        if self._values is None:
            return None
        if isinstance(value, bool):
            key = int(value) << _CODE_SHIFT | ValueType.BOOL
        elif isinstance(value, str):
            code = self.strings.find(value)
            if code < 0:
                return BitMap()
            key = code << _CODE_SHIFT | ValueType.STRING
        else:
            return None
        found = self._values.get(key)
        return BitMap() if found is None else found

    def time_between(self, after: int, upto: int) -> tuple[Ordinals, NDArray[np.int64]]:
        """The users whose TIMESTAMP value lies in (after, upto], and the values in micros, by ordinal."""
        first, last = (after + 1) // MICROS_PER_DAY, upto // MICROS_PER_DAY
        sets = [self._days.get(day) for day in self._days if first <= day <= last]
        users = BitMap.union(*(found for found in sets if found is not None)) if sets else BitMap()
        ordinals = np.array(users.to_array(), np.uint32)
        tags, times = self.cells(ordinals)
        kept = (tags == ValueType.TIMESTAMP) & (times > after) & (times <= upto)
        return ordinals[kept], times[kept]

    def dirty_pages(self) -> Iterator[Page]:
        """Keys of what changed since `clean`, each with a function that gives the page (None = deleted)."""
        for number in self._dirty:
            yield key_of(COLUMNS, self.name, _BLOCK, 0, number), partial(_dump, self._blocks.get(number))
        tables = ((_STRINGS, self.strings, self._saved_strings), (_BLOBS, self.blobs, self._saved_blobs))
        for what, table, saved in tables:
            length = len(table)
            for page in dictionary_pages(saved, length):
                first, last = page * DICTIONARY_PAGE, min((page + 1) * DICTIONARY_PAGE, length)
                yield key_of(COLUMNS, self.name, what, 0, page), partial(table.dump, first, last)

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

    def load_page(self, what: bytes, number: int, page: bytes) -> None:
        """Take one page; pages come in key order. `settle` follows the last."""
        if what == _BLOCK:
            self._blocks[number] = Block.load(page)
        elif what in (_STRINGS, _BLOBS):
            (self.strings if what == _STRINGS else self.blobs).extend(page)
        else:
            raise StoreError(f"a column page of unknown kind {what!r}", code="STORE_DAMAGED")

    def settle(self) -> None:
        """Check the blocks against the dictionaries and build the indexes, after loading. Raises StoreError."""
        for number, block in self._blocks.items():
            check_codes(block.tags, block.raw, self.strings, self.blobs)
            places = np.flatnonzero(block.tags)
            ordinals = (places + (number << BLOCK_BITS)).astype(np.uint32)
            self.presence.update(BitMap(ordinals))
            self._index(ordinals, block.tags[places], block.raw[places].astype(np.int64), add=True)
        self.clean()
