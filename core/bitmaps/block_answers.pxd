"""Tests, and what a page says of them; block_kernels.pxd has what other modules call."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from core.bitmaps.block_pages cimport block_view

cdef enum answer:  # which rows a part of a test selects
    NONE
    ALL  # every present row
    SOME  # as the words say

cdef struct block_work:  # what kernels did, added up; for tests and explanations
    uint64_t index_words  # words of index sets read
    uint64_t index_rows  # rows taken from an index's arrays
    uint64_t scanned_rows  # rows compared in a column
    uint64_t patched_rows  # rows taken from a patch

cdef struct block_test:  # a comparison with constants
    uint8_t int_tag  # the tag whose data are compared as ints, 0: none
    uint8_t double_tag  # DOUBLE where doubles are compared, 0: none
    uint8_t others_false  # any other present type is false rather than in error
    uint8_t negate  # what is true is false and what is false is true; errors remain
    int64_t int_least  # closed ranges, empty where least > greatest
    int64_t int_greatest
    double double_least
    double double_greatest
    const int64_t* wanted  # NULL: the ranges; else data of which any will do: for tag t those from
    uint32_t starts[10]  # starts[t] to starts[t + 1], ascending (doubles by value, their bits; for null one 0)
    block_work* work  # NULL: nobody counts; one for each thread

cdef answer page_hits(
    const block_view* view, const block_test* test, const uint64_t* within, uint64_t* buffer, uint64_t* known,
    const uint64_t** hits, answer* knows
) noexcept nogil
cdef void fetch_answer(const block_view* view, const block_test* test) noexcept nogil
cdef void fill_present(const block_view* view, uint64_t* words) noexcept nogil
# What a test says of one cell: 1 true, 0 false, 2 in error.
cdef int cell_passes(const block_test* test, uint8_t tag, int64_t data) noexcept nogil
# The type of a row of the page, whatever the patch says; its data where it has a value of that type.
cdef uint8_t row_tag(const block_view* view, uint32_t row) noexcept nogil
cdef int64_t row_data(const block_view* view, uint8_t tag, uint32_t row) noexcept nogil
