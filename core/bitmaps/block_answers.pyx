"""What a page says of a test: its ends first, then its index, then the column itself as far as users are asked about."""

from libc.math cimport ceil, floor
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from core.bitmaps.block_pages cimport (
    FORM_ARRAY,
    FORM_WORDS,
    INDEX_ORDER,
    INDEX_VALUES,
    ROWS,
    SAMPLE,
    TAGS,
    TOP,
    WORDS,
    block_view,
    container,
    data_of_code,
    order_code,
    patch_view,
)
from core.bitmaps.scans cimport (
    bits_of,
    fetch,
    first_bit,
    group_of,
    offset_at,
    offsets_below,
    scan_variant,
    scan_variants,
    scan_variants_here,
)

import numpy as np

cdef enum:
    TAG_NULL = 1
    TAG_DOUBLE = 4
    MOST_RANKED = 8192  # more rows than this are compared in the column rather than taken one by one from the order
    MOST_SEARCHED = 4096  # more constants than this are not looked up in the order one by one

cdef uint64_t TAG_SHIFT = 56
cdef uint64_t OFFSETS = (<uint64_t>1 << 56) - 1
cdef double MOST_MULTIPLE = 1e12  # no page has multiples of a divisor beyond
cdef const scan_variant* CHOSEN = &scan_variants[scan_variants_here() - 1]


# What a test asks, as ranges of a page's offsets.


