"""A set of users by blocks, read where pyroaring wrote it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef struct container:  # a block's users
    const uint8_t* at  # values (uint16), runs (first, extent: uint16 each) or 1,024 words, little-endian, unaligned
    uint32_t count  # users, 0: none; of all 65,536, nothing is read
    uint32_t runs  # 0: no runs

cdef class UserSet:
    cdef const uint8_t[::1] _bytes  # keeps the memory of the containers
    cdef container* containers  # by block number
    cdef uint32_t length  # of containers
    cdef readonly object blocks
    cdef bint _take(self, const uint8_t* data, size_t size) except -1

# Overwrites `words` with a block's users; returns how many they are.
cdef uint32_t fill_users(const container* containers, uint32_t length, uint32_t block, uint64_t* words) noexcept nogil
