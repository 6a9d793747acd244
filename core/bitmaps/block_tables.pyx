"""The blocks of one column: reading and writing users' cells whatever block they are in."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from core.bitmaps.block_kernels cimport block_cells, block_narrow, block_present, block_test
from core.bitmaps.block_pages cimport ROWS, TAGS, WORDS, block_view
from core.bitmaps.blocks cimport Block, BlockTest

import numpy as np

cdef extern from *:
    """
    #define table_bits(w) ((uint32_t)__builtin_popcountll(w))
    #define table_first(w) ((uint32_t)__builtin_ctzll(w))
    """
    uint32_t table_bits(uint64_t word) noexcept nogil
    uint32_t table_first(uint64_t word) noexcept nogil

cdef struct cells_batch:
    size_t n
    const uint32_t* ordinals
    const uint8_t* tags
    const int64_t* data
    const int64_t* order  # the batch by ordinal, stable; NULL: it is strictly ascending as it stands
    size_t changed  # how many of the arrays below are filled: cells that become others, by ordinal
    uint32_t* numbers
    uint16_t* places
    uint8_t* new_tags
    int64_t* new_data

cdef struct ordinals_found:
    size_t count
    size_t room
    uint32_t* ordinals


cdef inline void cell_of(
    const block_view** views, uint32_t length, uint32_t ordinal, uint8_t* tag, int64_t* data
) noexcept nogil:
    cdef uint32_t number = ordinal >> 16
    cdef uint16_t place = ordinal & (ROWS - 1)
    if number < length and views[number] != NULL:
        block_cells(views[number], &place, 1, tag, data)
    else:
        tag[0], data[0] = 0, 0


cdef void find_changes(const block_view** views, uint32_t length, cells_batch* batch) noexcept nogil:
    """Which cells of a batch are not what they were."""
    cdef size_t i, at, next_at
    cdef uint8_t old_tag, tag
    cdef int64_t old_data, value
    batch.changed = 0
    for i in range(batch.n):
        at = batch.order[i] if batch.order != NULL else i
        if batch.order != NULL and i + 1 < batch.n:
            next_at = batch.order[i + 1]
            if batch.ordinals[next_at] == batch.ordinals[at]:
                continue  # a later cell of the same user wins
        tag = batch.tags[at]
        value = batch.data[at] if tag else 0
        cell_of(views, length, batch.ordinals[at], &old_tag, &old_data)
        if tag == old_tag and value == old_data:
            continue
        batch.numbers[batch.changed] = batch.ordinals[at] >> 16
        batch.places[batch.changed] = batch.ordinals[at] & (ROWS - 1)
        batch.new_tags[batch.changed], batch.new_data[batch.changed] = tag, value
        batch.changed += 1


cdef bint find_users(
    const block_view** views, uint32_t length, const block_test* test, ordinals_found* found
) noexcept nogil:
    """Users for whom a test (NULL: presence) is true. False where memory is short."""
    cdef uint64_t words[1024]
    cdef uint64_t word
    cdef uint32_t number, w
    cdef size_t more
    cdef uint32_t* moved
    for number in range(length):
        if views[number] == NULL:
            continue
        if test == NULL:
            block_present(views[number], words)
        else:
            memset(words, 0xFF, sizeof(words))
            if block_narrow(views[number], test, words) == 0:
                continue
        more = 0
        for w in range(WORDS):
            more += table_bits(words[w])
        if found.count + more > found.room:
            found.room = max(found.count + more, 2 * found.room)
            moved = <uint32_t*>realloc(found.ordinals, found.room * sizeof(uint32_t))
            if moved == NULL:
                return False
            found.ordinals = moved
        for w in range(WORDS):
            word = words[w]
            while word:
                found.ordinals[found.count] = number << 16 | 64 * w | table_first(word)
                found.count += 1
                word &= word - 1
    return True


cdef Block NO_VALUES = Block(np.zeros(ROWS, np.uint8), np.zeros(ROWS, np.int64))  # a block in which nobody has a value


cdef list apply_changes(BlockTable table, const cells_batch* batch):
    """Make the changed blocks; the numbers of those."""
    cdef size_t start = 0, end
    cdef uint32_t number
    cdef Block old, new
    changed = []
    while start < batch.changed:
        number = batch.numbers[start]
        end = start
        while end < batch.changed and batch.numbers[end] == number:
            end += 1
        old = table.get(number)
        new = (NO_VALUES if old is None else old).changed(
            batch.places + start, batch.new_tags + start, batch.new_data + start, end - start
        )
        table.put(number, None if new.is_empty() else new)
        changed.append(number)
        start = end
    return changed


cdef class BlockTable:
    """The blocks of one column by their numbers: a mapping, which its writer alone changes, by `put` and `set_cells`."""

    def __cinit__(self):
        self._blocks = []

    def __dealloc__(self):
        free(self.views)

    def fork(self):
        """A copy to write to; it shares the blocks."""
        cdef BlockTable twin = BlockTable()
        if self.length:
            twin._grow(self.length)
            memcpy(twin.views, self.views, self.length * sizeof(void*))
            twin._blocks[:] = self._blocks
        return twin

    cdef _grow(self, uint32_t length):
        cdef const block_view** views = <const block_view**>calloc(length, sizeof(void*))
        if views == NULL:
            raise MemoryError
        if self.length:
            memcpy(views, self.views, self.length * sizeof(void*))
        free(self.views)
        self.views = views
        self._blocks.extend([None] * (length - self.length))
        self.length = length

    def put(self, uint32_t number, Block block):
        """Set a block, None for one without values. Writer only."""
        if number >= 1 << 16:
            raise ValueError(f"no block {number}")
        if number >= self.length:
            if block is None:
                return
            self._grow(number + 1)
        self._blocks[number] = block
        self.views[number] = NULL if block is None else &block.view

    def set_cells(
        self, const uint32_t[::1] ordinals not None, const uint8_t[::1] tags not None, const int64_t[::1] data not None
    ):
        """Give users cells; of repeated ordinals the last wins; tag 0 takes a value away. Writer only.

        Arguments:
            ordinals: uint32[n], in any order; tags: uint8[n]; data: int64[n].

        Returns:
            The numbers of the blocks in which a cell became another.

        Raises:
            ValueError: arrays of several lengths, or a tag of no type.
        """
        cdef size_t n = ordinals.shape[0], i
        cdef cells_batch batch
        if tags.shape[0] != n or data.shape[0] != n:
            raise ValueError(f"{n} ordinals with {tags.shape[0]} tags and {data.shape[0]} values")
        for i in range(n):
            if tags[i] >= TAGS:
                raise ValueError(f"a tag of no type: {tags[i]}")
        if n == 0:
            return []
        order = None
        for i in range(1, n):
            if ordinals[i] <= ordinals[i - 1]:
                order = np.argsort(ordinals, kind="stable")
                break
        cdef const int64_t[::1] order_view = order
        cdef uint16_t[::1] places = np.empty(n, np.uint16)
        cdef uint8_t[::1] new_tags = np.empty(n, np.uint8)
        cdef int64_t[::1] new_data = np.empty(n, np.int64)
        cdef uint32_t[::1] numbers = np.empty(n, np.uint32)
        batch.ordinals, batch.tags, batch.data, batch.n = &ordinals[0], &tags[0], &data[0], n
        batch.order = NULL if order is None else &order_view[0]
        batch.places, batch.new_tags, batch.new_data = &places[0], &new_tags[0], &new_data[0]
        batch.numbers = &numbers[0]
        with nogil:
            find_changes(self.views, self.length, &batch)
        return apply_changes(self, &batch)

    def cells(self, const uint32_t[::1] ordinals not None):
        """Tags uint8[n] and data int64[n] of users (uint32[n]), in their order."""
        cdef size_t n = ordinals.shape[0], i
        tags, data = np.empty(n, np.uint8), np.empty(n, np.int64)
        cdef uint8_t[::1] tags_view = tags
        cdef int64_t[::1] data_view = data
        with nogil:
            for i in range(n):
                cell_of(self.views, self.length, ordinals[i], &tags_view[i], &data_view[i])
        return tags, data

    def cell(self, uint32_t ordinal):
        """Tag and data of a user, 0 and 0 where it has no value."""
        cdef uint8_t tag
        cdef int64_t data
        cell_of(self.views, self.length, ordinal, &tag, &data)
        return tag, data

    def select(self, BlockTest wanted):
        """The users for whom a test is true, or (None) who have a value: uint32[n], ascending."""
        cdef ordinals_found found
        cdef uint32_t[::1] view
        cdef bint done
        memset(&found, 0, sizeof(found))
        try:
            with nogil:
                done = find_users(self.views, self.length, NULL if wanted is None else &wanted.test, &found)
            if not done:
                raise MemoryError
            ordinals = np.empty(found.count, np.uint32)
            if found.count:
                view = ordinals
                memcpy(&view[0], found.ordinals, found.count * 4)
            return ordinals
        finally:
            free(found.ordinals)

    def get(self, number, default=None):
        """A block, or `default` where it holds no value."""
        found = self._blocks[number] if 0 <= number < self.length else None
        return default if found is None else found

    def __getitem__(self, number):
        found = self.get(number)
        if found is None:
            raise KeyError(number)
        return found

    def __contains__(self, number):
        return self.get(number) is not None

    def __len__(self):
        return self.length - self._blocks.count(None)

    def __iter__(self):
        return iter(self.keys())

    def keys(self):
        """The numbers of the blocks that hold any value, ascending."""
        return [number for number, block in enumerate(self._blocks) if block is not None]

    def values(self):
        """The blocks, by number."""
        return [block for block in self._blocks if block is not None]

    def items(self):
        """Numbers and blocks, by number."""
        return [(number, block) for number, block in enumerate(self._blocks) if block is not None]
