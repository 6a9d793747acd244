"""Set kernels over one block: 65,536 rows, a set of them being 1,024 words of 64 bits, the lowest row first.

Every public function checks the shapes of what it is given and then runs without the GIL over pointers.
`core/bitmaps/naive.py` has the same functions in plain Python.
"""

from libc.math cimport floor
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

cdef Py_ssize_t ROWS = 65536
cdef Py_ssize_t WORDS = 1024
cdef uint8_t INT_TAG = 3
cdef uint8_t DOUBLE_TAG = 4
cdef double TWO_63 = 9223372036854775808.0

cdef extern from *:
    int __builtin_popcountll(unsigned long long) noexcept nogil
    int __builtin_ctzll(unsigned long long) noexcept nogil


cdef int _want(Py_ssize_t found, Py_ssize_t wanted, str name) except -1:
    if found != wanted:
        raise ValueError(f"{name} has {found} items, not {wanted}")
    return 0


cdef inline double _double(int64_t bits) noexcept nogil:
    cdef double value
    memcpy(&value, &bits, 8)
    return value


cdef inline int _compare_ints(int64_t left, int64_t right) noexcept nogil:
    return (left > right) - (left < right)


cdef inline int _compare_mixed(int64_t left, double right) noexcept nogil:
    """Sign of left - right on the number line, exact; right is no NaN."""
    cdef double whole
    cdef int sign
    if right >= TWO_63:
        return -1
    if right < -TWO_63:
        return 1
    whole = floor(right)
    sign = _compare_ints(left, <int64_t>whole)
    return -1 if sign == 0 and right > whole else sign


cdef inline bint _holds(int operator, int sign) noexcept nogil:
    if operator == 0:
        return sign == 0
    if operator == 1:
        return sign != 0
    if operator == 2:
        return sign < 0
    if operator == 3:
        return sign <= 0
    if operator == 4:
        return sign > 0
    return sign >= 0


cdef void _compare(const uint8_t* tags, const int64_t* data, int operator, bint with_double, int64_t whole,
                   double real, uint64_t* words) noexcept nogil:
    cdef Py_ssize_t row
    cdef uint8_t tag
    cdef double value
    cdef int sign
    memset(words, 0, WORDS * 8)
    for row in range(ROWS):
        tag = tags[row]
        if tag == INT_TAG:
            sign = _compare_mixed(data[row], real) if with_double else _compare_ints(data[row], whole)
        elif tag == DOUBLE_TAG:
            value = _double(data[row])
            if with_double:
                sign = (value > real) - (value < real)
            else:
                sign = -_compare_mixed(whole, value)
        else:
            continue
        if _holds(operator, sign):
            words[row >> 6] |= <uint64_t>1 << (row & 63)


_OPERATORS = {"==": 0, "!=": 1, "<": 2, "<=": 3, ">": 4, ">=": 5}


def compare(const uint8_t[::1] tags, const int64_t[::1] data, str operator, constant):
    """The rows whose INT or DOUBLE compares so with a constant, by value across types, exact beyond 2**53.

    Arguments:
        tags: uint8[65536]; data: int64[65536], doubles by their bits; none of them NaN.
        operator: ==, !=, <, <=, > or >=.
        constant: an int of 64 bits, or a float that is no NaN.

    Returns:
        uint64[1024]. Raises ValueError for a NaN, KeyError for another operator.
    """
    _want(tags.shape[0], ROWS, "tags")
    _want(data.shape[0], ROWS, "data")
    if constant != constant:
        raise ValueError("nothing compares with NaN")
    cdef int code = _OPERATORS[operator]
    cdef bint with_double = isinstance(constant, float)
    cdef int64_t whole = 0 if with_double else constant
    cdef double real = constant if with_double else 0.0
    result = np.empty(WORDS, np.uint64)
    cdef uint64_t[::1] words = result
    with nogil:
        _compare(&tags[0], &data[0], code, with_double, whole, real, &words[0])
    return result


cdef void _combine(const uint64_t* left, const uint64_t* right, int how, uint64_t* words) noexcept nogil:
    cdef Py_ssize_t word
    for word in range(WORDS):
        if how == 0:
            words[word] = left[word] & right[word]
        elif how == 1:
            words[word] = left[word] | right[word]
        else:
            words[word] = left[word] & ~right[word]


cdef _combined(const uint64_t[::1] left, const uint64_t[::1] right, int how):
    _want(left.shape[0], WORDS, "left")
    _want(right.shape[0], WORDS, "right")
    result = np.empty(WORDS, np.uint64)
    cdef uint64_t[::1] words = result
    with nogil:
        _combine(&left[0], &right[0], how, &words[0])
    return result


def both(const uint64_t[::1] left, const uint64_t[::1] right):
    """left and right, uint64[1024]."""
    return _combined(left, right, 0)


