"""Ordinals grouped by a key."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.cells import Ordinals


def by_key(keys: NDArray[np.int64], ordinals: Ordinals) -> Iterator[tuple[int, Ordinals]]:
    """Ordinals grouped by their key, int64[n]."""
    if not len(keys):
        return
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    for start, part in zip(starts.tolist(), np.split(ordinals[order], starts[1:]), strict=True):
        yield int(ordered[start]), part
