"""Promise: stored keys are unambiguous, fit LMDB, and keep the order of pages; no page value passes for another's."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from core.storage import pagekeys
from core.storage.pagevalues import is_deleted, peek_whole_key, seal, unseal

_bytes = st.binary(min_size=1, max_size=12) | st.lists(st.sampled_from([b"\x00", b"\xff", b"\x01", b"a"])).map(b"".join)
_long = st.builds(lambda a, n, b: a * n + b, st.sampled_from([b"\x00", b"k", b"k\x00"]), st.integers(230, 500), _bytes)
_keys = _bytes | _long


@settings(max_examples=200)
@given(_keys, st.integers(0, pagekeys.MAX_NUMBER))
def test_a_stored_key_can_be_taken_apart(key: bytes, number: int) -> None:
    stored = pagekeys.version_of(pagekeys.stem_of(key), number)
    assert len(stored) <= 511
    parts = pagekeys.take_apart(stored)
    assert parts is not None
    assert (parts.number, parts.stem, parts.cut) == (number, pagekeys.stem_of(key), pagekeys.is_cut(key))
    assert key.startswith(parts.head) if parts.cut else key == parts.head


@settings(max_examples=200)
@given(_keys, _keys, st.integers(0, 300), st.integers(0, 300))
def test_the_order_of_keys_is_kept(first: bytes, second: bytes, one: int, other: int) -> None:
    stems = pagekeys.stem_of(first), pagekeys.stem_of(second)
    assert (stems[0] == stems[1]) == (first == second)
    both_cut = pagekeys.is_cut(first) and pagekeys.is_cut(second)
    if first != second and not (both_cut and pagekeys.cut_head(first) == pagekeys.cut_head(second)):
        stored = pagekeys.version_of(stems[0], one), pagekeys.version_of(stems[1], other)
        assert (stored[0] < stored[1]) == (first < second)


@settings(max_examples=200)
@given(_keys, st.integers(0, 20))
def test_a_prefix_is_found_where_its_pages_begin(key: bytes, cut: int) -> None:
    prefix = key[: max(0, len(key) - cut)]
    assert pagekeys.stem_of(key).startswith(pagekeys.seek_of(prefix))


def test_what_is_no_key_is_told() -> None:
    assert pagekeys.take_apart(b"abc") is None
    assert pagekeys.take_apart(pagekeys.stem_of(b"abc")) is None


@given(
    st.binary(min_size=9, max_size=20), st.integers(0, 2**63), st.binary(max_size=9), st.none() | st.binary(max_size=9)
)
@settings(max_examples=100)
def test_a_value_opens_under_its_own_key_only(
    stored: bytes, position: int, whole: bytes, payload: bytes | None
) -> None:
    value = memoryview(seal(stored, position, whole, payload))
    page = unseal(stored, value)
    assert page is not None
    assert (page.position, page.whole_key, page.payload) == (position, whole, payload)
    assert peek_whole_key(value) == whole
    assert is_deleted(value) == (payload is None)
    assert unseal(stored + b"x", value) is None
    assert unseal(stored, value[:-1]) is None
