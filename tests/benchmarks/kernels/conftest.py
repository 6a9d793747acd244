"""One block of generated users, the same for every kernel benchmark (seed 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from core.bitmaps.cells import BLOCK_ROWS
from core.values import ValueType


@dataclass(frozen=True)
class Block:
    """65,536 users: an int property that nine in ten have, and 200,000 event rows with an amount each, three in ten chosen."""

    tags: NDArray[np.uint8]
    ints: NDArray[np.int64]
    slots: NDArray[np.int64]
    chosen: NDArray[np.uint8]
    cents: NDArray[np.int64]


@pytest.fixture(scope="session")
def block() -> Block:
    draw = np.random.default_rng(7)
    present = draw.random(BLOCK_ROWS) < 0.9
    slots = np.sort(draw.integers(0, BLOCK_ROWS, 200_000))
    return Block(
        tags=np.where(present, ValueType.INT, 0).astype(np.uint8),
        ints=np.where(present, draw.integers(0, 100, BLOCK_ROWS), 0),
        slots=slots,
        chosen=(draw.random(len(slots)) < 0.3).astype(np.uint8),
        cents=draw.integers(0, 10_000, len(slots)),
    )
