"""Keyed hashes of addresses, read from a dictionary: many at once, without a Python object for each.

Of an email address written plainly in ASCII the one spelling is known without asking a library: the domain goes to lower
case. Whatever needs more (letters outside ASCII, an `xn--` domain, a quoted part, an upper-case `POSTMASTER`) is left
to the caller, who has the whole of the rules.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

import numpy as np

from core.bitmaps.siphash cimport siphash13
from core.bitmaps.strings cimport StringTable

cdef enum:
    MOST_BYTES = 254  # of an address; RFC 5321
    LEAST_DIGITS = 7  # of a telephone number
    MOST_DIGITS = 15  # E.164
    LONGEST_FOLDED_NAME = 10  # postmaster and hostmaster: mailboxes whose case does not count

cdef uint8_t LOCAL[256]
cdef uint8_t DOMAIN[256]
for _byte in range(256):
    _letter = chr(_byte)
    _alphanumeric = _byte < 128 and _letter.isalnum()
    LOCAL[_byte] = _alphanumeric or (_letter in "!#$%&'*+-/=?^_`{|}~.")
    DOMAIN[_byte] = _alphanumeric or (_letter in "-.")


cdef int fold_email(const uint8_t* text, uint64_t size, uint8_t* folded) noexcept nogil:
    """Write an address in its one spelling; 0 where that takes more than to write the domain in lower case."""
    cdef uint64_t at = 0, i
    cdef bint upper = False
    if size == 0 or size > MOST_BYTES:
        return 0
    while at < size and text[at] != 64:  # @
        if not LOCAL[text[at]]:
            return 0
        upper = upper or 65 <= text[at] <= 90
        folded[at] = text[at]
        at += 1
    if at == 0 or at + 1 >= size or (upper and at <= LONGEST_FOLDED_NAME):
        return 0
    folded[at] = 64
    for i in range(at + 1, size):
        if not DOMAIN[text[i]]:
            return 0
        folded[i] = text[i] | 0x20 if 65 <= text[i] <= 90 else text[i]
        if folded[i] == 45 and folded[i - 1] == 45:  # as in xn--
            return 0
    return 1


cdef int is_plain_phone(const uint8_t* text, uint64_t size, const uint8_t* starts) noexcept nogil:
    """Whether a telephone number is + and digits that stay as they are."""
    cdef uint64_t i
    if size < LEAST_DIGITS + 1 or size > MOST_DIGITS + 1 or text[0] != 43:  # +
        return 0
    for i in range(1, size):
        if not 48 <= text[i] <= 57:
            return 0
    return starts[(text[1] - 48) * 1000 + (text[2] - 48) * 100 + (text[3] - 48) * 10 + text[4] - 48]


cdef class _Keyed:
    """Entries of a dictionary, and the key of their hash."""
    cdef StringTable table
    cdef uint64_t known, k0, k1

    def __cinit__(self, StringTable table not None, bytes key not None):
        if len(key) != 16:
            raise ValueError(f"a key of {len(key)} bytes, not 16")
        self.table, self.known = table, len(table)
        self.k0 = int.from_bytes(key[:8], "little")
        self.k1 = int.from_bytes(key[8:], "little")

    cdef const uint8_t* entry(self, int64_t code, uint64_t* size) except? NULL:
        if code < 0 or <uint64_t>code >= self.known:
            raise ValueError(f"code {code} of a dictionary of {self.known}")
        return <const uint8_t*>self.table.entry(code, size)

    cdef uint64_t hashed(self, const uint8_t* text, uint64_t size) noexcept:
        cdef uint64_t found = siphash13(text, size, self.k0, self.k1)
        return found if found else 1


def email_keys(StringTable table not None, const int64_t[::1] codes not None, bytes key not None):
    """The keys of plainly written email addresses.

    Arguments:
        codes: int64[n], entries of the table.
        key: 16 bytes, of the hash.

    Returns:
        uint64[n]; 0 where the entry is not plainly written.

    Raises:
        ValueError: for a key of another length, or a code beyond the table.
    """
    cdef _Keyed keyed = _Keyed(table, key)
    cdef uint64_t n = codes.shape[0], i, size = 0
    cdef const uint8_t* text
    cdef uint8_t folded[MOST_BYTES]
    found = np.zeros(n, np.uint64)
    cdef uint64_t[::1] keys = found
    for i in range(n):
        text = keyed.entry(codes[i], &size)
        if text != NULL and fold_email(text, size, folded):
            keys[i] = keyed.hashed(folded, size)
    return found


def phone_keys(
    StringTable table not None, const int64_t[::1] codes not None, bytes key not None, const uint8_t[::1] starts not None
):
    """The keys of telephone numbers that are in their one spelling: + and digits.

    Arguments:
        codes: int64[n], entries of the table.
        key: 16 bytes, of the hash.
        starts: uint8[10000], by the first four digits whether the number stays as it is written.

    Returns:
        uint64[n]; 0 where more has to be asked.

    Raises:
        ValueError: for a key or starts of another length, or a code beyond the table.
    """
    if starts.shape[0] != 10_000:
        raise ValueError(f"{starts.shape[0]} starts, not 10,000")
    cdef _Keyed keyed = _Keyed(table, key)
    cdef uint64_t n = codes.shape[0], i, size = 0
    cdef const uint8_t* text
    found = np.zeros(n, np.uint64)
    cdef uint64_t[::1] keys = found
    for i in range(n):
        text = keyed.entry(codes[i], &size)
        if text != NULL and is_plain_phone(text, size, &starts[0]):
            keys[i] = keyed.hashed(text, size)
    return found
