"""Append-only dictionaries: string or packed value to a dense uint32 code.

An entry's bytes stand in the page of its code, 8,192 to a page. What a checkpoint has is used in place: its pages, and
its *runs*, which find codes by hash. A run is the sorted list of (upper half of the hash, code) of some codes, and the
places where its buckets begin; the first run holds most codes, a second one later ones, until there are enough of
these that a checkpoint makes one run of all. What came after the checkpoint stands in memory: the last pages, which
grow, and a *tail* of open addressing. The codes of runs and tail are apart, so they may be asked in any order; the
stored bytes are the judge.

The hash is SipHash-1-3 under the table's own random key, which is stored with it, so chosen ids cannot flood the table.
Looking up many at once, the table runs in small batches through all hashes, then all slots, then all entries, so that
the misses of a batch in the cache overlap.

All methods run with the GIL held, which makes a table safe to share between one writer and any readers of lower codes.
Opening checks sizes only. Offsets inside a stored page are checked whenever they are used: a damaged page gives
StoreError or finds nothing, and never a byte outside itself.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy

import os
import struct
from functools import partial

import numpy as np

from core.bitmaps.siphash cimport siphash13

from core.bitmaps.slot_runs import Run, found, found_pages, pages_of, planned
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
    PAGE_BITS = 13
    PAGE_ENTRIES = 1 << PAGE_BITS
    PAGE_HEAD = 16  # entries uint32, 0 uint32, bytes of the heap uint64
    SLOT_BITS = 17  # as core.bitmaps.slot_runs has them
    BUCKET_BITS = 18

cdef uint64_t LEAST_SLOTS = 16
cdef uint64_t LEAST_HEAP = 256
cdef uint64_t MOST_CODES = 0xFFFFFFFE

_STATE_AT = 1 << 48  # the number of the state's page, after all others
# key, entries, runs | first, last, bucket bits of a run
_STATE = struct.Struct("<16sQI")
_RUN = struct.Struct("<QQI")
_HEAD = struct.Struct("<IIQ")


def _damaged(what):
    return StoreError(f"a page of a dictionary {what}", code="STORE_DAMAGED")


cdef class EntryPage:
    def __cinit__(self, stored=None, uint64_t entries=0):
        self.writable = stored is None
        if stored is None:
            return
        self._stored = stored
        cdef uint64_t size = self._stored.shape[0]
        if size < PAGE_HEAD:
            raise _damaged("is cut short")
        count, reserved, heap_bytes = _HEAD.unpack_from(stored)
        if reserved or count > PAGE_ENTRIES or count < entries or size != PAGE_HEAD + 4 * <uint64_t>count + heap_bytes:
            raise _damaged("has the wrong length")
        cdef const unsigned char* start = &self._stored[0]
        self.view.ends = <const uint32_t*>(start + PAGE_HEAD)
        self.view.heap = <const char*>(start + PAGE_HEAD + 4 * <uint64_t>count)
        self.view.heap_bytes = heap_bytes

    def __dealloc__(self):
        free(self._ends)
        free(self._heap)

    @property
    def nbytes(self):
        return self.view.heap_bytes + 4 * self._ends_room if self.writable else 0

    cdef int reserve(self, uint64_t entries, uint64_t heap_bytes) except -1:
        """Room for so many entries and bytes in all; only of a writable page."""
        cdef uint64_t room
        cdef void* grown
        if self._heap == NULL or heap_bytes > self.view.heap_bytes:
            room = max(LEAST_HEAP, heap_bytes, self.view.heap_bytes + self.view.heap_bytes // 2)
            grown = realloc(self._heap, room)
            if grown == NULL:
                raise MemoryError
            self._heap = <char*>grown
            self.view.heap, self.view.heap_bytes = self._heap, room
        if entries > self._ends_room:
            room = max(entries, 16, min(2 * self._ends_room, <uint64_t>PAGE_ENTRIES))
            grown = realloc(self._ends, room * sizeof(uint32_t))
            if grown == NULL:
                raise MemoryError
            self._ends = <uint32_t*>grown
            self.view.ends, self._ends_room = self._ends, room
        return 0


cdef class _Table:
    def __cinit__(self):
        self._owners, self._run_pages, self._loading = [], [], {}
        self._set_key(os.urandom(16))
        self._slots = <uint64_t*>calloc(LEAST_SLOTS, sizeof(uint64_t))
        if self._slots == NULL:
            raise MemoryError
        self._slot_count = LEAST_SLOTS

    def __dealloc__(self):
        free(self._slots)
        free(self._pages)
        cdef int run
        for run in range(2):
            free(self._runs[run].slots)
            free(self._runs[run].buckets)

    def __len__(self):
        return self._count

    @property
    def nbytes(self):
        """Bytes of memory held, without what is used in place."""
        return sum(page.nbytes for page in self._owners) + 8 * self._slot_count

    def _set_key(self, bytes key):
        self._key0 = int.from_bytes(key[:8], "little")
        self._key1 = int.from_bytes(key[8:], "little")

    cdef const char* entry(self, uint64_t code, uint64_t* size) noexcept nogil:
        cdef const entry_page* page = &self._pages[code >> PAGE_BITS]
        cdef uint64_t place = code & (PAGE_ENTRIES - 1)
        cdef uint64_t start = page.ends[place - 1] if place else 0
        cdef uint64_t end = page.ends[place]
        if start > end or end > page.heap_bytes:
            size[0] = 0
            return NULL
        size[0] = end - start
        return page.heap + start

    cdef bint _is(self, uint64_t code, const char* data, uint64_t size) noexcept nogil:
        cdef uint64_t found
        cdef const char* bytes_of = self.entry(code, &found)
        return bytes_of != NULL and found == size and (size == 0 or memcmp(bytes_of, data, size) == 0)

    cdef int64_t find_bytes(self, const char* data, uint64_t size) noexcept nogil:
        return self._find(self._hash(data, size), data, size)

    cdef uint64_t _hash(self, const char* data, uint64_t size) noexcept nogil:
        return siphash13(<const uint8_t*>data, size, self._key0, self._key1)

    cdef int64_t _find(self, uint64_t hashed, const char* data, uint64_t size) noexcept nogil:
        cdef uint64_t mark = hashed >> 32
        cdef uint64_t mask = self._slot_count - 1
        cdef uint64_t place = mark & mask
        cdef uint64_t slot, code
        cdef int64_t found
        cdef int run
        for run in range(self._run_count):
            found = self._find_in_run(&self._runs[run], mark, data, size)
            if found >= 0:
                return found
        while True:
            slot = self._slots[place]
            if slot == 0:
                return -1
            if slot >> 32 == mark:
                code = <uint64_t>(<uint32_t>slot) - 1
                if self._is(code, data, size):
                    return <int64_t>code
            place = (place + 1) & mask

    cdef int64_t _find_in_run(self, const slot_run* run, uint64_t mark, const char* data, uint64_t size) noexcept nogil:
        cdef uint64_t start, end, slot, code
        _bucket(run, mark, &start, &end)
        while start < end:
            slot = run.slots[start >> SLOT_BITS][start & ((1 << SLOT_BITS) - 1)]
            if slot >> 32 > mark:
                return -1
            if slot >> 32 == mark:
                code = <uint64_t>(<uint32_t>slot) - 1
                if code < run.last and self._is(code, data, size):
                    return <int64_t>code
            start += 1
        return -1

    cdef uint64_t _candidate(self, uint64_t mark) noexcept nogil:
        """A code with this mark plus one, 0 where there is none: which entry a search will look at, most likely."""
        cdef uint64_t start, end, slot, place
        cdef int run
        for run in range(self._run_count):
            _bucket(&self._runs[run], mark, &start, &end)
            while start < end:
                slot = self._runs[run].slots[start >> SLOT_BITS][start & ((1 << SLOT_BITS) - 1)]
                if slot >> 32 >= mark:
                    break
                start += 1
            if start < end and slot >> 32 == mark and <uint64_t>(<uint32_t>slot) <= self._count:
                return <uint32_t>slot
        place = mark & (self._slot_count - 1)
        while self._slots[place]:
            if self._slots[place] >> 32 == mark:
                return <uint32_t>self._slots[place]
            place = (place + 1) & (self._slot_count - 1)
        return 0

    cdef int64_t _intern(self, uint64_t hashed, const char* data, uint64_t size) except -1:
        cdef int64_t found = self._find(hashed, data, size)
        if found >= 0:
            return found
        if self._count >= MOST_CODES:
            raise OverflowError("a dictionary holds at most 2**32 - 2 entries")
        self._append(data, size)
        if 4 * (self._count - self._tail_first) > 3 * self._slot_count:
            self._rebuild(self._slot_count * 2, self._tail_first, self._count - 1)
        self._put(self._slots, self._slot_count, ((hashed >> 32) << 32) | self._count)
        return <int64_t>(self._count - 1)

    cdef int _append(self, const char* data, uint64_t size) except -1:
        """Put an entry at the end, unhashed."""
        cdef uint64_t number = self._count >> PAGE_BITS
        cdef uint64_t place = self._count & (PAGE_ENTRIES - 1)
        cdef uint64_t start = 0
        cdef EntryPage page
        if number == <uint64_t>len(self._owners):
            self._take(EntryPage(), number)
        page = <EntryPage>self._owners[number]
        if not page.writable:
            page = self._copied(page, place)
            self._take(page, number)
        if place:
            start = page.view.ends[place - 1]
        page.reserve(place + 1, start + size)
        self._pages[number] = page.view
        if size:
            memcpy(page._heap + start, data, size)
        page._ends[place] = <uint32_t>(start + size)
        self._count += 1
        return 0

    def _copied(self, EntryPage page, uint64_t entries):
        """A writable page with the first entries of a stored one."""
        ends = np.frombuffer(page._stored, np.uint32, entries, PAGE_HEAD)
        cdef uint64_t heap_bytes = int(ends[entries - 1]) if entries else 0
        if heap_bytes > page.view.heap_bytes or (ends[1:] < ends[:-1]).any():
            raise _damaged("has its entries out of order")
        cdef EntryPage copy = EntryPage()
        copy.reserve(entries + 1, heap_bytes + 1)
        memcpy(copy._ends, page.view.ends, 4 * entries)
        memcpy(copy._heap, page.view.heap, heap_bytes)
        return copy

    cdef int _take(self, EntryPage page, uint64_t number) except -1:
        """Make a page the one of its number, which is the next at most."""
        cdef uint64_t room
        cdef void* grown
        if number >= self._pages_room:
            room = max(<uint64_t>1, 2 * self._pages_room)
            grown = realloc(self._pages, room * sizeof(entry_page))
            if grown == NULL:
                raise MemoryError
            self._pages, self._pages_room = <entry_page*>grown, room
        if number == <uint64_t>len(self._owners):
            self._owners.append(page)
        else:
            self._owners[number] = page
        self._pages[number] = page.view
        return 0

    cdef void _put(self, uint64_t* slots, uint64_t count, uint64_t slot) noexcept nogil:
        cdef uint64_t place = (slot >> 32) & (count - 1)
        while slots[place]:
            place = (place + 1) & (count - 1)
        slots[place] = slot

    cdef int _rebuild(self, uint64_t count, uint64_t first, uint64_t last) except -1:
        """A tail of `count` slots with the codes from `first` to before `last`; slots carry the bits that place them."""
        cdef uint64_t place, code
        cdef uint64_t* slots = <uint64_t*>calloc(count, sizeof(uint64_t))
        if slots == NULL:
            raise MemoryError
        for place in range(self._slot_count):
            if self._slots[place]:
                code = <uint64_t>(<uint32_t>self._slots[place]) - 1
                if first <= code < last:
                    self._put(slots, count, self._slots[place])
        free(self._slots)
        self._slots, self._slot_count = slots, count
        return 0

    cdef int _check(self, uint64_t code) except -1:
        if code >= self._count:
            raise StoreError(f"code {code} of a dictionary of {self._count}", code="STORE_DAMAGED")
        return 0

    def _bytes_of(self, uint64_t code):
        cdef uint64_t size
        self._check(code)
        cdef const char* data = self.entry(code, &size)
        if data == NULL:
            raise _damaged("has an entry outside itself")
        return PyBytes_FromStringAndSize(data, size)

    def truncate(self, uint64_t count):
        """Forget the codes from `count` on. Only where no version that is still read uses them, nor a checkpoint."""
        if count >= self._count:
            return
        if count < self._tail_first:
            raise ValueError(f"{count} entries of a dictionary of which a checkpoint has {self._tail_first}")
        self._rebuild(self._slot_count, self._tail_first, count)
        self._count = count
        del self._owners[-(-<int64_t>count >> PAGE_BITS):]

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
        cdef uint64_t row, mark, size, start, end
        cdef int run
        for row in range(count):
            hashes[row] = self._hash(data + starts[row], lengths[row])
            mark = hashes[row] >> 32
            table_prefetch(&self._slots[mark & mask])
            for run in range(self._run_count):
                start = mark >> (32 - self._runs[run].bucket_bits)
                table_prefetch(&self._runs[run].buckets[start >> BUCKET_BITS][start & ((1 << BUCKET_BITS) - 1)])
        for row in range(count):
            for run in range(self._run_count):
                _bucket(&self._runs[run], hashes[row] >> 32, &start, &end)
                if start < end:
                    table_prefetch(&self._runs[run].slots[start >> SLOT_BITS][start & ((1 << SLOT_BITS) - 1)])
        for row in range(count):
            codes[row] = self._candidate(hashes[row] >> 32)
            if codes[row]:
                table_prefetch(&self._pages[(codes[row] - 1) >> PAGE_BITS].ends[(codes[row] - 1) & (PAGE_ENTRIES - 1)])
        for row in range(count):
            if codes[row]:
                table_prefetch(self.entry(codes[row] - 1, &size))

    # Pages of a checkpoint

    def pages_since(self, uint64_t saved, upto=None):
        """What a checkpoint writes that follows one with `saved` entries.

        Arguments:
            upto: how many entries it is to have; all of now where it is None.

        Yields:
            (number, function that gives the page, or None where it is gone), numbers ascending. Entries may come
            meanwhile; pages may not be adopted.
        """
        cdef uint64_t length = self._count if upto is None else upto
        if length <= saved:
            return
        for number in range(saved >> PAGE_BITS, (length + PAGE_ENTRIES - 1) >> PAGE_BITS):
            yield number, partial(self._dump_page, number, length)
        runs = []
        for run in range(self._run_count):
            runs.append(Run(self._runs[run].first, self._runs[run].last, self._runs[run].bucket_bits))
        after = planned(runs, length)
        yield from pages_of(runs, after, self._slots_of)
        state = _STATE.pack(self._key(), length, len(after)) + b"".join(_RUN.pack(*run) for run in after)
        yield _STATE_AT, lambda: state

    def _key(self):
        return self._key0.to_bytes(8, "little") + self._key1.to_bytes(8, "little")

    def _dump_page(self, uint64_t number, uint64_t length):
        cdef uint64_t count = min(<uint64_t>PAGE_ENTRIES, length - (number << PAGE_BITS))
        cdef entry_page* page = &self._pages[number]
        cdef uint64_t heap_bytes = page.ends[count - 1]
        if heap_bytes > page.heap_bytes:
            raise _damaged("has an entry outside itself")
        head = _HEAD.pack(count, 0, heap_bytes)
        ends = PyBytes_FromStringAndSize(<const char*>page.ends, 4 * count)
        return head + ends + PyBytes_FromStringAndSize(page.heap, heap_bytes)

    def _tail(self, uint64_t first, uint64_t last):
        """The slots uint64[n] of the tail's codes from `first` to before `last`, in no order."""
        found = np.empty(self._count - self._tail_first, np.uint64)
        cdef uint64_t[::1] cells = found
        cdef uint64_t place, code, n = 0
        for place in range(self._slot_count):
            if self._slots[place]:
                code = <uint64_t>(<uint32_t>self._slots[place]) - 1
                if first <= code < last:
                    cells[n] = self._slots[place]
                    n += 1
        return found[:n]

    def _slots_of(self, uint64_t first, uint64_t last):
        """The slots of the codes from `first` to before `last`: of whole runs, and of the tail."""
        parts = []
        for run in range(self._run_count):
            if first <= self._runs[run].first < last:
                parts += [np.frombuffer(page, np.uint64) for page in self._run_pages[run][0]]
        return np.concatenate([*parts, self._tail(first, last)])

    def load_page(self, number, page):
        """Take one page of a checkpoint, any buffer, which is kept; the state comes last and completes the table.

        Raises:
            StoreError: where the pages' sizes do not fit together, or, of a table without runs, entries are repeated.
        """
        if number != _STATE_AT:
            self._loading[number] = page
            return
        pages, self._loading = self._loading, {}
        self._load(pages.get, bytes(page), 0)

    def adopt(self, get):
        """Use in place what the current checkpoint has; entries that came later stay as they are. Writer only.

        Arguments:
            get: gives the page of a number, None where there is none.
        """
        state = get(_STATE_AT)
        if state is not None:
            self._load(get, bytes(state), self._count)

    def _load(self, get, bytes state, uint64_t present):
        """Take the pages of a checkpoint; with `present`, in place of as many entries as it has."""
        cdef uint64_t count, number, size, hashed, slots
        cdef const char* data
        key, length, runs = _state_of(state)
        if present and (length > present or key != self._key()):
            raise _damaged("is of another dictionary")
        count = length
        self._set_key(key)
        for number in range((count + PAGE_ENTRIES - 1) >> PAGE_BITS):
            if present > count and (number + 1) << PAGE_BITS > count:
                break  # a page that goes on to grow
            entries = min(<uint64_t>PAGE_ENTRIES, count - (number << PAGE_BITS))
            if present and not (<EntryPage>self._owners[number]).writable and entries == PAGE_ENTRIES:
                continue  # full, and in place already
            self._take(EntryPage(found(get(number)), entries), number)
        self._set_runs([(run, *found_pages(index, run, get)) for index, run in enumerate(runs)])
        self._tail_first = runs[len(runs) - 1].last if runs else 0  # no negative indexes in kernels
        if present:
            slots = LEAST_SLOTS
            while 4 * (present - self._tail_first) > 3 * slots:
                slots *= 2
            self._rebuild(slots, self._tail_first, present)
            return
        self._count = self._tail_first
        while self._count < count:
            data = self.entry(self._count, &size)
            if data == NULL:
                raise _damaged("has an entry outside itself")
            hashed = self._hash(data, size)
            if self._find(hashed, data, size) >= 0:
                raise _damaged("repeats an entry")
            self._count += 1
            if 4 * (self._count - self._tail_first) > 3 * self._slot_count:
                self._rebuild(self._slot_count * 2, self._tail_first, self._count - 1)
            self._put(self._slots, self._slot_count, ((hashed >> 32) << 32) | self._count)

    def _set_runs(self, list runs):
        cdef int index
        cdef slot_run* run
        cdef const unsigned char[::1] view
        self._run_count = 0
        for index, ((first, last, bits), slots, buckets) in enumerate(runs):
            run = &self._runs[index]
            run.first, run.last, run.bucket_bits = first, last, bits
            run.slots = <const uint64_t**>_room(run.slots, len(slots))
            run.buckets = <const uint32_t**>_room(run.buckets, len(buckets))
            for page in range(len(slots)):
                view = slots[page]
                run.slots[page] = <const uint64_t*>&view[0]
            for page in range(len(buckets)):
                view = buckets[page]
                run.buckets[page] = <const uint32_t*>&view[0]
        self._run_pages = [(slots, buckets) for _, slots, buckets in runs]
        self._run_count = len(runs)


