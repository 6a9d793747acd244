"""P values corrected for there being several: compare each with alpha as if it were the only one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Holds down the false discovery rate, for tests that are independent or positively dependent.

    Benjamini, Hochberg, JRSS B 57, 1995.
    """
    return _step_up(p_values, 1.0)


def benjamini_yekutieli(p_values: Sequence[float]) -> list[float]:
    """Holds down the false discovery rate under any dependence. Benjamini, Yekutieli, Annals of Statistics 29, 2001."""
    return _step_up(p_values, sum(1 / rank for rank in range(1, len(p_values) + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holds down the probability of any false discovery, under any dependence. Holm, Scand. J. Statistics 6, 1979."""
    order, ordered = _ordered(p_values)
    scaled = np.maximum.accumulate(ordered * np.arange(len(ordered), 0, -1))
    return _restored(order, scaled)


def _ordered(p_values: Sequence[float]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    return order, values[order]


def _step_up(p_values: Sequence[float], factor: float) -> list[float]:
    order, ordered = _ordered(p_values)
    count = len(ordered)
    scaled = ordered * factor * count / np.arange(1, count + 1)
    return _restored(order, np.minimum.accumulate(scaled[::-1])[::-1])


def _restored(order: npt.NDArray[np.int64], scaled: npt.NDArray[np.float64]) -> list[float]:
    found = np.empty(len(order), np.float64)
    found[order] = np.minimum(scaled, 1.0)
    return found.tolist()
