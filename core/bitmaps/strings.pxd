"""Fields of the dictionaries, and what other kernels may call."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef class _Table:
    cdef char* _heap  # all entries' bytes, one after the other
    cdef uint64_t* _ends  # by code: where the entry ends in the heap
    cdef uint64_t* _slots  # open addressing: upper half of the hash << 32 | code + 1, 0 where free
    cdef uint64_t _heap_room, _ends_room, _slot_count, _count
    cdef uint64_t _key0, _key1

    # The bytes of an entry, which are not terminated. The caller has seen to it that code < len(table), and holds
    # the GIL, or else nobody interns meanwhile: an intern may move the bytes.
    cdef const char* entry(self, uint64_t code, uint64_t* size) noexcept nogil
    # The code of the entry with these bytes, -1 where there is none. As above.
    cdef int64_t find_bytes(self, const char* data, uint64_t size) noexcept nogil

    cdef uint64_t _hash(self, const char* data, uint64_t size) noexcept nogil
    cdef uint64_t _start(self, uint64_t code) noexcept nogil
    cdef int64_t _find(self, uint64_t hashed, const char* data, uint64_t size) noexcept nogil
    cdef int64_t _intern(self, uint64_t hashed, const char* data, uint64_t size) except -1
    cdef int _reserve(self, uint64_t size) except -1
    cdef void _put(self, uint64_t* slots, uint64_t count, uint64_t slot) noexcept nogil
    cdef int _rebuild(self, uint64_t count, uint64_t kept) except -1
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
