"""Promise: the hash of the dictionaries is SipHash-1-3, so that a stored table is read alike everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bitmaps.siphash import siphash_of

_MASK = 2**64 - 1


def _turn(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & _MASK


def _round(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    a, c = (a + b) & _MASK, (c + d) & _MASK
    b, d = _turn(b, 13) ^ a, _turn(d, 16) ^ c
    a = _turn(a, 32)
    c, a = (c + b) & _MASK, (a + d) & _MASK
    b, d = _turn(b, 17) ^ c, _turn(d, 21) ^ a
    return a, b, _turn(c, 32), d


def _siphash(key: bytes, data: bytes, compression: int, finalization: int) -> int:
    """SipHash-c-d as the paper has it."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    a, b = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    c, d = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for place in range(0, len(padded), 8):
        word = int.from_bytes(padded[place : place + 8], "little")
        d ^= word
        for _ in range(compression):
            a, b, c, d = _round(a, b, c, d)
        a ^= word
    c ^= 0xFF
    for _ in range(finalization):
        a, b, c, d = _round(a, b, c, d)
    return a ^ b ^ c ^ d


def test_the_twin_gives_the_papers_vector() -> None:
    assert _siphash(bytes(range(16)), bytes(range(15)), 2, 4) == 0xA129CA6149BE45E5


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=80))
def test_against_the_twin(key: bytes, data: bytes) -> None:
    assert siphash_of(key, data) == _siphash(key, data, 1, 3)


def test_a_published_vector() -> None:
    """The first of those that implementations of SipHash-1-3 share: the key is 0, 1, 2, …, the input empty."""
    assert siphash_of(bytes(range(16)), b"").to_bytes(8, "little").hex() == "dcc40f055801acab"


def test_a_key_has_sixteen_bytes() -> None:
    with pytest.raises(ValueError):
        siphash_of(b"short", b"")
