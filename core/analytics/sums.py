"""Sufficient statistics: all that an analysis needs to know of a group, whoever is in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Sums:
    """Of n units one number each: how many units, the numbers' sum, and the sum of their squares.

    Of something that a unit has or has not (1 or 0), sum and squares are both the number of those that have it.
    """

    n: int
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of_count(cls, n: int, having: int) -> Sums:
        """Of n units so many have it."""
        return cls(n, having, having)

    @classmethod
    def of_values(cls, n: int, values: npt.NDArray[np.float64]) -> Sums:
        """Of n units these have a value (float64[k], k <= n), the others 0."""
        return cls(n, float(values.sum()), float(np.square(values).sum()))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """The mean; 0 of nothing."""
        return self.total / self.n if self.n else 0.0

    @property
    def variance(self) -> float:
        """The unbiased variance; 0 where there are fewer than two units."""
        if self.n < 2:
            return 0.0
        return max(0.0, self.squares - self.total * self.mean) / (self.n - 1)


@dataclass(frozen=True, slots=True)
class PairSums:
    """Of n units two numbers each, x and y: their sums, and the sums of squares and of products."""

    n: int
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0

    @classmethod
    def of_values(cls, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> PairSums:
        """Of float64[n] and float64[n]."""
        return cls(len(x), float(x.sum()), float(y.sum()), float(x @ x), float(y @ y), float(x @ y))

    def __add__(self, other: PairSums) -> PairSums:
        return PairSums(
            self.n + other.n,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.yy + other.yy,
            self.xy + other.xy,
        )

    @property
    def of_x(self) -> Sums:
        """What is known of x alone."""
        return Sums(self.n, self.x, self.xx)

    @property
    def of_y(self) -> Sums:
        """What is known of y alone."""
        return Sums(self.n, self.y, self.yy)

    @property
    def covariance(self) -> float:
        """The unbiased covariance of x and y; 0 where there are fewer than two units."""
        return (self.xy - self.x * self.y / self.n) / (self.n - 1) if self.n > 1 else 0.0
