"""Intervals that hold at every look: however often one looks, and whenever one stops."""

from __future__ import annotations

import math
from typing import Final

from core.analytics.difference import ALPHA

TUNED_FOR: Final = 5_000
"""Units in both groups together at which the interval is about as narrow as it can be made."""


def half_width(error: float, n: int, alpha: float = ALPHA, tuned_for: int = TUNED_FOR) -> float:
    """Half the width of an asymptotic confidence sequence at its n-th unit.

    Theorem 2.2 of Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic
    confidence sequences" (2021, arXiv:2103.06476), whose boundary for a variance of 1 is
    sqrt(2 (n r^2 + 1) / (n^2 r^2) log(sqrt(n r^2 + 1) / alpha)), times the standard deviation. Of a difference of groups
    that is taken to be `error * sqrt(n)`, n being the units of both. r is chosen by the paper's appendix for `tuned_for`.
    The guarantee is one for large samples: the first hundreds of units deserve no trust.

    Arguments:
        error: the estimate's standard error at fixed n.
    """
    if not n:
        return math.inf
    slack = -2 * math.log(alpha)
    spread = n * (slack + math.log(slack + 1)) / tuned_for
    deviation = error * math.sqrt(n)
    return deviation * math.sqrt(2 * (spread + 1) / (n * spread) * math.log(math.sqrt(spread + 1) / alpha))
