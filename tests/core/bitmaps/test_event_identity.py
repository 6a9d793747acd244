"""Promise: an event's identity is SipHash-1-3 of its ids, the same in every process, and no two pairs of ids run together."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bitmaps.event_identity import identities_of, identities_of_spans

_MASK = 2**64 - 1


def _turned(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (64 - bits))) & _MASK


def siphash13(data: bytes, k0: int, k1: int) -> int:
    """The published algorithm, step by step."""
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def round_() -> None:
        v[0] = (v[0] + v[1]) & _MASK
        v[1] = _turned(v[1], 13) ^ v[0]
        v[0] = _turned(v[0], 32)
        v[2] = (v[2] + v[3]) & _MASK
        v[3] = _turned(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & _MASK
        v[3] = _turned(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & _MASK
        v[1] = _turned(v[1], 17) ^ v[2]
        v[2] = _turned(v[2], 32)

    whole = len(data) // 8 * 8
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56)
    for word in words:
        v[3] ^= word
        round_()
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(3):
        round_()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this Python hashes otherwise")
def test_the_twin_is_what_python_hashes_by() -> None:
    code = "import json; print(json.dumps([hash(bytes(range(n))) for n in range(1, 70)]))"
    told = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, check=True
    )
    assert [siphash13(bytes(range(n)), 0, 0) for n in range(1, 70)] == [n & _MASK for n in json.loads(told.stdout)]


@given(st.lists(st.tuples(st.text(), st.text()), max_size=8))
def test_against_the_twin(pairs: list[tuple[str, str]]) -> None:
    found = identities_of([sent for sent, _ in pairs], [inserted for _, inserted in pairs]).tolist()
    assert found == [
        siphash13(i.encode(), siphash13(s.encode(), 0, 0), len(s.encode())) for s, i in pairs
    ]  # fmt: skip


def test_ids_do_not_run_together() -> None:
    pairs = [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc")]
    assert len({*identities_of([s for s, _ in pairs], [i for _, i in pairs]).tolist()}) == len(pairs)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 ids with 2 insert ids"):
        identities_of(["a"], ["b", "c"])


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=10))
def test_ids_in_a_heap_have_the_identities_of_texts(ids: list[tuple[str, str]]) -> None:
    texts = [text.encode() for pair in ids for text in pair]
    lengths = np.array([len(text) for text in texts], np.uint32)
    starts = np.cumsum(lengths, dtype=np.uint32) - lengths
    found = identities_of_spans(b"".join(texts), starts[::2], lengths[::2], starts[1::2], lengths[1::2])
    assert found.tolist() == identities_of([sent for sent, _ in ids], [inserted for _, inserted in ids]).tolist()


@pytest.mark.parametrize(("start", "length"), [(4, 0), (0, 4), (3, 1), (2**32 - 1, 1)])
def test_a_span_that_leaves_the_heap_is_refused(start: int, length: int) -> None:
    good, zero = np.zeros(1, np.uint32), np.zeros(1, np.uint32)
    odd = np.array([start], np.uint32), np.array([length], np.uint32)
    for spans in ((*odd, good, zero), (good, zero, *odd)):
        with pytest.raises(ValueError, match="leave the heap"):
            identities_of_spans(b"abc", *spans)
