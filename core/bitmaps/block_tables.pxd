"""The blocks of a column by number, as callers in Cython see them."""

from libc.stdint cimport uint32_t

from core.bitmaps.block_pages cimport block_view

cdef class BlockTable:  # a column's blocks by number; shared by versions until written
    cdef const block_view** views  # `length` of them, NULL where no user of the block has a value
    cdef uint32_t length
    cdef list _blocks  # the owners, None where NULL
    cdef _grow(self, uint32_t length)
