"""Writes the page of a day's events: for each column the narrowest form that gives every value back bit for bit."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport fabs, rint
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

from core.bitmaps.event_page cimport (
    EVERY, MOST_SCALE, NO_SCALE, PAGE_MAGIC, RELATIVE_ARRIVALS, SOME, TAGGED, column_header, page_header, unscaled
)

cdef enum:
    DOUBLE = 4
    STRING = 5
    TIMESTAMP = 6
    LIST = 7
    MAP = 8
    TYPES = 9

cdef double[5] TENS = [1.0, 10.0, 100.0, 1000.0, 10000.0]
cdef double MOST_EXACT = 9007199254740992.0  # 2**53: whole numbers below it are doubles, one by one


cdef inline uint64_t aligned(uint64_t at) noexcept nogil:
    return (at + 63) & ~<uint64_t>63


cdef inline uint64_t divisor(uint64_t one, uint64_t other) noexcept nogil:
    """The greatest common divisor (Euclid)."""
    while other:
        one, other = other, one % other
    return one


cdef inline uint8_t width_of(uint64_t greatest) noexcept nogil:
    """The bytes that hold numbers up to one."""
    if greatest == 0:
        return 0
    if greatest <= 0xFF:
        return 1
    if greatest <= 0xFFFF:
        return 2
    return 4 if greatest >> 32 == 0 else 8


cdef inline double as_double(int64_t bits) noexcept nogil:
    cdef double value
    memcpy(&value, &bits, 8)
    return value


cdef inline bint scaled(int64_t bits, int scale, int64_t* number) noexcept nogil:
    """The whole number that a double is when multiplied by ten to the scale, if that gives it back."""
    cdef double many = rint(as_double(bits) * TENS[scale])
    if not fabs(many) < MOST_EXACT:
        return False
    number[0] = <int64_t>many
    return unscaled(number[0], scale) == bits


cdef void plan_doubles(column_header* header, const uint8_t* tags, const int64_t* data, uint64_t n) noexcept nogil:
    """Doubles of one tag: the smallest scale that is exact, or their bits."""
    cdef int scale
    cdef uint64_t i
    cdef int64_t number = 0, least = 0, greatest = 0
    cdef bint first = True, exact
    for i in range(n):
        if tags[i]:
            if first or as_double(data[i]) < as_double(header.least):
                header.least = data[i]
            if first or as_double(data[i]) > as_double(header.greatest):
                header.greatest = data[i]
            first = False
    for scale in range(MOST_SCALE + 1):
        first, exact = True, True
        for i in range(n):
            if tags[i]:
                if not scaled(data[i], scale, &number):
                    exact = False
                    break
                least = number if first or number < least else least
                greatest = number if first or number > greatest else greatest
                first = False
        if exact:
            header.scale, header.base = scale, least
            header.width = width_of(<uint64_t>greatest - <uint64_t>least)
            return
    header.width = 8


cdef void plan(column_header* header, const uint8_t* tags, const int64_t* data, uint64_t n) noexcept nogil:
    """Choose a column's form; `tags` is NULL where all are timestamps."""
    cdef uint64_t i, unit = 0, present = 0, span
    cdef uint8_t tag = 0
    cdef bint mixed = False, first = True
    cdef int64_t texts = 0, blobs = 0
    header.scale, header.unit, header.base = NO_SCALE, 1, 0
    if tags == NULL:
        tag, present = TIMESTAMP, n
    else:
        for i in range(n):
            if tags[i]:
                present += 1
                mixed |= tag != 0 and tags[i] != tag
                tag = tags[i]
    header.tag = 0 if mixed else tag
    header.kind = TAGGED if mixed else (EVERY if present == n else SOME)
    if tag == DOUBLE and not mixed:
        plan_doubles(header, tags, data, n)
        return
    for i in range(n):
        if tags == NULL or tags[i]:
            if first or data[i] < header.least:
                header.least = data[i]
            if first or data[i] > header.greatest:
                header.greatest = data[i]
            first = False
            if mixed and tags[i] == STRING and data[i] >= texts:
                texts = data[i] + 1
            elif mixed and (tags[i] == LIST or tags[i] == MAP) and data[i] >= blobs:
                blobs = data[i] + 1
    header.base = header.least
    span = <uint64_t>header.greatest - <uint64_t>header.least
    if tag == TIMESTAMP and not mixed and span:
        for i in range(n):
            if tags == NULL or tags[i]:
                if unit == 0 or (<uint64_t>data[i] - <uint64_t>header.base) % unit:
                    unit = divisor(<uint64_t>data[i] - <uint64_t>header.base, unit)
                    if unit == 1:
                        break
        header.unit = unit
        span = span // unit
    header.width = width_of(span)
    if mixed:
        header.least, header.greatest = texts, blobs


