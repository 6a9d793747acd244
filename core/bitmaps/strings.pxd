"""Fields of the dictionaries, and what other kernels may call."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef struct entry_page:
    const uint32_t* ends  # by place in the page: where the entry ends in the heap
    const char* heap
    uint64_t heap_bytes


cdef struct slot_run:
    uint64_t first, last  # the codes it holds: [first, last)
    uint32_t bucket_bits  # a bucket is the first so many bits of a mark
    const uint64_t** slots  # pages of RUN_SLOTS: mark << 32 | code + 1, ascending
    const uint32_t** buckets  # pages of RUN_BUCKETS: where each bucket begins among the slots


cdef class EntryPage:
    """Up to `PAGE_ENTRIES` entries: memory that grows, or a stored page in place."""
    cdef entry_page view
    cdef uint32_t* _ends  # NULL where the page is stored
    cdef char* _heap
    cdef uint64_t _ends_room
    cdef const unsigned char[::1] _stored
    cdef bint writable

    cdef int reserve(self, uint64_t entries, uint64_t heap_bytes) except -1


cdef class _Table:
    cdef list _owners  # EntryPage by number
    cdef entry_page* _pages  # their views
    cdef uint64_t _pages_room, _count
    cdef slot_run _runs[2]  # what the last checkpoint has, immutable: most of the codes, and some later ones
    cdef int _run_count
    cdef list _run_pages  # of each run, the buffers it points into
    cdef uint64_t* _slots  # open addressing over the codes from `_tail_first` on: mark << 32 | code + 1, 0 where free
    cdef uint64_t _slot_count, _tail_first
    cdef uint64_t _key0, _key1
    cdef dict _loading

    # The bytes of an entry, which are not terminated; none (and size 0) where a damaged page says nonsense. The caller
    # has seen to it that code < len(table), and holds the GIL, or else nobody interns or adopts meanwhile.
    cdef const char* entry(self, uint64_t code, uint64_t* size) noexcept nogil
    # The code of the entry with these bytes, -1 where there is none. As above.
    cdef int64_t find_bytes(self, const char* data, uint64_t size) noexcept nogil

    cdef uint64_t _hash(self, const char* data, uint64_t size) noexcept nogil
    cdef bint _is(self, uint64_t code, const char* data, uint64_t size) noexcept nogil
    cdef int64_t _find(self, uint64_t hashed, const char* data, uint64_t size) noexcept nogil
    cdef int64_t _find_in_run(self, const slot_run* run, uint64_t mark, const char* data, uint64_t size) noexcept nogil
    cdef uint64_t _candidate(self, uint64_t mark) noexcept nogil
    cdef int64_t _intern(self, uint64_t hashed, const char* data, uint64_t size) except -1
    cdef int _append(self, const char* data, uint64_t size) except -1
    cdef int _take(self, EntryPage page, uint64_t number) except -1
    cdef void _put(self, uint64_t* slots, uint64_t count, uint64_t slot) noexcept nogil
    cdef int _rebuild(self, uint64_t count, uint64_t first, uint64_t last) except -1
    cdef int _check(self, uint64_t code) except -1
    cdef int64_t _add(self, bytes entry) except -1
    cdef void _hash_spans(
        self, const char* data, const uint64_t* starts, const uint64_t* lengths, uint64_t count, uint64_t* hashes
    ) noexcept nogil


cdef class StringTable(_Table):
    cpdef int64_t intern(self, str text) except -1
    cpdef int64_t find(self, str text)
    cpdef str text(self, uint64_t code)


cdef class BlobTable(_Table):
    pass
