"""Question: what does the evaluator pay per block to scan a column, and to go between Roaring bitmaps and bit words?"""

from __future__ import annotations

import numpy as np
import pytest
from pyroaring import BitMap
from pytest_benchmark.fixture import BenchmarkFixture

from core.bitmaps import naive
from core.bitmaps.cells import BLOCK_ROWS
from core.evaluator import words
from core.evaluator.scan import Range, scan
from core.values import ValueType
from tests.benchmarks.kernels.conftest import Block

_WORDS = BLOCK_ROWS // 64
_DENSITIES = [0.001, 0.1, 0.9]


def test_scan(benchmark: BenchmarkFixture, block: Block) -> None:
    everybody = np.full(_WORDS, 0xFFFF_FFFF_FFFF_FFFF, np.uint64)
    true, false = np.zeros(_WORDS, np.uint64), np.zeros(_WORDS, np.uint64)
    wanted = Range(int_tag=ValueType.INT, int_least=25, int_greatest=2**63 - 1)
    benchmark(scan, block.tags, block.ints, everybody, true, false, wanted)
    assert (true == naive.compare(block.tags, block.ints, ">=", 25)).all()
    assert (false == naive.compare(block.tags, block.ints, "<", 25)).all()


@pytest.mark.parametrize("density", _DENSITIES)
def test_expand(benchmark: BenchmarkFixture, density: float) -> None:
    users = _users(density)
    found = benchmark(words.expand, users.serialize(), np.array([0, 1], np.uint32))
    assert found.shape == (2, _WORDS)
    assert naive.rows_of(found[0]) == set(users)
    assert not found[1].any()


@pytest.mark.parametrize("density", _DENSITIES)
def test_collapse(benchmark: BenchmarkFixture, density: float) -> None:
    users = _users(density)
    blocks = np.array([0], np.uint32)
    expanded = words.expand(users.serialize(), blocks)
    assert BitMap.deserialize(benchmark(words.collapse, blocks, expanded)) == users


def test_count(benchmark: BenchmarkFixture) -> None:
    users = _users(0.1)
    expanded = words.expand(users.serialize(), np.array([0], np.uint32))
    assert benchmark(words.count, expanded) == len(users)


def _users(density: float) -> BitMap:
    chosen = np.random.default_rng(7).random(BLOCK_ROWS) < density
    return BitMap(np.flatnonzero(chosen).astype(np.uint32))
