"""What tells a repeated event from a new one: 64 bits of the id it was sent under and of its insert id.

Two events of one name are the same where identity, user and time are. Equal identities of different ids would have to
meet at one user and one instant, which chance brings about once in 2**64 pairs; whoever makes such a pair on purpose
loses an event of their own user. So there is no key, and identities are the same in every store.
"""

from libc.stdint cimport uint8_t, uint64_t

import numpy as np

from core.bitmaps.siphash cimport siphash13

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


cdef uint64_t event_identity(
    const char* sent_id, size_t sent_size, const char* insert_id, size_t insert_size
) noexcept nogil:
    """The identity of UTF-8 ids; the insert id is hashed under the sent id's hash, so that no two pairs run together."""
    return siphash13(
        <const uint8_t*>insert_id, insert_size, siphash13(<const uint8_t*>sent_id, sent_size, 0, 0), sent_size
    )


def identities_of(sent_ids, insert_ids):
    """Identities uint64[n] of n events.

    Arguments:
        sent_ids, insert_ids: sequences of n strings.

    Raises:
        ValueError: of different lengths; UnicodeEncodeError on a lone surrogate.
    """
    cdef Py_ssize_t n = len(sent_ids), row, sent_size, insert_size
    if len(insert_ids) != n:
        raise ValueError(f"{n} ids with {len(insert_ids)} insert ids")
    found = np.empty(n, np.uint64)
    cdef uint64_t[::1] cells = found
    cdef const char* sent
    cdef const char* inserted
    for row in range(n):
        sent_id, insert_id = sent_ids[row], insert_ids[row]
        sent = PyUnicode_AsUTF8AndSize(sent_id, &sent_size)
        inserted = PyUnicode_AsUTF8AndSize(insert_id, &insert_size)
        cells[row] = event_identity(sent, sent_size, inserted, insert_size)
    return found


def identities_of_spans(const uint8_t[::1] heap, sent_starts, sent_lengths, insert_starts, insert_lengths):
    """Identities uint64[n] of n events whose ids are UTF-8 in a heap.

    Arguments:
        heap: bytes.
        sent_starts, sent_lengths, insert_starts, insert_lengths: unsigned integers[n].

    Raises:
        ValueError: of different lengths, or where a span leaves the heap.
    """
    cdef const uint64_t[::1] sent_at = np.ascontiguousarray(sent_starts, np.uint64)
    cdef const uint64_t[::1] sent_size = np.ascontiguousarray(sent_lengths, np.uint64)
    cdef const uint64_t[::1] insert_at = np.ascontiguousarray(insert_starts, np.uint64)
    cdef const uint64_t[::1] insert_size = np.ascontiguousarray(insert_lengths, np.uint64)
    cdef Py_ssize_t n = sent_at.shape[0], row
    cdef uint64_t size = heap.shape[0]
    if not (sent_size.shape[0] == insert_at.shape[0] == insert_size.shape[0] == n):
        raise ValueError("spans of different lengths")
    found = np.empty(n, np.uint64)
    cdef uint64_t[::1] cells = found
    cdef const char* base = <const char*>&heap[0] if size else NULL
    cdef bint inside = True
    with nogil:
        for row in range(n):
            if (
                sent_at[row] > size
                or sent_size[row] > size - sent_at[row]
                or insert_at[row] > size
                or insert_size[row] > size - insert_at[row]
            ):
                inside = False
                break
            cells[row] = event_identity(
                base + sent_at[row], sent_size[row], base + insert_at[row], insert_size[row]
            )
    if not inside:
        raise ValueError(f"the ids of row {row} leave the heap")
    return found
