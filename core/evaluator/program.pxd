"""A condition as a program that runs block by block, and what its leaves are, for those who add a kind of leaf."""

from libc.stdint cimport uint32_t, uint64_t

# Clears the words of `acc` where a leaf is not true (with `false_rail`: not false) for the block's users. Returns 0
# where none is left, else something else. Must be pure: several threads run one leaf at once. `acc` is never empty.
ctypedef uint64_t (*narrow_leaf)(const void* context, uint32_t block, bint false_rail, uint64_t* acc) noexcept nogil

# The same on the rail of true, for a sample; returns what it may have cost in nanoseconds, the same for the same data.
ctypedef double (*weigh_leaf)(const void* context, uint32_t block, uint64_t* acc) noexcept nogil

cdef class Leaf:
    """What a kernel can answer by itself. A subclass sets the fields and keeps alive what `context` points to.

    `weigh` may be NULL; such a leaf is thought cheap.
    """

    cdef narrow_leaf narrow
    cdef weigh_leaf weigh
    cdef const void* context

cdef struct step:  # a part of a program
    uint32_t kind
    uint32_t first  # of its operands in the program's list of operands
    uint32_t count  # of operands
    narrow_leaf narrow  # of a leaf
    weigh_leaf weigh
    const void* context
    double cost  # of asking it about one block, in nanoseconds
    double share  # of users for whom it is true

cdef struct asked:  # who is judged: users that exist, among those that somebody named
    const void* live  # of core.bitmaps.user_set
    uint32_t live_length
    const void* among  # NULL: all
    uint32_t among_length

cdef class Blocks:  # that several threads go through together
    cdef const uint32_t[::1] _numbers  # keeps their memory
    cdef const uint32_t* numbers
    cdef uint32_t length
    cdef uint32_t taken  # how many are taken by any thread; atomic

cdef class Program:
    cdef list _leaves  # kept alive
    cdef step* steps
    cdef uint32_t* operands
    cdef uint32_t step_count
    cdef uint32_t root
    cdef uint32_t depth  # of sets of one block needed at once
    cdef uint32_t _sets_of(self, uint32_t number)
    cdef uint64_t* _room(self) except NULL
