"""Works out what set, set_once, add and unset make of one property's values, change after change.

The twin is `outcome` in core/profiles/operations.py, which knows the other operations, too, and tells why a change is
refused; tests/core/profiles/test_changes.py compares them.
"""

from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from core.profiles.records import OPERATIONS, Operation
from core.values import ValueType

cdef extern from *:
    bint __builtin_add_overflow(long long left, long long right, long long* total) noexcept nogil

cdef uint8_t SET = OPERATIONS.index(Operation.SET), SET_ONCE = OPERATIONS.index(Operation.SET_ONCE)
cdef uint8_t ADD = OPERATIONS.index(Operation.ADD), UNSET = OPERATIONS.index(Operation.UNSET)
cdef uint8_t ABSENT = ValueType.ABSENT, NULL_ = ValueType.NULL, INT = ValueType.INT, DOUBLE = ValueType.DOUBLE


cdef inline double _number(uint8_t tag, int64_t data) noexcept nogil:
    cdef double found
    if tag == DOUBLE:
        memcpy(&found, &data, sizeof(double))
        return found
    return <double>data


cdef bint _add(uint8_t* tag, int64_t* data, uint8_t given_tag, int64_t given) noexcept nogil:
    """Add a number to a value. False where that is refused."""
    cdef long long total
    cdef double sum_
    if tag[0] == ABSENT or tag[0] == NULL_:
        tag[0], data[0] = INT, 0
    if not (tag[0] == INT or tag[0] == DOUBLE) or not (given_tag == INT or given_tag == DOUBLE):
        return False
    if tag[0] == INT and given_tag == INT:
        if __builtin_add_overflow(data[0], given, &total):
            return False
        data[0] = total
        return True
    sum_ = _number(tag[0], data[0]) + _number(given_tag, given)
    tag[0] = DOUBLE
    memcpy(data, &sum_, sizeof(double))
    return isfinite(sum_)


def work_out(
    const uint32_t[::1] users,
    const uint8_t[::1] operations,
    const uint8_t[::1] tags,
    const int64_t[::1] data,
    uint8_t[::1] present_tags,
    int64_t[::1] present_data,
    uint8_t[::1] written,
):
    """Apply n changes of one property to m users' values, in order.

    Arguments:
        users: whose value each changes, uint32[n], below m.
        operations: places in `OPERATIONS`, uint8[n]: SET, SET_ONCE, ADD or UNSET.
        tags, data: the cells given, uint8[n] and int64[n].
        present_tags, present_data: the values before, uint8[m] and int64[m]; changed to those after.
        written: uint8[m], set to 1 where a value is written.

    Returns:
        Whether all were allowed. Where not, the values are of no use.

    Raises:
        ValueError: for another operation, different lengths, or a user that is not below m.
    """
    cdef Py_ssize_t n = users.shape[0], m = present_tags.shape[0], row, user
    cdef uint8_t operation
    cdef int found = 1  # 0: refused, -1: not for this kernel
    if not (operations.shape[0] == tags.shape[0] == data.shape[0] == n):
        raise ValueError("changes of different lengths")
    if not (present_data.shape[0] == written.shape[0] == m):
        raise ValueError("values of different lengths")
    with nogil:
        for row in range(n):
            user, operation = users[row], operations[row]
            if user >= m:
                found = -1
                break
            if operation == SET_ONCE and present_tags[user] != ABSENT:
                continue
            if operation == UNSET and present_tags[user] == ABSENT:
                continue
            if operation == ADD:
                if not _add(&present_tags[user], &present_data[user], tags[row], data[row]):
                    found = 0
                    break
            elif operation == UNSET:
                present_tags[user], present_data[user] = ABSENT, 0
            elif operation == SET or operation == SET_ONCE:
                present_tags[user], present_data[user] = tags[row], data[row]
            else:
                found = -1
                break
            written[user] = 1
    if found < 0:
        raise ValueError("another operation, or a user out of range")
    return found == 1
