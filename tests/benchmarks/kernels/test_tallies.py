"""Question: what does it cost to count, and to add up, 200,000 events of one block's users?"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from core.bitmaps.cells import BLOCK_ROWS
from core.evaluator.tally import count_into, sum_into
from core.evaluator.vector import DOUBLE, INT
from tests.benchmarks.kernels.conftest import Block
from tests.core.evaluator import naive


def test_count(benchmark: BenchmarkFixture, block: Block) -> None:
    fast, slow = np.zeros(BLOCK_ROWS, np.uint32), np.zeros(BLOCK_ROWS, np.uint32)

    def run() -> None:
        fast[:] = 0
        count_into(block.slots, block.chosen, fast)

    benchmark(run)
    naive.count_into(block.slots, block.chosen, slow)
    assert (fast == slow).all()


@pytest.mark.parametrize("tag", [INT, DOUBLE])
def test_sum(benchmark: BenchmarkFixture, block: Block, tag: int) -> None:
    cells: NDArray[np.int64] = block.cents if tag == INT else (block.cents / 100).view(np.int64)
    tags = np.full(len(cells), tag, np.uint8)
    fast, slow = np.zeros(BLOCK_ROWS, np.int64), np.zeros(BLOCK_ROWS, np.int64)
    fast_tags, slow_tags = np.zeros(BLOCK_ROWS, np.uint8), np.zeros(BLOCK_ROWS, np.uint8)

    def run() -> None:
        fast_tags[:] = 0
        sum_into(block.slots, tags, cells, fast_tags, fast)

    benchmark(run)
    naive.sum_into(block.slots, tags, cells, slow_tags, slow)
    assert (fast_tags == slow_tags).all()
    assert (fast == slow).all()
