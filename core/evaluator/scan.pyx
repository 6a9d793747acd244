"""The column scan: one comparison with a constant over one block, straight into bit words.

A comparison such as `user.age >= 25` is a closed range per type: of ints (or of microseconds, bools, string codes,
which are ints too) and of doubles. What lies in the range is true, what has a comparable type and lies outside is
false, any other present type is either false (for `==`) or in error (for `<`), and an absent value is in error.

The inner loops have no branch per user and are compiled for AVX2 beside the baseline where compiler and C library can
choose between the two when the module is loaded.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef enum:
    ROWS = 65536  # users in a block
    WORDS = 1024  # words in a block

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    #if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
    #define FOR_EACH_CPU __attribute__((target_clones("avx2", "default")))
    #else
    #define FOR_EACH_CPU
    #endif

    typedef struct {
        uint8_t int_tag;      /* the tag whose data are compared as ints, 0 for none */
        uint8_t double_tag;   /* the tag whose data are compared as doubles, 0 for none */
        uint8_t others_false; /* any other present tag is false rather than in error */
        uint8_t negate;       /* swap true and false, as != does */
        int64_t int_least, int_greatest;
        double double_least, double_greatest;
    } scan_range;

    /* 64 bytes of 0 or 1 to 64 bits; the multiplication gathers the low bits of eight bytes. */
    static inline uint64_t pack_bits(const uint8_t* flags)
    {
        uint64_t bits = 0, eight;
        for (int k = 0; k < 8; k++) {
            memcpy(&eight, flags + 8 * k, 8);
            bits |= ((eight * UINT64_C(0x0102040810204080)) >> 56) << (8 * k);
        }
        return bits;
    }

    FOR_EACH_CPU
    static void scan_words(const uint8_t* tags, const int64_t* data, const uint64_t* within,
                           uint64_t* true_words, uint64_t* false_words, const scan_range* range)
    {
        const double* doubles = (const double*)data;  /* the store holds the bits of the double */
        uint8_t hit[64], known[64];
        for (int w = 0; w < 1024; w++) {
            const uint64_t ask = within[w];
            if (!ask) {
                true_words[w] = false_words[w] = 0;
                continue;
            }
            const uint8_t* tag = tags + 64 * w;
            const int64_t* x = data + 64 * w;
            const double* y = doubles + 64 * w;
            const uint8_t int_tag = range->int_tag ? range->int_tag : 255;
            for (int j = 0; j < 64; j++) known[j] = tag[j] == int_tag;
            const int64_t least = range->int_least, greatest = range->int_greatest;
            for (int j = 0; j < 64; j++) hit[j] = (x[j] >= least) & (x[j] <= greatest) & known[j];
            if (range->double_tag) {
                const uint8_t double_tag = range->double_tag;
                const double low = range->double_least, high = range->double_greatest;
                uint8_t real[64];
                for (int j = 0; j < 64; j++) real[j] = tag[j] == double_tag;
                if (pack_bits(real)) {
                    for (int j = 0; j < 64; j++) hit[j] |= (y[j] >= low) & (y[j] <= high) & real[j];
                    for (int j = 0; j < 64; j++) known[j] |= real[j];
                }
            }
            if (range->others_false)
                for (int j = 0; j < 64; j++) known[j] = tag[j] != 0;
            const uint64_t hits = pack_bits(hit), knowns = pack_bits(known);
            const uint64_t yes = (range->negate ? knowns & ~hits : hits) & ask;
            true_words[w] = yes;
            false_words[w] = knowns & ask & ~yes;
        }
    }
    """
    ctypedef struct scan_range:
        uint8_t int_tag
        uint8_t double_tag
        uint8_t others_false
        uint8_t negate
        int64_t int_least
        int64_t int_greatest
        double double_least
        double double_greatest

    void scan_words(
        const uint8_t* tags, const int64_t* data, const uint64_t* within,
        uint64_t* true_words, uint64_t* false_words, const scan_range* range
    ) noexcept nogil


cdef class Range:
    """What a scan looks for.

    Arguments:
        int_tag: tag whose data are compared as ints, 0 for none.
        int_least, int_greatest: the closed range of ints; empty where least > greatest.
        double_tag: tag whose data are compared as doubles, 0 for none.
        double_least, double_greatest: the closed range of doubles.
        others_false: whether a present value of another type is false (True) or in error (False).
        negate: swap true and false.
    """

    cdef scan_range range

    def __init__(
        self, *, uint8_t int_tag=0, int64_t int_least=1, int64_t int_greatest=0, uint8_t double_tag=0,
        double double_least=1.0, double double_greatest=0.0, bint others_false=False, bint negate=False,
    ):
        self.range.int_tag = int_tag
        self.range.double_tag = double_tag
        self.range.others_false = others_false
        self.range.negate = negate
        self.range.int_least = int_least
        self.range.int_greatest = int_greatest
        self.range.double_least = double_least
        self.range.double_greatest = double_greatest


def scan(
    const uint8_t[::1] tags not None, const int64_t[::1] data not None, const uint64_t[::1] within not None,
    uint64_t[::1] true_words not None, uint64_t[::1] false_words not None, Range wanted not None,
):
    """Fill the true and the false words of one block.

    Arguments:
        tags: uint8[65536], the type of each user's value, 0 for none.
        data: int64[65536], the values (doubles as their bits).
        within: uint64[1024], the users asked for.
        true_words, false_words: uint64[1024], overwritten; two arrays, neither of them `within`.
        wanted: the range.

    Raises:
        ValueError: an array of another length.
    """
    if tags.shape[0] != ROWS or data.shape[0] != ROWS:
        raise ValueError(f"a block has {ROWS} users, not {tags.shape[0]} tags and {data.shape[0]} values")
    if within.shape[0] != WORDS or true_words.shape[0] != WORDS or false_words.shape[0] != WORDS:
        raise ValueError(f"a block has {WORDS} words")
    with nogil:
        scan_words(&tags[0], &data[0], &within[0], &true_words[0], &false_words[0], &wanted.range)
