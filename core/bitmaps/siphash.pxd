"""SipHash-1-3 (J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF", 2012), with one compression and
three finalisation rounds: the hash of the dictionaries and of events' identities."""

from libc.stdint cimport uint8_t, uint64_t

cdef extern from *:
    """
    #ifndef MUSTER_SIPHASH
    #define MUSTER_SIPHASH
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    #define SIP_TURN(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
    #define SIP_ROUND                                                                  \\
        v0 += v1; v1 = SIP_TURN(v1, 13) ^ v0; v0 = SIP_TURN(v0, 32);                    \\
        v2 += v3; v3 = SIP_TURN(v3, 16) ^ v2;                                           \\
        v0 += v3; v3 = SIP_TURN(v3, 21) ^ v0;                                           \\
        v2 += v1; v1 = SIP_TURN(v1, 17) ^ v2; v2 = SIP_TURN(v2, 32);

    static inline uint64_t sip_word(const uint8_t* at)
    {
        uint64_t word;
        memcpy(&word, at, 8);
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
    #endif
        return word;
    }

    static inline uint64_t siphash13(const uint8_t* data, size_t size, uint64_t k0, uint64_t k1)
    {
        uint64_t v0 = k0 ^ UINT64_C(0x736f6d6570736575), v1 = k1 ^ UINT64_C(0x646f72616e646f6d);
        uint64_t v2 = k0 ^ UINT64_C(0x6c7967656e657261), v3 = k1 ^ UINT64_C(0x7465646279746573);
        uint64_t last = (uint64_t)size << 56;
        size_t at = 0;
        for (; at + 8 <= size; at += 8) {
            const uint64_t word = sip_word(data + at);
            v3 ^= word;
            SIP_ROUND
            v0 ^= word;
        }
        for (int shift = 0; at < size; at++, shift += 8) last |= (uint64_t)data[at] << shift;
        v3 ^= last;
        SIP_ROUND
        v0 ^= last;
        v2 ^= 0xff;
        SIP_ROUND
        SIP_ROUND
        SIP_ROUND
        return v0 ^ v1 ^ v2 ^ v3;
    }
    #endif
    """
    uint64_t siphash13(const uint8_t* data, size_t size, uint64_t k0, uint64_t k1) noexcept nogil
