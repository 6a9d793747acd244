/* Column scans: which of 65,536 unsigned offsets lie in a closed range, a bit for each, 64 to a word.
 *
 * Offsets are 1, 2, 4 or 8 bytes wide and are compared in their own width. A word in which nobody is asked for is not
 * looked at. There is a portable version, which any C compiler turns into what its machine has, and on x86-64 one
 * each for AVX2 and AVX-512, chosen when the module is loaded; all of them give the same words.
 */
#ifndef MUSTER_SCANS_H
#define MUSTER_SCANS_H

#include <stdint.h>
#include <string.h>

#define SCAN_WORDS 1024
#define SAMPLE 16 /* rows of an order for each of its samples: of so many at most, a bound looks at the column itself */
#define TOP 64    /* samples for each of `tops` */

/* out[w] = those of within[w] whose offset lies in low..high. low <= high, both fit the width. */
typedef void (*scan_kernel)(const uint8_t* data, uint64_t low, uint64_t high, const uint64_t* within, uint64_t* out);

/* Operations on two sets; those that return a number return 0 where nothing is left. */
typedef uint64_t (*set_kernel)(uint64_t* into, const uint64_t* other);

typedef struct {
    const char* name;
    scan_kernel of_width[4]; /* 1, 2, 4, 8 bytes */
    set_kernel keep;         /* into &= other */
    set_kernel drop;         /* into &= ~other */
    set_kernel join;         /* into |= other */
} scan_variant;

#define SET_KERNEL(name, target, operation)                                                                            \
    target static uint64_t name(uint64_t* into, const uint64_t* other)                                                 \
    {                                                                                                                  \
        uint64_t left = 0;                                                                                             \
        for (int w = 0; w < SCAN_WORDS; w++) left |= (into[w] operation other[w]);                                     \
        return left;                                                                                                   \
    }
