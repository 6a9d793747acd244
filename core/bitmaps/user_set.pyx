"""A set of users as kernels read it: the containers of its portable Roaring form (RoaringFormatSpec), by block number.

Every offset is checked once, when a set is taken in; kernels then follow pointers.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

cdef enum:
    WORDS = 1024
    ROWS = 65536
    ARRAY_LIMIT = 4096  # the most users that a container holds as an array
    COOKIE_PLAIN = 12346  # no run containers
    COOKIE_RUNS = 12347  # run containers; the number of containers in the upper 16 bits
    OFFSETS_FROM = 4  # with run containers, offsets are stored from this many containers on


cdef inline uint32_t u16_at(const uint8_t* at) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, at, 2)
    return value


cdef inline uint32_t u32_at(const uint8_t* at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return value


cdef inline void set_bits(uint64_t* words, uint32_t first, uint32_t last) noexcept nogil:
    """Set bits first..last, both included."""
    cdef uint32_t start = first >> 6, end = last >> 6, w
    cdef uint64_t all_ones = <uint64_t>0xFFFFFFFFFFFFFFFF
    cdef uint64_t head = all_ones << (first & 63), tail = all_ones >> (63 - (last & 63))
    if start == end:
        words[start] |= head & tail
        return
    words[start] |= head
    for w in range(start + 1, end):
        words[w] = all_ones
    words[end] |= tail


cdef uint32_t fill_users(const container* containers, uint32_t length, uint32_t block, uint64_t* words) noexcept nogil:
    cdef const container* found
    cdef uint32_t i, value, first
    if block >= length or containers[block].count == 0:
        memset(words, 0, WORDS * 8)
        return 0
    found = containers + block
    if found.count == ROWS:
        memset(words, 0xFF, WORDS * 8)
    elif found.runs:
        memset(words, 0, WORDS * 8)
        for i in range(found.runs):
            first = u16_at(found.at + 4 * i)
            set_bits(words, first, first + u16_at(found.at + 4 * i + 2))
    elif found.count > ARRAY_LIMIT:
        memcpy(words, found.at, WORDS * 8)
    else:
        memset(words, 0, WORDS * 8)
        for i in range(found.count):
            value = u16_at(found.at + 2 * i)
            words[value >> 6] |= (<uint64_t>1) << (value & 63)
    return found.count


cdef bint read_runs(const uint8_t* at, uint32_t runs, uint32_t count) noexcept nogil:
    """Whether runs lie within a block and hold so many users."""
    cdef uint32_t i, first, extent, total = 0
    for i in range(runs):
        first, extent = u16_at(at + 4 * i), u16_at(at + 4 * i + 2)
        if first + extent >= ROWS:
            return False
        total += extent + 1
    return total == count


cdef class UserSet:
    """A set of users, unchanged by what later happens to the bitmap that it was made from.

    Attributes:
        blocks: the numbers of the blocks that hold any of the users, ascending, uint32[n].

    Raises:
        ValueError: the bitmap's bytes are not in the portable format.
    """

    def __cinit__(self, users):
        self._bytes = users.serialize()
        if not self._take(&self._bytes[0], self._bytes.shape[0]):
            raise ValueError("these bytes are no portable Roaring bitmap")
        cdef uint32_t number
        self.blocks = np.array([number for number in range(self.length) if self.containers[number].count], np.uint32)

    def __dealloc__(self):
        free(self.containers)

    cdef bint _take(self, const uint8_t* data, size_t size) except -1:
        """Find the containers. Returns whether all is well."""
        cdef uint32_t cookie, count, i, key, cardinality, runs
        cdef size_t at, values
        cdef const uint8_t* flags = NULL
        cdef const uint8_t* keys
        cdef bint is_run
        if size < 8:
            return False
        cookie = u32_at(data)
        if (cookie & 0xFFFF) == COOKIE_RUNS:
            count = (cookie >> 16) + 1
            flags = data + 4
            at = 4 + (count + 7) // 8
        elif cookie == COOKIE_PLAIN:
            count = u32_at(data + 4)
            at = 8
        else:
            return False
        if count > ROWS or at + <size_t>count * 4 > size:
            return False
        keys = data + at
        at += <size_t>count * 4
        if flags == NULL or count >= OFFSETS_FROM:
            at += <size_t>count * 4  # containers follow one another, so the offsets themselves are not needed
        self.length = u16_at(keys + 4 * (count - 1)) + 1 if count else 0
        self.containers = <container*>calloc(max(self.length, 1), sizeof(container))
        if self.containers == NULL:
            raise MemoryError
        for i in range(count):
            key = u16_at(keys + 4 * i)
            if key >= self.length:
                return False
            cardinality = u16_at(keys + 4 * i + 2) + 1
            is_run = flags != NULL and (flags[i >> 3] >> (i & 7)) & 1
            runs = 0
            if is_run:
                if at + 2 > size:
                    return False
                runs = u16_at(data + at)
                at += 2
                values = <size_t>runs * 4
            elif cardinality <= ARRAY_LIMIT:
                values = <size_t>cardinality * 2
            else:
                values = WORDS * 8
            if at + values > size or (is_run and not read_runs(data + at, runs, cardinality)):
                return False
            self.containers[key] = container(data + at, cardinality, runs)
            at += values
        return True

    def words(self, const uint32_t[::1] blocks not None):
        """The users of some blocks.

        Arguments:
            blocks: uint32[n], block numbers.

        Returns:
            uint64[n, 1024]: row k holds the users of block `blocks[k]`.
        """
        cdef Py_ssize_t i, n = blocks.shape[0]
        words = np.empty((n, WORDS), np.uint64)
        cdef uint64_t[:, ::1] view = words
        with nogil:
            for i in range(n):
                fill_users(self.containers, self.length, blocks[i], &view[i, 0])
        return words
