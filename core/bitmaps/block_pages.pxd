"""The page of a column block: how it lies in memory, in the map and on disk. See block_pages.pyx for its parts."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    ROWS = 65536  # users in a block
    WORDS = 1024  # words of a set of a block's users
    TAGS = 9  # types, absence included; see core.values.ValueType
    DIVISOR = 10000
    INDEX_NONE = 0
    INDEX_VALUES = 1  # the rows of each value
    INDEX_ORDER = 2  # the rows in the order of their values
    FORM_ARRAY = 0  # a container's rows, ascending, uint16 each
    FORM_WORDS = 1  # 1,024 words
    FORM_OTHERS = 2  # the present rows that it lacks, ascending, uint16 each

cdef extern from "scans.h":
    enum:
        SAMPLE  # rows of `order` for each of `samples`
        TOP  # samples for each of `tops`

cdef struct patch_view:  # cells changed since the page was made; they override the page
    uint32_t count
    const uint16_t* places  # ascending
    const uint8_t* tags  # 0: the value is gone
    const int64_t* data  # as in cells: doubles as their bits

cdef struct container:  # the rows of one value
    uint32_t at  # bytes from the start of the page
    uint32_t count  # how many rows have the value
    uint32_t form  # FORM_...

cdef struct block_view:  # pointers into one page and one patch; valid while the Block that owns both lives
    const uint64_t* present  # 1,024 words; NULL: every row has a value
    const uint8_t* tags  # 65,536; NULL: every present row has uniform_tag
    const uint8_t* data  # 65,536 unsigned offsets of `width` bytes, 0 where absent; NULL where width is 0
    uint64_t base  # a row's order code (see `order_code`) is base + unit * offset
    uint64_t unit
    uint64_t top  # the greatest offset
    uint32_t divisor  # doubles that are whole multiples of 1/divisor, coded by the multiple; 0: by their bits
    uint8_t width  # 0, 1, 2, 4 or 8
    uint8_t uniform_tag  # 0 in a page of several types and in one without values
    uint8_t index_kind  # INDEX_...
    uint32_t count  # present rows
    uint32_t counts[9]  # rows by tag, the absent included
    int64_t least[5]  # of INT, DOUBLE (bits), TIMESTAMP, STRING, and of LIST and MAP together, where counts has any
    int64_t greatest[5]
    const uint8_t* page  # where containers count from
    uint32_t key_count  # INDEX_VALUES: of keys and containers
    const uint64_t* keys  # ascending: tag << 56 | offset
    const container* containers
    uint32_t step  # INDEX_ORDER: rows between two sets of `below`, 0 where there are none
    const uint16_t* order  # `count` rows by (offset, row)
    const uint8_t* samples  # offsets (`width` bytes each) of every SAMPLE-th row of `order`, from its first
    const uint8_t* tops  # every TOP-th of `samples`, so that a search touches few cache lines
    const uint64_t* below  # 1,024 words for each k = 1, 2, ... with k * step < count: the first k * step rows of `order`
    patch_view patch

cdef struct page_head:
    uint8_t magic[4]
    uint32_t length
    uint8_t width
    uint8_t uniform_tag
    uint8_t index_kind
    uint8_t reserved
    uint32_t divisor
    uint64_t base
    uint64_t unit
    uint64_t top
    int64_t least[5]
    int64_t greatest[5]
    uint32_t counts[9]
    uint32_t count
    uint32_t step
    uint32_t key_count
    uint32_t present_at  # bytes from the page's start; 0: left out
    uint32_t tags_at
    uint32_t data_at
    uint32_t keys_at
    uint32_t containers_at
    uint32_t order_at
    uint32_t samples_at
    uint32_t tops_at
    uint32_t below_at

cdef uint64_t order_code(uint8_t tag, int64_t data) noexcept nogil
cdef int64_t data_of_code(uint8_t tag, uint64_t code, uint32_t divisor) noexcept nogil
cdef uint8_t width_of(uint64_t top) noexcept nogil
cdef uint32_t samples_of(uint32_t n) noexcept nogil
cdef uint32_t tops_of(uint32_t samples) noexcept nogil
cdef const char* open_page(const uint8_t* page, size_t length, block_view* view) noexcept nogil