cdef uint64_t place(column_header* header, uint64_t at, uint64_t n) noexcept nogil:
    """Give a column's sections their places, from `at` on; returns where the next section may begin."""
    if header.kind == SOME:
        header.present_at = at
        at = aligned(at + 8 * ((n + 63) // 64))
    elif header.kind == TAGGED:
        header.tags_at = at
        at = aligned(at + n)
    if header.width:
        header.data_at = at
        at = aligned(at + n * header.width)
    return at


cdef void write(
    const column_header* header, const uint8_t* tags, const int64_t* data, uint64_t n, uint8_t* page
) noexcept nogil:
    """Write a column's sections into a page of zeros."""
    cdef uint64_t i, offset
    cdef int64_t number = 0
    cdef uint64_t* present = <uint64_t*>(page + header.present_at)
    cdef uint8_t* out = page + header.data_at
    if header.kind == SOME:
        for i in range(n):
            present[i >> 6] |= <uint64_t>(tags[i] != 0) << (i & 63)
    elif header.kind == TAGGED:
        memcpy(page + header.tags_at, tags, n)
    if header.width == 0:
        return
    for i in range(n):
        if tags != NULL and tags[i] == 0:
            continue
        number = data[i]
        if header.scale != NO_SCALE:
            scaled(data[i], header.scale, &number)
        offset = <uint64_t>number - <uint64_t>header.base
        if header.unit != 1:
            offset = offset // header.unit
        if header.width == 1:
            out[i] = <uint8_t>offset
        elif header.width == 2:
            (<uint16_t*>out)[i] = <uint16_t>offset
        elif header.width == 4:
            (<uint32_t*>out)[i] = <uint32_t>offset
        else:
            (<uint64_t*>out)[i] = offset


cdef struct source:  # a column's cells as they come; `tags` is NULL for times and arrivals
    const uint8_t* tags
    const int64_t* data


cdef struct spans:  # texts in a heap, one after the other in no particular order
    const uint8_t* heap
    const uint64_t* starts
    const uint32_t* lengths


cdef class _Columns:
    """Times, arrivals and properties: where they come from and how they are going to stand."""

    cdef column_header* headers
    cdef source* sources
    cdef uint64_t count, rows
    cdef list kept  # the arrays that `sources` points into

    def __cinit__(self, uint64_t count, uint64_t rows):
        self.headers = <column_header*>calloc(count, sizeof(column_header))
        self.sources = <source*>calloc(count, sizeof(source))
        self.count, self.rows, self.kept = count, rows, []
        if self.headers == NULL or self.sources == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.headers)
        free(self.sources)

    cdef int take(self, uint64_t place, uint32_t owner, const uint8_t[::1] tags, const int64_t[::1] data) except -1:
        """Put a column at its place and choose its form."""
        if <uint64_t>data.shape[0] != self.rows or (tags is not None and <uint64_t>tags.shape[0] != self.rows):
            raise ValueError(f"a column of {data.shape[0]} values for {self.rows} rows")
        cdef column_header* header = self.headers + place
        cdef source* cells = self.sources + place
        self.kept.append((tags, data))
        cells.data = &data[0]
        if tags is not None:
            cells.tags = &tags[0]
        else:
            cells.tags = NULL
        memset(header, 0, sizeof(column_header))
        header.owner = owner
        with nogil:
            plan(header, cells.tags, cells.data, self.rows)
        return 0


def write_page(
    const uint32_t[::1] ordinals not None, const int64_t[::1] times not None, const int64_t[::1] arrivals not None,
    const uint64_t[::1] identities not None, insert_ids, properties,
):
    """The page of n rows, which are in order.

    Arguments:
        ordinals: uint32[n]; times, arrivals: int64[n], micros UTC; identities: uint64[n]. n is at least 1.
        insert_ids: a heap (bytes), starts uint64[n] and lengths uint32[n] in it; None where no row was sent with one.
        properties: (owner, tags uint8[n], data int64[n]) of each property that some row has, owners ascending.

    Raises:
        ValueError: arrays of different lengths, no rows, rows or properties out of order, or an insert id outside its
            heap.
    """
    cdef uint64_t n = ordinals.shape[0], i, at
    cdef const uint8_t[::1] heap
    cdef const uint64_t[::1] starts
    cdef const uint32_t[::1] lengths
    cdef spans texts
    cdef page_header head
    memset(&texts, 0, sizeof(texts))
    memset(&head, 0, sizeof(head))
    if n == 0 or <uint64_t>identities.shape[0] != n or <uint64_t>times.shape[0] != n:
        raise ValueError(f"{n} ordinals with {times.shape[0]} times and {identities.shape[0]} identities")
    for i in range(n):
        if i and ordinals[i] < ordinals[i - 1]:
            raise ValueError("rows out of order")
        head.blocks += i == 0 or ordinals[i] >> 16 != ordinals[i - 1] >> 16
    if insert_ids is not None:
        heap, starts, lengths = insert_ids
        if <uint64_t>starts.shape[0] != n or <uint64_t>lengths.shape[0] != n:
            raise ValueError(f"{n} ordinals with {starts.shape[0]} insert ids")
        for i in range(n):
            if starts[i] > <uint64_t>heap.shape[0] or lengths[i] > heap.shape[0] - starts[i]:
                raise ValueError("an insert id outside its heap")
            head.heap_size += lengths[i]
        if head.heap_size:
            texts.heap, texts.starts, texts.lengths = &heap[0], &starts[0], &lengths[0]
    cdef _Columns columns = _Columns(2 + len(properties), n)
    columns.take(0, 0, None, times)
    columns.take(1, 0, None, arrivals)
    cdef column_header absolute = columns.headers[1]
    columns.take(1, 0, None, np.subtract(arrivals, times))
    head.flags = RELATIVE_ARRIVALS
    if columns.headers[1].width >= absolute.width:
        columns.take(1, 0, None, arrivals)
        head.flags = 0
    for i, (owner, tags, data) in enumerate(properties, 2):
        columns.take(i, owner, tags, data)
        if columns.headers[i].kind == SOME and columns.headers[i].tag == 0:
            raise ValueError("a property that no row has")
        if i > 2 and columns.headers[i].owner <= columns.headers[i - 1].owner:
            raise ValueError("properties out of order")
    lay_out(&head, columns.headers, columns.count, n)
    page = PyBytes_FromStringAndSize(NULL, head.size)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(page)
    with nogil:
        fill(out, &head, columns.headers, columns.sources, columns.count, &ordinals[0], &identities[0], &texts)
    return page


cdef void lay_out(page_header* head, column_header* headers, uint64_t count, uint64_t n) noexcept nogil:
    """Give every section its place and the page its size."""
    cdef uint64_t at = aligned(sizeof(page_header) + count * sizeof(column_header)), i
    head.magic, head.rows, head.columns = PAGE_MAGIC, <uint32_t>n, <uint32_t>(count - 2)
    head.blocks_at = at
    at = aligned(at + 4 * (2 * <uint64_t>head.blocks + 1))
    head.ordinals_at = at
    at = aligned(at + 2 * n)
    for i in range(count):
        at = place(&headers[i], at, n)
    head.identities_at = at
    at = aligned(at + 8 * n)
    if head.heap_size:
        head.ends_at = at
        at = aligned(at + 8 * n)
    head.heap_at = at
    head.size = at + head.heap_size


cdef void fill(
    uint8_t* page, const page_header* head, const column_header* headers, const source* sources, uint64_t count,
    const uint32_t* ordinals, const uint64_t* identities, const spans* texts
) noexcept nogil:
    """Write all of a page, whose bytes hold anything."""
    cdef uint64_t i, at = 0, n = head.rows
    cdef uint32_t block = 0
    memset(page, 0, head.size)
    memcpy(page, head, sizeof(page_header))
    memcpy(page + sizeof(page_header), headers, count * sizeof(column_header))
    cdef uint32_t* numbers = <uint32_t*>(page + head.blocks_at)
    cdef uint32_t* starts = numbers + head.blocks
    cdef uint16_t* low = <uint16_t*>(page + head.ordinals_at)
    for i in range(n):
        if i == 0 or ordinals[i] >> 16 != ordinals[i - 1] >> 16:
            numbers[block] = ordinals[i] >> 16
            starts[block] = <uint32_t>i
            block += 1
        low[i] = <uint16_t>(ordinals[i] & 0xFFFF)
    starts[block] = <uint32_t>n
    for i in range(count):
        write(&headers[i], sources[i].tags, sources[i].data, n, page)
    memcpy(page + head.identities_at, identities, 8 * n)
    if head.heap_size == 0:
        return
    cdef uint64_t* ends = <uint64_t*>(page + head.ends_at)
    for i in range(n):
        memcpy(page + head.heap_at + at, texts.heap + texts.starts[i], texts.lengths[i])
        at += texts.lengths[i]
        ends[i] = at
