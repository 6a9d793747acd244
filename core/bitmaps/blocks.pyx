"""A column's blocks, each an immutable page and a small patch, as Python sees them."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from core.bitmaps.block_answers cimport block_test, block_work, row_tag
from core.bitmaps.block_building cimport build_page
from core.bitmaps.block_kernels cimport all_cells, block_cells, block_narrow, block_present, block_split
from core.bitmaps.block_pages cimport (
    INDEX_ORDER,
    INDEX_VALUES,
    ROWS,
    TAGS,
    WORDS,
    block_view,
    open_page,
    patch_view,
)

import numpy as np

from core.errors import StoreError
from core.values import ValueType

cdef enum:
    TAG_NULL = 1
    TAG_DOUBLE = 4
    TAG_STRING = 5
    TAG_LIST = 7
    TAG_MAP = 8
    MOST_PATCHED = 1024  # more changed cells than this are folded into a new page


cdef class BlockTest:
    """A comparison with constants, as a kernel wants it.

    Arguments:
        int_tag: tag whose data are compared as ints, 0 for none.
        int_least, int_greatest: the closed range of ints; empty where least > greatest.
        double_tag: DOUBLE where doubles are compared, 0 for none.
        double_least, double_greatest: the closed range of doubles.
        others_false: whether a present value of another type is false (True) or in error (False).
        negate: swap true and false.
        wanted: in place of the ranges, the cells of which any will do, in any order: tags uint8[n] and data int64[n].
            Present values then never err.
    """

    def __init__(
        self, *, uint8_t int_tag=0, int64_t int_least=1, int64_t int_greatest=0, uint8_t double_tag=0,
        double double_least=1.0, double double_greatest=0.0, bint others_false=False, bint negate=False, wanted=None,
    ):
        if int_tag >= TAGS or int_tag == TAG_DOUBLE or double_tag not in (0, TAG_DOUBLE):
            raise ValueError(f"no test of tags {int_tag} and {double_tag}")
        memset(&self.test, 0, sizeof(block_test))
        self.test.int_tag, self.test.int_least, self.test.int_greatest = int_tag, int_least, int_greatest
        self.test.double_tag = double_tag
        self.test.double_least, self.test.double_greatest = double_least, double_greatest
        self.test.others_false, self.test.negate = others_false, negate
        if wanted is not None:
            self._want(wanted[0], wanted[1])

    cdef _want(self, tags, data):
        cdef const int64_t[::1] view
        tags = np.asarray(tags, np.uint8)
        data = np.where(tags == TAG_NULL, 0, np.asarray(data, np.int64))
        if len(tags) != len(data) or (tags >= TAGS).any() or (tags == 0).any():
            raise ValueError("wanted cells have a tag of a type and data each")
        parts = []
        occurring = set(tags.tolist())
        for tag in range(TAGS):
            if tag not in occurring:
                self.test.starts[tag + 1] = self.test.starts[tag]
                continue
            part = data[tags == tag]
            if tag == TAG_DOUBLE:
                numbers = np.unique(part.view(np.float64))  # one zero of the two, NaN (which equals nothing) last
                part = (numbers[~np.isnan(numbers)] + 0.0).view(np.int64)
            else:
                part = np.array(sorted(set(part.tolist())), np.int64)  # mostly a few, of which numpy would make much ado
            self.test.starts[tag + 1] = self.test.starts[tag] + <uint32_t>len(part)
            parts.append(part)
        parts.append(np.zeros(1, np.int64))  # so that there is something to point to
        self._wanted = view = np.concatenate(parts)
        self.test.wanted = &view[0]
        self.test.others_false = True


cdef const char* NOT_WORDS = b"a set of a block's users is 1,024 words"


cdef class Block:
    """Immutable cells of one block; a change makes a new block that shares the page.

    Arguments:
        tags: uint8[65536], ValueType per row, 0 where the user has no value.
        data: int64[65536], anything where absent.

    Raises:
        ValueError: arrays of another length, or a tag of no type.
    """

    def __init__(self, const uint8_t[::1] tags not None, const int64_t[::1] data not None):
        if tags.shape[0] != ROWS or data.shape[0] != ROWS:
            raise ValueError(f"a block has {ROWS} users, not {tags.shape[0]} tags and {data.shape[0]} values")
        cdef size_t i
        cdef uint8_t most = 0
        for i in range(ROWS):
            most = max(most, tags[i])
        if most >= TAGS:
            raise ValueError(f"a tag of no type: {most}")
        self._open(build_page(&tags[0], &data[0]))

    cdef _open(self, page):
        cdef const uint8_t[::1] view = page
        cdef const char* wrong
        if view.shape[0] and <size_t>&view[0] % 8:
            view = bytes(page)  # words are read where they stand
        if view.shape[0] == 0:
            wrong = b"it is empty"
        else:
            wrong = open_page(&view[0], view.shape[0], &self.view)
        if wrong != NULL:
            raise StoreError(f"the page of a column block is damaged: {wrong.decode()}", code="STORE_DAMAGED")
        self._page = view

    @staticmethod
    def load(page):
        """The block of a page, which it points into: any object with the buffer protocol, not to be written to.

        Raises:
            StoreError: STORE_DAMAGED.
        """
        cdef Block block = Block.__new__(Block)
        block._open(page)
        return block

    def dump(self):
        """The block as a page; a patch is folded in."""
        if self.view.patch.count == 0:
            return bytes(self._page)
        return bytes(self.folded()._page)

    cpdef Block folded(self):
        """The same cells without a patch."""
        if self.view.patch.count == 0:
            return self
        tags, data = self._arrays()
        return Block(tags, data)

    cdef Block changed(self, const uint16_t* places, const uint8_t* tags, const int64_t* data, size_t n):
        """A block with n other cells (n > 0, places strictly ascending, tag 0 for no value); many get a page of their own."""
        cdef Block block
        cdef uint8_t[::1] tags_view
        cdef int64_t[::1] data_view
        cdef size_t i
        if n > MOST_PATCHED:
            all_tags, all_data = self._arrays()
            tags_view, data_view = all_tags, all_data
            with nogil:
                for i in range(n):
                    tags_view[places[i]], data_view[places[i]] = tags[i], data[i]
            return Block(all_tags, all_data)
        block = Block.__new__(Block)
        block.view, block._page = self.view, self._page
        block._merge(&self.view.patch, places, tags, data, n)
        return block.folded() if block.view.patch.count > MOST_PATCHED else block

    cdef _merge(
        self, const patch_view* old, const uint16_t* places, const uint8_t* tags, const int64_t* data, size_t n
    ):
        """Take the old patch with n changes as this block's patch."""
        cdef size_t most = old.count + n, i = 0, k = 0, count = 0
        cdef int64_t* new_data
        cdef uint16_t* new_places
        cdef uint8_t* new_tags
        self._patch = PyBytes_FromStringAndSize(NULL, most * 11)
        new_data = <int64_t*>PyBytes_AS_STRING(self._patch)
        new_places = <uint16_t*>(new_data + most)
        new_tags = <uint8_t*>(new_places + most)
        while i < old.count or k < n:
            if k == n or (i < old.count and old.places[i] < places[k]):
                new_places[count], new_tags[count], new_data[count] = old.places[i], old.tags[i], old.data[i]
                i += 1
            else:
                if i < old.count and old.places[i] == places[k]:
                    i += 1
                new_places[count], new_tags[count] = places[k], tags[k]
                new_data[count] = data[k] if tags[k] else 0
                k += 1
            count += 1
        self.view.patch.places, self.view.patch.tags, self.view.patch.data = new_places, new_tags, new_data
        self.view.patch.count = count

    cdef _arrays(self):
        tags, data = np.empty(ROWS, np.uint8), np.empty(ROWS, np.int64)
        cdef uint8_t[::1] tags_view = tags
        cdef int64_t[::1] data_view = data
        with nogil:
            all_cells(&self.view, &tags_view[0], &data_view[0])
        return tags, data

    @property
    def tags(self):
        """uint8[65536], the type of each row, 0 where it has no value; a new array."""
        return self._arrays()[0]

    @property
    def data(self):
        """int64[65536], the data of each row, 0 where it has no value; a new array."""
        return self._arrays()[1]

    @property
    def offsets(self):
        """The page's column as it is compared: an unsigned offset for each row; empty where all are 0. Read only."""
        if self.view.width == 0:
            return np.empty(0, np.uint8)
        cdef const uint8_t[::1] part = self._page[self.view.data - self.view.page :][: ROWS * self.view.width]
        return np.frombuffer(part, f"<u{self.view.width}")

    @property
    def width(self):
        """Bytes per row of `offsets`: 0, 1, 2, 4 or 8."""
        return self.view.width

    @property
    def nbytes(self):
        """Bytes of the page and the patch."""
        return self._page.shape[0] + (0 if self._patch is None else len(self._patch))

    @property
    def index(self):
        """How the page answers: "values", "order" or "" for a scan."""
        return "values" if self.view.index_kind == INDEX_VALUES else "order" if self.view.index_kind == INDEX_ORDER else ""

    @property
    def patched(self):
        """How many cells were changed since the page was made."""
        return self.view.patch.count

    @property
    def counts(self):
        """How many rows have each tag, int64[9]."""
        cdef int64_t[::1] counts
        cdef uint32_t i
        found = np.empty(TAGS, np.int64)
        counts = found
        for i in range(TAGS):
            counts[i] = self.view.counts[i]
        for i in range(self.view.patch.count):
            counts[min(row_tag(&self.view, self.view.patch.places[i]), TAGS - 1)] -= 1
            counts[self.view.patch.tags[i]] += 1
        return found

    cdef bint is_empty(self):
        """Whether no row has a value."""
        return int(self.counts[0]) == ROWS

    def most_code(self, blobs):
        """A bound of the codes of strings, or of lists and maps: none of the page's is greater; -1 where there are none."""
        cdef const uint32_t* counts = self.view.counts
        if blobs:
            return self.view.greatest[4] if counts[TAG_LIST] or counts[TAG_MAP] else -1
        return self.view.greatest[3] if counts[TAG_STRING] else -1

    @property
    def uniform_tag(self):
        """The only tag of those rows that have a value; -1 where there are several or none."""
        present = np.flatnonzero(self.counts[1:]) + 1
        return int(present[0]) if len(present) == 1 else -1

    def _ends(self, greatest):
        cdef Block whole = self.folded()
        cdef int64_t bits
        cdef double value
        found = {}
        for place, tag in enumerate((ValueType.INT, ValueType.DOUBLE, ValueType.TIMESTAMP)):
            if whole.view.counts[<int>tag]:
                bits = whole.view.greatest[<int>place] if greatest else whole.view.least[<int>place]
                memcpy(&value, &bits, 8)
                found[tag] = value if tag == ValueType.DOUBLE else bits
        return found

    @property
    def least(self):
        """The least value of each of INT, DOUBLE and TIMESTAMP (micros) that occurs."""
        return self._ends(False)

    @property
    def greatest(self):
        """The greatest value of each of INT, DOUBLE and TIMESTAMP (micros) that occurs."""
        return self._ends(True)

    def cell(self, uint16_t place):
        """Tag and data of a row, 0 and 0 where it has no value."""
        cdef uint8_t tag
        cdef int64_t data
        block_cells(&self.view, &place, 1, &tag, &data)
        return tag, data

    def cells(self, const uint16_t[::1] places not None):
        """Tags uint8[n] and data int64[n] of rows (uint16[n])."""
        cdef size_t n = places.shape[0]
        tags, data = np.empty(n, np.uint8), np.empty(n, np.int64)
        cdef uint8_t[::1] tags_view = tags
        cdef int64_t[::1] data_view = data
        if n:
            with nogil:
                block_cells(&self.view, &places[0], n, &tags_view[0], &data_view[0])
        return tags, data

    def present(self):
        """The rows that have a value, uint64[1024]."""
        words = np.empty(WORDS, np.uint64)
        cdef uint64_t[::1] view = words
        with nogil:
            block_present(&self.view, &view[0])
        return words

    def narrow(self, BlockTest wanted not None, uint64_t[::1] acc not None):
        """Clear the words of `acc` (uint64[1024]) where the test is not true; whether any is left may be told falsely as True."""
        cdef uint64_t left
        if acc.shape[0] != WORDS:
            raise ValueError(NOT_WORDS.decode())
        with nogil:
            left = block_narrow(&self.view, &wanted.test, &acc[0])
        return left != 0

    def split(
        self, BlockTest wanted not None, const uint64_t[::1] within not None, uint64_t[::1] true_words not None,
        uint64_t[::1] false_words not None,
    ):
        """Overwrite the rows of `within` for which the test is true, and false; three arrays of uint64[1024]."""
        if within.shape[0] != WORDS or true_words.shape[0] != WORDS or false_words.shape[0] != WORDS:
            raise ValueError(NOT_WORDS.decode())
        with nogil:
            block_split(&self.view, &wanted.test, &within[0], &true_words[0], &false_words[0])

    def work(self, BlockTest wanted not None, const uint64_t[::1] within not None):
        """What `narrow` does for a test: index words, index rows, scanned rows and patched rows read."""
        cdef block_work done
        cdef block_test test = wanted.test
        cdef uint64_t[::1] acc = np.array(within, np.uint64)
        if acc.shape[0] != WORDS:
            raise ValueError(NOT_WORDS.decode())
        memset(&done, 0, sizeof(done))
        test.work = &done
        block_narrow(&self.view, &test, &acc[0])
        return done.index_words, done.index_rows, done.scanned_rows, done.patched_rows
