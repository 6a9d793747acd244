"""A day's events as an immutable page, read in place. The format stands in event_page.pxd.

A page is validated when it is taken, at the cost of its columns and blocks; after that every offset that a method or
kernel computes lies inside it, whatever its rows say.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

import numpy as np

from core.errors import StoreError

cdef enum:
    TYPES = 9  # of core.values.ValueType
    MOST_BLOCKS = 65536


def _damaged(what):
    return StoreError(f"a page of events {what}", code="STORE_DAMAGED")


cdef bint fits(uint64_t at, uint64_t count, uint64_t width, uint64_t size) noexcept nogil:
    """Whether `count` items of `width` bytes from an aligned place lie inside."""
    return at % 64 == 0 and at <= size and count <= (size - at) // width


cdef class EventPage:
    """The events of a page.

    Arguments:
        page: any object with the buffer protocol, kept as long as this is.

    Raises:
        StoreError: STORE_DAMAGED.
    """

    def __cinit__(self, page):
        PyObject_GetBuffer(page, &self._buffer, PyBUF_SIMPLE)
        if <uint64_t>self._buffer.buf % 8:  # a kernel reads eight bytes at a time
            PyBuffer_Release(&self._buffer)
            page = bytes(page)
            PyObject_GetBuffer(page, &self._buffer, PyBUF_SIMPLE)
        self._page = page
        self._take(<const uint8_t*>self._buffer.buf, self._buffer.len)

    def __dealloc__(self):
        free(self.view.properties)
        PyBuffer_Release(&self._buffer)

    cdef int _take(self, const uint8_t* start, uint64_t size) except -1:
        cdef event_view* view = &self.view
        cdef const page_header* header = <const page_header*>start
        cdef const column_header* columns = <const column_header*>(start + sizeof(page_header))
        cdef uint32_t b
        if size < sizeof(page_header) or header.magic != PAGE_MAGIC or header.size != size:
            raise _damaged("is cut short, or none")
        if header.rows == 0 or header.blocks == 0 or header.blocks > MOST_BLOCKS or header.blocks > header.rows:
            raise _damaged("has no rows")
        if header.columns > size // sizeof(column_header) or not fits(
            sizeof(page_header), <uint64_t>header.columns + 2, sizeof(column_header), size
        ):
            raise _damaged("has more columns than it holds")
        if not (
            fits(header.blocks_at, 2 * <uint64_t>header.blocks + 1, 4, size)
            and fits(header.ordinals_at, header.rows, 2, size)
            and fits(header.identities_at, header.rows, 8, size)
            and (header.ends_at == 0 or fits(header.ends_at, header.rows, 8, size))
            and fits(header.heap_at, header.heap_size, 1, size)
        ):
            raise _damaged("has a section beyond its end")
        view.rows, view.blocks, view.flags = header.rows, header.blocks, header.flags
        view.numbers = <const uint32_t*>(start + header.blocks_at)
        view.starts = view.numbers + header.blocks
        view.ordinals = <const uint16_t*>(start + header.ordinals_at)
        view.identities = <const uint64_t*>(start + header.identities_at)
        view.ends = <const uint64_t*>(start + header.ends_at) if header.ends_at else NULL
        view.heap, view.heap_size = start + header.heap_at, header.heap_size
        for b in range(view.blocks):
            if view.numbers[b] >= MOST_BLOCKS or (b and view.numbers[b] <= view.numbers[b - 1]):
                raise _damaged("has blocks out of order")
            if view.starts[b] >= view.starts[b + 1]:
                raise _damaged("has a block without rows")
        if view.starts[0] != 0 or view.starts[view.blocks] != view.rows:
            raise _damaged("has rows of no block")
        view.properties = <event_column*>calloc(max(1, header.columns), sizeof(event_column))
        if view.properties == NULL:
            raise MemoryError
        self._column(&view.times, columns, start, size)
        self._column(&view.arrivals, columns + 1, start, size)
        for b in range(header.columns):
            self._column(view.properties + b, columns + 2 + b, start, size)
            if b and view.properties[b].owner <= view.properties[b - 1].owner:
                raise _damaged("has properties out of order")
        view.columns = header.columns
        if view.times.kind != EVERY or view.arrivals.kind != EVERY:
            raise _damaged("has rows without a time")
        return 0

    cdef int _column(self, event_column* column, const column_header* header, const uint8_t* start, uint64_t size) except -1:
        cdef uint64_t rows = self.view.rows
        cdef uint8_t width = header.width
        if width not in (0, 1, 2, 4, 8) or header.kind > TAGGED or header.tag >= TYPES:
            raise _damaged("has a column of no kind")
        if (header.tag == 0) != (header.kind == TAGGED):
            raise _damaged("has a column without a type")
        if header.scale != NO_SCALE and (header.scale > MOST_SCALE or header.tag != 4):
            raise _damaged("has a column of no scale")
        if header.tag == 4 and header.scale == NO_SCALE and (width != 8 or header.base != 0 or header.unit != 1):
            raise _damaged("has a column of no scale")
        if header.unit == 0 or (width and not fits(header.data_at, rows, width, size)):
            raise _damaged("has a column beyond its end")
        if header.kind == SOME and not fits(header.present_at, (rows + 63) // 64, 8, size):
            raise _damaged("has a column beyond its end")
        if header.kind == TAGGED and not fits(header.tags_at, rows, 1, size):
            raise _damaged("has a column beyond its end")
        column.owner, column.width, column.tag = header.owner, width, header.tag
        column.scale, column.kind, column.base, column.unit = header.scale, header.kind, header.base, header.unit
        column.least, column.greatest = header.least, header.greatest
        column.data = start + header.data_at if width else NULL
        column.present = <const uint64_t*>(start + header.present_at) if header.kind == SOME else NULL
        column.tags = start + header.tags_at if header.kind == TAGGED else NULL
        return 0

    def __len__(self):
        return self.view.rows

    @property
    def page(self):
        """The page's bytes, as they were given."""
        return self._page

    def owners(self):
        """The numbers of the properties that some row has, ascending."""
        return [self.view.properties[c].owner for c in range(self.view.columns)]

    def reach(self, owner):
        """How many codes of strings, and of lists and maps, a property's cells may refer to."""
        cdef const event_column* column = self._find_column(owner)
        if column == NULL:
            return 0, 0
        if column.kind == TAGGED:
            return column.least, column.greatest
        if column.tag == 5:
            return (-1 if column.least < 0 else column.greatest + 1), 0
        if column.tag in (7, 8):
            return 0, (-1 if column.least < 0 else column.greatest + 1)
        return 0, 0

    def least_time(self):
        """Micros UTC of the earliest event."""
        return self.view.times.least

    def greatest_time(self):
        """Micros UTC of the latest event."""
        return self.view.times.greatest

    cdef const event_column* _find_column(self, uint32_t owner) noexcept nogil:
        cdef uint32_t c
        for c in range(self.view.columns):
            if self.view.properties[c].owner == owner:
                return self.view.properties + c
        return NULL

    cdef int _check(self, const int64_t[::1] places) except -1:
        cdef Py_ssize_t i
        cdef uint64_t greatest = 0
        for i in range(places.shape[0]):
            if <uint64_t>places[i] > greatest:
                greatest = <uint64_t>places[i]
        if places.shape[0] and greatest >= self.view.rows:
            raise IndexError(f"row {greatest} of a page of {self.view.rows}")
        return 0

    def ordinals(self, const int64_t[::1] places=None):
        """uint32[n] of some rows (int64[n]), of all in order where None. Raises IndexError."""
        cdef uint64_t n = self.view.rows if places is None else places.shape[0]
        found = np.empty(n, np.uint32)
        cdef uint32_t[::1] cells = found
        cdef uint32_t b, row
        cdef uint64_t i
        if places is None:
            with nogil:
                for b in range(self.view.blocks):
                    for row in range(self.view.starts[b], self.view.starts[b + 1]):
                        cells[row] = self.view.numbers[b] << 16 | self.view.ordinals[row]
            return found
        self._check(places)
        with nogil:
            b = 0
            for i in range(n):
                if not self.view.starts[b] <= places[i] < self.view.starts[b + 1]:
                    b = block_of_row(&self.view, <uint32_t>places[i])
                cells[i] = self.view.numbers[b] << 16 | self.view.ordinals[places[i]]
        return found

    def times(self, const int64_t[::1] places=None):
        """int64[n] micros UTC, as `ordinals`."""
        return self._data(&self.view.times, places)

    def arrivals(self, const int64_t[::1] places=None):
        """int64[n] micros UTC, as `ordinals`."""
        found = self._data(&self.view.arrivals, places)
        return found + self.times(places) if self.view.flags & RELATIVE_ARRIVALS else found

    def identities(self, const int64_t[::1] places=None):
        """uint64[n], as `ordinals`."""
        cdef uint64_t n = self.view.rows if places is None else places.shape[0], i
        if places is not None:
            self._check(places)
        found = np.empty(n, np.uint64)
        cdef uint64_t[::1] cells = found
        with nogil:
            for i in range(n):
                cells[i] = self.view.identities[i if places is None else <uint64_t>places[i]]
        return found

    cdef object _data(self, const event_column* column, const int64_t[::1] places):
        cdef uint64_t n = self.view.rows if places is None else places.shape[0]
        if places is not None:
            self._check(places)
        found = np.empty(n, np.int64)
        cdef int64_t[::1] cells = found
        cdef const int64_t* chosen = NULL
        if n and places is not None:
            chosen = &places[0]
        if n:
            with nogil:
                gather(column, chosen, n, &cells[0])
        return found

    def property(self, uint32_t owner, const int64_t[::1] places=None):
        """Tags uint8[n] and data int64[n] of a property, as `ordinals`; None where no row has it. Raises StoreError."""
        cdef const event_column* column = self._find_column(owner)
        if column == NULL:
            return None
        data = self._data(column, places)
        cdef uint64_t n = len(data), i
        tags = np.empty(n, np.uint8)
        cdef uint8_t[::1] tag_cells = tags
        cdef int64_t[::1] cells = data
        cdef uint8_t greatest = 0
        if column.kind == EVERY:
            tags.fill(column.tag)
            return tags, data
        with nogil:
            for i in range(n):
                tag_cells[i] = tag_at(column, i if places is None else <uint64_t>places[i])
                if tag_cells[i] == 0:
                    cells[i] = 0
                elif tag_cells[i] > greatest:
                    greatest = tag_cells[i]
        if greatest >= TYPES:
            raise _damaged("has a value of no type")
        return tags, data

    def insert_ids(self, const int64_t[::1] places not None):
        """The insert id of each of some rows, "" where it was sent without one. Raises IndexError, StoreError."""
        self._check(places)
        if self.view.ends == NULL:
            return [""] * places.shape[0]
        cdef Py_ssize_t i
        cdef uint64_t first, last
        found = []
        for i in range(places.shape[0]):
            first = self.view.ends[places[i] - 1] if places[i] else 0
            last = self.view.ends[places[i]]
            if first > last or last > self.view.heap_size:
                raise _damaged("has an insert id beyond its end")
            try:
                found.append(PyUnicode_DecodeUTF8(<const char*>self.view.heap + first, last - first, NULL))
            except UnicodeDecodeError as error:
                raise _damaged("has an insert id that is no text") from error
        return found

    def id_spans(self):
        """All rows' insert ids as bytes, starts uint64[n] and lengths uint32[n]; None where there are none."""
        if self.view.ends == NULL:
            return None
        ends = np.empty(self.view.rows + 1, np.uint64)
        cdef uint64_t[::1] cells = ends
        cdef uint64_t row
        cdef bint wrong = False
        cells[0] = 0
        with nogil:
            for row in range(self.view.rows):
                cells[row + 1] = self.view.ends[row]
                wrong |= cells[row + 1] < cells[row] or cells[row + 1] > self.view.heap_size
        if wrong:
            raise _damaged("has an insert id beyond its end")
        heap = (<const char*>self.view.heap)[: self.view.heap_size]
        return heap, ends[: len(self)].copy(), np.diff(ends).astype(np.uint32)

    def span(self, uint32_t first, uint32_t last):
        """Where the rows of the ordinals from `first` to `last`, both included, begin and end."""
        cdef uint32_t low, high
        with nogil:
            low = lower_bound(&self.view, first)
            high = upper_bound(&self.view, last)
        return low, max(low, high)

    def places_of(self, const uint32_t[::1] users not None):
        """The rows of some users (ordinals uint32[n], ascending), int64, in order."""
        cdef Py_ssize_t n = users.shape[0], i
        bounds = np.empty((2, n), np.int64)
        cdef int64_t[:, ::1] cells = bounds
        cdef int64_t total = 0, at = 0, row
        with nogil:
            for i in range(n):
                cells[0, i] = lower_bound(&self.view, users[i])
                cells[1, i] = upper_bound(&self.view, users[i])
                if cells[1, i] > cells[0, i]:
                    total += cells[1, i] - cells[0, i]
        found = np.empty(total, np.int64)
        cdef int64_t[::1] places = found
        with nogil:
            for i in range(n):
                for row in range(cells[0, i], cells[1, i]):
                    places[at] = row
                    at += 1
        return found

    def places_between(self, int64_t after, int64_t upto):
        """The rows with a time in (after, upto], int64, in order; a page whose times all lie outside is not read."""
        cdef uint32_t n = self.view.rows, row
        cdef uint64_t found = 0
        if self.view.times.least > upto or self.view.times.greatest <= after:
            return np.zeros(0, np.int64)
        places = np.empty(n, np.int64)
        cdef int64_t[::1] cells = places
        cdef int64_t time
        with nogil:
            for row in range(n):
                time = number_at(&self.view.times, row)
                cells[found] = row
                found += after < time <= upto
        return places[:found].copy()

    def mark_known(
        self, const uint32_t[::1] ordinals not None, const int64_t[::1] times not None,
        const uint64_t[::1] identities not None, const uint64_t[::1] alive, uint8_t[::1] known not None,
    ):
        """Set `known` of those of n events that some row here is a copy of.

        Arguments:
            alive: uint64[ceil(rows / 64)], the rows that count; None for all.
            known: uint8[n], 1 is written for a copy.

        Raises:
            ValueError: arrays of different lengths.
        """
        cdef Py_ssize_t n = ordinals.shape[0], i
        if times.shape[0] != n or identities.shape[0] != n or known.shape[0] != n:
            raise ValueError(f"{n} ordinals with {times.shape[0]} times and {identities.shape[0]} identities")
        if alive is not None and alive.shape[0] != (self.view.rows + 63) // 64:
            raise ValueError(f"{alive.shape[0]} words for {self.view.rows} rows")
        cdef const uint64_t* counting = NULL
        if alive is not None:
            counting = &alive[0]
        with nogil:
            for i in range(n):
                if holds(&self.view, counting, ordinals[i], times[i], identities[i]):
                    known[i] = 1


