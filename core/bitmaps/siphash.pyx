"""SipHash-1-3: the keyed hash of the dictionaries, the same in every process and release.

Whoever does not know the key cannot choose strings that meet in one slot.
"""

from libc.stdint cimport uint8_t, uint64_t


def siphash_of(bytes key, const unsigned char[::1] data):
    """The hash of some bytes, a uint64.

    Arguments:
        key: 16 bytes.

    Raises:
        ValueError: for a key of another length.
    """
    if len(key) != 16:
        raise ValueError(f"a key of {len(key)} bytes, not 16")
    cdef uint64_t k0 = int.from_bytes(key[:8], "little")
    cdef uint64_t k1 = int.from_bytes(key[8:], "little")
    cdef const uint8_t* start = NULL
    if data.shape[0]:
        start = &data[0]
    return siphash13(start, data.shape[0], k0, k1)
