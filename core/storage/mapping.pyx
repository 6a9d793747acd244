"""A data file in memory, and buffers that lie in it.

LMDB maps its file for itself and takes that map away when it is closed, opened anew or grown. What readers hold must
outlive all three, so the file is mapped a second time; both are views of the same page cache. Whether the bytes stay
what they are is not decided here: see `core.storage.pages`.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from libc.errno cimport errno
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

import os

cdef extern from "<sys/mman.h>" nogil:
    void* mmap(void* address, size_t length, int protection, int flags, int file, long offset)
    int munmap(void* address, size_t length)
    int PROT_READ, MAP_SHARED, MAP_NORESERVE
    void* MAP_FAILED

cdef enum:
    # struct MDB_page of LMDB 0.9 on 64-bit machines: number (8 bytes), pad (2), flags (2), pages (4), then the value.
    PAGE_HEAD = 16
    FLAGS_AT = 10
    PAGES_AT = 12
    OVERFLOW_FLAG = 0x04
    DIRTY_FLAG = 0x10  # put in this transaction


cdef class Mapping:
    """The first `length` bytes of a file, mapped for reading as long as this object or a page of it lives.

    The file may be shorter: what lies beyond its end must not be touched, and can be once it has grown.

    Raises:
        OSError: where the address space is limited, say.
    """
    cdef void* _start
    cdef readonly uint64_t length

    def __cinit__(self, int file, uint64_t length):
        self._start = mmap(NULL, length, PROT_READ, MAP_SHARED | MAP_NORESERVE, file, 0)
        if self._start == MAP_FAILED:
            self._start = NULL
            raise OSError(errno, os.strerror(errno))
        self.length = length

    def __dealloc__(self):
        if self._start != NULL:
            munmap(self._start, self.length)

    def page(self, uint64_t offset, uint64_t size):
        """Some bytes of the file, which the caller knows to be there. Raises ValueError beyond the mapping."""
        if size > self.length or offset > self.length - size:
            raise ValueError(f"{size} bytes at {offset} of a mapping of {self.length}")
        cdef MappedPage found = MappedPage.__new__(MappedPage)
        found._mapping = self
        found._start = <char*>self._start + offset
        found._size = size
        return found


cdef class MappedPage:
    """Bytes of a file in place, by the buffer protocol; read-only. Made by `Mapping.page`."""
    cdef Mapping _mapping
    cdef char* _start
    cdef Py_ssize_t _size
    cdef object __weakref__

    def __len__(self):
        return self._size

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self._start, self._size, 1, flags)


def place_of(const unsigned char[::1] value, uint64_t page_size):
    """Where in its file a value stands that LMDB gave out, as an offset; -1 where it does not stand in pages of its own.

    Arguments:
        value: as a transaction gave it, with buffers, longer than `page_size` and the transaction still open: then
            the header of LMDB's page stands before it.
    """
    if <uint64_t>value.shape[0] <= page_size:
        return -1
    cdef const unsigned char* head = &value[0] - PAGE_HEAD
    cdef uint64_t number
    cdef uint16_t flags
    cdef uint32_t pages
    memcpy(&number, head, 8)
    memcpy(&flags, head + FLAGS_AT, 2)
    memcpy(&pages, head + PAGES_AT, 4)
    if flags & ~DIRTY_FLAG != OVERFLOW_FLAG or <uint64_t>pages * page_size < <uint64_t>value.shape[0] + PAGE_HEAD:
        return -1
    return number * page_size + PAGE_HEAD
