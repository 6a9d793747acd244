"""Sets of users as bit words: one row of 1,024 words for each block of 65,536 users, bit i being user i.

The set evaluator works on words, which it can combine and fill with no branch per user; `pyroaring.BitMap` is the
form in which sets enter and leave. The bridge is the portable Roaring format (RoaringFormatSpec), because pyroaring offers
no access to its containers: `core.bitmaps.user_set` reads it, and it is written here.

Every function checks its arguments with the GIL held and then works in a `noexcept nogil` function.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np

OUT_OF_ORDER = "block numbers are below 65,536 and strictly ascending"

cdef extern from *:
    """
    #define word_trailing_zeros(w) ((uint32_t)__builtin_ctzll(w))
    #define word_ones(w) ((uint32_t)__builtin_popcountll(w))
    """
    uint32_t word_trailing_zeros(uint64_t word) noexcept nogil
    uint32_t word_ones(uint64_t word) noexcept nogil

cdef enum:
    BLOCKS = 65536  # as many as 32 bits can number
    WORDS = 1024  # words in a block
    ARRAY_LIMIT = 4096  # the most values that a container holds as an array
    COOKIE_PLAIN = 12346  # no run containers


cdef bint ascending(const uint32_t* blocks, size_t n) noexcept nogil:
    """Whether block numbers are below 65,536 and strictly ascending."""
    cdef size_t b
    for b in range(1, n):
        if blocks[b] <= blocks[b - 1]:
            return False
    return n == 0 or blocks[n - 1] < BLOCKS


cdef uint64_t ones(const uint64_t* words, size_t n) noexcept nogil:
    """How many bits are set in n words."""
    cdef size_t w
    cdef uint64_t total = 0
    for w in range(n):
        total += word_ones(words[w])
    return total


cdef size_t collapse_all(
    const uint32_t* blocks, uint32_t* counts, size_t block_count, const uint64_t* words, uint8_t* out
) noexcept nogil:
    """Write the portable format, no run containers; blocks without users are left out. Returns the bytes written.

    `counts` is room for the number of users of each block.
    """
    cdef uint32_t containers = 0, i = 0, w, position
    cdef size_t b, offset
    cdef uint16_t key, last, value
    cdef uint32_t cookie = COOKIE_PLAIN, place
    cdef uint64_t word
    cdef const uint64_t* row
    for b in range(block_count):
        counts[b] = <uint32_t>ones(words + b * WORDS, WORDS)
        if counts[b]:
            containers += 1
    memcpy(out, &cookie, 4)
    memcpy(out + 4, &containers, 4)
    offset = 8 + <size_t>containers * 8
    for b in range(block_count):
        if counts[b] == 0:
            continue
        key = <uint16_t>blocks[b]
        last = <uint16_t>(counts[b] - 1)
        place = <uint32_t>offset
        memcpy(out + 8 + 4 * i, &key, 2)
        memcpy(out + 10 + 4 * i, &last, 2)
        memcpy(out + 8 + <size_t>containers * 4 + 4 * i, &place, 4)
        i += 1
        row = words + b * WORDS
        if counts[b] > ARRAY_LIMIT:
            memcpy(out + offset, row, WORDS * 8)
            offset += WORDS * 8
            continue
        for w in range(WORDS):
            word = row[w]
            while word:
                position = w * 64 + word_trailing_zeros(word)
                value = <uint16_t>position
                memcpy(out + offset, &value, 2)
                offset += 2
                word &= word - 1
    return offset


cdef check_shape(const uint64_t[:, ::1] words, size_t blocks):
    if <size_t>words.shape[0] != blocks or words.shape[1] != WORDS:
        raise ValueError(f"words of shape ({words.shape[0]}, {words.shape[1]}) for {blocks} blocks of {WORDS} words")


def collapse(const uint32_t[::1] blocks not None, const uint64_t[:, ::1] words not None):
    """The portable Roaring format of a set given as words; `BitMap.deserialize` reads it.

    Arguments:
        blocks: uint32[n], block numbers below 65,536, strictly ascending.
        words: uint64[n, 1024], row k holding the users of block `blocks[k]`.

    Raises:
        ValueError: words of another shape, or blocks out of order.
    """
    cdef size_t n = blocks.shape[0], written
    check_shape(words, n)
    if n == 0:
        return COOKIE_PLAIN.to_bytes(4, "little") + bytes(4)
    if not ascending(&blocks[0], n):
        raise ValueError(OUT_OF_ORDER)
    cdef uint32_t[::1] counts = np.empty(n, np.uint32)
    out = np.empty(8 + n * (8 + WORDS * 8), np.uint8)  # the most it can be; what is not written costs no memory
    cdef uint8_t[::1] out_view = out
    with nogil:
        written = collapse_all(&blocks[0], &counts[0], n, &words[0, 0], &out_view[0])
    return out[:written].tobytes()


def count(const uint64_t[:, ::1] words not None):
    """How many users a set of words (uint64[n, 1024]) holds. Raises ValueError for another shape."""
    cdef size_t n = words.shape[0]
    cdef uint64_t total
    check_shape(words, n)
    if n == 0:
        return 0
    with nogil:
        total = ones(&words[0, 0], n * WORDS)
    return total


cdef void list_positions(const uint64_t* row, int64_t* out) noexcept nogil:
    cdef size_t w, at = 0
    cdef uint64_t word
    for w in range(WORDS):
        word = row[w]
        while word:
            out[at] = <int64_t>(w * 64 + word_trailing_zeros(word))
            at += 1
            word &= word - 1


def positions(const uint64_t[::1] row not None):
    """The users of one block's words (uint64[1024]) as int64 positions 0..65535, ascending.

    Raises:
        ValueError: another number of words.
    """
    if row.shape[0] != WORDS:
        raise ValueError(f"a block has {WORDS} words, not {row.shape[0]}")
    out = np.empty(ones(&row[0], WORDS), np.int64)
    cdef int64_t[::1] view = out
    if view.shape[0]:
        with nogil:
            list_positions(&row[0], &view[0])
    return out


cdef bint set_places(const int64_t* places, const uint8_t* flags, size_t n, uint64_t* row) noexcept nogil:
    """Set the bits of flagged places. Returns whether it failed, at a place outside the block."""
    cdef size_t i
    cdef uint64_t place
    for i in range(n):
        place = <uint64_t>places[i]
        if place > 65535:
            return True
        if flags[i]:
            row[place >> 6] |= (<uint64_t>1) << (place & 63)
    return False


def scatter(const int64_t[::1] places not None, const uint8_t[::1] flags not None, uint64_t[::1] row not None):
    """Set, in one block's words, the bit of every place whose flag is not 0.

    Arguments:
        places: int64[n], positions 0..65535.
        flags: uint8[n] (a bool array viewed as bytes).
        row: uint64[1024], changed in place.

    Raises:
        ValueError: arrays of the wrong lengths, or a place outside the block (those before it are set by then).
    """
    cdef size_t n = places.shape[0]
    cdef bint failed
    if row.shape[0] != WORDS or <size_t>flags.shape[0] != n:
        raise ValueError(f"{places.shape[0]} places, {flags.shape[0]} flags, {row.shape[0]} words")
    if n == 0:
        return
    with nogil:
        failed = set_places(&places[0], &flags[0], n, &row[0])
    if failed:
        raise ValueError("a place outside the block")
