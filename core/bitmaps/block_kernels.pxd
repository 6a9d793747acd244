"""The kernels over one block of a column, for callers in Cython.

A set of a block's users is 1,024 words, bit i of them being row i. All kernels are pure: they read the view and write
what they are given, so that any number of threads may run them over one block.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from core.bitmaps.block_answers cimport block_test, block_work
from core.bitmaps.block_pages cimport block_view

# Words of `acc` where the test is not true are cleared; returns 0 where none is left, else something else.
cdef uint64_t block_narrow(const block_view* view, const block_test* test, uint64_t* acc) noexcept nogil
# To be called with the blocks of a column one after the other, before `block_narrow` of each: has what the next one will
# read brought near while this one is worked on, and what the two after it will be read by. `length` of views.
cdef void block_ahead(
    const block_view** views, uint32_t length, uint32_t number, const block_test* test
) noexcept nogil
# Overwrites the rows of `within` for which the test is true, and false; either may be NULL; neither may be `within`.
cdef void block_split(
    const block_view* view, const block_test* test, const uint64_t* within, uint64_t* true_words, uint64_t* false_words
) noexcept nogil
# Overwrites `words` with the rows that have a value.
cdef void block_present(const block_view* view, uint64_t* words) noexcept nogil
# Tags and data of n rows, 0 and 0 where there is no value.
cdef void block_cells(
    const block_view* view, const uint16_t* places, size_t n, uint8_t* tags, int64_t* data
) noexcept nogil
# Tags and data of all rows.
cdef void all_cells(const block_view* view, uint8_t* tags, int64_t* data) noexcept nogil