#define SET_KERNELS(variant, target)                                                                                   \
    SET_KERNEL(keep_##variant, target, &=)                                                                             \
    SET_KERNEL(drop_##variant, target, &= ~)                                                                           \
    SET_KERNEL(join_##variant, target, |=)

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

/* A page may lie anywhere in a map, so that offsets are read by memcpy, which compilers know to be a plain load. */
#define PORTABLE_SCAN(bits)                                                                                            \
    static void scan_portable_##bits(                                                                                  \
        const uint8_t* data, uint64_t low, uint64_t high, const uint64_t* within, uint64_t* out)                       \
    {                                                                                                                  \
        const uint##bits##_t first = (uint##bits##_t)low, span = (uint##bits##_t)(high - low);                         \
        uint8_t hit[64];                                                                                               \
        uint##bits##_t x[64];                                                                                          \
        for (int w = 0; w < SCAN_WORDS; w++) {                                                                         \
            if (!within[w]) {                                                                                          \
                out[w] = 0;                                                                                            \
                continue;                                                                                              \
            }                                                                                                          \
            memcpy(x, data + (size_t)w * sizeof x, sizeof x);                                                          \
            for (int j = 0; j < 64; j++) hit[j] = (uint##bits##_t)(x[j] - first) <= span;                              \
            out[w] = pack_bits(hit) & within[w];                                                                       \
        }                                                                                                              \
    }

PORTABLE_SCAN(8)
PORTABLE_SCAN(16)
PORTABLE_SCAN(32)
PORTABLE_SCAN(64)
SET_KERNELS(portable, )

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define SCANS_FOR_X86 1
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define AVX2 __attribute__((target("avx2")))

SET_KERNELS(avx2, AVX2)
SET_KERNELS(avx512, AVX512)

/* x - low <= high - low, unsigned, is low <= x <= high. */
#define AVX512_SCAN(bits, lanes, mask_type)                                                                            \
    AVX512 static void scan_avx512_##bits(                                                                             \
        const uint8_t* data, uint64_t low, uint64_t high, const uint64_t* within, uint64_t* out)                       \
    {                                                                                                                  \
        const __m512i first = AVX512_SET_##bits(low), span = AVX512_SET_##bits(high - low);                            \
        for (int w = 0; w < SCAN_WORDS; w++) {                                                                         \
            uint64_t hits = 0;                                                                                         \
            if (within[w]) {                                                                                           \
                const uint8_t* at = data + (size_t)w * 8 * bits;                                                       \
                for (int k = 0; k < 64 / lanes; k++) {                                                                 \
                    const __m512i x = _mm512_loadu_si512(at + 64 * k);                                                 \
                    const mask_type mask = AVX512_AT_MOST_##bits(AVX512_SUB_##bits(x, first), span);                   \
                    hits |= (uint64_t)mask << (lanes * k % 64);                                                        \
                }                                                                                                      \
            }                                                                                                          \
            out[w] = hits & within[w];                                                                                 \
        }                                                                                                              \
    }

#define AVX512_SET_8(x) _mm512_set1_epi8((char)(x))
#define AVX512_SET_16(x) _mm512_set1_epi16((short)(x))
#define AVX512_SET_32(x) _mm512_set1_epi32((int)(x))
#define AVX512_SET_64(x) _mm512_set1_epi64((long long)(x))
#define AVX512_SUB_8 _mm512_sub_epi8
#define AVX512_SUB_16 _mm512_sub_epi16
#define AVX512_SUB_32 _mm512_sub_epi32
#define AVX512_SUB_64 _mm512_sub_epi64
#define AVX512_AT_MOST_8 _mm512_cmple_epu8_mask
#define AVX512_AT_MOST_16 _mm512_cmple_epu16_mask
#define AVX512_AT_MOST_32 _mm512_cmple_epu32_mask
#define AVX512_AT_MOST_64 _mm512_cmple_epu64_mask

AVX512_SCAN(8, 64, __mmask64)
AVX512_SCAN(16, 32, __mmask32)
AVX512_SCAN(32, 16, __mmask16)
AVX512_SCAN(64, 8, __mmask8)

/* AVX2 has no unsigned comparison: x <= span where max(x, span) is span. */
AVX2 static void scan_avx2_8(
    const uint8_t* data, uint64_t low, uint64_t high, const uint64_t* within, uint64_t* out)
{
    const __m256i first = _mm256_set1_epi8((char)low), span = _mm256_set1_epi8((char)(high - low));
    for (int w = 0; w < SCAN_WORDS; w++) {
        uint64_t hits = 0;
        if (within[w]) {
            for (int k = 0; k < 2; k++) {
                __m256i x = _mm256_loadu_si256((const __m256i*)(data + (size_t)w * 64 + 32 * k));
                x = _mm256_sub_epi8(x, first);
                x = _mm256_cmpeq_epi8(_mm256_max_epu8(x, span), span);
                hits |= (uint64_t)(uint32_t)_mm256_movemask_epi8(x) << (32 * k);
            }
        }
        out[w] = hits & within[w];
    }
}

AVX2 static void scan_avx2_16(
    const uint8_t* data, uint64_t low, uint64_t high, const uint64_t* within, uint64_t* out)
{
    const __m256i first = _mm256_set1_epi16((short)low), span = _mm256_set1_epi16((short)(high - low));
    for (int w = 0; w < SCAN_WORDS; w++) {
        uint64_t hits = 0;
        if (within[w]) {
            for (int k = 0; k < 2; k++) {
                const uint8_t* at = data + (size_t)w * 128 + 64 * k;
                __m256i x = _mm256_sub_epi16(_mm256_loadu_si256((const __m256i*)at), first);
                __m256i y = _mm256_sub_epi16(_mm256_loadu_si256((const __m256i*)(at + 32)), first);
                x = _mm256_cmpeq_epi16(_mm256_max_epu16(x, span), span);
                y = _mm256_cmpeq_epi16(_mm256_max_epu16(y, span), span);
                /* Packing works within halves of 128 bits; the permutation puts them in order again. */
                x = _mm256_permute4x64_epi64(_mm256_packs_epi16(x, y), 0xD8);
                hits |= (uint64_t)(uint32_t)_mm256_movemask_epi8(x) << (32 * k);
            }
        }
        out[w] = hits & within[w];
    }
}

AVX2 static void scan_avx2_32(
    const uint8_t* data, uint64_t low, uint64_t high, const uint64_t* within, uint64_t* out)
{
    const __m256i first = _mm256_set1_epi32((int)low), span = _mm256_set1_epi32((int)(high - low));
    for (int w = 0; w < SCAN_WORDS; w++) {
        uint64_t hits = 0;
        if (within[w]) {
            for (int k = 0; k < 8; k++) {
                __m256i x = _mm256_loadu_si256((const __m256i*)(data + (size_t)w * 256 + 32 * k));
                x = _mm256_sub_epi32(x, first);
                x = _mm256_cmpeq_epi32(_mm256_max_epu32(x, span), span);
                hits |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(x)) << (8 * k);
            }
        }
        out[w] = hits & within[w];
    }
}

/* Signed comparison of both sides moved by 2^63. */
AVX2 static void scan_avx2_64(
    const uint8_t* data, uint64_t low, uint64_t high, const uint64_t* within, uint64_t* out)
{
    const uint64_t sign = UINT64_C(1) << 63;
    const __m256i first = _mm256_set1_epi64x((long long)low), flip = _mm256_set1_epi64x((long long)sign);
    const __m256i span = _mm256_set1_epi64x((long long)((high - low) ^ sign));
    for (int w = 0; w < SCAN_WORDS; w++) {
        uint64_t above = 0;
        if (within[w]) {
            for (int k = 0; k < 16; k++) {
                __m256i x = _mm256_loadu_si256((const __m256i*)(data + (size_t)w * 512 + 32 * k));
                x = _mm256_cmpgt_epi64(_mm256_xor_si256(_mm256_sub_epi64(x, first), flip), span);
                above |= (uint64_t)(uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(x)) << (4 * k);
            }
        }
        out[w] = within[w] & ~above;
    }
}
#endif

static const scan_variant scan_variants[] = {
    {"portable", {scan_portable_8, scan_portable_16, scan_portable_32, scan_portable_64},
     keep_portable, drop_portable, join_portable},
#ifdef SCANS_FOR_X86
    {"avx2", {scan_avx2_8, scan_avx2_16, scan_avx2_32, scan_avx2_64},
     keep_avx2, drop_avx2, join_avx2},
    {"avx512", {scan_avx512_8, scan_avx512_16, scan_avx512_32, scan_avx512_64},
     keep_avx512, drop_avx512, join_avx512},
#endif
};

/* How many of `scan_variants` this machine can run; the last of them is the fastest. */
static inline int scan_variants_here(void)
{
#ifdef SCANS_FOR_X86
    if (!__builtin_cpu_supports("avx2")) return 1;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")
        || !__builtin_cpu_supports("avx512vl"))
        return 2;
    return 3;
#else
    return 1;
#endif
}

