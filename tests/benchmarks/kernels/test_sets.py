"""Question: what does the evaluator pay per block to compare a column, and to go between Roaring bitmaps, words and places?"""

from __future__ import annotations

import numpy as np
import pytest
from pyroaring import BitMap
from pytest_benchmark.fixture import BenchmarkFixture

from core.bitmaps.blocks import Block as ColumnBlock
from core.bitmaps.cells import BLOCK_ROWS
from core.bitmaps.user_set import UserSet
from core.evaluator import words
from core.evaluator.ranges import Bounds, bounds_of
from core.evaluator.vector import INT
from tests.benchmarks.kernels.conftest import Block
from tests.core.evaluator import naive

_WORDS = BLOCK_ROWS // 64
_DENSITIES = [0.001, 0.1, 0.9]
_BLOCKS = np.array([0, 1], np.uint32)


def test_comparison(benchmark: BenchmarkFixture, block: Block) -> None:
    everybody = np.full(_WORDS, 0xFFFF_FFFF_FFFF_FFFF, np.uint64)
    true, false, slow_true, slow_false = (np.zeros(_WORDS, np.uint64) for _ in range(4))
    wanted = bounds_of("_>=_", INT, 25)
    assert isinstance(wanted, Bounds)
    benchmark(ColumnBlock(block.tags, block.ints).split, wanted.test(), everybody, true, false)
    naive.scan(block.tags, block.ints, everybody, slow_true, slow_false, wanted)
    assert (true == slow_true).all()
    assert (false == slow_false).all()


@pytest.mark.parametrize("density", _DENSITIES)
def test_expand(benchmark: BenchmarkFixture, density: float) -> None:
    users = _users(density)
    found = benchmark(UserSet(users).words, _BLOCKS)
    assert (found == naive.expand(users.serialize(), _BLOCKS)).all()


@pytest.mark.parametrize("density", _DENSITIES)
def test_collapse(benchmark: BenchmarkFixture, density: float) -> None:
    users = _users(density)
    expanded = naive.expand(users.serialize(), _BLOCKS)
    assert BitMap.deserialize(benchmark(words.collapse, _BLOCKS, expanded)) == users


def test_count(benchmark: BenchmarkFixture) -> None:
    users = _users(0.1)
    assert benchmark(words.count, naive.expand(users.serialize(), _BLOCKS)) == len(users)


@pytest.mark.parametrize("density", _DENSITIES)
def test_positions(benchmark: BenchmarkFixture, density: float) -> None:
    row = naive.expand(_users(density).serialize(), _BLOCKS)[0]
    assert benchmark(words.positions, row).tolist() == naive.positions(row)


@pytest.mark.parametrize("density", _DENSITIES)
def test_scatter(benchmark: BenchmarkFixture, density: float) -> None:
    places = np.arange(BLOCK_ROWS)
    flags = (np.random.default_rng(7).random(BLOCK_ROWS) < density).view(np.uint8)
    fast, slow = np.zeros(_WORDS, np.uint64), np.zeros(_WORDS, np.uint64)
    benchmark(words.scatter, places, flags, fast)
    naive.scatter(places, flags, slow)
    assert (fast == slow).all()


def _users(density: float) -> BitMap:
    chosen = np.random.default_rng(7).random(BLOCK_ROWS) < density
    return BitMap(np.flatnonzero(chosen).astype(np.uint32))
