"""Question: what does one comparison cost on one block of a column, by how its page answers, and what does changing cells cost?

`narrow` over all 65,536 users, a Python call (some 0.15 us) included; the block's page is in the cache.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from core.bitmaps.block_answers import scan_kernels, scan_with
from core.bitmaps.block_tables import BlockTable
from core.bitmaps.blocks import Block, BlockTest
from core.bitmaps.cells import BLOCK_ROWS
from core.values import INT_MAX, INT_MIN, ValueType

_DRAW = np.random.default_rng(7)
_EVERYBODY = np.full(BLOCK_ROWS // 64, 2**64 - 1, np.uint64)
_SECONDS = 1_700_000_000_000_000 + _DRAW.integers(0, 31_000_000, BLOCK_ROWS) * 1_000_000


def _cells(tag: ValueType, data: NDArray[np.integer]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return np.full(BLOCK_ROWS, tag, np.uint8), data.astype(np.int64)


_AGES = _cells(ValueType.INT, _DRAW.integers(13, 90, BLOCK_ROWS))
_MIXED = _cells(ValueType.INT, _DRAW.integers(13, 90, BLOCK_ROWS))
_MIXED[0][::10] = ValueType.NULL
_MIXED[1][::10] = 0
_AT_LEAST_25 = BlockTest(
    int_tag=ValueType.INT,
    int_least=25,
    int_greatest=INT_MAX,
    double_tag=ValueType.DOUBLE,
    double_least=25.0,
    double_greatest=math.inf,
)
_LEAVES = {
    "range of ints, in the order": (_AGES, _AT_LEAST_25),
    "range of times, in the order": (
        _cells(ValueType.TIMESTAMP, _SECONDS),
        BlockTest(int_tag=ValueType.TIMESTAMP, int_least=INT_MIN, int_greatest=1_717_000_000_123_456),
    ),
    "range of cents, in the order": (
        _cells(ValueType.DOUBLE, np.round(_DRAW.exponential(50, BLOCK_ROWS), 2).view(np.int64)),
        BlockTest(double_tag=ValueType.DOUBLE, double_least=10.000001, double_greatest=math.inf),
    ),
    "one text of four": (
        _cells(ValueType.STRING, _DRAW.choice(4, BLOCK_ROWS, p=[0.6, 0.2, 0.1, 0.1])),
        BlockTest(int_tag=ValueType.STRING, int_least=0, int_greatest=0, others_false=True),
    ),
    "three texts of two hundred": (
        _cells(ValueType.STRING, np.minimum(_DRAW.zipf(1.5, BLOCK_ROWS), 200)),
        BlockTest(wanted=(np.full(3, ValueType.STRING, np.uint8), np.array([1, 3, 7]))),
    ),
    "ends alone": (_AGES, BlockTest(int_tag=ValueType.INT, int_least=0, int_greatest=200)),
    "several types, scanned": (_MIXED, _AT_LEAST_25),
}


@pytest.mark.parametrize("leaf", _LEAVES)
def test_narrow(benchmark: BenchmarkFixture, leaf: str) -> None:
    cells, test = _LEAVES[leaf]
    block, acc = Block(*cells), _EVERYBODY.copy()
    benchmark(block.narrow, test, acc)
    true, false = np.zeros_like(acc), np.zeros_like(acc)
    block.split(test, _EVERYBODY, true, false)
    assert (acc == true).all()
    benchmark.extra_info["work"] = block.work(test, _EVERYBODY)


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("name", scan_kernels())
def test_scan(benchmark: BenchmarkFixture, name: str, width: int) -> None:
    offsets = _DRAW.integers(0, 200, BLOCK_ROWS).astype(f"u{width}")
    found = benchmark(scan_with, name, offsets, 20, 150, _EVERYBODY)
    assert (found == scan_with("portable", offsets, 20, 150, _EVERYBODY)).all()


def test_make_a_page(benchmark: BenchmarkFixture) -> None:
    cells = _cells(ValueType.TIMESTAMP, _SECONDS)
    assert benchmark(Block, *cells).data.tolist() == _SECONDS.tolist()


def test_change_some_cells(benchmark: BenchmarkFixture) -> None:
    table = BlockTable()
    table.put(0, Block(*_AGES))
    users = np.arange(0, 50 * 1300, 1300, dtype=np.uint32)
    tags, data = np.full(50, ValueType.INT, np.uint8), np.arange(50, dtype=np.int64) + 100

    def change() -> BlockTable:
        changed = table.fork()
        changed.set_cells(users, tags, data)
        return changed

    assert benchmark(change).cells(users)[1].tolist() == data.tolist()
