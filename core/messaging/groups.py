"""Who is on which side of a split: control group, holdout, variants. Stable, by a hash of names.

The unit is the user's ordinal: given at first sight, never given to another, kept by the user that stays when two are
merged, and the same after every restart and in every copy of the store. Its place among 2^32 is the upper half of
SipHash-1-3 over its four bytes (lowest first), under a key that BLAKE2b makes of the project's uid and a salt. A share
is a stretch of places from the lowest on, so that one that grows keeps whom it had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

CONTROL: Final = "control"
HOLDOUT: Final = "holdout"
VARIANT: Final = "variant:"
"""With the variant's key behind it: the group of those who are sent a variant of a message."""
GHOSTS: Final = frozenset({CONTROL, HOLDOUT})
"""Groups whose members pass every gate and are sent nothing."""

_KEY_BYTES: Final = 16
_PLACES: Final = 1 << 32
_AT_ONCE: Final = 1 << 15
"""So many users are hashed side by side: what stands between the rounds then stays in the processor's cache."""

_Words = npt.NDArray[np.uint64]


def places(project_uid: str, salt: str, ordinals: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Where users fall among 2^32 places, for one split of a project: uint32[n], of the order of the ordinals."""
    key = hashlib.blake2b(salt.encode(), key=project_uid.encode()[:64], digest_size=_KEY_BYTES).digest()
    found = np.empty(len(ordinals), np.uint32)
    for first in range(0, len(ordinals), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        found[part] = _siphash(key, ordinals[part]) >> np.uint64(32)
    return found


def _siphash(key: bytes, numbers: npt.NDArray[np.uint32]) -> _Words:
    """SipHash-1-3 of the four bytes of each number, as `core.bitmaps.siphash` has it of one text."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    words: _Words = numbers.astype(np.uint64)
    words |= np.uint64(4 << 56)
    a, b = np.full_like(words, k0 ^ 0x736F6D6570736575), np.full_like(words, k1 ^ 0x646F72616E646F6D)
    c, d = np.full_like(words, k0 ^ 0x6C7967656E657261), np.full_like(words, k1 ^ 0x7465646279746573)
    d ^= words
    _turn_all(a, b, c, d)
    a ^= words
    c ^= np.uint64(0xFF)
    for _ in range(3):
        _turn_all(a, b, c, d)
    a ^= b
    a ^= c
    a ^= d
    return a


def _turn_all(a: _Words, b: _Words, c: _Words, d: _Words) -> None:
    """One round, in place."""
    a += b
    _turn(b, 13)
    b ^= a
    _turn(a, 32)
    c += d
    _turn(d, 16)
    d ^= c
    a += d
    _turn(d, 21)
    d ^= a
    c += b
    _turn(b, 17)
    b ^= c
    _turn(c, 32)


def _turn(words: _Words, by: int) -> None:
    high = words >> np.uint64(64 - by)
    words <<= np.uint64(by)
    words |= high


def below(project_uid: str, salt: str, percent: float, users: BitMap) -> BitMap:
    """The users who belong to the first `percent` of a split."""
    return part(project_uid, salt, [("", percent)], users)[""]


def part(project_uid: str, salt: str, shares: Sequence[tuple[str, float]], users: BitMap) -> dict[str, BitMap]:
    """Split users by percentages, which follow one another from the lowest place on.

    Arguments:
        shares: (name, percent), in order; whom they leave over when they add up to less than 100 is in none.

    Returns:
        The users of each share, by its name.
    """
    found: dict[str, BitMap] = {}
    where: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]] | None = None
    first, total = 0, 0.0
    for name, percent in shares:
        total += percent
        end = round(min(total, 100.0) / 100 * _PLACES)
        if end <= first:
            found[name] = BitMap()
        elif (first, end) == (0, _PLACES):
            found[name] = users.copy()
        else:
            if where is None:
                ordinals = np.array(users.to_array(), np.uint32)
                where = ordinals, places(project_uid, salt, ordinals)
            found[name] = BitMap(where[0][(where[1] >= first) & (where[1] <= end - 1)])
        first = max(first, end)
    return found
