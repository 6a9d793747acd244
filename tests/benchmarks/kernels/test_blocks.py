"""Question: what does one step over one block of 65,536 users cost? Each answer is checked against the naive twin or numpy."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from core.bitmaps import kernels, naive
from core.bitmaps.cells import BLOCK_ROWS
from tests.benchmarks.kernels.conftest import Block

_WORDS = BLOCK_ROWS // 64


def test_compare(benchmark: BenchmarkFixture, block: Block) -> None:
    found = benchmark(kernels.compare, block.tags, block.ints, ">=", 25)
    assert (found == naive.compare(block.tags, block.ints, ">=", 25)).all()


@pytest.mark.parametrize("name", ["both", "either", "without"])
def test_sets(benchmark: BenchmarkFixture, block: Block, name: str) -> None:
    found = benchmark(getattr(kernels, name), block.left, block.right)
    assert (found == getattr(naive, name)(block.left, block.right)).all()


def test_count(benchmark: BenchmarkFixture, block: Block) -> None:
    assert benchmark(kernels.count, block.right) == naive.count(block.right)


def test_to_ordinals(benchmark: BenchmarkFixture, block: Block) -> None:
    found = benchmark(kernels.to_ordinals, block.right, 3)
    assert found.tolist() == naive.to_ordinals(block.right, 3).tolist()


def test_count_rows(benchmark: BenchmarkFixture, block: Block) -> None:
    counters = np.zeros(BLOCK_ROWS, np.uint32)

    def run() -> None:
        counters[:] = 0
        kernels.count_rows(block.rows, block.mask, 0, counters)

    benchmark(run)
    assert (counters == np.bincount(block.rows[block.mask != 0], minlength=BLOCK_ROWS)).all()


def test_sum_ints(benchmark: BenchmarkFixture, block: Block) -> None:
    sums, overflowed = np.zeros(BLOCK_ROWS, np.int64), np.zeros(_WORDS, np.uint64)

    def run() -> None:
        sums[:] = 0
        kernels.sum_ints(block.rows, block.mask, block.cents, 0, sums, overflowed)

    benchmark(run)
    kept = block.mask != 0
    assert (sums == np.bincount(block.rows[kept], block.cents[kept], BLOCK_ROWS)).all()
    assert not overflowed.any()


def test_sum_doubles(benchmark: BenchmarkFixture, block: Block) -> None:
    dollars, sums = block.cents / 4, np.zeros(BLOCK_ROWS)  # quarters add up exactly

    def run() -> None:
        sums[:] = 0
        kernels.sum_doubles(block.rows, block.mask, dollars, 0, sums)

    benchmark(run)
    kept = block.mask != 0
    assert (sums == np.bincount(block.rows[kept], dollars[kept], BLOCK_ROWS)).all()
