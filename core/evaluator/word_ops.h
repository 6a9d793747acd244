/* Sets of one block's users (1,024 words) combined and counted: one body, compiled for what a processor has.

   All functions take whole blocks; `into` and `other` may not overlap. keep and drop tell whether anything is left. */
#ifndef MUSTER_WORD_OPS_H
#define MUSTER_WORD_OPS_H

#include <stdint.h>

#define WORD_OPS_BLOCK 1024

typedef struct {
    const char* name;
    uint64_t (*keep)(uint64_t* into, const uint64_t* other); /* into &= other */
    uint64_t (*drop)(uint64_t* into, const uint64_t* other); /* into &= ~other */
    void (*join)(uint64_t* into, const uint64_t* other);     /* into |= other */
    uint64_t (*count)(const uint64_t* words);                /* bits set */
} word_ops;

#define WORD_OPS(NAME, TARGET)                                                                    \
    TARGET static uint64_t word_keep_##NAME(uint64_t* restrict into, const uint64_t* restrict other)  \
    {                                                                                             \
        uint64_t left = 0;                                                                        \
        for (int w = 0; w < WORD_OPS_BLOCK; w++) left |= into[w] &= other[w];                     \
        return left;                                                                              \
    }                                                                                             \
    TARGET static uint64_t word_drop_##NAME(uint64_t* restrict into, const uint64_t* restrict other)  \
    {                                                                                             \
        uint64_t left = 0;                                                                        \
        for (int w = 0; w < WORD_OPS_BLOCK; w++) left |= into[w] &= ~other[w];                    \
        return left;                                                                              \
    }                                                                                             \
    TARGET static void word_join_##NAME(uint64_t* restrict into, const uint64_t* restrict other)      \
    {                                                                                             \
        for (int w = 0; w < WORD_OPS_BLOCK; w++) into[w] |= other[w];                             \
    }                                                                                             \
    TARGET static uint64_t word_count_##NAME(const uint64_t* words)                               \
    {                                                                                             \
        uint64_t total = 0;                                                                       \
        for (int w = 0; w < WORD_OPS_BLOCK; w++) total += (uint64_t)__builtin_popcountll(words[w]); \
        return total;                                                                             \
    }
#define WORD_OPS_ENTRY(NAME) {#NAME, word_keep_##NAME, word_drop_##NAME, word_join_##NAME, word_count_##NAME}

WORD_OPS(portable, )
#if defined(__x86_64__) && defined(__GNUC__)
WORD_OPS(avx2, __attribute__((target("avx2,popcnt"))))
WORD_OPS(avx512, __attribute__((target("avx2,popcnt,avx512f,avx512vl,avx512vpopcntdq"))))
static const word_ops word_ops_variants[] = {
    WORD_OPS_ENTRY(portable), WORD_OPS_ENTRY(avx2), WORD_OPS_ENTRY(avx512)};

/* How many of the variants, from the first on, this processor can run. */
static int word_ops_here(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("popcnt")) return 1;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512vl")
        || !__builtin_cpu_supports("avx512vpopcntdq"))
        return 2;
    return 3;
}
#else
static const word_ops word_ops_variants[] = {WORD_OPS_ENTRY(portable)};
static int word_ops_here(void) { return 1; }
#endif

#endif