/* Have n bytes brought near that will be read soon; what is not there after all does no harm. */
static inline void fetch(const void* at, size_t n)
{
    for (size_t i = 0; i < n; i += 64) __builtin_prefetch((const char*)at + i, 0, 2);
}

/* How many of n offsets lie below x. No branch, so that the loads do not wait for one another. */
#define COUNT_BELOW(bits)                                                                                              \
    static inline uint32_t count_below_##bits(const uint8_t* at, uint32_t n, uint64_t x)                               \
    {                                                                                                                  \
        uint32_t found = 0;                                                                                            \
        uint##bits##_t offset;                                                                                         \
        for (uint32_t i = 0; i < n; i++) {                                                                             \
            memcpy(&offset, at + (size_t)i * sizeof offset, sizeof offset);                                            \
            found += offset < x;                                                                                       \
        }                                                                                                              \
        return found;                                                                                                  \
    }

COUNT_BELOW(8)
COUNT_BELOW(16)
COUNT_BELOW(32)
COUNT_BELOW(64)

/* How many of n offsets of a width lie below x. */
static inline uint32_t offsets_below(const uint8_t* at, uint8_t width, uint32_t n, uint64_t x)
{
    switch (width) {
    case 1: return count_below_8(at, n, x);
    case 2: return count_below_16(at, n, x);
    case 4: return count_below_32(at, n, x);
    default: return count_below_64(at, n, x);
    }
}

/* The group of SAMPLE places in an order before which all rows lie below x, and after which none does: the place at which
 * it begins. Every SAMPLE-th row's offset stands in `samples`, every TOP-th of those in `tops`. On a damaged page the
 * answer is wrong, but below `count`. */
static inline uint32_t group_of(
    const uint8_t* samples, const uint8_t* tops, uint8_t width, uint32_t count, uint64_t x)
{
    const uint32_t sampled = (count + SAMPLE - 1) / SAMPLE, topped = (sampled + TOP - 1) / TOP;
    uint32_t first = offsets_below(tops, width, topped, x);
    if (!first) return 0;
    first = (first - 1) * TOP;
    first += offsets_below(samples + (size_t)first * width, width, sampled - first < TOP ? sampled - first : TOP, x);
    return first ? (first - 1) * SAMPLE : 0;
}

/* A row's offset. */
static inline uint64_t offset_at(const uint8_t* data, uint8_t width, size_t row)
{
    uint64_t offset = 0;
    switch (width) {
    case 0: return 0;
    case 1: return data[row];
    case 2: memcpy(&offset, data + 2 * row, 2); return offset;
    case 4: memcpy(&offset, data + 4 * row, 4); return offset;
    default: memcpy(&offset, data + 8 * row, 8); return offset;
    }
}

#endif
