"""The loops over rows of events that compilers or we ourselves vectorise: comparisons into bits, and bits into counters.

AVX-512 where the processor has it, else what the compiler makes of plain loops, for AVX2 where it can choose when the module
is loaded.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <stddef.h>
    #include <string.h>

    #if defined(__x86_64__) && defined(__GNUC__)
    #include <immintrin.h>
    #define EVENTS_X86 1
    #endif
    #if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
    #define EVENTS_CLONES __attribute__((target_clones("avx2", "default")))
    #else
    #define EVENTS_CLONES
    #endif

    static inline uint64_t gathered_bits(const uint8_t* flags)
    {
        uint64_t bits = 0, eight;
        for (int k = 0; k < 8; k++) {
            memcpy(&eight, flags + 8 * k, 8);
            bits |= ((eight * UINT64_C(0x0102040810204080)) >> 56) << (8 * k);
        }
        return bits;
    }

    /* Bit i of word w: whether number 64 * w + i, less `least`, is at most `span`; unsigned, in the numbers' width. */
    EVENTS_CLONES
    static void offsets_portable(const uint8_t* data, unsigned width, size_t words, uint64_t least, uint64_t span,
                                 uint64_t* out)
    {
        uint8_t hit[64];
        for (size_t w = 0; w < words; w++) {
            if (width == 1) {
                const uint8_t* x = data + 64 * w;
                for (int j = 0; j < 64; j++) hit[j] = (uint8_t)(x[j] - (uint8_t)least) <= (uint8_t)span;
            } else if (width == 2) {
                const uint16_t* x = (const uint16_t*)data + 64 * w;
                for (int j = 0; j < 64; j++) hit[j] = (uint16_t)(x[j] - (uint16_t)least) <= (uint16_t)span;
            } else if (width == 4) {
                const uint32_t* x = (const uint32_t*)data + 64 * w;
                for (int j = 0; j < 64; j++) hit[j] = x[j] - (uint32_t)least <= (uint32_t)span;
            } else {
                const uint64_t* x = (const uint64_t*)data + 64 * w;
                for (int j = 0; j < 64; j++) hit[j] = x[j] - least <= span;
            }
            out[w] = gathered_bits(hit);
        }
    }

    EVENTS_CLONES
    static void doubles_portable(const uint8_t* data, size_t words, double least, double greatest, uint64_t* out)
    {
        uint8_t hit[64];
        for (size_t w = 0; w < words; w++) {
            const double* x = (const double*)data + 64 * w;
            for (int j = 0; j < 64; j++) hit[j] = (x[j] >= least) & (x[j] <= greatest);
            out[w] = gathered_bits(hit);
        }
    }

    /* Bit i of word w: whether counter 64 * w + i lies from `least` to `greatest`. */
    static void counters_portable(const uint8_t* counters, uint8_t least, uint8_t greatest, uint64_t* out)
    {
        offsets_portable(counters, 1, 1024, least, (uint8_t)(greatest - least), out);
    }

    #ifdef EVENTS_X86
    #define WIDE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
    WIDE static void offsets_wide(const uint8_t* data, unsigned width, size_t words, uint64_t least, uint64_t span,
                                  uint64_t* out)
    {
        if (width == 1) {
            const __m512i low = _mm512_set1_epi8((char)least), most = _mm512_set1_epi8((char)span);
            for (size_t w = 0; w < words; w++)
                out[w] = _mm512_cmple_epu8_mask(_mm512_sub_epi8(_mm512_loadu_si512(data + 64 * w), low), most);
        } else if (width == 2) {
            const __m512i low = _mm512_set1_epi16((short)least), most = _mm512_set1_epi16((short)span);
            for (size_t w = 0; w < words; w++) {
                const uint8_t* x = data + 128 * w;
                uint64_t bits = 0;
                for (int k = 0; k < 2; k++)
                    bits |= (uint64_t)_mm512_cmple_epu16_mask(
                                _mm512_sub_epi16(_mm512_loadu_si512(x + 64 * k), low), most) << (32 * k);
                out[w] = bits;
            }
        } else if (width == 4) {
            const __m512i low = _mm512_set1_epi32((int)least), most = _mm512_set1_epi32((int)span);
            for (size_t w = 0; w < words; w++) {
                const uint8_t* x = data + 256 * w;
                uint64_t bits = 0;
                for (int k = 0; k < 4; k++)
                    bits |= (uint64_t)_mm512_cmple_epu32_mask(
                                _mm512_sub_epi32(_mm512_loadu_si512(x + 64 * k), low), most) << (16 * k);
                out[w] = bits;
            }
        } else {
            const __m512i low = _mm512_set1_epi64((long long)least), most = _mm512_set1_epi64((long long)span);
            for (size_t w = 0; w < words; w++) {
                const uint8_t* x = data + 512 * w;
                uint64_t bits = 0;
                for (int k = 0; k < 8; k++)
                    bits |= (uint64_t)_mm512_cmple_epu64_mask(
                                _mm512_sub_epi64(_mm512_loadu_si512(x + 64 * k), low), most) << (8 * k);
                out[w] = bits;
            }
        }
    }

    WIDE static void doubles_wide(const uint8_t* data, size_t words, double least, double greatest, uint64_t* out)
    {
        const __m512d low = _mm512_set1_pd(least), high = _mm512_set1_pd(greatest);
        for (size_t w = 0; w < words; w++) {
            const uint8_t* x = data + 512 * w;
            uint64_t bits = 0;
            for (int k = 0; k < 8; k++) {
                const __m512d eight = _mm512_loadu_pd(x + 64 * k);
                bits |= (uint64_t)(_mm512_cmp_pd_mask(eight, low, _CMP_GE_OQ) & _mm512_cmp_pd_mask(eight, high, _CMP_LE_OQ))
                        << (8 * k);
            }
            out[w] = bits;
        }
    }

    WIDE static void counters_wide(const uint8_t* counters, uint8_t least, uint8_t greatest, uint64_t* out)
    {
        offsets_wide(counters, 1, 1024, least, (uint8_t)(greatest - least), out);
    }
    #endif

    typedef struct {
        void (*offsets)(const uint8_t*, unsigned, size_t, uint64_t, uint64_t, uint64_t*);
        void (*doubles)(const uint8_t*, size_t, double, double, uint64_t*);
        void (*counters)(const uint8_t*, uint8_t, uint8_t, uint64_t*);
    } event_loops;

    static event_loops loops_of(int portable)
    {
        event_loops chosen = {offsets_portable, doubles_portable, counters_portable};
    #ifdef EVENTS_X86
        __builtin_cpu_init();
        if (!portable && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl")) {
            chosen.offsets = offsets_wide;
            chosen.doubles = doubles_wide;
            chosen.counters = counters_wide;
        }
    #endif
        return chosen;
    }

    /* The rows first..first+n-1 whose bits are set, into counters by their user, which stop at 255. */
    static void count_rows_of(const uint64_t* bits, size_t n, const uint16_t* users, uint8_t* counters)
    {
        for (size_t w = 0; w * 64 < n; w++) {
            uint64_t word = bits[w];
            const uint16_t* of = users + 64 * w;
            while (word) {
                uint8_t* counter = counters + of[__builtin_ctzll(word)];
                const unsigned more = *counter + 1u;
                *counter = (uint8_t)(more - (more >> 8));
                word &= word - 1;
            }
        }
    }

    static void note_rows_of(const uint64_t* bits, size_t n, const uint16_t* users, uint64_t* words)
    {
        for (size_t w = 0; w * 64 < n; w++) {
            uint64_t word = bits[w];
            const uint16_t* of = users + 64 * w;
            while (word) {
                const uint16_t user = of[__builtin_ctzll(word)];
                words[user >> 6] |= UINT64_C(1) << (user & 63);
                word &= word - 1;
            }
        }
    }
    """
    ctypedef struct event_loops:
        void (*offsets)(const uint8_t*, unsigned, size_t, uint64_t, uint64_t, uint64_t*) noexcept nogil
        void (*doubles)(const uint8_t*, size_t, double, double, uint64_t*) noexcept nogil
        void (*counters)(const uint8_t*, uint8_t, uint8_t, uint64_t*) noexcept nogil

    uint64_t ones "__builtin_popcountll"(uint64_t word) noexcept nogil
    event_loops loops_of(int portable) noexcept nogil
    void count_rows_of(const uint64_t* bits, size_t n, const uint16_t* users, uint8_t* counters) noexcept nogil
    void note_rows_of(const uint64_t* bits, size_t n, const uint16_t* users, uint64_t* words) noexcept nogil