cdef uint32_t block_of_row(const event_view* view, uint32_t row) noexcept nogil:
    """The place of the block that a row is of."""
    cdef uint32_t low = 0, high = view.blocks, middle
    while high - low > 1:
        middle = (low + high) // 2
        if view.starts[middle] <= row:
            low = middle
        else:
            high = middle
    return low


cdef uint32_t place_of_block(const event_view* view, uint32_t number) noexcept nogil:
    """The place of the first block that is not below a number."""
    cdef uint32_t low = 0, high = view.blocks, middle
    while low < high:
        middle = (low + high) // 2
        if view.numbers[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low


cdef uint32_t lower_bound(const event_view* view, uint32_t ordinal) noexcept nogil:
    """The first row whose ordinal is not below one."""
    cdef uint32_t b = place_of_block(view, ordinal >> 16)
    if b == view.blocks or view.numbers[b] != ordinal >> 16:
        return view.starts[b]
    cdef uint32_t low = view.starts[b], high = view.starts[b + 1], middle
    cdef uint16_t rest = <uint16_t>(ordinal & 0xFFFF)
    while low < high:
        middle = low + (high - low) // 2
        if view.ordinals[middle] < rest:
            low = middle + 1
        else:
            high = middle
    return low


cdef uint32_t upper_bound(const event_view* view, uint32_t ordinal) noexcept nogil:
    """The first row whose ordinal is above one."""
    return view.rows if ordinal == <uint32_t>-1 else lower_bound(view, ordinal + 1)


cdef bint holds(
    const event_view* view, const uint64_t* alive, uint32_t ordinal, int64_t time, uint64_t identity
) noexcept nogil:
    """Whether a row that counts has an ordinal, a time and an identity."""
    cdef uint32_t b = place_of_block(view, ordinal >> 16)
    if b == view.blocks or view.numbers[b] != ordinal >> 16:
        return False
    cdef uint32_t low = view.starts[b], high = view.starts[b + 1], last = high, middle
    cdef uint16_t rest = <uint16_t>(ordinal & 0xFFFF)
    while low < high:
        middle = low + (high - low) // 2
        if view.ordinals[middle] < rest or (
            view.ordinals[middle] == rest and number_at(&view.times, middle) < time
        ):
            low = middle + 1
        else:
            high = middle
    while low < last and view.ordinals[low] == rest:
        if view.identities[low] == identity and number_at(&view.times, low) == time:
            if alive == NULL or (alive[low >> 6] >> (low & 63)) & 1:
                return True
        elif number_at(&view.times, low) != time:
            return False
        low += 1
    return False


cdef void gather(const event_column* column, const int64_t* places, uint64_t n, int64_t* out) noexcept nogil:
    """The values of some rows, of the first n where `places` is NULL."""
    cdef uint64_t i
    if places == NULL:
        spread(column, n, out)
    else:
        for i in range(n):
            out[i] = number_at(column, places[i])
    if column.scale != NO_SCALE:
        for i in range(n):
            out[i] = unscaled(out[i], column.scale)


cdef void spread(const event_column* column, uint64_t n, int64_t* out) noexcept nogil:
    """The numbers of the first n rows: a loop for each width, so that compilers vectorise them."""
    cdef uint64_t i, base = <uint64_t>column.base, unit = column.unit
    cdef const uint16_t* two = <const uint16_t*>column.data
    cdef const uint32_t* four = <const uint32_t*>column.data
    cdef const uint64_t* eight = <const uint64_t*>column.data
    if column.width == 0:
        for i in range(n):
            out[i] = column.base
    elif column.width == 1:
        for i in range(n):
            out[i] = <int64_t>(base + unit * column.data[i])
    elif column.width == 2:
        for i in range(n):
            out[i] = <int64_t>(base + unit * two[i])
    elif column.width == 4:
        for i in range(n):
            out[i] = <int64_t>(base + unit * four[i])
    else:
        for i in range(n):
            out[i] = <int64_t>(base + unit * eight[i])
