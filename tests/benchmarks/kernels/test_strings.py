"""Question: what does a distinct id cost to learn, and to look up again?"""

from __future__ import annotations

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from core.bitmaps.strings import StringTable

_IDS = [f"user-{number}" for number in range(10_000)]


def test_intern(benchmark: BenchmarkFixture) -> None:
    codes = benchmark(lambda: StringTable().intern_many(_IDS))
    assert (codes == np.arange(len(_IDS))).all()


def test_find(benchmark: BenchmarkFixture) -> None:
    table = StringTable()
    table.intern_many(_IDS)
    assert (benchmark(table.find_many, _IDS[::-1]) == np.arange(len(_IDS))[::-1]).all()


def test_texts(benchmark: BenchmarkFixture) -> None:
    table = StringTable()
    table.intern_many(_IDS)
    assert benchmark(table.texts, np.arange(len(_IDS))) == _IDS
