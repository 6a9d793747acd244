"""One block of generated users, the same for every kernel benchmark (seed 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from core.bitmaps import kernels
from core.bitmaps.cells import BLOCK_ROWS, Words
from core.values import ValueType


@dataclass(frozen=True)
class Block:
    """65,536 users: an int property that nine in ten have, two sets of users, 200,000 event rows with an amount each."""

    tags: NDArray[np.uint8]
    ints: NDArray[np.int64]
    left: Words
    right: Words
    rows: NDArray[np.uint32]
    mask: NDArray[np.uint8]
    cents: NDArray[np.int64]


@pytest.fixture(scope="session")
def block() -> Block:
    draw = np.random.default_rng(7)
    present = draw.random(BLOCK_ROWS) < 0.9
    rows = np.sort(draw.integers(0, BLOCK_ROWS, 200_000)).astype(np.uint32)
    return Block(
        tags=np.where(present, ValueType.INT, 0).astype(np.uint8),
        ints=np.where(present, draw.integers(0, 100, BLOCK_ROWS), 0),
        left=kernels.from_ordinals(np.flatnonzero(draw.random(BLOCK_ROWS) < 0.1).astype(np.uint32), 0),
        right=kernels.from_ordinals(np.flatnonzero(draw.random(BLOCK_ROWS) < 0.5).astype(np.uint32), 0),
        rows=rows,
        mask=(draw.random(len(rows)) < 0.3).astype(np.uint8),
        cents=draw.integers(0, 10_000, len(rows)),
    )
