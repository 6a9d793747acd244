"""Counts the events of one name per user, a block of users at a time, straight from the pages of a window of days.

A condition on one event is a small program over two sets of rows, those for which it is true and those for which it is
false; who is in neither errs. Its leaves compare a column with constants in the column's own width: the constants are
moved into the column's offsets when a page is bound, and many leaves are then true or false for a whole page. Rows that
decide are counted into one byte per user of the block, which stops at 255, or noted as one bit where one is enough.

Nothing here needs the GIL; a `Tally` is a leaf of a program, changes nothing once it is made, and may be asked by several
threads at once.
"""

from libc.math cimport ceil, floor
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from core.bitmaps.event_page cimport (
    NO_SCALE, SOME, TAGGED, EventPage, event_column, event_view, number_at, tag_at, unscaled, value_at
)
from core.evaluator.event_loops cimport count_rows_of, event_loops, loops_of, note_rows_of, ones
from core.evaluator.program cimport Leaf

cdef enum:
    ROWS = 65536  # users in a block
    WORDS = 1024
    STRIDE = 16  # words of rows that go through a program together
    MOST_DEPTH = 16
    DOUBLE = 4
    TIMESTAMP = 6
    # a program's operations
    DO_LEAF = 0
    DO_AND = 1
    DO_OR = 2
    DO_NOT = 3
    # how a leaf finds its hits in a page
    HIT_ALL = 0
    HIT_NONE = 1
    HIT_OFFSETS = 2
    HIT_DOUBLES = 3
    HIT_CELLS = 4  # each row's tag decides how
    NO_HITS_KNOWN = 5  # every row errs
    IS_PRESENT = 6
    # what reading costs, in rows that are judged one after the other
    ROWS_PER_SEARCH = 96  # finding a user's rows in a page
    ROWS_PER_BLOCK = 4096  # emptying and comparing a block's counters

cdef double ROW_NANOSECONDS = 1.5

cdef struct leaf_test:  # what a leaf asks: see core.evaluator.ranges.Bounds
    uint8_t presence  # has(e.x), and nothing else
    uint8_t of_time
    uint8_t int_tag
    uint8_t double_tag
    uint8_t others_false
    uint8_t negate
    uint32_t owner
    int64_t int_least
    int64_t int_greatest
    double double_least
    double double_greatest

cdef struct bound_leaf:  # the same of one page
    const event_column* column  # NULL where no row has the property
    uint8_t how
    uint64_t least  # HIT_OFFSETS: in the column's offsets
    uint64_t span

cdef struct operation:
    uint8_t kind
    uint32_t leaf

cdef struct bound_page:
    const event_view* view
    const uint64_t* alive  # NULL: every row counts
    bound_leaf now  # visible rows
    bint all_visible


cdef inline int64_t smallest_above(double bound, uint8_t scale) noexcept nogil:
    """The smallest number whose scaled double is at least a bound; numbers lie within 2**53."""
    cdef double tens = 1.0
    cdef int i
    for i in range(scale):
        tens *= 10.0
    cdef double near = ceil(bound * tens)
    if not near > -9.1e15:
        return -9100000000000000
    if near > 9.1e15:
        return 9100000000000000
    cdef int64_t number = <int64_t>near
    while as_double(unscaled(number - 1, scale)) >= bound:
        number -= 1
    while as_double(unscaled(number, scale)) < bound:
        number += 1
    return number


cdef inline double as_double(int64_t bits) noexcept nogil:
    cdef double value
    memcpy(&value, &bits, 8)
    return value


cdef void bind_range(bound_leaf* leaf, int64_t least, int64_t greatest) noexcept nogil:
    """Move a closed range of numbers into the offsets of a column whose values all have the type that is asked for."""
    cdef const event_column* column = leaf.column
    cdef uint64_t top, low, high
    if least > greatest or greatest < column.base:
        leaf.how = HIT_NONE
        return
    top = 0 if column.width == 0 else (<uint64_t>-1) >> (64 - 8 * column.width)
    low = 0
    if least > column.base:
        low = <uint64_t>least - <uint64_t>column.base
        low = low // column.unit + (low % column.unit != 0)
    high = (<uint64_t>greatest - <uint64_t>column.base) // column.unit
    if low > top or low > high:
        leaf.how = HIT_NONE
    elif low == 0 and high >= top:
        leaf.how = HIT_ALL
    else:
        leaf.how = HIT_OFFSETS
        leaf.least, leaf.span = low, min(high, top) - low


