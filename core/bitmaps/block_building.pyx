"""Making the page of a block out of cells: how narrow, which index, where each section stands.

Sorting is by radix, least significant digit first (Knuth, The Art of Computer Programming, vol. 3, 5.2.5).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport fabs, llrint
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from core.bitmaps.block_pages cimport (
    DIVISOR,
    FORM_ARRAY,
    FORM_OTHERS,
    FORM_WORDS,
    INDEX_ORDER,
    INDEX_VALUES,
    ROWS,
    SAMPLE,
    TAGS,
    TOP,
    WORDS,
    container,
    data_of_code,
    order_code,
    page_head,
    samples_of,
    tops_of,
    width_of,
)

cdef extern from *:
    """
    #define block_trailing_zeros(w) ((uint32_t)__builtin_ctzll(w))
    """
    uint32_t block_trailing_zeros(uint64_t word) noexcept nogil

cdef enum:
    TAG_NULL = 1
    TAG_BOOL = 2
    TAG_INT = 3
    TAG_DOUBLE = 4
    TAG_STRING = 5
    TAG_TIMESTAMP = 6
    TAG_LIST = 7
    TAG_MAP = 8
    ALIGNMENT = 64
    MOST_VALUES = 4096  # from more distinct values on, their keys take more room than the order of the rows
    ARRAY_LIMIT = 1024  # the most rows that a container holds as an array: taking them one by one lasts as long as words
    LEAST_ORDERED = 1024  # fewer rows are compared faster than searched
    STEP = 2048
    DIGIT_BITS = 11
    DIGITS = 2048

cdef uint64_t SIGN = <uint64_t>1 << 63
cdef uint64_t TAG_SHIFT = 56
cdef double MOST_DECIMAL = 1e11  # times DIVISOR it is still below 2 ** 53

cdef struct draft:  # what is found out of a block before its page is laid out; order and spare hold ROWS rows each
    page_head head
    uint64_t* codes  # of each row; offsets in the end
    uint16_t* order
    uint16_t* spare
    uint64_t* keys  # MOST_VALUES + 1
    container* containers
    uint64_t present[1024]


cdef int place_of(uint8_t tag) noexcept nogil:
    """The place of a tag in `least` and `greatest`, -1 for a tag that has none."""
    if tag == TAG_INT:
        return 0
    if tag == TAG_DOUBLE:
        return 1
    if tag == TAG_TIMESTAMP:
        return 2
    return 3 if tag == TAG_STRING else 4 if tag >= TAG_LIST else -1


cdef uint64_t common_divisor(uint64_t a, uint64_t b) noexcept nogil:
    while b:
        a, b = b, a % b
    return a


cdef void spread(draft* plan, uint64_t least, uint64_t greatest, uint64_t* unit) noexcept nogil:
    """The greatest common divisor of the present rows' codes less the least one, 1 where it would not narrow them."""
    cdef uint64_t span = greatest - least, found = 0, offset
    cdef size_t i
    unit[0] = 1
    if span <= 0xFF:
        return
    for i in range(ROWS):
        if plan.present[i >> 6] >> (i & 63) & 1:
            offset = plan.codes[i] - least
            if found == 0 or offset % found:
                found = common_divisor(found, offset)
                if found == 1:
                    return
    if width_of(span // found) < width_of(span):
        unit[0] = found


cdef bint as_decimals(draft* plan, const int64_t* data, uint64_t* codes) noexcept nogil:
    """Code doubles by the multiple of 1/DIVISOR that they are; False where one is not the double nearest to any."""
    cdef size_t i
    cdef double value, back
    cdef int64_t whole
    for i in range(ROWS):
        if plan.present[i >> 6] >> (i & 63) & 1:
            memcpy(&value, &data[i], 8)
            if not fabs(value) <= MOST_DECIMAL:
                return False
            whole = llrint(value * DIVISOR)
            back = <double>whole / <double>DIVISOR
            if memcmp(&back, &data[i], 8):  # by bits, as -0.0 is no whole number
                return False
            codes[i] = <uint64_t>whole ^ SIGN
    return True


cdef void ends_of(draft* plan, const uint64_t* codes, uint64_t* least, uint64_t* greatest) noexcept nogil:
    cdef size_t i
    least[0], greatest[0] = <uint64_t>-1, 0
    for i in range(ROWS):
        if plan.present[i >> 6] >> (i & 63) & 1:
            least[0] = min(least[0], codes[i])
            greatest[0] = max(greatest[0], codes[i])


cdef bint survey(draft* plan, const uint8_t* tags, const int64_t* data) noexcept nogil:
    """Fill the head (but for the index) and the offsets. False where memory is short."""
    cdef page_head* head = &plan.head
    cdef uint64_t least[9]
    cdef uint64_t greatest[9]
    cdef uint64_t code, low = <uint64_t>-1, high = 0, unit, decimal_low, decimal_high, decimal_unit
    cdef uint64_t* decimals
    cdef size_t i
    cdef uint8_t tag
    cdef int64_t first, last
    cdef int place, kinds = 0
    for tag in range(TAGS):
        least[tag], greatest[tag] = <uint64_t>-1, 0
    for i in range(ROWS):
        tag = tags[i]
        head.counts[tag] += 1
        if tag:
            plan.present[i >> 6] |= <uint64_t>1 << (i & 63)
            code = order_code(tag, data[i])
            plan.codes[i] = code
            least[tag] = min(least[tag], code)
            greatest[tag] = max(greatest[tag], code)
    head.count = ROWS - head.counts[0]
    head.unit = 1
    for tag in range(1, TAGS):
        if head.counts[tag]:
            kinds += 1
            head.uniform_tag = tag
            low, high = min(low, least[tag]), max(high, greatest[tag])
            place = place_of(tag)
            if place >= 0:
                first, last = data_of_code(tag, least[tag], 0), data_of_code(tag, greatest[tag], 0)
                if tag == TAG_MAP and head.counts[TAG_LIST]:
                    first, last = min(first, head.least[place]), max(last, head.greatest[place])
                head.least[place], head.greatest[place] = first, last
    if kinds != 1:
        head.uniform_tag = 0
    if kinds == 0:
        return True
    spread(plan, low, high, &unit)
    if head.uniform_tag == TAG_DOUBLE and width_of((high - low) // unit) > 1:
        decimals = <uint64_t*>calloc(ROWS, 8)
        if decimals == NULL:
            return False
        if as_decimals(plan, data, decimals):
            ends_of(plan, decimals, &decimal_low, &decimal_high)
            plan.codes, decimals = decimals, plan.codes
            spread(plan, decimal_low, decimal_high, &decimal_unit)
            if width_of((decimal_high - decimal_low) // decimal_unit) < width_of((high - low) // unit):
                low, high, unit, head.divisor = decimal_low, decimal_high, decimal_unit, DIVISOR
            else:
                plan.codes, decimals = decimals, plan.codes
        free(decimals)
    head.base, head.unit, head.top = low, unit, (high - low) // unit
    head.width = width_of(head.top)
    for i in range(ROWS):
        if plan.present[i >> 6] >> (i & 63) & 1:
            plan.codes[i] -= low
            if unit != 1:
                plan.codes[i] //= unit
        else:
            plan.codes[i] = 0
    return True


cdef void by_digit(draft* plan, const uint64_t* keys, uint32_t shift, size_t n) noexcept nogil:
    """Sort the first n rows of `order` by one digit of their keys, keeping the order of those that have the same."""
    cdef uint32_t starts[DIGITS]
    cdef size_t i
    cdef uint32_t digit, total = 0, here
    memset(starts, 0, sizeof(starts))
    for i in range(n):
        starts[keys[plan.order[i]] >> shift & (DIGITS - 1)] += 1
    for digit in range(DIGITS):
        here = starts[digit]
        starts[digit] = total
        total += here
    for i in range(n):
        digit = keys[plan.order[i]] >> shift & (DIGITS - 1)
        plan.spare[starts[digit]] = plan.order[i]
        starts[digit] += 1
    plan.order, plan.spare = plan.spare, plan.order


cdef void sort_rows(draft* plan) noexcept nogil:
    """The present rows by offset, then by row, into `order`."""
    cdef uint32_t w, shift = 0
    cdef uint64_t word, rest = plan.head.top
    cdef size_t n = 0
    for w in range(WORDS):
        word = plan.present[w]
        while word:
            plan.order[n] = <uint16_t>(64 * w + block_trailing_zeros(word))
            n += 1
            word &= word - 1
    while rest:
        by_digit(plan, plan.codes, shift, n)
        shift += DIGIT_BITS
        rest >>= DIGIT_BITS


cdef void sort_by_tag(draft* plan, const uint8_t* tags) noexcept nogil:
    """Bring the sorted rows into the order of (tag, offset, row)."""
    cdef size_t i, n = 0
    cdef uint8_t tag
    for tag in range(1, TAGS):
        if plan.head.counts[tag]:
            for i in range(plan.head.count):
                if tags[plan.order[i]] == tag:
                    plan.spare[n] = plan.order[i]
                    n += 1
    plan.order, plan.spare = plan.spare, plan.order


cdef bint group_values(draft* plan, const uint8_t* tags) noexcept nogil:
    """Keys and row counts of the distinct values of sorted rows; False where there are too many."""
    cdef uint64_t key, last = 0
    cdef size_t i
    cdef uint32_t found = 0
    for i in range(plan.head.count):
        key = <uint64_t>tags[plan.order[i]] << TAG_SHIFT | plan.codes[plan.order[i]]
        if key != last:
            if found == MOST_VALUES:
                return False
            last = plan.keys[found] = key
            plan.containers[found].count = 0
            found += 1
        plan.containers[found - 1].count += 1
    plan.head.key_count = found
    return True


cdef void choose_index(draft* plan, const uint8_t* tags) noexcept nogil:
    cdef page_head* head = &plan.head
    cdef const uint32_t* counts = head.counts
    cdef uint8_t only = head.uniform_tag
    cdef size_t i
    if head.width == 0 and only:
        return  # the ends decide everything
    if counts[TAG_NULL] + counts[TAG_BOOL] + counts[TAG_STRING] == head.count and head.count:
        sort_rows(plan)
        if not only:
            sort_by_tag(plan, tags)
        if group_values(plan, tags):
            head.index_kind = INDEX_VALUES
            return
        if only == TAG_STRING:
            for i in range(1, head.count):
                if plan.order[i] < plan.order[i - 1]:
                    head.index_kind = INDEX_ORDER
                    return
            # Otherwise codes rise with rows, as those of unique strings do: no two blocks have a code in common.
    elif head.count >= LEAST_ORDERED and only in (TAG_INT, TAG_DOUBLE, TAG_TIMESTAMP):
        sort_rows(plan)
        head.index_kind = INDEX_ORDER
        head.step = STEP


cdef uint32_t take(uint32_t* length, size_t size) noexcept nogil:
    """Room of `size` bytes at the page's end; where it begins."""
    cdef uint32_t at = (length[0] + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    length[0] = at + <uint32_t>size
    return at


cdef uint32_t lay_out(draft* plan) noexcept nogil:
    """Where each section stands; the page's length."""
    cdef page_head* head = &plan.head
    cdef uint32_t length = sizeof(page_head), k, samples
    cdef container* box
    if head.count < ROWS:
        head.present_at = take(&length, WORDS * 8)
    if not head.uniform_tag and head.count:
        head.tags_at = take(&length, ROWS)
    if head.width:
        head.data_at = take(&length, ROWS * head.width)
    if head.index_kind == INDEX_VALUES:
        head.keys_at = take(&length, 8 * head.key_count)
        head.containers_at = take(&length, sizeof(container) * head.key_count)
        for k in range(head.key_count):
            box = &plan.containers[k]
            if box.count <= ARRAY_LIMIT:
                box.form = FORM_ARRAY
                box.at = take(&length, 2 * box.count) if box.count > 32 else (length + 1) // 2 * 2
                length = box.at + 2 * box.count
            elif head.count - box.count <= ARRAY_LIMIT:
                box.form = FORM_OTHERS
                box.at = take(&length, 2 * (head.count - box.count))
            else:
                box.form = FORM_WORDS
                box.at = take(&length, WORDS * 8)
    elif head.index_kind == INDEX_ORDER:
        samples = samples_of(head.count)
        head.order_at = take(&length, 2 * head.count)
        head.samples_at = take(&length, samples * head.width)
        head.tops_at = take(&length, tops_of(samples) * head.width)
        if head.step:
            head.below_at = take(&length, (head.count - 1) // head.step * WORDS * 8)
    head.length = (length + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    return head.length


cdef void put_offset(uint8_t* at, size_t i, uint64_t offset, uint8_t width) noexcept nogil:
    memcpy(at + i * width, &offset, width)  # the low bytes come first


cdef void write_data(const draft* plan, uint8_t* at) noexcept nogil:
    cdef size_t i
    cdef uint8_t width = plan.head.width
    if width == 1:
        for i in range(ROWS):
            at[i] = <uint8_t>plan.codes[i]
    elif width == 2:
        for i in range(ROWS):
            (<uint16_t*>at)[i] = <uint16_t>plan.codes[i]
    elif width == 4:
        for i in range(ROWS):
            (<uint32_t*>at)[i] = <uint32_t>plan.codes[i]
    else:
        memcpy(at, plan.codes, ROWS * 8)


cdef void write_container(const draft* plan, const container* box, size_t start, uint8_t* page) noexcept nogil:
    """Write the rows order[start..start + count] of one value."""
    cdef uint64_t words[1024]
    cdef uint64_t word
    cdef uint16_t* rows = <uint16_t*>(page + box.at)
    cdef size_t i, n = 0
    cdef uint32_t w
    if box.form == FORM_ARRAY:
        memcpy(rows, plan.order + start, 2 * box.count)
        return
    memset(words, 0, sizeof(words))
    for i in range(start, start + box.count):
        words[plan.order[i] >> 6] |= <uint64_t>1 << (plan.order[i] & 63)
    if box.form == FORM_WORDS:
        memcpy(page + box.at, words, sizeof(words))
        return
    for w in range(WORDS):
        word = plan.present[w] & ~words[w]
        while word:
            rows[n] = <uint16_t>(64 * w + block_trailing_zeros(word))
            n += 1
            word &= word - 1


cdef void write_order(const draft* plan, uint8_t* page) noexcept nogil:
    cdef const page_head* head = &plan.head
    cdef uint64_t words[1024]
    cdef size_t i, n
    cdef uint16_t row
    memcpy(page + head.order_at, plan.order, 2 * head.count)
    for i in range(samples_of(head.count)):
        put_offset(page + head.samples_at, i, plan.codes[plan.order[i * SAMPLE]], head.width)
        if i % TOP == 0:
            put_offset(page + head.tops_at, i // TOP, plan.codes[plan.order[i * SAMPLE]], head.width)
    if not head.step:
        return
    memset(words, 0, sizeof(words))
    for i in range((head.count - 1) // head.step):
        for n in range(i * head.step, (i + 1) * head.step):
            row = plan.order[n]
            words[row >> 6] |= <uint64_t>1 << (row & 63)
        memcpy(page + head.below_at + i * sizeof(words), words, sizeof(words))


cdef void write_page(const draft* plan, const uint8_t* tags, uint8_t* page) noexcept nogil:
    cdef const page_head* head = &plan.head
    cdef size_t start = 0
    cdef uint32_t k
    memset(page, 0, head.length)
    memcpy(page, head, sizeof(page_head))
    if head.present_at:
        memcpy(page + head.present_at, plan.present, sizeof(plan.present))
    if head.tags_at:
        memcpy(page + head.tags_at, tags, ROWS)
    if head.data_at:
        write_data(plan, page + head.data_at)
    if head.index_kind == INDEX_VALUES:
        memcpy(page + head.keys_at, plan.keys, 8 * head.key_count)
        memcpy(page + head.containers_at, plan.containers, sizeof(container) * head.key_count)
        for k in range(head.key_count):
            write_container(plan, &plan.containers[k], start, page)
            start += plan.containers[k].count
    elif head.index_kind == INDEX_ORDER:
        write_order(plan, page)


cdef object build_page(const uint8_t* tags, const int64_t* data):
    """The page of 65,536 cells: tags below TAGS, data anything where absent. The GIL is given up while it is made."""
    cdef draft* plan = <draft*>calloc(1, sizeof(draft))
    cdef bint done = False
    cdef uint8_t* room
    if plan == NULL:
        raise MemoryError
    try:
        with nogil:
            memcpy(plan.head.magic, <const char*>b"MCB\x02", 4)
            plan.codes = <uint64_t*>calloc(ROWS, 8)
            plan.order = <uint16_t*>malloc(ROWS * 2)
            plan.spare = <uint16_t*>malloc(ROWS * 2)
            plan.keys = <uint64_t*>malloc(MOST_VALUES * 8)
            plan.containers = <container*>calloc(MOST_VALUES, sizeof(container))
            if plan.codes and plan.order and plan.spare and plan.keys and plan.containers:
                done = survey(plan, tags, data)
            if done:
                choose_index(plan, tags)
                lay_out(plan)
        if not done:
            raise MemoryError
        page = PyBytes_FromStringAndSize(NULL, plan.head.length)
        room = <uint8_t*>PyBytes_AS_STRING(page)
        with nogil:
            write_page(plan, tags, room)
        return page
    finally:
        free(plan.codes)
        free(plan.order)
        free(plan.spare)
        free(plan.keys)
        free(plan.containers)
        free(plan)
