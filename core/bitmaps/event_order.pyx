"""Orders of events: two sorted runs merged, and which events of a batch repeat earlier ones."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

import numpy as np


cdef struct run:  # sorted by ordinal, then time, then arrival
    const uint32_t* ordinals
    const int64_t* times
    const int64_t* arrivals
    uint64_t count


cdef inline bint before(const run* left, uint64_t i, const run* right, uint64_t j) noexcept nogil:
    """Whether a row of `left` comes strictly before one of `right`."""
    if left.ordinals[i] != right.ordinals[j]:
        return left.ordinals[i] < right.ordinals[j]
    if left.times[i] != right.times[j]:
        return left.times[i] < right.times[j]
    return left.arrivals[i] < right.arrivals[j]


cdef void merge(const run* first, const run* second, int64_t* order) noexcept nogil:
    cdef uint64_t i = 0, j = 0, at
    for at in range(first.count + second.count):
        if j == second.count or (i < first.count and not before(second, j, first, i)):
            order[at] = i
            i += 1
        else:
            order[at] = first.count + j
            j += 1


cdef int take(
    run* one, const uint32_t[::1] ordinals, const int64_t[::1] times, const int64_t[::1] arrivals
) except -1:
    if times.shape[0] != ordinals.shape[0] or arrivals.shape[0] != ordinals.shape[0]:
        raise ValueError(f"{ordinals.shape[0]} ordinals with {times.shape[0]} times, {arrivals.shape[0]} arrivals")
    one.count = ordinals.shape[0]
    if one.count:
        one.ordinals, one.times, one.arrivals = &ordinals[0], &times[0], &arrivals[0]
    return 0


def merged_order(
    const uint32_t[::1] first_ordinals not None, const int64_t[::1] first_times not None,
    const int64_t[::1] first_arrivals not None, const uint32_t[::1] second_ordinals not None,
    const int64_t[::1] second_times not None, const int64_t[::1] second_arrivals not None,
):
    """Two sorted runs as one: int64 places in the first followed by the second; of equal rows the first's come first.

    Raises:
        ValueError: arrays of different lengths.
    """
    cdef run first, second
    take(&first, first_ordinals, first_times, first_arrivals)
    take(&second, second_ordinals, second_times, second_arrivals)
    order = np.empty(first.count + second.count, np.int64)
    cdef int64_t[::1] cells = order
    if first.count + second.count:
        with nogil:
            merge(&first, &second, &cells[0])
    return order


cdef inline uint64_t mixed(uint64_t word) noexcept nogil:
    """The finaliser of MurmurHash3 (A. Appleby): every bit of the outcome depends on every bit of the word."""
    word = (word ^ (word >> 33)) * <uint64_t>0xFF51AFD7ED558CCD
    word = (word ^ (word >> 33)) * <uint64_t>0xC4CEB9FE1A85EC53
    return word ^ (word >> 33)


cdef void mark(
    const uint32_t* ordinals, const int64_t* times, const uint64_t* identities, uint64_t n, uint64_t* slots,
    uint64_t mask, uint8_t* known
) noexcept nogil:
    """An open-addressing table of rows; a slot holds a row's number plus one."""
    cdef uint64_t row, at, other
    for row in range(n):
        if known[row]:
            continue
        at = mixed(identities[row] ^ mixed(<uint64_t>times[row] + (<uint64_t>ordinals[row] << 32))) & mask
        while slots[at]:
            other = slots[at] - 1
            if (
                identities[other] == identities[row] and times[other] == times[row]
                and ordinals[other] == ordinals[row]
            ):
                known[row] = 1
                break
            at = (at + 1) & mask
        if not known[row]:
            slots[at] = row + 1


def mark_repeats(
    const uint32_t[::1] ordinals not None, const int64_t[::1] times not None, const uint64_t[::1] identities not None,
    uint8_t[::1] known not None,
):
    """Set `known` (uint8[n]) of each event that an earlier one, itself not known, is a copy of.

    Raises:
        ValueError: arrays of different lengths.
    """
    cdef uint64_t n = ordinals.shape[0], room = 16
    if <uint64_t>times.shape[0] != n or <uint64_t>identities.shape[0] != n or <uint64_t>known.shape[0] != n:
        raise ValueError(f"{n} ordinals with {times.shape[0]} times and {identities.shape[0]} identities")
    if n < 2:
        return
    while room < 2 * n:
        room *= 2
    cdef uint64_t* slots = <uint64_t*>calloc(room, sizeof(uint64_t))
    if slots == NULL:
        raise MemoryError
    with nogil:
        mark(&ordinals[0], &times[0], &identities[0], n, slots, room - 1, &known[0])
    free(slots)
