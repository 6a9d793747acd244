"""Blocks of a column and what they are asked, as callers in Cython see them; block_kernels.pxd has the kernels."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from core.bitmaps.block_answers cimport block_test
from core.bitmaps.block_pages cimport block_view, patch_view

cdef class Block:
    cdef block_view view  # stays where it is while the Block lives
    cdef const uint8_t[::1] _page  # keeps the page's memory
    cdef bytes _patch  # keeps the patch's memory
    cpdef Block folded(self)
    cdef Block changed(self, const uint16_t* places, const uint8_t* tags, const int64_t* data, size_t n)
    cdef bint is_empty(self)
    cdef _open(self, page)
    cdef _merge(
        self, const patch_view* old, const uint16_t* places, const uint8_t* tags, const int64_t* data, size_t n
    )
    cdef _arrays(self)

cdef class BlockTest:
    cdef block_test test  # valid while the BlockTest lives
    cdef object _wanted
    cdef _want(self, tags, data)