def either(const uint64_t[::1] left, const uint64_t[::1] right):
    """left or right, uint64[1024]."""
    return _combined(left, right, 1)


def without(const uint64_t[::1] left, const uint64_t[::1] right):
    """left and not right, uint64[1024]."""
    return _combined(left, right, 2)


def count(const uint64_t[::1] words):
    """How many rows are in a set, uint64[1024]."""
    _want(words.shape[0], WORDS, "words")
    cdef Py_ssize_t word
    cdef Py_ssize_t total = 0
    with nogil:
        for word in range(WORDS):
            total += __builtin_popcountll(words[word])
    return total


def to_ordinals(const uint64_t[::1] words, uint32_t block):
    """The set's users as ordinals uint32[n], ascending: `BitMap(array)` makes them a bitmap.

    Arguments:
        block: the block's number, below 65,536.
    """
    if block >= 65536:
        raise ValueError(f"no block {block}")
    result = np.empty(count(words), np.uint32)
    cdef uint32_t[::1] ordinals = result
    cdef Py_ssize_t word
    cdef Py_ssize_t place = 0
    cdef uint64_t left
    if result.size:
        with nogil:
            for word in range(WORDS):
                left = words[word]
                while left:
                    ordinals[place] = (block << 16) | <uint32_t>(word * 64 + __builtin_ctzll(left))
                    place += 1
                    left &= left - 1
    return result


def from_ordinals(const uint32_t[::1] ordinals, uint32_t block):
    """The set of those ordinals, in any order, that lie in a block: uint64[1024]."""
    result = np.zeros(WORDS, np.uint64)
    cdef uint64_t[::1] words = result
    cdef Py_ssize_t row
    with nogil:
        for row in range(ordinals.shape[0]):
            if ordinals[row] >> 16 == block:
                words[(ordinals[row] & 65535) >> 6] |= <uint64_t>1 << (ordinals[row] & 63)
    return result


def count_rows(const uint32_t[::1] ordinals, const uint8_t[::1] mask, uint32_t block, uint32_t[::1] counters):
    """Add, per user of a block, how many event rows are in the mask.

    Arguments:
        ordinals: uint32[n], the rows' users; rows outside the block are passed over.
        mask: uint8[n], 0 = not counted.
        counters: uint32[65536], added to; the caller has fewer than 2**32 rows.
    """
    _want(mask.shape[0], ordinals.shape[0], "mask")
    _want(counters.shape[0], ROWS, "counters")
    cdef Py_ssize_t row
    with nogil:
        for row in range(ordinals.shape[0]):
            if mask[row] and ordinals[row] >> 16 == block:
                counters[ordinals[row] & 65535] += 1


def sum_ints(const uint32_t[::1] ordinals, const uint8_t[::1] mask, const int64_t[::1] values, uint32_t block,
             int64_t[::1] sums, uint64_t[::1] overflowed):
    """Add values of event rows per user of a block; a user whose sum leaves 64 bits is marked and adds no more.

    Arguments:
        ordinals, mask, block: as in `count_rows`; values: int64[n].
        sums: int64[65536], added to. overflowed: uint64[1024], a set, added to.
    """
    _want(mask.shape[0], ordinals.shape[0], "mask")
    _want(values.shape[0], ordinals.shape[0], "values")
    _want(sums.shape[0], ROWS, "sums")
    _want(overflowed.shape[0], WORDS, "overflowed")
    cdef Py_ssize_t row
    cdef uint32_t place
    cdef int64_t old, total
    with nogil:
        for row in range(ordinals.shape[0]):
            if not mask[row] or ordinals[row] >> 16 != block:
                continue
            place = ordinals[row] & 65535
            if overflowed[place >> 6] >> (place & 63) & 1:
                continue
            old = sums[place]
            total = <int64_t>(<uint64_t>old + <uint64_t>values[row])
            if ((old ^ total) & (values[row] ^ total)) < 0:
                overflowed[place >> 6] |= <uint64_t>1 << (place & 63)
            else:
                sums[place] = total


def sum_doubles(const uint32_t[::1] ordinals, const uint8_t[::1] mask, const double[::1] values, uint32_t block,
                double[::1] sums):
    """Add doubles of event rows per user of a block, in the order of rows.

    Arguments:
        ordinals, mask, block: as in `count_rows`; values: float64[n]; sums: float64[65536], added to.
    """
    _want(mask.shape[0], ordinals.shape[0], "mask")
    _want(values.shape[0], ordinals.shape[0], "values")
    _want(sums.shape[0], ROWS, "sums")
    cdef Py_ssize_t row
    with nogil:
        for row in range(ordinals.shape[0]):
            if mask[row] and ordinals[row] >> 16 == block:
                sums[ordinals[row] & 65535] += values[row]
