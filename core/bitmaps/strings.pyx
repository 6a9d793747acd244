"""Append-only dictionaries: string or packed value to a dense uint32 code.

All bytes stand in one heap, one after the other; an entry costs its bytes, eight bytes for where it ends, and a
slot of eight bytes in an open-addressing table at most three quarters full. A slot holds the upper half of the
64-bit hash and the code; the stored bytes are the judge. The hash is SipHash-1-3 under the table's own random key,
so chosen ids cannot flood the table. All methods run with the GIL held, which makes a table safe to share between
one writer and any readers of lower codes.

Looking up many at once, the table runs in small batches through all hashes, then all slots, then all entries, so
that the misses of a batch in the cache overlap.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy

import os

import numpy as np

from core.bitmaps.siphash cimport siphash13

from core.errors import StoreError
from core.values import pack, unpack

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef extern from *:
    """
    #define table_prefetch(address) __builtin_prefetch(address)
    """
    void table_prefetch(const void* address) noexcept nogil

cdef enum:
    BATCH = 32  # spans whose memory accesses overlap

cdef uint64_t LEAST_SLOTS = 16
cdef uint64_t LEAST_HEAP = 256
cdef uint64_t MOST_CODES = 0xFFFFFFFE


cdef class _Table:
    def __cinit__(self):
        key = os.urandom(16)
        self._key0 = int.from_bytes(key[:8], "little")
        self._key1 = int.from_bytes(key[8:], "little")
        self._slots = <uint64_t*>calloc(LEAST_SLOTS, sizeof(uint64_t))
        if self._slots == NULL:
            raise MemoryError
        self._slot_count = LEAST_SLOTS

    def __dealloc__(self):
        free(self._heap)
        free(self._ends)
        free(self._slots)

    def __len__(self):
        return self._count

    @property
    def nbytes(self):
        """Bytes of memory held."""
        return self._heap_room + 8 * (self._ends_room + self._slot_count)

    cdef const char* entry(self, uint64_t code, uint64_t* size) noexcept nogil:
        cdef uint64_t start = self._start(code)
        size[0] = self._ends[code] - start
        return self._heap + start

    cdef int64_t find_bytes(self, const char* data, uint64_t size) noexcept nogil:
        return self._find(self._hash(data, size), data, size)

    cdef uint64_t _hash(self, const char* data, uint64_t size) noexcept nogil:
        return siphash13(<const uint8_t*>data, size, self._key0, self._key1)

    cdef uint64_t _start(self, uint64_t code) noexcept nogil:
        return 0 if code == 0 else self._ends[code - 1]

    cdef int64_t _find(self, uint64_t hashed, const char* data, uint64_t size) noexcept nogil:
        cdef uint64_t mark = hashed >> 32
        cdef uint64_t mask = self._slot_count - 1
        cdef uint64_t place = mark & mask
        cdef uint64_t slot, code, start
        while True:
            slot = self._slots[place]
            if slot == 0:
                return -1
            if slot >> 32 == mark:
                code = <uint64_t>(<uint32_t>slot) - 1
                start = self._start(code)
                if self._ends[code] - start == size and (size == 0 or memcmp(self._heap + start, data, size) == 0):
                    return <int64_t>code
            place = (place + 1) & mask

    cdef int64_t _intern(self, uint64_t hashed, const char* data, uint64_t size) except -1:
        cdef int64_t found = self._find(hashed, data, size)
        cdef uint64_t start
        if found >= 0:
            return found
        self._reserve(size)
        start = self._start(self._count)
        if size:
            memcpy(self._heap + start, data, size)
        self._ends[self._count] = start + size
        self._put(self._slots, self._slot_count, ((hashed >> 32) << 32) | (self._count + 1))
        self._count += 1
        return <int64_t>(self._count - 1)

    cdef int _reserve(self, uint64_t size) except -1:
        """Room for one entry more, of `size` bytes."""
        cdef uint64_t start, room
        cdef void* grown
        if self._count >= MOST_CODES:
            raise OverflowError("a dictionary holds at most 2**32 - 2 entries")
        start = self._start(self._count)
        if start + size > self._heap_room:
            room = max(LEAST_HEAP, start + size, self._heap_room + self._heap_room // 2)
            grown = realloc(self._heap, room)
            if grown == NULL:
                raise MemoryError
            self._heap = <char*>grown
            self._heap_room = room
        if self._count >= self._ends_room:
            room = max(LEAST_SLOTS, self._ends_room + self._ends_room // 2)
            grown = realloc(self._ends, room * sizeof(uint64_t))
            if grown == NULL:
                raise MemoryError
            self._ends = <uint64_t*>grown
            self._ends_room = room
        if 4 * (self._count + 1) > 3 * self._slot_count:
            self._rebuild(self._slot_count * 2, self._count)
        return 0

    cdef void _put(self, uint64_t* slots, uint64_t count, uint64_t slot) noexcept nogil:
        cdef uint64_t place = (slot >> 32) & (count - 1)
        while slots[place]:
            place = (place + 1) & (count - 1)
        slots[place] = slot

    cdef int _rebuild(self, uint64_t count, uint64_t kept) except -1:
        """A table of `count` slots with the codes below `kept`; slots carry the hash bits that place them."""
        cdef uint64_t place
        cdef uint64_t* slots = <uint64_t*>calloc(count, sizeof(uint64_t))
        if slots == NULL:
            raise MemoryError
        for place in range(self._slot_count):
            if self._slots[place] and <uint64_t>(<uint32_t>self._slots[place]) - 1 < kept:
                self._put(slots, count, self._slots[place])
        free(self._slots)
        self._slots = slots
        self._slot_count = count
        return 0

    cdef int _check(self, uint64_t code) except -1:
        if code >= self._count:
            raise IndexError(f"code {code} of a dictionary of {self._count}")
        return 0

    def truncate(self, uint64_t count):
        """Forget the codes from `count` on. Only where no version that is still read uses them."""
        if count < self._count:
            self._rebuild(self._slot_count, count)
            self._count = count

    def dump(self, uint64_t first, uint64_t last):
        """The entries of codes [first, last) as self-contained bytes: count, lengths (uint32, little-endian), bytes."""
        if first > last or last > self._count:
            raise IndexError(f"codes {first} to {last} of a dictionary of {self._count}")
        lengths = np.empty(last - first, "<u4")
        cdef uint32_t[::1] cells = lengths
        cdef uint64_t code
        for code in range(first, last):
            cells[code - first] = <uint32_t>(self._ends[code] - self._start(code))
        cdef uint64_t start = self._start(first)
        body = b"" if last == first else PyBytes_FromStringAndSize(self._heap + start, self._ends[last - 1] - start)
        return (last - first).to_bytes(4, "little") + lengths.tobytes() + body

    def extend(self, bytes page):
        """Append the entries of a `dump`, giving them the next codes.

        Raises:
            StoreError: where the page is damaged or repeats an entry.
        """
        count = int.from_bytes(page[:4], "little")
        if len(page) < 4 + 4 * count:
            raise StoreError("a dictionary page is cut short", code="STORE_DAMAGED")
        lengths = np.frombuffer(page, "<u4", count, 4)
        cdef uint64_t place = 4 + 4 * count
        if len(page) != place + int(lengths.sum(dtype=np.uint64)):
            raise StoreError("a dictionary page has the wrong length", code="STORE_DAMAGED")
        cdef uint64_t before
        for length in lengths.tolist():
            before = self._count
            self._add(page[place : place + length])
            if self._count == before:
                raise StoreError("a dictionary page repeats an entry", code="STORE_DAMAGED")
            place += length

    cdef int64_t _add(self, bytes entry) except -1:
        """The code of an entry as a page has it."""
        cdef const char* data = PyBytes_AS_STRING(entry)
        cdef uint64_t size = PyBytes_GET_SIZE(entry)
        return self._intern(self._hash(data, size), data, size)

    cdef void _hash_spans(
        self, const char* data, const uint64_t* starts, const uint64_t* lengths, uint64_t count, uint64_t* hashes
    ) noexcept nogil:
        """Hashes of up to `BATCH` spans, and what looking them up reads on its way into the cache."""
        cdef uint64_t mask = self._slot_count - 1
        cdef uint64_t codes[BATCH]
        cdef uint64_t row, place, slot
        for row in range(count):
            hashes[row] = self._hash(data + starts[row], lengths[row])
            table_prefetch(&self._slots[(hashes[row] >> 32) & mask])
        for row in range(count):
            codes[row] = 0
            place = (hashes[row] >> 32) & mask
            while True:
                slot = self._slots[place]
                if slot == 0:
                    break
                if slot >> 32 == hashes[row] >> 32:
                    codes[row] = <uint32_t>slot
                    table_prefetch(&self._ends[codes[row] - 1])
                    break
                place = (place + 1) & mask
        for row in range(count):
            if codes[row]:
                table_prefetch(self._heap + self._start(codes[row] - 1))


def _spans(buffer, starts, lengths):
    """The starts of spans, uint64[n], each of which lies inside the buffer."""
    begins = np.ascontiguousarray(starts, np.uint64)
    sizes = np.ascontiguousarray(lengths, np.uint64)
    if begins.ndim != 1 or begins.shape != sizes.shape:
        raise ValueError(f"starts of shape {begins.shape} with lengths of shape {sizes.shape}")
    if len(begins) and (int(sizes.max()) > len(buffer) or (begins > len(buffer) - sizes).any()):
        raise IndexError("a span outside its buffer")
    return begins


cdef class StringTable(_Table):
    """Append-only dictionary of strings."""

    cpdef int64_t intern(self, str text) except -1:
        """The code of a string, a new one at its first sight. Raises UnicodeEncodeError on a lone surrogate."""
        cdef Py_ssize_t size
        cdef const char* data = PyUnicode_AsUTF8AndSize(text, &size)
        return self._intern(self._hash(data, size), data, size)

    cdef int64_t _add(self, bytes entry) except -1:
        try:
            return self.intern(entry.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise StoreError("a dictionary page is not UTF-8", code="STORE_DAMAGED") from error

    def intern_many(self, list texts):
        """Codes uint32[n] of strings, in their order."""
        codes = np.empty(len(texts), np.uint32)
        cdef uint32_t[::1] cells = codes
        cdef Py_ssize_t row
        for row in range(len(texts)):
            cells[row] = <uint32_t>self.intern(texts[row])
        return codes

    cpdef int64_t find(self, str text):
        """The code of a string, or -1."""
        cdef Py_ssize_t size
        cdef const char* data = PyUnicode_AsUTF8AndSize(text, &size)
        return self._find(self._hash(data, size), data, size)

    def find_many(self, list texts):
        """Codes int64[n], -1 where a string is not there."""
        codes = np.empty(len(texts), np.int64)
        cdef int64_t[::1] cells = codes
        cdef Py_ssize_t row
        for row in range(len(texts)):
            cells[row] = self.find(texts[row])
        return codes

    def intern_spans(self, const unsigned char[::1] buffer, starts, lengths):
        """Codes uint32[n] of strings that stand in a buffer, new ones at their first sight.

        Arguments:
            buffer: bytes; the spans are UTF-8 already: the caller has checked.
            starts, lengths: unsigned integers[n], bytes.

        Raises:
            IndexError: for a span outside the buffer.
        """
        cdef const uint64_t[::1] begins = _spans(buffer, starts, lengths)
        cdef const uint64_t[::1] sizes = np.ascontiguousarray(lengths, np.uint64)
        codes = np.empty(begins.shape[0], np.uint32)
        cdef uint32_t[::1] cells = codes
        cdef const char* data = <const char*>&buffer[0] if buffer.shape[0] else NULL
        cdef uint64_t hashes[BATCH]
        cdef uint64_t first, count, row, length = begins.shape[0]
        for first in range(0, length, BATCH):
            count = min(<uint64_t>BATCH, length - first)
            self._hash_spans(data, &begins[first], &sizes[first], count, hashes)
            for row in range(count):
                cells[first + row] = <uint32_t>self._intern(hashes[row], data + begins[first + row], sizes[first + row])
        return codes

    def find_spans(self, const unsigned char[::1] buffer, starts, lengths):
        """Codes int64[n] of strings that stand in a buffer, -1 where one is not there; as `intern_spans`."""
        cdef const uint64_t[::1] begins = _spans(buffer, starts, lengths)
        cdef const uint64_t[::1] sizes = np.ascontiguousarray(lengths, np.uint64)
        codes = np.empty(begins.shape[0], np.int64)
        cdef int64_t[::1] cells = codes
        cdef const char* data = <const char*>&buffer[0] if buffer.shape[0] else NULL
        cdef uint64_t hashes[BATCH]
        cdef uint64_t first, count, row, length = begins.shape[0]
        for first in range(0, length, BATCH):
            count = min(<uint64_t>BATCH, length - first)
            self._hash_spans(data, &begins[first], &sizes[first], count, hashes)
            for row in range(count):
                cells[first + row] = self._find(hashes[row], data + begins[first + row], sizes[first + row])
        return codes

    cpdef str text(self, uint64_t code):
        """The string of a code. Raises IndexError where there is none."""
        self._check(code)
        cdef uint64_t start = self._start(code)
        return PyUnicode_DecodeUTF8(self._heap + start, self._ends[code] - start, NULL)

    def texts(self, codes):
        """The strings of codes (integers[n])."""
        cdef int64_t[::1] cells = np.ascontiguousarray(codes, np.int64)
        cdef Py_ssize_t row
        return [self.text(<uint64_t>cells[row]) for row in range(cells.shape[0])]


cdef class BlobTable(_Table):
    """Append-only dictionary of lists and maps, each by its packed bytes (`core.values.pack`)."""

    def intern(self, value):
        """The code of a list or map, a new one at its first sight."""
        return self._add(pack(value))

    def blob(self, uint64_t code):
        """The packed bytes of a code. Raises IndexError where there is none."""
        self._check(code)
        cdef uint64_t start = self._start(code)
        return PyBytes_FromStringAndSize(self._heap + start, self._ends[code] - start)

    def values_of(self, codes):
        """The values of codes (integers[n])."""
        return [unpack(self.blob(code)) for code in np.asarray(codes).tolist()]
