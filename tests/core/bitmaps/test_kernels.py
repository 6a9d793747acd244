"""Promise: every kernel gives what its naive twin gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.bitmaps import kernels, naive
from core.bitmaps.cells import BLOCK_ROWS
from core.values import ValueType

edges = [0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63 - 1024]
ints = st.one_of(st.sampled_from(edges), st.integers(-(2**63), 2**63 - 1))
doubles = st.one_of(
    st.sampled_from([*map(float, edges), 2.0**63, -(2.0**63) - 2048, 0.5, -0.5, -0.0, np.inf, -np.inf]),
    st.floats(allow_nan=False),
)
rows = st.one_of(st.sampled_from([0, 1, 63, 64, 65_535]), st.integers(0, 65_535))
sets = st.sets(rows, max_size=20).map(naive.words_of)
users = st.lists(st.one_of(st.integers(65_536, 65_540), st.integers(0, 200_000)), max_size=40)


@settings(max_examples=100)
@given(st.dictionaries(rows, st.one_of(ints, doubles, st.none()), max_size=12), st.one_of(ints, doubles))
def test_compare(cells, constant) -> None:  # type: ignore[no-untyped-def]
    tags, data = np.zeros(BLOCK_ROWS, np.uint8), np.zeros(BLOCK_ROWS, np.int64)
    for row, value in cells.items():
        if isinstance(value, float):
            tags[row], data[row] = ValueType.DOUBLE, np.float64(value).view(np.int64)
        elif value is None:
            tags[row], data[row] = ValueType.STRING, 1
        else:
            tags[row], data[row] = ValueType.INT, value
    for operator in ("==", "!=", "<", "<=", ">", ">="):
        assert (kernels.compare(tags, data, operator, constant) == naive.compare(tags, data, operator, constant)).all()


@settings(max_examples=20, deadline=None)
@given(sets, sets, st.integers(0, 65_535))
def test_sets(left, right, block) -> None:  # type: ignore[no-untyped-def]
    for name in ("both", "either", "without"):
        assert (getattr(kernels, name)(left, right) == getattr(naive, name)(left, right)).all()
    assert kernels.count(left) == naive.count(left)
    ordinals = kernels.to_ordinals(left, block)
    assert ordinals.tolist() == naive.to_ordinals(left, block).tolist()
    assert (kernels.from_ordinals(ordinals, block) == left).all()


@settings(max_examples=40, deadline=None)
@given(users, st.data())
def test_per_user(users, data) -> None:  # type: ignore[no-untyped-def]
    size = len(users)
    ordinals = np.array(users, np.uint32)
    mask = np.array(data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)), np.uint8)
    whole = np.array(data.draw(st.lists(ints, min_size=size, max_size=size)), np.int64)
    real = np.array(data.draw(st.lists(st.floats(-1e9, 1e9), min_size=size, max_size=size)), np.float64)
    results = []
    for side in (kernels, naive):
        counters, sums = np.zeros(BLOCK_ROWS, np.uint32), np.zeros(BLOCK_ROWS, np.int64)
        overflowed, totals = np.zeros(1024, np.uint64), np.zeros(BLOCK_ROWS, np.float64)
        side.count_rows(ordinals, mask, 1, counters)
        side.sum_ints(ordinals, mask, whole, 1, sums, overflowed)
        side.sum_doubles(ordinals, mask, real, 1, totals)
        results.append((counters, sums, overflowed, totals))
    for fast, slow in zip(*results, strict=True):
        assert (fast == slow).all()
    assert (kernels.from_ordinals(ordinals, 1) == naive.from_ordinals(ordinals, 1)).all()


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="tags"):
        kernels.compare(np.zeros(3, np.uint8), np.zeros(BLOCK_ROWS, np.int64), "<", 1)
    with pytest.raises(ValueError, match="NaN"):
        kernels.compare(np.zeros(BLOCK_ROWS, np.uint8), np.zeros(BLOCK_ROWS, np.int64), "<", float("nan"))
    with pytest.raises(ValueError, match="mask"):
        kernels.count_rows(np.zeros(2, np.uint32), np.zeros(1, np.uint8), 0, np.zeros(BLOCK_ROWS, np.uint32))