cdef void bind_leaf(bound_leaf* leaf, const leaf_test* test, const event_view* view) noexcept nogil:
    """Find the column of a leaf in a page, and whether its values decide the leaf for all rows that have one."""
    cdef const event_column* column = NULL
    cdef uint32_t c
    cdef int64_t above
    if test.of_time:
        column = &view.times
    else:
        for c in range(view.columns):
            if view.properties[c].owner == test.owner:
                column = view.properties + c
    leaf.column = column
    if test.presence:
        leaf.how = IS_PRESENT
        return
    if column == NULL:
        leaf.how = NO_HITS_KNOWN
    elif column.kind == TAGGED:
        leaf.how = HIT_CELLS
    elif column.tag == test.int_tag:
        if test.int_least <= column.least and column.greatest <= test.int_greatest:
            leaf.how = HIT_ALL
        elif column.greatest < test.int_least or test.int_greatest < column.least:
            leaf.how = HIT_NONE
        else:
            bind_range(leaf, test.int_least, test.int_greatest)
    elif column.tag == test.double_tag:
        if test.double_least <= as_double(column.least) and as_double(column.greatest) <= test.double_greatest:
            leaf.how = HIT_ALL
        elif as_double(column.greatest) < test.double_least or test.double_greatest < as_double(column.least):
            leaf.how = HIT_NONE
        elif column.scale == NO_SCALE:
            leaf.how = HIT_DOUBLES
        elif test.double_least > test.double_greatest:
            leaf.how = HIT_NONE
        else:
            # The largest number not above a bound is the negated smallest one not below its opposite: rounding is even.
            above = -smallest_above(-test.double_greatest, column.scale)
            bind_range(leaf, smallest_above(test.double_least, column.scale), above)
    else:
        leaf.how = HIT_NONE if test.others_false else NO_HITS_KNOWN


cdef inline uint64_t bits_from(const uint64_t* words, uint64_t row, uint64_t rows) noexcept nogil:
    """64 bits from a row on, of a set of `rows` rows."""
    cdef uint64_t place = row >> 6, shift = row & 63, bits = words[place] >> shift
    if shift and (place + 1) * 64 < rows:
        bits |= words[place + 1] << (64 - shift)
    return bits


