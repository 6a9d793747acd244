"""Promise: a dictionary gives equal strings one code and different strings different codes, and forgets none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bitmaps.strings import BlobTable, StringTable
from core.errors import StoreError


@given(st.lists(st.text(max_size=6), max_size=80), st.integers(0, 80))
def test_against_a_dict(texts: list[str], cut: int) -> None:
    table, model = StringTable(), {}
    for text in texts:
        assert table.intern(text) == model.setdefault(text, len(model))
    assert table.texts(np.arange(len(model))) == list(model)
    assert table.find_many([*texts, "never so long"]).tolist() == [*(model[text] for text in texts), -1]
    table.truncate(cut)
    kept = list(model)[:cut]
    assert [table.find(text) for text in model] == [code if code < cut else -1 for code in range(len(model))]
    assert table.intern("never so long") == len(kept)


def test_many_strings_survive_growth() -> None:
    texts = [f"user-{number}" for number in range(100_000)]
    table = StringTable()
    assert table.intern_many(texts).tolist() == list(range(100_000))
    assert table.texts(np.arange(100_000)) == texts
    assert table.nbytes < 100_000 * 48


def test_blobs() -> None:
    table = BlobTable()
    codes = [table.intern([1, "a"]), table.intern({"b": None}), table.intern([1, "a"])]
    assert codes == [0, 1, 0]
    assert table.values_of(codes) == [[1, "a"], {"b": None}, [1, "a"]]


def test_codes_are_checked() -> None:
    with pytest.raises(StoreError):
        StringTable().text(0)


@given(st.lists(st.text(max_size=6), max_size=150), st.lists(st.text(max_size=6), max_size=20))
def test_spans_are_strings(texts: list[str], known: list[str]) -> None:
    table, twin = StringTable(), StringTable()
    table.intern_many(known)
    twin.intern_many(known)
    parts = [text.encode() for text in texts]
    lengths = np.array([len(part) for part in parts], np.uint32)
    starts = (np.cumsum(lengths) - lengths).astype(np.uint32)
    assert table.find_spans(b"".join(parts), starts, lengths).tolist() == twin.find_many(texts).tolist()
    assert table.intern_spans(b"".join(parts), starts, lengths).tolist() == twin.intern_many(texts).tolist()
    assert table.find_spans(b"".join(parts), starts, lengths).tolist() == twin.find_many(texts).tolist()
    assert len(table) == len(twin)


@pytest.mark.parametrize(("start", "length"), [(0, 4), (3, 1), (4, 0), (2**63, 1), (1, 2**64 - 1), (2**64 - 1, 2)])
def test_spans_lie_in_their_buffer(start: int, length: int) -> None:
    table = StringTable()
    for call in (table.intern_spans, table.find_spans):
        with pytest.raises(IndexError):
            call(b"abc", np.array([0, start], np.uint64), np.array([1, length], np.uint64))
    assert len(table) == 0


def test_spans_have_a_start_and_a_length() -> None:
    with pytest.raises(ValueError):
        StringTable().find_spans(b"abc", np.array([0, 1], np.uint64), np.array([1], np.uint64))
