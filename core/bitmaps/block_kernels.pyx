"""The kernels over one block: what its page says, mended by its patch.

Nothing here knows whether a page lies in ordinary memory or in the store's map.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from core.bitmaps.block_answers cimport (
    ALL,
    NONE,
    SOME,
    answer,
    block_test,
    cell_passes,
    fetch_answer,
    fill_present,
    page_hits,
    row_data,
    row_tag,
)
from core.bitmaps.block_pages cimport INDEX_ORDER, INDEX_VALUES, ROWS, SAMPLE, TOP, WORDS, block_view, patch_view
from core.bitmaps.scans cimport bits_of, fetch, first_bit, scan_variant, scan_variants, scan_variants_here

cdef enum:
    FEW = 16  # so many rows are looked at one by one rather than by a set of all

cdef const scan_variant* CHOSEN = &scan_variants[scan_variants_here() - 1]


cdef uint64_t keep_present(const block_view* view, uint64_t* acc) noexcept nogil:
    return 1 if view.present == NULL else CHOSEN.keep(acc, view.present)


cdef uint64_t clear(uint64_t* acc) noexcept nogil:
    memset(acc, 0, WORDS * 8)
    return 0


cdef uint64_t narrow_by_page(const block_view* view, const block_test* test, uint64_t* acc) noexcept nogil:
    cdef uint64_t buffer[1024]
    cdef uint64_t known[1024]
    cdef const uint64_t* hits = buffer
    cdef answer knows = NONE
    cdef answer found = page_hits(view, test, acc, buffer, known, &hits, &knows)
    if not test.negate:
        return clear(acc) if found == NONE else keep_present(view, acc) if found == ALL else CHOSEN.keep(acc, hits)
    if knows == NONE or found == ALL:
        return clear(acc)
    if found == SOME:
        CHOSEN.drop(acc, hits)
    return keep_present(view, acc) if knows == ALL else CHOSEN.keep(acc, known)


cdef uint32_t few_rows(const uint64_t* words, uint16_t* rows) noexcept nogil:
    """The rows of a set into `rows`, and how many; where they are more than FEW, something more than FEW."""
    cdef uint32_t w, k, found = 0
    cdef uint64_t word
    for w in range(0, WORDS, 8):
        if not (
            words[w] | words[w + 1] | words[w + 2] | words[w + 3]
            | words[w + 4] | words[w + 5] | words[w + 6] | words[w + 7]
        ):
            continue
        for k in range(w, w + 8):
            word = words[k]
            if found + bits_of(word) > FEW:
                return FEW + 1
            while word:
                rows[found] = <uint16_t>(64 * k + first_bit(word))
                found += 1
                word &= word - 1
    return found


cdef uint64_t narrow_few(
    const block_view* view, const block_test* test, const uint16_t* rows, uint32_t n, uint64_t* acc
) noexcept nogil:
    """Look at each of n rows, which are all that `acc` has."""
    cdef uint8_t tags[FEW]
    cdef int64_t data[FEW]
    cdef uint32_t i
    cdef uint64_t left = 0
    block_cells(view, rows, n, tags, data)
    for i in range(n):
        if cell_passes(test, tags[i], data[i]) == 1:
            left = 1
        else:
            acc[rows[i] >> 6] &= ~(<uint64_t>1 << (rows[i] & 63))
    if test.work != NULL:
        test.work.scanned_rows += n
    return left


cdef uint64_t block_narrow(const block_view* view, const block_test* test, uint64_t* acc) noexcept nogil:
    cdef const patch_view* patch = &view.patch
    cdef uint16_t few[FEW]
    cdef uint64_t asked[1024]
    cdef uint64_t bit, left
    cdef uint32_t i, w, n = few_rows(acc, few)
    if n <= FEW:
        return narrow_few(view, test, few, n, acc)
    if patch.count == 0:
        return narrow_by_page(view, test, acc)
    memcpy(asked, acc, sizeof(asked))
    left = narrow_by_page(view, test, acc)
    for i in range(patch.count):
        w = patch.places[i] >> 6
        bit = <uint64_t>1 << (patch.places[i] & 63)
        acc[w] &= ~bit
        if asked[w] & bit and cell_passes(test, patch.tags[i], patch.data[i]) == 1:
            acc[w] |= bit
            left = 1
    if test.work != NULL:
        test.work.patched_rows += patch.count
    return left


cdef void block_ahead(
    const block_view** views, uint32_t length, uint32_t number, const block_test* test
) noexcept nogil:
    cdef const block_view* view
    if number + 3 < length and views[number + 3] != NULL:
        fetch(views[number + 3], sizeof(block_view))
    if number + 2 < length and views[number + 2] != NULL:
        view = views[number + 2]
        if view.index_kind == INDEX_VALUES:
            fetch(view.keys, 512)
            fetch(view.containers, 512)
        elif view.index_kind == INDEX_ORDER:
            fetch(view.tops, ROWS // (TOP * SAMPLE) * view.width)
    if number + 1 < length and views[number + 1] != NULL:
        fetch_answer(views[number + 1], test)


cdef void block_split(
    const block_view* view, const block_test* test, const uint64_t* within, uint64_t* true_words, uint64_t* false_words
) noexcept nogil:
    cdef const patch_view* patch = &view.patch
    cdef uint64_t buffer[1024]
    cdef uint64_t known[1024]
    cdef const uint64_t* hits = buffer
    cdef uint64_t* yes = false_words if test.negate else true_words
    cdef uint64_t* no = true_words if test.negate else false_words
    cdef answer knows = NONE
    cdef answer found = page_hits(view, test, within, buffer, known, &hits, &knows)
    cdef uint64_t bit
    cdef uint32_t i, w
    cdef int verdict
    if yes != NULL:
        if found == NONE:
            clear(yes)
        else:
            memcpy(yes, within, WORDS * 8)
            keep_present(view, yes) if found == ALL else CHOSEN.keep(yes, hits)
    if no != NULL:
        if knows == NONE or found == ALL:
            clear(no)
        else:
            memcpy(no, within, WORDS * 8)
            keep_present(view, no) if knows == ALL else CHOSEN.keep(no, known)
            if found == SOME:
                CHOSEN.drop(no, hits)
    for i in range(patch.count):
        w = patch.places[i] >> 6
        bit = <uint64_t>1 << (patch.places[i] & 63)
        verdict = cell_passes(test, patch.tags[i], patch.data[i]) if within[w] & bit else 2
        if true_words != NULL:
            true_words[w] = true_words[w] | bit if verdict == 1 else true_words[w] & ~bit
        if false_words != NULL:
            false_words[w] = false_words[w] | bit if verdict == 0 else false_words[w] & ~bit
    if test.work != NULL:
        test.work.patched_rows += patch.count


cdef void block_present(const block_view* view, uint64_t* words) noexcept nogil:
    cdef uint32_t i, w
    cdef uint64_t bit
    fill_present(view, words)
    for i in range(view.patch.count):
        w = view.patch.places[i] >> 6
        bit = <uint64_t>1 << (view.patch.places[i] & 63)
        words[w] = words[w] | bit if view.patch.tags[i] else words[w] & ~bit


cdef inline uint32_t patch_place(const patch_view* patch, uint16_t row) noexcept nogil:
    """How many rows of a patch are less than one."""
    cdef uint32_t low = 0, high = patch.count, middle
    while low < high:
        middle = (low + high) // 2
        if patch.places[middle] < row:
            low = middle + 1
        else:
            high = middle
    return low


cdef void block_cells(
    const block_view* view, const uint16_t* places, size_t n, uint8_t* tags, int64_t* data
) noexcept nogil:
    cdef const patch_view* patch = &view.patch
    cdef size_t i
    cdef uint32_t at
    for i in range(n):
        if patch.count:
            at = patch_place(patch, places[i])
            if at < patch.count and patch.places[at] == places[i]:
                tags[i], data[i] = patch.tags[at], patch.data[at]
                continue
        tags[i] = row_tag(view, places[i])
        data[i] = row_data(view, tags[i], places[i]) if tags[i] else 0


cdef void all_cells(const block_view* view, uint8_t* tags, int64_t* data) noexcept nogil:
    cdef uint32_t row
    for row in range(ROWS):
        tags[row] = row_tag(view, row)
        data[row] = row_data(view, tags[row], row) if tags[row] else 0
    for row in range(view.patch.count):
        tags[view.patch.places[row]], data[view.patch.places[row]] = view.patch.tags[row], view.patch.data[row]