cdef void ask_leaf(
    const bound_leaf* leaf, const leaf_test* test, uint64_t first, uint64_t n, uint64_t rows, const event_loops* loops,
    uint64_t* true, uint64_t* false
) noexcept nogil:
    """The rows first..first+n-1 of a page as bits, those beyond of no meaning."""
    cdef uint64_t words = (n + 63) // 64, whole = n // 64, w, hits, known, row
    cdef const event_column* column = leaf.column
    cdef uint64_t[64] rest  # the last rows, where a word would reach beyond the column
    cdef const uint8_t* data
    cdef unsigned width
    if leaf.how == HIT_CELLS:
        memset(true, 0, 8 * words)
        memset(false, 0, 8 * words)
        for row in range(n):
            ask_cell(test, tag_at(column, first + row), value_at(column, first + row), true + row // 64,
                     false + row // 64, row & 63)
        return
    if leaf.how == HIT_OFFSETS or leaf.how == HIT_DOUBLES:
        width = column.width
        data = column.data + first * width
        if leaf.how == HIT_OFFSETS:
            loops.offsets(data, width, whole, leaf.least, leaf.span, true)
        else:
            loops.doubles(data, whole, test.double_least, test.double_greatest, true)
        if whole < words:
            memset(rest, 0, sizeof(rest))
            memcpy(rest, data + 64 * whole * width, (n - 64 * whole) * width)
            if leaf.how == HIT_OFFSETS:
                loops.offsets(<const uint8_t*>rest, width, 1, leaf.least, leaf.span, true + whole)
            else:
                loops.doubles(<const uint8_t*>rest, 1, test.double_least, test.double_greatest, true + whole)
    for w in range(words):
        known = <uint64_t>-1
        if column != NULL and column.kind == SOME:
            known = bits_from(column.present, first + 64 * w, rows)
        elif column != NULL and column.kind == TAGGED:  # has(e.x)
            known = 0
            for row in range(min(<uint64_t>64, n - 64 * w)):
                known |= <uint64_t>(column.tags[first + 64 * w + row] != 0) << row
        if leaf.how == IS_PRESENT:
            true[w] = 0 if column == NULL else known
            false[w] = ~true[w]
            continue
        if leaf.how == NO_HITS_KNOWN:
            true[w] = false[w] = 0
            continue
        hits = true[w] if leaf.how == HIT_OFFSETS or leaf.how == HIT_DOUBLES else (
            <uint64_t>-1 if leaf.how == HIT_ALL else <uint64_t>0
        )
        if test.negate:
            hits = ~hits
        true[w], false[w] = known & hits, known & ~hits


cdef inline void ask_cell(
    const leaf_test* test, uint8_t tag, int64_t value, uint64_t* true, uint64_t* false, uint64_t bit
) noexcept nogil:
    """One row whose tag decides how it is compared."""
    cdef bint hit = False, known = test.others_false and tag != 0
    if tag == 0:
        return
    if tag == test.int_tag:
        known, hit = True, test.int_least <= value <= test.int_greatest
    elif tag == test.double_tag:
        known, hit = True, test.double_least <= as_double(value) <= test.double_greatest
    if known:
        if hit != <bint>test.negate:
            true[0] |= <uint64_t>1 << bit
        else:
            false[0] |= <uint64_t>1 << bit


cdef inline uint32_t place_in(const event_view* view, uint32_t block) noexcept nogil:
    """The place of a block in a page, or that after the last."""
    cdef uint32_t low = 0, high = view.blocks, middle
    if block < high and view.numbers[block] == block:
        return block
    while low < high:
        middle = (low + high) // 2
        if view.numbers[middle] < block:
            low = middle + 1
        else:
            high = middle
    return low if low < view.blocks and view.numbers[low] == block else view.blocks


cdef inline uint32_t first_row(const uint16_t* users, uint32_t low, uint32_t high, uint16_t user) noexcept nogil:
    """The first of the rows from low to before high whose user is not below one."""
    cdef uint32_t middle
    while low < high:
        middle = low + (high - low) // 2
        if users[middle] < user:
            low = middle + 1
        else:
            high = middle
    return low


cdef struct question:  # the context of a Tally
    bound_page* pages
    bound_leaf* bound  # of each page, one after the other
    leaf_test* leaves
    operation* operations
    size_t page_count
    size_t leaf_count
    size_t operation_count
    leaf_test visible
    event_loops loops
    uint8_t least
    uint8_t greatest
    bint negate
    bint counts
    bint decided_by_false


cdef void rows_of(
    const question* me, size_t number, uint64_t first, uint64_t n, uint64_t* deciding, uint64_t* failing
) noexcept nogil:
    """Of up to 1,024 rows of a page, those that decide and those that err."""
    cdef uint64_t[MOST_DEPTH * STRIDE] true, false
    cdef const bound_page* page = &me.pages[number]
    cdef uint64_t rows = page.view.rows, words = (n + 63) // 64, w, counting
    cdef size_t i, top = 0, low
    cdef uint64_t[STRIDE] seen, unseen
    if me.operation_count == 0:
        memset(true, 0xFF, 8 * words)
        memset(false, 0, 8 * words)
    for i in range(me.operation_count):
        if me.operations[i].kind == DO_LEAF:
            ask_leaf(
                &me.bound[number * me.leaf_count + me.operations[i].leaf],
                &me.leaves[me.operations[i].leaf], first, n, rows, &me.loops, true + top * STRIDE,
                false + top * STRIDE,
            )
            top += 1
            continue
        low = (top - 1) * STRIDE
        if me.operations[i].kind == DO_NOT:
            for w in range(words):
                true[low + w], false[low + w] = false[low + w], true[low + w]
            continue
        top -= 1
        low -= STRIDE
        if me.operations[i].kind == DO_AND:
            for w in range(words):
                true[low + w] &= true[low + STRIDE + w]
                false[low + w] |= false[low + STRIDE + w]
        else:
            for w in range(words):
                true[low + w] |= true[low + STRIDE + w]
                false[low + w] &= false[low + STRIDE + w]
    if not page.all_visible:
        ask_leaf(&page.now, &me.visible, first, n, rows, &me.loops, seen, unseen)
    for w in range(words):
        counting = <uint64_t>-1 if page.all_visible else seen[w]
        if page.alive != NULL:
            counting &= bits_from(page.alive, first + 64 * w, rows)
        if 64 * w + 64 > n:
            counting &= ((<uint64_t>1) << (n & 63)) - 1
        failing[w] = counting & ~(true[w] | false[w])
        deciding[w] = counting & (false[w] if me.decided_by_false else true[w])


cdef uint64_t count_of(const question* me, uint32_t block, uint16_t user, bint* failed) noexcept nogil:
    """How many of a user's events decide, and whether one errs."""
    cdef uint64_t[STRIDE] deciding, failing
    cdef uint64_t row, last, n, w, count = 0
    cdef size_t i
    cdef uint32_t place
    cdef const event_view* view
    for i in range(me.page_count):
        view = me.pages[i].view
        place = place_in(view, block)
        if place == view.blocks:
            continue
        row, last = first_row(view.ordinals, view.starts[place], view.starts[place + 1], user), view.starts[place + 1]
        while row < last and view.ordinals[row] == user:
            n = 1
            while n < 64 * STRIDE and row + n < last and view.ordinals[row + n] == user:
                n += 1
            rows_of(me, i, row, n, deciding, failing)
            for w in range((n + 63) // 64):
                count += ones(deciding[w])
                failed[0] |= failing[w] != 0
            row += n
    return count


cdef void ask_few(
    const question* me, uint32_t block, const uint64_t* within, uint64_t* true_words, uint64_t* false_words
) noexcept nogil:
    """User by user."""
    cdef uint64_t word, bit, count
    cdef size_t w
    cdef bint failed, yes
    memset(true_words, 0, 8 * WORDS)
    memset(false_words, 0, 8 * WORDS)
    for w in range(WORDS):
        word = within[w]
        while word:
            bit = word & (~word + 1)
            word ^= bit
            failed = False
            count = count_of(me, block, <uint16_t>(64 * w + ones(bit - 1)), &failed)
            if me.counts:
                count = min(count, <uint64_t>255)
                yes = (me.least <= count <= me.greatest) != me.negate
            else:
                yes = (count > 0) != me.decided_by_false
            # What decides `exists` or `all` does so whatever errs.
            if failed and (me.counts or count == 0):
                continue
            if yes:
                true_words[w] |= bit
            else:
                false_words[w] |= bit


cdef void ask_all(const question* me, uint32_t block, uint64_t* true_words, uint64_t* false_words) noexcept nogil:
    """All events of the block's users."""
    cdef uint8_t[ROWS] counters
    cdef uint64_t[WORDS] failed
    cdef uint64_t[STRIDE] deciding, failing
    cdef uint64_t row, last, n, w, erred, hits
    cdef size_t i
    cdef uint32_t place
    cdef const event_view* view
    cdef bint any_failed = False
    memset(failed, 0, sizeof(failed))
    memset(true_words, 0, 8 * WORDS)
    if me.counts:
        memset(counters, 0, sizeof(counters))
    for i in range(me.page_count):
        view = me.pages[i].view
        place = place_in(view, block)
        if place == view.blocks:
            continue
        row, last = view.starts[place], view.starts[place + 1]
        while row < last:
            n = min(<uint64_t>(64 * STRIDE), last - row)
            rows_of(me, i, row, n, deciding, failing)
            if me.counts:
                count_rows_of(deciding, n, view.ordinals + row, counters)
            else:
                note_rows_of(deciding, n, view.ordinals + row, true_words)
            erred = 0
            for w in range((n + 63) // 64):
                erred |= failing[w]
            if erred:
                any_failed = True
                note_rows_of(failing, n, view.ordinals + row, failed)
            row += n
    if me.counts:
        me.loops.counters(counters, me.least, me.greatest, true_words)
    for w in range(WORDS):
        hits = true_words[w]
        if me.counts:
            if me.negate:
                hits = ~hits
            true_words[w], false_words[w] = hits & ~failed[w], ~hits & ~failed[w]
        elif me.decided_by_false:
            true_words[w], false_words[w] = ~hits & ~failed[w], hits
        else:
            false_words[w] = ~hits & ~failed[w]


cdef void ask(
    const question* me, uint32_t block, const uint64_t* within, uint64_t* true_words, uint64_t* false_words
) noexcept nogil:
    """The answers for the users of a block: 1,024 words each. Who is in neither has an event that errs.

    Of users who are not `within` nothing is said. Where these are few, only their events are read.
    """
    cdef uint64_t users = 0, rows = 0, pages = 0
    cdef size_t i, w
    cdef uint32_t place
    for w in range(WORDS):
        users += ones(within[w])
    for i in range(me.page_count):
        place = place_in(me.pages[i].view, block)
        if place < me.pages[i].view.blocks:
            rows += me.pages[i].view.starts[place + 1] - me.pages[i].view.starts[place]
            pages += 1
    if users * pages * ROWS_PER_SEARCH < rows + ROWS_PER_BLOCK:
        ask_few(me, block, within, true_words, false_words)
    else:
        ask_all(me, block, true_words, false_words)


cdef uint64_t narrow_by_events(const void* context, uint32_t block, bint false_rail, uint64_t* acc) noexcept nogil:
    """See `core.evaluator.program.Leaf`."""
    cdef uint64_t[WORDS] true_words, false_words
    cdef uint64_t left = 0
    cdef const uint64_t* rail = &true_words[0]
    cdef size_t w
    if false_rail:
        rail = &false_words[0]
    ask(<const question*>context, block, acc, true_words, false_words)
    for w in range(WORDS):
        acc[w] &= rail[w]
        left |= acc[w]
    return left


cdef double weigh_events(const void* context, uint32_t block, uint64_t* acc) noexcept nogil:
    """See `core.evaluator.program.Leaf`: what reading all of a block's events takes."""
    cdef const question* me = <const question*>context
    cdef double rows = ROWS_PER_BLOCK
    cdef size_t i
    cdef uint32_t place
    for i in range(me.page_count):
        place = place_in(me.pages[i].view, block)
        if place < me.pages[i].view.blocks:
            rows += me.pages[i].view.starts[place + 1] - me.pages[i].view.starts[place]
    narrow_by_events(context, block, False, acc)
    return rows * ROW_NANOSECONDS


cdef class Tally(Leaf):
    """A question about the events of each user, over the pages that a window of days has.

    Arguments:
        parts: (EventPage, its alive words or None) of each part of each day.
        leaves: (owner, -1 for the time and -2 for a property that the table never had; a `Bounds` or, for `has`, None).
        operations: the condition in postfix order: a leaf's number, or -1 for and, -2 or, -3 not; empty for no condition.
        now: events later than this (micros) are invisible.
        kind: `exists`, `all`, or `size`; for the last `least` and `greatest`, 0 to 255, between which a count makes the
            answer true, or with `negate` false; 255 stands for all counts from there on.
        portable: use no instructions beyond the compiler's default, for tests.

    Raises:
        ValueError: a condition that is not well formed or too deep.
    """

    cdef list _kept
    cdef question me

    def __cinit__(
        self, list parts, list leaves, list operations, int64_t now, str kind, int least=1, int greatest=255,
        bint negate=False, bint portable=False,
    ):
        cdef size_t i, leaf
        cdef EventPage page
        cdef const uint64_t[::1] alive
        if not 0 <= least <= greatest <= 255:
            raise ValueError(f"counts from {least} to {greatest}")
        self.me.loops = loops_of(portable)
        self.me.least, self.me.greatest, self.me.negate = least, greatest, negate
        self.me.counts, self.me.decided_by_false = kind == "size", kind == "all"
        self.narrow, self.weigh, self.context = narrow_by_events, weigh_events, &self.me
        self._kept = []
        self.me.page_count, self.me.leaf_count, self.me.operation_count = len(parts), len(leaves), len(operations)
        self.me.pages = <bound_page*>calloc(self.me.page_count + 1, sizeof(bound_page))
        self.me.bound = <bound_leaf*>calloc(self.me.page_count * self.me.leaf_count + 1, sizeof(bound_leaf))
        self.me.leaves = <leaf_test*>calloc(self.me.leaf_count + 1, sizeof(leaf_test))
        self.me.operations = <operation*>calloc(self.me.operation_count + 1, sizeof(operation))
        if self.me.pages == NULL or self.me.bound == NULL or self.me.leaves == NULL or self.me.operations == NULL:
            raise MemoryError
        for i, (owner, bounds) in enumerate(leaves):
            self._take_leaf(&self.me.leaves[i], owner, bounds)
        self._take_operations(operations)
        self.me.visible.of_time, self.me.visible.int_tag = True, TIMESTAMP
        self.me.visible.int_least, self.me.visible.int_greatest = INT64_MIN, now
        for i, (page, words) in enumerate(parts):
            self._kept.append((page, words))
            self.me.pages[i].view = &page.view
            if words is not None:
                alive = words
                if <uint64_t>alive.shape[0] != (page.view.rows + 63) // 64:
                    raise ValueError(f"{alive.shape[0]} words for {page.view.rows} rows")
                self.me.pages[i].alive = &alive[0]
            bind_leaf(&self.me.pages[i].now, &self.me.visible, &page.view)
            self.me.pages[i].all_visible = self.me.pages[i].now.how == HIT_ALL
            for leaf in range(self.me.leaf_count):
                bind_leaf(&self.me.bound[i * self.me.leaf_count + leaf], &self.me.leaves[leaf], &page.view)

    def __dealloc__(self):
        free(self.me.pages)
        free(self.me.bound)
        free(self.me.leaves)
        free(self.me.operations)

    cdef int _take_leaf(self, leaf_test* test, int64_t owner, bounds) except -1:
        test.of_time = owner == -1
        test.owner = <uint32_t>owner  # -2 becomes a number that no property has
        test.presence = bounds is None
        if bounds is not None:
            test.int_tag, test.double_tag = bounds.int_tag, bounds.double_tag
            test.int_least, test.int_greatest = bounds.ints
            test.double_least, test.double_greatest = bounds.doubles
            test.others_false, test.negate = bounds.others_false, bounds.negate
            # 0 means no value in a column, and no type in bounds.
            test.int_tag = test.int_tag or 255
            test.double_tag = test.double_tag or 255
        return 0

    cdef int _take_operations(self, list operations) except -1:
        cdef size_t i
        cdef int depth = 0, code
        for i in range(self.me.operation_count):
            code = operations[i]
            self.me.operations[i].kind = DO_LEAF if code >= 0 else -code
            if code >= 0:
                self.me.operations[i].leaf = code
                depth += 1
                if <size_t>code >= self.me.leaf_count:
                    raise ValueError(f"no leaf {code}")
            elif code not in (-1, -2, -3) or depth < (1 if code == -3 else 2):
                raise ValueError(f"operation {code} on {depth} operands")
            elif code != -3:
                depth -= 1
            if depth > MOST_DEPTH:
                raise ValueError("too deep a condition")
        if self.me.operation_count and depth != 1:
            raise ValueError(f"a condition that leaves {depth} answers")
        return 0
