"""The scans of a column's offsets, by instruction set, and what is done with words. See scans.h."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "scans.h":
    ctypedef void (*scan_kernel)(
        const uint8_t* data, uint64_t low, uint64_t high, const uint64_t* within, uint64_t* out
    ) noexcept nogil
    ctypedef uint64_t (*set_kernel)(uint64_t* into, const uint64_t* other) noexcept nogil
    ctypedef struct scan_variant:
        const char* name
        scan_kernel of_width[4]
        set_kernel keep
        set_kernel drop
        set_kernel join
    const scan_variant scan_variants[3]
    int scan_variants_here() nogil
    void fetch(const void* at, size_t n) noexcept nogil
    uint32_t offsets_below(const uint8_t* at, uint8_t width, uint32_t n, uint64_t x) noexcept nogil
    uint64_t offset_at(const uint8_t* data, uint8_t width, size_t row) noexcept nogil
    uint32_t group_of(
        const uint8_t* samples, const uint8_t* tops, uint8_t width, uint32_t count, uint64_t x
    ) noexcept nogil

cdef extern from *:
    """
    #define bits_of(w) ((uint32_t)__builtin_popcountll(w))
    #define first_bit(w) ((uint32_t)__builtin_ctzll(w))
    """
    uint32_t bits_of(uint64_t word) noexcept nogil
    uint32_t first_bit(uint64_t word) noexcept nogil