cdef bint clip(const block_view* view, uint64_t low, uint64_t high, uint64_t* first, uint64_t* last) noexcept nogil:
    """The offsets whose order codes lie in low..high; False where there is none."""
    cdef uint64_t above
    if low > high or high < view.base:
        return False
    first[0] = 0
    if low > view.base:
        above = low - view.base
        first[0] = above // view.unit + (above % view.unit != 0)
    last[0] = min((high - view.base) // view.unit, view.top)
    return first[0] <= last[0]


cdef bint clip_doubles(const block_view* view, double low, double high, uint64_t* first, uint64_t* last) noexcept nogil:
    """The offsets of the doubles in low..high; False where there is none."""
    cdef int64_t least = -(<int64_t>1 << 60), greatest = <int64_t>1 << 60, bits
    cdef double scale = view.divisor
    if not low <= high:
        return False
    if view.divisor and view.uniform_tag == TAG_DOUBLE:
        if low > MOST_MULTIPLE or high < -MOST_MULTIPLE:
            return False
        # Multiplication rounds, so that the nearest multiples decide. They are in order, as division keeps it.
        if low > -MOST_MULTIPLE:
            least = <int64_t>floor(low * scale) - 1
            while <double>least / scale < low:
                least += 1
        if high < MOST_MULTIPLE:
            greatest = <int64_t>ceil(high * scale) + 1
            while <double>greatest / scale > high:
                greatest -= 1
        return least <= greatest and clip(view, order_code(0, least), order_code(0, greatest), first, last)
    if low == 0:
        low = -0.0
    if high == 0:
        high = 0.0
    memcpy(&bits, &low, 8)
    least = bits
    memcpy(&bits, &high, 8)
    return clip(view, order_code(TAG_DOUBLE, least), order_code(TAG_DOUBLE, bits), first, last)


cdef bint wanted_offsets(
    const block_view* view, const block_test* test, uint8_t tag, uint64_t* first, uint64_t* last
) noexcept nogil:
    """The closed range of a page's offsets that a test's ranges select of a tag; False where there is none."""
    cdef bint ints = tag == test.int_tag and test.int_least <= test.int_greatest
    if tag == test.double_tag:
        return clip_doubles(view, test.double_least, test.double_greatest, first, last)
    return ints and clip(view, order_code(tag, test.int_least), order_code(tag, test.int_greatest), first, last)


cdef bint is_wanted(const block_test* test, uint8_t tag, int64_t data) noexcept nogil:
    """Whether a cell is one of the wanted."""
    cdef uint32_t low = test.starts[tag], high = test.starts[tag + 1], middle
    cdef uint64_t code
    if tag == TAG_NULL:
        return low < high
    if tag == TAG_DOUBLE and <uint64_t>data << 1 == 0:
        data = 0  # both zeros are the same value
    code = order_code(tag, data)
    while low < high:
        middle = (low + high) // 2
        if order_code(tag, test.wanted[middle]) < code:
            low = middle + 1
        else:
            high = middle
    return low < test.starts[tag + 1] and test.wanted[low] == data


cdef int cell_passes(const block_test* test, uint8_t tag, int64_t data) noexcept nogil:
    cdef bint hit
    cdef double value
    if tag == 0:
        return 2
    if test.wanted != NULL:
        hit = is_wanted(test, tag, data)
    elif tag == test.double_tag:
        memcpy(&value, &data, 8)
        hit = test.double_least <= value <= test.double_greatest
    elif tag == test.int_tag:
        hit = test.int_least <= data <= test.int_greatest
    elif test.others_false:
        hit = False
    else:
        return 2
    return hit != test.negate


cdef uint8_t row_tag(const block_view* view, uint32_t row) noexcept nogil:
    """The type of a row of the page."""
    if view.tags != NULL:
        return view.tags[row]
    return view.uniform_tag if view.present == NULL or view.present[row >> 6] >> (row & 63) & 1 else 0


cdef int64_t row_data(const block_view* view, uint8_t tag, uint32_t row) noexcept nogil:
    """The data of a row of the page that has a value of type `tag`."""
    return data_of_code(tag, view.base + view.unit * offset_at(view.data, view.width, row), view.divisor)


# Which rows of a page have an offset in a range.


cdef void set_rows(uint64_t* words, const uint16_t* rows, size_t n) noexcept nogil:
    cdef size_t i
    for i in range(n):
        words[rows[i] >> 6] |= <uint64_t>1 << (rows[i] & 63)


cdef void clear_rows(uint64_t* words, const uint16_t* rows, size_t n) noexcept nogil:
    cdef size_t i
    for i in range(n):
        words[rows[i] >> 6] &= ~(<uint64_t>1 << (rows[i] & 63))


cdef void fill_present(const block_view* view, uint64_t* words) noexcept nogil:
    """The rows of the page that have a value."""
    if view.present == NULL:
        memset(words, 0xFF, WORDS * 8)
    else:
        memcpy(words, view.present, WORDS * 8)


cdef void scan_page(
    const block_view* view, uint64_t first, uint64_t last, const uint64_t* within, block_work* work, uint64_t* out
) noexcept nogil:
    """Compare the column, as far as rows are asked about."""
    cdef int power = 0 if view.width == 1 else 1 if view.width == 2 else 2 if view.width == 4 else 3
    cdef uint32_t w, asked = 0
    CHOSEN.of_width[power](view.data, first, last, within, out)
    if view.present != NULL:
        CHOSEN.keep(out, view.present)
    if work != NULL:
        for w in range(WORDS):
            asked += within[w] != 0
        work.scanned_rows += 64 * asked


cdef void ranks_to_rows(const block_view* view, uint32_t low, uint32_t high, block_work* work, uint64_t* out) noexcept nogil:
    """The rows whose places in the order lie in low..high - 1, by the nearest sets of `below` and the rows between."""
    cdef uint32_t sets, under, over, moved = 0, read = 0
    if high - low <= view.step or view.step == 0:
        memset(out, 0, WORDS * 8)
        set_rows(out, view.order + low, high - low)
        if work != NULL:
            work.index_rows += high - low
        return
    sets = (view.count - 1) // view.step
    under = min((low + view.step // 2) // view.step, sets)
    over = sets + 1 if high == view.count else min((high + view.step // 2) // view.step, sets)
    if over > sets:
        fill_present(view, out)
    elif over == 0:
        memset(out, 0, WORDS * 8)
    else:
        memcpy(out, view.below + <size_t>(over - 1) * WORDS, WORDS * 8)
        read += WORDS
        if high > over * view.step:
            set_rows(out, view.order + over * view.step, high - over * view.step)
            moved += high - over * view.step
        else:
            clear_rows(out, view.order + high, over * view.step - high)
            moved += over * view.step - high
    if low:
        if under:
            CHOSEN.drop(out, view.below + <size_t>(under - 1) * WORDS)
            read += WORDS
        if low > under * view.step:
            clear_rows(out, view.order + under * view.step, low - under * view.step)
            moved += low - under * view.step
        else:
            set_rows(out, view.order + low, under * view.step - low)
            moved += under * view.step - low
    if work != NULL:
        work.index_words += read
        work.index_rows += moved


cdef void settle_group(
    const block_view* view, uint32_t group, uint64_t first, uint64_t last, const uint64_t* within, uint64_t* out
) noexcept nogil:
    """Look at the column for the rows of one group of the order, as far as they are asked about."""
    cdef uint32_t i, end = min(group + SAMPLE, view.count)
    cdef uint64_t bit
    cdef uint16_t row
    for i in range(group, end):
        row = view.order[i]
        bit = <uint64_t>1 << (row & 63)
        if within[row >> 6] & bit:
            out[row >> 6] &= ~bit
            if first <= offset_at(view.data, view.width, row) <= last:
                out[row >> 6] |= bit


cdef answer rows_between(
    const block_view* view, uint64_t first, uint64_t last, const uint64_t* within, block_work* work, uint64_t* out
) noexcept nogil:
    """The rows of a page of one type whose offset lies in first..last; words say anything of rows not within."""
    cdef uint32_t low = 0, high = view.count
    if first == 0 and last >= view.top:
        return ALL
    if view.index_kind == INDEX_ORDER:
        if first:
            low = group_of(view.samples, view.tops, view.width, view.count, first)
        if last < view.top:
            high = group_of(view.samples, view.tops, view.width, view.count, last + 1)
        if low <= high and (view.step or high - low <= MOST_RANKED):
            ranks_to_rows(view, low, high, work, out)
            if first:
                settle_group(view, low, first, last, within, out)
            if last < view.top:
                settle_group(view, high, first, last, within, out)
            if work != NULL:
                work.index_rows += SAMPLE * ((first > 0) + (last < view.top))
            return SOME
    scan_page(view, first, last, within, work, out)
    return SOME


cdef uint32_t key_place(const block_view* view, uint64_t key) noexcept nogil:
    """How many keys of an index of values are less than one."""
    cdef uint32_t low = 0, high = view.key_count, middle
    while low < high:
        middle = (low + high) // 2
        if view.keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


cdef void join_container(const block_view* view, uint32_t place, block_work* work, uint64_t* out) noexcept nogil:
    """Add the rows of one value."""
    cdef const container* box = &view.containers[place]
    cdef const uint16_t* rows = <const uint16_t*>(view.page + box.at)
    cdef uint64_t others[1024]
    if box.form == FORM_WORDS:
        CHOSEN.join(out, <const uint64_t*>(view.page + box.at))
    elif box.form == FORM_ARRAY:
        set_rows(out, rows, box.count)
    else:
        fill_present(view, others)
        clear_rows(others, rows, view.count - box.count)
        CHOSEN.join(out, others)
    if work != NULL:
        if box.form == FORM_WORDS:
            work.index_words += WORDS
        else:
            work.index_rows += box.count if box.form == FORM_ARRAY else view.count - box.count


cdef answer rows_of_keys(
    const block_view* view, uint64_t first, uint64_t last, block_work* work, uint64_t* out, const uint64_t** found
) noexcept nogil:
    """The rows whose keys lie in first..last, in `out` or, where they are one set, where that stands."""
    cdef uint32_t place = key_place(view, first), end = place
    while end < view.key_count and view.keys[end] <= last:
        end += 1
    if place == end:
        return NONE
    if end - place == view.key_count:
        return ALL
    if end - place == 1 and view.containers[place].form == FORM_WORDS:
        found[0] = <const uint64_t*>(view.page + view.containers[place].at)
        if work != NULL:
            work.index_words += WORDS
        return SOME
    memset(out, 0, WORDS * 8)
    while place < end:
        join_container(view, place, work, out)
        place += 1
    return SOME


cdef answer wanted_of_keys(const block_view* view, const block_test* test, uint64_t* out) noexcept nogil:
    """The rows of a page with an index of values that are one of the wanted."""
    cdef uint32_t place, i, found = 0
    cdef uint64_t key, offset, ignored
    cdef uint8_t tag
    memset(out, 0, WORDS * 8)
    if view.key_count <= test.starts[TAGS]:
        for place in range(view.key_count):
            tag = <uint8_t>(view.keys[place] >> TAG_SHIFT)
            if tag < TAGS and is_wanted(
                test, tag, data_of_code(tag, view.base + view.unit * (view.keys[place] & OFFSETS), 0)
            ):
                join_container(view, place, test.work, out)
                found += 1
    else:
        for tag in range(1, TAGS):
            if view.counts[tag] == 0:
                continue
            for i in range(test.starts[tag], test.starts[tag + 1]):
                key = order_code(tag, test.wanted[i])
                if clip(view, key, key, &offset, &ignored):
                    key = <uint64_t>tag << TAG_SHIFT | offset
                    place = key_place(view, key)
                    if place < view.key_count and view.keys[place] == key:
                        join_container(view, place, test.work, out)
                        found += 1
    return NONE if found == 0 else ALL if found == view.key_count else SOME


cdef answer wanted_of_column(
    const block_view* view, const block_test* test, const uint64_t* within, uint64_t* out
) noexcept nogil:
    """The same of a page without such an index: by each constant where they are few or ordered, else by each row."""
    cdef uint64_t one[1024]
    cdef uint64_t word, first, last
    cdef uint32_t i, w, row, start, end, found = 0
    cdef uint8_t tag = view.uniform_tag
    cdef answer part
    cdef double value
    memset(out, 0, WORDS * 8)
    start, end = test.starts[tag], test.starts[tag + 1]
    if tag == TAG_NULL:
        return ALL if start < end else NONE
    if tag and (end - start <= 8 or (view.index_kind == INDEX_ORDER and end - start <= MOST_SEARCHED)):
        for i in range(start, end):
            if tag == TAG_DOUBLE:
                memcpy(&value, &test.wanted[i], 8)
                if not clip_doubles(view, value, value, &first, &last):
                    continue
            elif not clip(view, order_code(tag, test.wanted[i]), order_code(tag, test.wanted[i]), &first, &last):
                continue
            part = rows_between(view, first, last, within, test.work, one)
            if part == ALL:
                return ALL
            if part == SOME:
                CHOSEN.join(out, one)
                found += 1
        return SOME if found else NONE
    for w in range(WORDS):
        word = within[w] if view.present == NULL else within[w] & view.present[w]
        if test.work != NULL:
            test.work.scanned_rows += bits_of(word)
        while word:
            row = 64 * w + first_bit(word)
            tag = view.uniform_tag if view.tags == NULL else view.tags[row]
            if tag < TAGS and is_wanted(test, tag, row_data(view, tag, row)):
                out[w] |= word & (0 - word)
            word &= word - 1
    return SOME


cdef void add_mixed(
    const block_view* view, const block_test* test, uint8_t tag, const uint64_t* within, uint64_t* hits, uint64_t* known
) noexcept nogil:
    """Add the rows within that a test hits by their being of one type, in a page of several, and those of that type."""
    cdef uint64_t typed[1024]
    cdef uint64_t found[1024]
    cdef uint64_t first, last
    if tag == 0 or view.counts[tag] == 0:
        return
    CHOSEN.of_width[0](view.tags, tag, tag, within, typed)
    CHOSEN.join(known, typed)
    if wanted_offsets(view, test, tag, &first, &last):
        if first > 0 or last < view.top:
            scan_page(view, first, last, typed, test.work, found)
            CHOSEN.join(hits, found)
        else:
            CHOSEN.join(hits, typed)


cdef answer page_hits(
    const block_view* view, const block_test* test, const uint64_t* within, uint64_t* buffer, uint64_t* known,
    const uint64_t** hits, answer* knows
) noexcept nogil:
    """Which rows of a page a test hits, negation apart, and which rows it does not err on.

    Arguments:
        within: the rows asked about; of others the words may say anything.
        buffer: 1,024 words to work in.
        known: 1,024 words, filled where `knows` becomes SOME.
        hits: becomes `buffer` or the words' place in the page where the answer is SOME.
    """
    cdef uint8_t tag = view.uniform_tag
    cdef uint64_t first, last
    hits[0] = buffer
    if view.count == 0:
        knows[0] = NONE
        return NONE
    if test.wanted != NULL:
        knows[0] = ALL
        if view.index_kind == INDEX_VALUES:
            return wanted_of_keys(view, test, buffer)
        return wanted_of_column(view, test, within, buffer)
    if tag:
        if tag != test.int_tag and tag != test.double_tag:
            knows[0] = ALL if test.others_false else NONE
            return NONE
        knows[0] = ALL
        if not wanted_offsets(view, test, tag, &first, &last):
            return NONE
        if view.index_kind == INDEX_VALUES:
            return rows_of_keys(
                view, <uint64_t>tag << TAG_SHIFT | first, <uint64_t>tag << TAG_SHIFT | last, test.work, buffer, hits
            )
        return rows_between(view, first, last, within, test.work, buffer)
    if view.index_kind == INDEX_VALUES:
        knows[0] = ALL
        if not test.others_false:
            knows[0] = NONE
            if test.int_tag:
                hits[0] = known
                first, last = <uint64_t>test.int_tag << TAG_SHIFT, <uint64_t>test.int_tag << TAG_SHIFT | OFFSETS
                knows[0] = rows_of_keys(view, first, last, test.work, known, hits)
                if knows[0] == SOME and hits[0] != known:
                    memcpy(known, hits[0], WORDS * 8)
                hits[0] = buffer
        if test.int_tag == 0 or not wanted_offsets(view, test, test.int_tag, &first, &last):
            return NONE
        return rows_of_keys(
            view, <uint64_t>test.int_tag << TAG_SHIFT | first, <uint64_t>test.int_tag << TAG_SHIFT | last, test.work,
            buffer, hits,
        )
    memset(buffer, 0, WORDS * 8)
    memset(known, 0, WORDS * 8)
    add_mixed(view, test, test.int_tag, within, buffer, known)
    add_mixed(view, test, test.double_tag, within, buffer, known)
    knows[0] = ALL if test.others_false else SOME
    return SOME


cdef void fetch_words(const uint64_t* words) noexcept nogil:
    fetch(words, WORDS * 8)


cdef void fetch_bound(const block_view* view, uint64_t offset) noexcept nogil:
    """Fetch what finding the rows below an offset reads first."""
    cdef uint32_t sampled = (view.count + SAMPLE - 1) // SAMPLE
    cdef uint32_t top = offsets_below(view.tops, view.width, (sampled + TOP - 1) // TOP, offset)
    cdef uint32_t rank, sets
    if top == 0:
        return
    top -= 1
    fetch(view.samples + top * TOP * view.width, TOP * view.width)
    if view.step:
        rank = top * TOP * SAMPLE + TOP * SAMPLE // 2
        sets = min((rank + view.step // 2) // view.step, (view.count - 1) // view.step)
        if sets:
            fetch_words(view.below + <size_t>(sets - 1) * WORDS)


cdef void fetch_answer(const block_view* view, const block_test* test) noexcept nogil:
    cdef uint64_t first, last
    cdef uint32_t place
    cdef uint8_t tag = view.uniform_tag
    if view.present != NULL:
        fetch_words(view.present)
    if tag == 0 or test.wanted != NULL or not wanted_offsets(view, test, tag, &first, &last):
        return
    if view.index_kind == INDEX_VALUES:
        place = key_place(view, <uint64_t>tag << TAG_SHIFT | first)
        if place < view.key_count and view.containers[place].form == FORM_WORDS:
            fetch_words(<const uint64_t*>(view.page + view.containers[place].at))
    elif view.index_kind == INDEX_ORDER:
        if first:
            fetch_bound(view, first)
        if last < view.top:
            fetch_bound(view, last + 1)


def scan_kernels():
    """The names of the scans that this machine can run; the last of them is used."""
    return [scan_variants[i].name.decode() for i in range(scan_variants_here())]


def scan_with(str name, offsets, uint64_t low, uint64_t high, const uint64_t[::1] within not None):
    """Run one of `scan_kernels`, for tests: the words of those `within` whose offset (unsigned, any width) lies in low..high."""
    cdef const uint8_t[::1] data = np.ascontiguousarray(offsets).view(np.uint8)
    cdef uint64_t[::1] out = np.empty(WORDS, np.uint64)
    cdef int power = {1: 0, 2: 1, 4: 2, 8: 3}[offsets.itemsize]
    cdef int i = scan_kernels().index(name)
    if within.shape[0] != WORDS or len(offsets) != ROWS or not low <= high < 1 << 8 * offsets.itemsize:
        raise ValueError("a block of offsets, a range of them and a set of users")
    scan_variants[i].of_width[power](&data[0], low, high, &within[0], &out[0])
    return np.asarray(out)