cdef void* _room(const void* present, size_t pages) except NULL:
    cdef void* grown = realloc(<void*>present, max(pages, 1) * sizeof(void*))
    if grown == NULL:
        raise MemoryError
    return grown


cdef inline void _bucket(const slot_run* run, uint64_t mark, uint64_t* start, uint64_t* end) noexcept nogil:
    """Which slots have marks with the same first bits; none outside the run, whatever its pages say."""
    cdef uint64_t bucket = mark >> (32 - run.bucket_bits)
    cdef uint64_t length = run.last - run.first
    start[0] = run.buckets[bucket >> BUCKET_BITS][bucket & ((1 << BUCKET_BITS) - 1)]
    bucket += 1
    end[0] = length
    if bucket < <uint64_t>1 << run.bucket_bits:
        end[0] = min(length, <uint64_t>run.buckets[bucket >> BUCKET_BITS][bucket & ((1 << BUCKET_BITS) - 1)])


def _state_of(bytes state):
    if len(state) < _STATE.size:
        raise _damaged("is cut short")
    key, length, count = _STATE.unpack_from(state)
    if count > 2 or len(state) != _STATE.size + count * _RUN.size or length > MOST_CODES:
        raise _damaged("has the wrong length")
    runs = [Run._make(_RUN.unpack_from(state, _STATE.size + index * _RUN.size)) for index in range(count)]
    before = 0
    for first, last, bits in runs:
        if first != before or last <= first or last > length or not 1 <= bits <= 32:
            raise _damaged("has runs that do not follow each other")
        before = last
    return key, length, runs


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
        """The string of a code. Raises StoreError where there is none, or it is damaged."""
        cdef uint64_t size
        self._check(code)
        cdef const char* data = self.entry(code, &size)
        if data == NULL:
            raise _damaged("has an entry outside itself")
        try:
            return PyUnicode_DecodeUTF8(data, size, NULL)
        except UnicodeDecodeError as error:
            raise _damaged("is not UTF-8") from error

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
        """The packed bytes of a code. Raises StoreError where there is none, or it is damaged."""
        return self._bytes_of(code)

    def values_of(self, codes):
        """The values of codes (integers[n])."""
        return [unpack(self.blob(code)) for code in np.asarray(codes).tolist()]
