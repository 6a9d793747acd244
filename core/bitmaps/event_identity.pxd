from libc.stdint cimport uint64_t

cdef uint64_t event_identity(
    const char* sent_id, size_t sent_size, const char* insert_id, size_t insert_size
) noexcept nogil
