"""See block_building.pyx."""

from libc.stdint cimport int64_t, uint8_t

cdef object build_page(const uint8_t* tags, const int64_t* data)
