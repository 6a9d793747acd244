"""Counters by slot: rows of events (or of list elements) counted and added up, each into the slot of its user (or list).

Rows are taken in their order, so that doubles add up as one would add them by hand. Every function checks its arguments
with the GIL held and then works in a `noexcept nogil` function.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:  # the tags of core.evaluator.vector
    NOTHING = 0
    INT = 3
    DOUBLE = 4
    UINT = 9
    WRONG_TYPE = 254
    OTHER_ERROR = 255


cdef extern from *:
    bint __builtin_saddll_overflow(long long left, long long right, long long* total) noexcept nogil
    bint __builtin_uaddll_overflow(
        unsigned long long left, unsigned long long right, unsigned long long* total
    ) noexcept nogil


cdef bint outside(const int64_t* slots, size_t rows, size_t size) noexcept nogil:
    """Whether a slot lies outside 0..size-1; a negative one is a large number without its sign."""
    cdef size_t row
    cdef uint64_t greatest = 0
    for row in range(rows):
        if <uint64_t>slots[row] > greatest:
            greatest = <uint64_t>slots[row]
    return rows > 0 and greatest >= size


cdef void count_rows(const int64_t* slots, const uint8_t* flags, size_t rows, uint32_t* counters) noexcept nogil:
    cdef size_t row
    for row in range(rows):
        counters[slots[row]] += flags[row]


def count_into(
    const int64_t[::1] slots not None, const uint8_t[::1] flags not None, uint32_t[::1] counters not None
):
    """Count each row whose flag is set in its slot's counter.

    Arguments:
        slots: int64[n]. flags: uint8[n], 0 or 1 (a bool array viewed as bytes).
        counters: uint32[m], added to; the caller has fewer than 2**32 rows.

    Raises:
        ValueError: arrays of different lengths, or a slot that is not there.
    """
    cdef size_t rows = slots.shape[0]
    cdef bint wrong = False
    if <size_t>flags.shape[0] != rows:
        raise ValueError(f"{slots.shape[0]} slots with {flags.shape[0]} flags")
    if rows == 0:
        return
    with nogil:
        wrong = outside(&slots[0], rows, counters.shape[0])
        if not wrong:
            count_rows(&slots[0], &flags[0], rows, &counters[0])
    if wrong:
        raise ValueError("a slot that is not there")


cdef inline int64_t added(uint8_t* tag, int64_t left, int64_t right) noexcept nogil:
    cdef double one, two
    cdef int64_t bits = 0
    cdef long long whole = 0
    cdef unsigned long long natural = 0
    if tag[0] == DOUBLE:
        memcpy(&one, &left, 8)
        memcpy(&two, &right, 8)
        one = one + two
        memcpy(&bits, &one, 8)
        return bits
    if tag[0] == INT:
        if __builtin_saddll_overflow(left, right, &whole):
            tag[0] = OTHER_ERROR
            return 0
        return whole
    if __builtin_uaddll_overflow(<uint64_t>left, <uint64_t>right, &natural):
        tag[0] = OTHER_ERROR
        return 0
    return <int64_t>natural


cdef void sum_rows(
    const int64_t* slots, const uint8_t* tags, const int64_t* data, size_t rows, uint8_t* sum_tags, int64_t* sums
) noexcept nogil:
    cdef size_t row
    cdef int64_t slot
    cdef uint8_t tag, own
    for row in range(rows):
        slot = slots[row]
        own = sum_tags[slot]
        if own >= WRONG_TYPE:
            continue
        tag = tags[row]
        if (tag != INT and tag != DOUBLE and tag != UINT) or (own != NOTHING and own != tag):
            sum_tags[slot] = WRONG_TYPE
            sums[slot] = 0
        elif own == NOTHING:
            sum_tags[slot] = tag
            sums[slot] = data[row]
        else:
            sums[slot] = added(&sum_tags[slot], sums[slot], data[row])


def sum_into(
    const int64_t[::1] slots not None, const uint8_t[::1] tags not None, const int64_t[::1] data not None,
    uint8_t[::1] sum_tags not None, int64_t[::1] sums not None,
):
    """Add each row to its slot's sum, with CEL's errors: one numeric type, no overflow; the first error stays.

    Arguments:
        slots: int64[n]. tags: uint8[n], data: int64[n], the values as in a vector; what is no number is an error.
        sum_tags: uint8[m], sums: int64[m], changed in place: the tag of the sum so far and its bits; the tag is 0 where
            there was no row yet, 254 after a wrong type, 255 after an overflow.

    Raises:
        ValueError: arrays of different lengths, or a slot that is not there.
    """
    cdef size_t rows = slots.shape[0]
    cdef bint wrong = False
    if <size_t>tags.shape[0] != rows or <size_t>data.shape[0] != rows:
        raise ValueError(f"{slots.shape[0]} slots with {tags.shape[0]} tags and {data.shape[0]} values")
    if sum_tags.shape[0] != sums.shape[0]:
        raise ValueError(f"{sums.shape[0]} sums with {sum_tags.shape[0]} tags")
    if rows == 0:
        return
    with nogil:
        wrong = outside(&slots[0], rows, sums.shape[0])
        if not wrong:
            sum_rows(&slots[0], &tags[0], &data[0], rows, &sum_tags[0], &sums[0])
    if wrong:
        raise ValueError("a slot that is not there")
