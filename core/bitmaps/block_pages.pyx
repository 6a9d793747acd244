"""The page of a column block: one buffer that is the block in memory, in the store's map and on disk.

A page is a header and sections, each of them at a multiple of 64 bytes from the page's start, all little-endian:

- `present`: 1,024 words, bit i for row i having a value; left out where every row has one.
- `tags`: the type of each row; left out where all present rows have the same.
- `data`: an unsigned offset for each row, as narrow as the greatest asks for; left out where all are 0.
- an index. Where there are few distinct values and all are nulls, bools and strings: for each value, ascending, the
  rows that have it (`keys`, `containers`). For numbers and times, and for many strings: all rows in the order of
  their values (`order`), with samples of the values for searching, and for numbers and times the set of rows below
  every `step`-th (`below`), so that a range is two sets and the few rows between a bound and the nearest of them.

Values are kept as order codes: unsigned 64-bit numbers whose order is the order of the values of a type. An offset is
(code - base) / unit, where unit is the greatest common divisor: whole seconds in microseconds take four bytes
for a century. Doubles of which every one is a decimal with at most four places (the double nearest to k / 10,000) are
coded by k, others by their bits, with the sign made an order.
"""

import sys

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

if sys.byteorder != "little":
    raise ImportError("pages of columns are little-endian, as this machine is not")

cdef enum:
    TAG_DOUBLE = 4
    MOST_KEYS = 65536

cdef uint64_t SIGN = <uint64_t>1 << 63


cdef uint64_t order_code(uint8_t tag, int64_t data) noexcept nogil:
    """The unsigned number by whose order cells of a tag are ordered: ints by value, doubles by value, -0.0 before 0.0."""
    cdef uint64_t bits = <uint64_t>data
    if tag == TAG_DOUBLE and bits & SIGN:
        return ~bits
    return bits ^ SIGN


cdef int64_t data_of_code(uint8_t tag, uint64_t code, uint32_t divisor) noexcept nogil:
    """The cell of an order code; of the double k / divisor where there is a divisor."""
    cdef double value
    cdef int64_t data
    if tag == TAG_DOUBLE:
        if divisor:
            value = <double><int64_t>(code ^ SIGN) / <double>divisor
            memcpy(&data, &value, 8)
            return data
        if not code & SIGN:
            return <int64_t>~code
    return <int64_t>(code ^ SIGN)


cdef uint8_t width_of(uint64_t top) noexcept nogil:
    if top == 0:
        return 0
    if top <= 0xFF:
        return 1
    if top <= 0xFFFF:
        return 2
    return 4 if top <= 0xFFFFFFFFu else 8


cdef uint32_t samples_of(uint32_t n) noexcept nogil:
    return (n + SAMPLE - 1) // SAMPLE


cdef uint32_t tops_of(uint32_t samples) noexcept nogil:
    return (samples + TOP - 1) // TOP


cdef bint holds(const page_head* head, uint32_t at, size_t size) noexcept nogil:
    """Whether a section lies within the page and where its words can be read."""
    return at >= sizeof(page_head) and at % 8 == 0 and at <= head.length and size <= head.length - at


cdef const char* open_index(const uint8_t* page, const page_head* head, block_view* view) noexcept nogil:
    cdef uint32_t k, samples
    cdef size_t size
    cdef const container* box
    if head.index_kind == INDEX_VALUES:
        if not 1 <= head.key_count <= MOST_KEYS or not holds(head, head.keys_at, 8 * head.key_count):
            return "its index of values does not fit"
        if not holds(head, head.containers_at, sizeof(container) * head.key_count):
            return "its index of values does not fit"
        view.key_count = head.key_count
        view.keys = <const uint64_t*>(page + head.keys_at)
        view.containers = <const container*>(page + head.containers_at)
        for k in range(head.key_count):
            box = &view.containers[k]
            if box.count > head.count or box.form > FORM_OTHERS:
                return "a value has more users than there are"
            if box.form == FORM_WORDS:
                size = WORDS * 8
            else:
                size = 2 * (box.count if box.form == FORM_ARRAY else head.count - box.count)
            if box.at < sizeof(page_head) or box.at > head.length or size > head.length - box.at or box.at % 2:
                return "the users of a value lie outside of it"
            if box.form == FORM_WORDS and box.at % 8:
                return "the users of a value lie outside of it"
            if k and view.keys[k] <= view.keys[k - 1]:
                return "its values are out of order"
    elif head.index_kind == INDEX_ORDER:
        samples = samples_of(head.count)
        if not head.uniform_tag or not head.count or not head.width:
            return "an order of nothing"
        if not holds(head, head.order_at, 2 * head.count) or not holds(head, head.samples_at, samples * head.width):
            return "its order does not fit"
        if not holds(head, head.tops_at, tops_of(samples) * head.width):
            return "its order does not fit"
        if head.step and not holds(head, head.below_at, (head.count - 1) // head.step * <size_t>(WORDS * 8)):
            return "its sets of users in order do not fit"
        view.step = head.step
        view.order = <const uint16_t*>(page + head.order_at)
        view.samples = page + head.samples_at
        view.tops = page + head.tops_at
        view.below = <const uint64_t*>(page + head.below_at) if head.step else NULL
    elif head.index_kind != INDEX_NONE:
        return "an index of unknown kind"
    view.index_kind = head.index_kind
    return NULL


cdef const char* open_page(const uint8_t* page, size_t length, block_view* view) noexcept nogil:
    """Point a view (its patch excepted) into a page, after which no kernel can be led outside of it.

    Arguments:
        page: at a multiple of 8 bytes.

    Returns:
        NULL, or what is wrong with the page.
    """
    cdef const page_head* head = <const page_head*>page
    cdef uint64_t total = 0
    cdef int tag
    if length < sizeof(page_head) or memcmp(head.magic, <const char*>b"MCB\x02", 4):
        return "it is none"
    if head.length != length:
        return "it has the wrong length"
    if head.width not in (0, 1, 2, 4, 8) or head.uniform_tag >= TAGS or head.divisor not in (0, DIVISOR):
        return "its cells are of no known kind"
    for tag in range(TAGS):
        total += head.counts[tag]
    if total != ROWS or head.count != ROWS - head.counts[0] or head.unit == 0:
        return "its counts do not agree"
    if head.uniform_tag and head.counts[head.uniform_tag] != head.count:
        return "its counts do not agree"
    if width_of(head.top) > head.width or (head.divisor and head.uniform_tag != TAG_DOUBLE):
        return "its cells are of no known kind"
    if head.count < ROWS and not holds(head, head.present_at, WORDS * 8):
        return "its sections do not fit"
    if not head.uniform_tag and head.count and not holds(head, head.tags_at, ROWS):
        return "its sections do not fit"
    if head.width and not holds(head, head.data_at, ROWS * head.width):
        return "its sections do not fit"
    view.page = page
    view.present = <const uint64_t*>(page + head.present_at) if head.count < ROWS else NULL
    view.tags = page + head.tags_at if not head.uniform_tag and head.count else NULL
    view.data = page + head.data_at if head.width else NULL
    view.base, view.unit, view.top = head.base, head.unit, head.top
    view.divisor, view.width, view.uniform_tag = head.divisor, head.width, head.uniform_tag
    view.count = head.count
    memcpy(view.counts, head.counts, sizeof(view.counts))
    memcpy(view.least, head.least, sizeof(view.least))
    memcpy(view.greatest, head.greatest, sizeof(view.greatest))
    return open_index(page, head, view)
