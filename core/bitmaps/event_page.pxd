"""The page of the events of one name and UTC day: its format, and how kernels look at it.

One buffer, little-endian: `page_header`, then a `column_header` for the times, one for the arrivals and one for each
property, then the sections that they name, each at a multiple of 64 bytes from the page's begin. Rows are sorted by
ordinal, then time, then arrival; rows that are equal in these stand in the order in which they came.

A column's value in a row is `base + unit * offset` with an unsigned offset of `width` bytes (0 where all are equal), in
64-bit arithmetic that wraps; a double is that number divided by ten to the `scale`, or where no scale gives every double
back bit for bit, the offset is its bits. An absent value has the offset 0.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    PAGE_MAGIC = 0x31544E45  # "ENT1"
    NO_SCALE = 255
    MOST_SCALE = 4
    EVERY = 0  # every row has a value of the column's tag
    SOME = 1  # the rows whose bit is set in `present_at` have a value of the column's tag
    TAGGED = 2  # each row has a tag of its own in `tags_at`, 0 for none
    RELATIVE_ARRIVALS = 1  # a flag: arrivals are stored as what they are later than the time

cdef struct page_header:  # 128 bytes
    uint64_t magic
    uint64_t size  # of the page
    uint32_t rows
    uint32_t blocks  # of 65,536 users that have a row
    uint32_t columns  # properties
    uint32_t flags
    uint64_t blocks_at  # uint32[blocks]: the blocks' numbers, ascending; uint32[blocks + 1]: where their rows begin
    uint64_t ordinals_at  # uint16[rows]: the lower half of the ordinal
    uint64_t identities_at  # uint64[rows], see core.bitmaps.event_identity
    uint64_t ends_at  # uint64[rows]: where the row's insert id ends in the heap; 0 where none was sent with one
    uint64_t heap_at
    uint64_t heap_size
    uint64_t spare[6]

cdef struct column_header:  # 64 bytes
    uint32_t owner  # of a property: its number in its table
    uint8_t width
    uint8_t tag
    uint8_t scale
    uint8_t kind
    int64_t base
    uint64_t unit
    int64_t least  # of the values, doubles by their bits; TAGGED: how many strings' codes it reaches
    int64_t greatest  # TAGGED: how many codes of lists and maps it reaches
    uint64_t present_at  # uint64[ceil(rows / 64)], SOME only
    uint64_t tags_at  # uint8[rows], TAGGED only
    uint64_t data_at  # width * rows bytes

cdef struct event_column:
    const uint64_t* present  # NULL but for SOME
    const uint8_t* tags  # NULL but for TAGGED
    const uint8_t* data  # NULL where width is 0
    int64_t base
    uint64_t unit
    int64_t least
    int64_t greatest
    uint32_t owner
    uint8_t width
    uint8_t tag
    uint8_t scale
    uint8_t kind

cdef struct event_view:  # pointers into one page; they hold while its EventPage lives
    uint32_t rows
    uint32_t blocks
    uint32_t columns
    uint32_t flags
    const uint32_t* numbers
    const uint32_t* starts
    const uint16_t* ordinals
    const uint64_t* identities
    const uint64_t* ends  # NULL where no row was sent with an insert id
    const uint8_t* heap
    uint64_t heap_size
    event_column times
    event_column arrivals
    event_column* properties

cdef extern from *:
    """
    #ifndef MUSTER_EVENT_PAGE
    #define MUSTER_EVENT_PAGE
    #include <stdint.h>
    #include <string.h>

    static inline uint64_t column_offset(const uint8_t* data, unsigned width, uint64_t row)
    {
        switch (width) {
        case 1: return data[row];
        case 2: return ((const uint16_t*)data)[row];
        case 4: return ((const uint32_t*)data)[row];
        case 8: return ((const uint64_t*)data)[row];
        default: return 0;
        }
    }

    /* A scaled double's bits; division rounds to the nearest, which is what the writer checked. */
    static inline int64_t unscaled(int64_t number, unsigned scale)
    {
        static const double tens[5] = {1.0, 10.0, 100.0, 1000.0, 10000.0};
        const double value = (double)number / tens[scale];
        int64_t bits;
        memcpy(&bits, &value, 8);
        return bits;
    }
    #endif
    """
    uint64_t column_offset(const uint8_t* data, unsigned width, uint64_t row) noexcept nogil
    int64_t unscaled(int64_t number, unsigned scale) noexcept nogil

cdef inline int64_t number_at(const event_column* column, uint64_t row) noexcept nogil:
    """A row's number: the value, but for a scaled double what its scale is to divide."""
    return <int64_t>(<uint64_t>column.base + column.unit * column_offset(column.data, column.width, row))

cdef inline int64_t value_at(const event_column* column, uint64_t row) noexcept nogil:
    """A row's value as 64 bits; of no meaning where it has none."""
    cdef int64_t number = number_at(column, row)
    return number if column.scale == NO_SCALE else unscaled(number, column.scale)

cdef inline uint8_t tag_at(const event_column* column, uint64_t row) noexcept nogil:
    """A row's tag, 0 for no value."""
    if column.kind == TAGGED:
        return column.tags[row]
    if column.kind == SOME and not (column.present[row >> 6] >> (row & 63)) & 1:
        return 0
    return column.tag

cdef class EventPage:
    cdef event_view view
    cdef object _page  # whoever owns the bytes that `view` points into
    cdef Py_buffer _buffer  # they are lent until the end
    cdef int _take(self, const uint8_t* start, uint64_t size) except -1
    cdef int _column(
        self, event_column* column, const column_header* header, const uint8_t* start, uint64_t size
    ) except -1
    cdef const event_column* _find_column(self, uint32_t owner) noexcept nogil
    cdef int _check(self, const int64_t[::1] places) except -1
    cdef object _data(self, const event_column* column, const int64_t[::1] places)
