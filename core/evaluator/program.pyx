"""A condition compiled into a program that takes one block after the other through all its leaves.

The set of the block's users that are still asked about stays in the cache while every leaf narrows it in place; a leaf is
not asked about a block whose set is empty. There are two rails, see `core.evaluator.plan`: a part can narrow a set to the
users for whom it is true or to those for whom it is false, and who errs is in neither. So `!` changes the rail, `&&` on
the rail of false is `||` on that of true, and a leaf is all that ever reads data.

The GIL is given up once for all blocks of a call. A program changes only in `rank`; after it, threads may share it.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from core.bitmaps.block_kernels cimport block_ahead, block_narrow, block_present, block_test, block_work
from core.bitmaps.block_pages cimport block_view
from core.bitmaps.block_tables cimport BlockTable
from core.bitmaps.blocks cimport BlockTest
from core.bitmaps.user_set cimport UserSet, container, fill_users

import numpy as np

cdef extern from "word_ops.h":
    ctypedef struct word_ops:
        const char* name
        uint64_t (*keep)(uint64_t* into, const uint64_t* other) noexcept nogil
        uint64_t (*drop)(uint64_t* into, const uint64_t* other) noexcept nogil
        void (*join)(uint64_t* into, const uint64_t* other) noexcept nogil
        uint64_t (*count)(const uint64_t* words) noexcept nogil
    const word_ops word_ops_variants[3]
    int word_ops_here() nogil

cdef enum:
    WORDS = 1024
    ROWS = 65536
    LEAF = 0
    ALWAYS = 1  # true for everybody
    NEVER = 2  # false for everybody
    ERROR = 3  # in error for everybody
    ALL_OF = 4
    ANY_OF = 5
    OPPOSITE = 6
    CHOOSE = 7  # condition, if true, if false
    AT_ONCE = 4  # blocks that a thread takes
    DECIDED = 8  # true where its operand is true, else false

AND, OR, NOT, CHOICE, CLOSED = ALL_OF, ANY_OF, OPPOSITE, CHOOSE, DECIDED
cdef const word_ops* ops = &word_ops_variants[word_ops_here() - 1]
cdef uint64_t EMPTY = 0, SOME = 1
cdef double CHEAP = 150.0  # nanoseconds to ask a leaf about a block at all


cdef extern from *:
    """
    #define take_some(taken, some) __atomic_fetch_add(taken, some, __ATOMIC_RELAXED)
    """
    uint32_t take_some(uint32_t* taken, uint32_t some) noexcept nogil


cdef class Blocks:
    """The blocks of one call, for any number of threads that make the same call: each takes some until none is left.

    Arguments:
        numbers: uint32[n], the numbers of the blocks. Not to be changed.
    """

    def __cinit__(self, const uint32_t[::1] numbers not None):
        self._numbers, self.length, self.taken = numbers, <uint32_t>numbers.shape[0], 0
        self.numbers = &numbers[0] if self.length else NULL


cdef class Leaf:
    """What a kernel can answer by itself."""


cdef struct tested:  # the context of a ComparisonLeaf
    const block_view** views
    uint32_t length
    block_test rails[2]  # what is true, what is false


cdef uint64_t narrow_by_test(const void* context, uint32_t block, bint false_rail, uint64_t* acc) noexcept nogil:
    cdef const tested* test = <const tested*>context
    if block >= test.length or test.views[block] == NULL:  # nobody has a value: all err
        memset(acc, 0, WORDS * 8)
        return EMPTY
    block_ahead(test.views, test.length, block, &test.rails[false_rail])  # a program takes blocks one after the other
    return block_narrow(test.views[block], &test.rails[false_rail], acc)


cdef double weigh_test(const void* context, uint32_t block, uint64_t* acc) noexcept nogil:
    """Nanoseconds for what the kernel says it did, roughly as benchmarks of the kernels found them."""
    cdef const tested* test = <const tested*>context
    cdef block_work work
    cdef block_test counting
    if block >= test.length or test.views[block] == NULL:
        memset(acc, 0, WORDS * 8)
        return CHEAP
    memset(&work, 0, sizeof(work))
    counting = test.rails[0]
    counting.work = &work
    block_narrow(test.views[block], &counting, acc)
    return CHEAP + 0.06 * work.index_words + 0.7 * work.index_rows + 0.05 * work.scanned_rows + 3.0 * work.patched_rows


cdef class ComparisonLeaf(Leaf):
    """A property compared with constants."""

    cdef BlockTable _blocks
    cdef BlockTest _wanted
    cdef tested _test

    def __init__(self, BlockTable blocks not None, BlockTest wanted not None):
        self._blocks, self._wanted = blocks, wanted
        self._test.views, self._test.length = blocks.views, blocks.length
        self._test.rails[0] = self._test.rails[1] = wanted.test
        self._test.rails[1].negate = not wanted.test.negate
        self.narrow, self.weigh, self.context = narrow_by_test, weigh_test, &self._test

    cdef void report_to(self, block_work* work) noexcept:
        """Have what kernels do added up, or (NULL) no more."""
        self._test.rails[0].work = self._test.rails[1].work = work


cdef struct owned:  # the context of a PresenceLeaf
    const block_view** views
    uint32_t length


cdef uint64_t narrow_by_presence(const void* context, uint32_t block, bint false_rail, uint64_t* acc) noexcept nogil:
    cdef const owned* column = <const owned*>context
    cdef uint64_t words[WORDS]
    if block >= column.length or column.views[block] == NULL:
        if false_rail:
            return SOME
        memset(acc, 0, WORDS * 8)
        return EMPTY
    block_present(column.views[block], words)
    return ops.drop(acc, words) if false_rail else ops.keep(acc, words)


cdef class PresenceLeaf(Leaf):
    """Whether a property is there."""

    cdef BlockTable _blocks
    cdef owned _owned

    def __init__(self, BlockTable blocks not None):
        self._blocks = blocks
        self._owned.views, self._owned.length = blocks.views, blocks.length
        self.narrow, self.context = narrow_by_presence, &self._owned


cdef struct listed:  # the context of a MembersLeaf
    const container* containers
    uint32_t length


cdef uint64_t narrow_by_members(const void* context, uint32_t block, bint false_rail, uint64_t* acc) noexcept nogil:
    cdef const listed* users = <const listed*>context
    cdef uint64_t words[WORDS]
    if fill_users(users.containers, users.length, block, words) == 0:
        if false_rail:
            return SOME
        memset(acc, 0, WORDS * 8)
        return EMPTY
    return ops.drop(acc, words) if false_rail else ops.keep(acc, words)


cdef class MembersLeaf(Leaf):
    """Whether a user is one of a list."""

    cdef UserSet _users
    cdef listed _listed

    def __init__(self, UserSet users not None):
        self._users = users
        self._listed.containers, self._listed.length = users.containers, users.length
        self.narrow, self.context = narrow_by_members, &self._listed


cdef uint64_t run_all(
    const step* steps, const uint32_t* operands, const step* part, uint32_t block, bint false_rail, uint64_t* acc,
    uint64_t* scratch,
) noexcept nogil:
    """All operands on one rail, one after the other."""
    cdef uint32_t i
    for i in range(part.count):
        if run_step(steps, operands, operands[part.first + i], block, false_rail, acc, scratch) == 0:
            return EMPTY
    return SOME


cdef uint64_t run_any(
    const step* steps, const uint32_t* operands, const step* part, uint32_t block, bint false_rail, uint64_t* acc,
    uint64_t* scratch,
) noexcept nogil:
    """Any operand on one rail: each is asked about those whom none before it has taken."""
    cdef uint64_t* found = scratch
    cdef uint64_t* mine = scratch + WORDS
    cdef uint32_t i
    cdef uint64_t some = EMPTY
    memset(found, 0, WORDS * 8)
    for i in range(part.count):
        memcpy(mine, acc, WORDS * 8)
        if run_step(steps, operands, operands[part.first + i], block, false_rail, mine, scratch + 2 * WORDS):
            some = SOME
            ops.join(found, mine)
            if ops.drop(acc, mine) == 0:
                break
    memcpy(acc, found, WORDS * 8)
    return some


cdef uint64_t run_choice(
    const step* steps, const uint32_t* operands, const step* part, uint32_t block, bint false_rail, uint64_t* acc,
    uint64_t* scratch,
) noexcept nogil:
    cdef const uint32_t* mine = operands + part.first
    cdef uint64_t* other = scratch
    cdef uint64_t some
    memcpy(other, acc, WORDS * 8)
    scratch += WORDS
    some = run_step(steps, operands, mine[0], block, False, acc, scratch)
    if some:
        some = run_step(steps, operands, mine[1], block, false_rail, acc, scratch)
    if run_step(steps, operands, mine[0], block, True, other, scratch):
        if run_step(steps, operands, mine[2], block, false_rail, other, scratch):
            ops.join(acc, other)
            some = SOME
    return some


cdef uint64_t run_decided(
    const step* steps, const uint32_t* operands, const step* part, uint32_t block, bint false_rail, uint64_t* acc,
    uint64_t* scratch,
) noexcept nogil:
    if not false_rail:
        return run_step(steps, operands, operands[part.first], block, False, acc, scratch)
    memcpy(scratch, acc, WORDS * 8)
    if run_step(steps, operands, operands[part.first], block, False, scratch, scratch + WORDS):
        return ops.drop(acc, scratch)
    return SOME


cdef uint64_t run_step(
    const step* steps, const uint32_t* operands, uint32_t number, uint32_t block, bint false_rail, uint64_t* acc,
    uint64_t* scratch,
) noexcept nogil:
    """Narrow a set that is not empty to the users for whom a step is true (or false). Returns 0 where none is left."""
    cdef const step* part = steps + number
    if part.kind == LEAF:
        return part.narrow(part.context, block, false_rail, acc)
    if part.kind == OPPOSITE:
        return run_step(steps, operands, operands[part.first], block, not false_rail, acc, scratch)
    if part.kind == ALL_OF or part.kind == ANY_OF:
        if (part.kind == ALL_OF) != false_rail:
            return run_all(steps, operands, part, block, false_rail, acc, scratch)
        return run_any(steps, operands, part, block, false_rail, acc, scratch)
    if part.kind == CHOOSE:
        return run_choice(steps, operands, part, block, false_rail, acc, scratch)
    if part.kind == DECIDED:
        return run_decided(steps, operands, part, block, false_rail, acc, scratch)
    if part.kind == (NEVER if false_rail else ALWAYS):
        return SOME
    memset(acc, 0, WORDS * 8)
    return EMPTY


cdef double rank_steps(step* steps, uint32_t* operands, uint32_t number, uint32_t block, uint64_t* scratch) noexcept nogil:
    """Put operands into the order that decides most for least, by what they say of all rows of one block."""
    cdef step* part = steps + number
    cdef uint32_t* mine = operands + part.first
    cdef uint32_t i, k, moved
    cdef double reach = 1.0, decides
    cdef bint all_of = part.kind == ALL_OF
    if part.kind == LEAF:
        memset(scratch, 0xFF, WORDS * 8)
        if part.weigh == NULL:
            part.narrow(part.context, block, False, scratch)
        else:
            part.cost = part.weigh(part.context, block, scratch)
        part.share = ops.count(scratch) / <double>ROWS
        return part.share
    for i in range(part.count):
        rank_steps(steps, operands, mine[i], block, scratch)
    if all_of or part.kind == ANY_OF:
        for i in range(1, part.count):
            moved = mine[i]
            k = i
            while k and goes_before(steps + moved, steps + mine[k - 1], all_of):
                mine[k] = mine[k - 1]
                k -= 1
            mine[k] = moved
        part.cost = 0.0
        for i in range(part.count):
            part.cost += reach * steps[mine[i]].cost
            decides = steps[mine[i]].share
            reach *= decides if all_of else 1.0 - decides
        part.share = reach if all_of else 1.0 - reach
    elif part.kind == CHOOSE:
        part.cost = steps[mine[0]].cost * 2 + steps[mine[1]].cost + steps[mine[2]].cost
        part.share = steps[mine[0]].share * steps[mine[1]].share + (1.0 - steps[mine[0]].share) * steps[mine[2]].share
    elif part.count:
        part.cost = steps[mine[0]].cost
        part.share = 1.0 - steps[mine[0]].share if part.kind == OPPOSITE else steps[mine[0]].share
    return part.share


cdef inline bint goes_before(const step* one, const step* other, bint all_of) noexcept nogil:
    """Whether an operand decides more users for its cost than another: the first of two equals stays first."""
    cdef double ones = (1.0 - one.share) if all_of else one.share
    cdef double others = (1.0 - other.share) if all_of else other.share
    return (ones + 1e-6) * other.cost > (others + 1e-6) * one.cost


cdef inline uint32_t fill_asked(const asked* who, uint32_t block, uint64_t* acc, uint64_t* scratch) noexcept nogil:
    """The users of a block that are judged. Returns 0 where there is none."""
    cdef uint32_t found = fill_users(<const container*>who.live, who.live_length, block, acc)
    if found == 0 or who.among == NULL:
        return found
    if found == ROWS:
        return fill_users(<const container*>who.among, who.among_length, block, acc)
    if fill_users(<const container*>who.among, who.among_length, block, scratch) == 0:
        return 0
    return ops.keep(acc, scratch) != 0


cdef struct counted:  # a leaf whose calls are counted
    narrow_leaf narrow
    const void* context
    uint64_t calls


cdef uint64_t narrow_counted(const void* context, uint32_t block, bint false_rail, uint64_t* acc) noexcept nogil:
    cdef counted* leaf = <counted*>context
    leaf.calls += 1
    return leaf.narrow(leaf.context, block, false_rail, acc)


cdef asked asked_of(UserSet live, UserSet among):
    cdef asked who
    who.live, who.live_length = live.containers, live.length
    who.among = NULL if among is None else among.containers
    who.among_length = 0 if among is None else among.length
    return who


cdef class Program:
    """A condition over leaves.

    Arguments:
        root: a leaf; True, False or None (in error) for everybody; or (AND | OR | NOT | CHOICE | CLOSED, operands).

    Raises:
        TypeError, ValueError: for anything else.
    """

    def __cinit__(self, root):
        self._leaves = []
        parts, links = [], []
        self.root = self._list(root, parts, links)
        self.step_count = len(parts)
        self.steps = <step*>calloc(len(parts), sizeof(step))
        self.operands = <uint32_t*>calloc(len(links) + 1, sizeof(uint32_t))
        if self.steps == NULL or self.operands == NULL:
            raise MemoryError
        for number, (kind, leaf, first, count) in enumerate(parts):
            self.steps[number].kind, self.steps[number].first, self.steps[number].count = kind, first, count
            self.steps[number].cost, self.steps[number].share = CHEAP, 0.5
            if kind == LEAF:
                self.steps[number].narrow = (<Leaf>leaf).narrow
                self.steps[number].weigh = (<Leaf>leaf).weigh
                self.steps[number].context = (<Leaf>leaf).context
        for number, link in enumerate(links):
            self.operands[number] = link
        self.depth = self._sets_of(self.root)

    def __dealloc__(self):
        free(self.steps)
        free(self.operands)

    def _list(self, part, list parts, list links):
        """Add a part and all below it; the number of its step."""
        number = len(parts)
        if isinstance(part, Leaf):
            if (<Leaf>part).narrow == NULL:
                raise ValueError("a leaf without a kernel")
            self._leaves.append(part)
            parts.append((LEAF, part, 0, 0))
        elif part is True or part is False or part is None:
            parts.append((ALWAYS if part else ERROR if part is None else NEVER, None, 0, 0))
        else:
            kind, below = part
            if kind not in (ALL_OF, ANY_OF, OPPOSITE, CHOOSE, DECIDED):
                raise ValueError(f"no step of kind {kind}")
            wanted = {OPPOSITE: 1, DECIDED: 1, CHOOSE: 3}.get(kind, len(below))
            if not below or len(below) != wanted:
                raise ValueError(f"{len(below)} operands")
            parts.append(None)
            numbers = [self._list(one, parts, links) for one in below]
            parts[number] = (kind, None, len(links), len(numbers))
            links.extend(numbers)
        return number

    cdef uint32_t _sets_of(self, uint32_t number):
        """How many sets of one block a step needs beside the one that it narrows."""
        cdef step* part = self.steps + number
        cdef uint32_t own = 0, below = 0, i
        if part.kind == ALL_OF or part.kind == ANY_OF:
            own = 2
        elif part.kind == CHOOSE or part.kind == DECIDED:
            own = 1
        for i in range(part.count):
            below = max(below, self._sets_of(self.operands[part.first + i]))
        return own + below

    cdef uint64_t* _room(self) except NULL:
        """Memory for one thread's sets: the one narrowed, one more, and what steps need."""
        cdef uint64_t* room = <uint64_t*>malloc((<size_t>self.depth + 2) * WORDS * 8)
        if room == NULL:
            raise MemoryError
        return room

    def rank(self, uint32_t sample):
        """Put the operands of `&&` and `||` into a good order, by what the leaves say of one block."""
        cdef uint64_t* room = self._room()
        with nogil:
            rank_steps(self.steps, self.operands, self.root, sample, room)
        free(room)

    def count(self, UserSet live not None, UserSet among, Blocks blocks not None):
        """How many of the users asked for it is true for, in the blocks that this call took.

        Arguments:
            live: the users that exist.
            among: the users asked for, None for all.
        """
        cdef asked who = asked_of(live, among)
        cdef uint64_t* room = self._room()
        cdef uint64_t total = 0
        cdef uint32_t i, first
        with nogil:
            while True:
                first = take_some(&blocks.taken, AT_ONCE)
                if first >= blocks.length:
                    break
                for i in range(first, min(first + AT_ONCE, blocks.length)):
                    if fill_asked(&who, blocks.numbers[i], room, room + WORDS):
                        if run_step(self.steps, self.operands, self.root, blocks.numbers[i], False, room, room + WORDS):
                            total += ops.count(room)
        free(room)
        return total

    def select(self, UserSet live not None, UserSet among, Blocks blocks not None, uint64_t[:, ::1] out not None):
        """The users asked for whom it is true for, in the blocks that this call took.

        Arguments:
            out: uint64[n, 1024], of which the rows of those blocks are overwritten: row k holds the users of block k.

        Raises:
            ValueError: `out` of another shape.
        """
        cdef asked who = asked_of(live, among)
        cdef uint64_t* room
        cdef uint64_t* row
        cdef uint32_t i, first
        if out.shape[0] != blocks.length or out.shape[1] != WORDS:
            raise ValueError(f"{blocks.length} blocks, and room for {out.shape[0]} of {out.shape[1]} words")
        room = self._room()
        with nogil:
            while True:
                first = take_some(&blocks.taken, AT_ONCE)
                if first >= blocks.length:
                    break
                for i in range(first, min(first + AT_ONCE, blocks.length)):
                    row = &out[i, 0]
                    if fill_asked(&who, blocks.numbers[i], row, room):
                        run_step(self.steps, self.operands, self.root, blocks.numbers[i], False, row, room)
                    else:
                        memset(row, 0, WORDS * 8)
        free(room)

    def work(self, UserSet live not None, UserSet among, Blocks blocks not None):
        """What a count over these blocks does, for tests: how often a leaf is asked about a block, and what kernels of
        comparisons then read. Nobody else may run the program meanwhile.

        Returns:
            The counts by name: asked, and those of `block_work`.
        """
        cdef counted* calls = <counted*>calloc(self.step_count, sizeof(counted))
        cdef block_work done
        cdef uint32_t i
        if calls == NULL:
            raise MemoryError
        memset(&done, 0, sizeof(done))
        for leaf in self._leaves:
            if isinstance(leaf, ComparisonLeaf):
                (<ComparisonLeaf>leaf).report_to(&done)
        for i in range(self.step_count):
            if self.steps[i].kind == LEAF:
                calls[i] = counted(self.steps[i].narrow, self.steps[i].context, 0)
                self.steps[i].narrow, self.steps[i].context = narrow_counted, calls + i
        self.count(live, among, blocks)
        asked = 0
        for i in range(self.step_count):
            if self.steps[i].kind == LEAF:
                self.steps[i].narrow, self.steps[i].context = calls[i].narrow, calls[i].context
                asked += calls[i].calls
        for leaf in self._leaves:
            if isinstance(leaf, ComparisonLeaf):
                (<ComparisonLeaf>leaf).report_to(NULL)
        free(calls)
        return {"asked": asked, **done}

    def narrow(self, const uint32_t[::1] blocks not None, uint64_t[:, ::1] words not None, *, bint false_rail):
        """Leave in sets those users for whom it is true (or, on the other rail, false).

        Arguments:
            blocks: uint32[n], the numbers of blocks.
            words: uint64[n, 1024], the users of each, changed in place.

        Raises:
            ValueError: words of another shape.
        """
        cdef uint64_t* room
        cdef uint64_t* row
        cdef uint64_t left
        cdef Py_ssize_t i, w, n = blocks.shape[0]
        if words.shape[0] != n or words.shape[1] != WORDS:
            raise ValueError(f"{n} blocks, and {words.shape[0]} sets of {words.shape[1]} words")
        room = self._room()
        with nogil:
            for i in range(n):
                row = &words[i, 0]
                left = 0
                for w in range(WORDS):
                    left |= row[w]
                if left:
                    run_step(self.steps, self.operands, self.root, blocks[i], false_rail, row, room)
        free(room)


def word_kernels():
    """The names of the kernels for whole sets that this machine can run; the last of them is used."""
    return [word_ops_variants[i].name.decode() for i in range(word_ops_here())]


def combined(str name, const uint64_t[::1] into not None, const uint64_t[::1] other not None):
    """Run all kernels of one of `word_kernels` on copies, for tests: what each gives, by name."""
    cdef const word_ops* chosen = NULL
    cdef uint64_t[::1] view
    cdef int i
    if into.shape[0] != WORDS or other.shape[0] != WORDS:
        raise ValueError(f"a block has {WORDS} words")
    for i in range(word_ops_here()):
        if word_ops_variants[i].name.decode() == name:
            chosen = &word_ops_variants[i]
    if chosen == NULL:
        raise ValueError(f"no kernels called {name}")
    found = {"count": chosen.count(&into[0])}
    for what in ("keep", "drop", "join"):
        view = np.array(into)
        if what == "keep":
            left = chosen.keep(&view[0], &other[0])
        elif what == "drop":
            left = chosen.drop(&view[0], &other[0])
        else:
            chosen.join(&view[0], &other[0])
            left = 1
        found[what] = (np.asarray(view), left != 0)
    return found
