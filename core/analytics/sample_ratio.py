"""Were users divided as they were to be? If not, no comparison of the groups can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.analytics.distributions import chi_square_above

SUSPICIOUS: Final = 0.001
"""A p value below this is a mismatch: a check that is made at every look has to be slow to cry out."""


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Pearson's chi-square of the groups' sizes against the shares that were meant."""

    statistic: float
    p_value: float

    @property
    def mismatch(self) -> bool:
        """Whether the division went wrong in all likelihood."""
        return self.p_value < SUSPICIOUS


def sample_ratio(sizes: Sequence[int], shares: Sequence[float]) -> SampleRatio | None:
    """Check groups' sizes against their shares, of any sum. None where fewer than two groups are to have anybody,
    or nobody is there.

    A group whose share is 0 must be empty: if it is not, the p value is 0.
    """
    meant = [(size, share) for size, share in zip(sizes, shares, strict=True) if share > 0]
    total, whole = sum(sizes), sum(share for _, share in meant)
    if len(meant) < 2 or not total:
        return None
    if total != sum(size for size, _ in meant):
        return SampleRatio(float("inf"), 0.0)
    expected = [total * share / whole for _, share in meant]
    statistic = sum((size - want) ** 2 / want for (size, _), want in zip(meant, expected, strict=True))
    return SampleRatio(statistic, chi_square_above(statistic, len(meant) - 1))
