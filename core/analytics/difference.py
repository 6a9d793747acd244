"""How a treated group differs from a control group: the difference, its interval and its test, at a fixed horizon.

Intervals hold for one look at a time settled beforehand; `core.analytics.sequential` has those that hold at every look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from core.analytics.distributions import normal_quantile, normal_two_sided, student_quantile, student_two_sided
from core.analytics.sums import PairSums, Sums

ALPHA: Final = 0.05
"""One minus the confidence, where a caller does not say otherwise."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with an interval, and the two-sided test of its being 0.

    `error` is the standard error, `freedom` the degrees of freedom, infinite for the normal distribution.
    """

    value: float
    low: float
    high: float
    statistic: float
    p_value: float
    error: float
    freedom: float = math.inf


def of_proportions(treated: Sums, control: Sums, alpha: float = ALPHA) -> Estimate | None:
    """The difference of two proportions; None where a group is empty.

    The interval is Newcombe's hybrid of two score intervals (method 10, without continuity correction: "Interval
    estimation for the difference between independent proportions", Statistics in Medicine 17, 1998), which keeps to
    [-1, 1] and stays of use at 0 and 100%, where Wald's has no width. The test is the z test with pooled variance, whose
    square is Pearson's chi-square. `error` is Wald's, without pooling.
    """
    if not treated.n or not control.n:
        return None
    p, q = treated.mean, control.mean
    difference = p - q
    p_low, p_high = wilson(treated, alpha)
    q_low, q_high = wilson(control, alpha)
    pooled = (treated.total + control.total) / (treated.n + control.n)
    scale = math.sqrt(pooled * (1 - pooled) * (1 / treated.n + 1 / control.n))
    statistic = difference / scale if scale else 0.0
    return Estimate(
        difference,
        difference - math.hypot(p - p_low, q_high - q),
        difference + math.hypot(p_high - p, q - q_low),
        statistic,
        normal_two_sided(statistic),
        math.sqrt(p * (1 - p) / treated.n + q * (1 - q) / control.n),
    )


def wilson(group: Sums, alpha: float = ALPHA) -> tuple[float, float]:
    """The score interval of one proportion (Wilson, JASA 22, 1927). The group is not empty."""
    z = normal_quantile(1 - alpha / 2)
    n, p = group.n, group.mean
    middle = p + z * z / (2 * n)
    width = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    below = 1 + z * z / n
    low = 0.0 if p == 0 else (middle - width) / below
    high = 1.0 if p == 1 else (middle + width) / below
    return low, high


def of_means(treated: Sums, control: Sums, alpha: float = ALPHA) -> Estimate | None:
    """The difference of two means by Welch's test (Biometrika 34, 1947); None where it cannot be had.

    It cannot where a group has fewer than two units, or where no value differs from another.
    """
    if treated.n < 2 or control.n < 2:
        return None
    return _welch(treated.mean - control.mean, *_parts(treated), *_parts(control), alpha)


def _parts(group: Sums) -> tuple[float, int]:
    return group.variance / group.n, group.n


def _welch(difference: float, part: float, n: int, other: float, m: int, alpha: float) -> Estimate | None:
    """Welch's test from the two squared standard errors and group sizes; degrees of freedom by Satterthwaite."""
    error = math.sqrt(part + other)
    if not error:
        return None
    freedom = (part + other) ** 2 / (part**2 / (n - 1) + other**2 / (m - 1))
    half = student_quantile(1 - alpha / 2, freedom) * error
    statistic = difference / error
    p_value = student_two_sided(statistic, freedom)
    return Estimate(difference, difference - half, difference + half, statistic, p_value, error, freedom)


def relative(treated: Sums, control: Sums, alpha: float = ALPHA) -> Estimate | None:
    """By which part of the control's mean the treated mean is larger; None where either mean is not positive.

    The interval is the delta method's for the logarithm of the ratio, with Satterthwaite's degrees of freedom: it
    cannot fall below -100%, and it is not symmetrical. Serves proportions and means.
    """
    if treated.n < 2 or control.n < 2 or treated.mean <= 0 or control.mean <= 0:
        return None
    found = _welch(
        math.log(treated.mean / control.mean),
        treated.variance / treated.n / treated.mean**2,
        treated.n,
        control.variance / control.n / control.mean**2,
        control.n,
        alpha,
    )
    if found is None:
        return None
    value, low, high = math.expm1(found.value), math.expm1(found.low), math.expm1(found.high)
    return Estimate(value, low, high, found.statistic, found.p_value, found.error, found.freedom)


def ratio(group: PairSums) -> Sums:
    """The ratio of two means, y to x, as if every unit had a number of its own: to be compared as a mean is.

    Its variance is the delta method's (Deng, Knoblich, Lu, "Applying the delta method in metric analytics", KDD 2018):
    var(y - r x) / mean(x)^2, r being the ratio.

    Raises:
        ZeroDivisionError: where x has no mean.
    """
    x, y = group.of_x, group.of_y
    found = y.mean / x.mean
    variance = (y.variance - 2 * found * group.covariance + found**2 * x.variance) / x.mean**2
    return _with(group.n, found, variance)


def adjusted(treated: PairSums, control: PairSums) -> tuple[Sums, Sums]:
    """CUPED: y, freed of what x, known from before, already told (Deng, Xu, Kohavi, Walker, WSDM 2013).

    The coefficient is that of both groups together, and x is centred at its mean over both, so that both groups' means
    stay on y's own scale. Compare the two as means.
    """
    both = treated + control
    spread = both.of_x.variance
    slope = both.covariance / spread if spread else 0.0

    def freed(group: PairSums) -> Sums:
        mean = group.of_y.mean - slope * (group.of_x.mean - both.of_x.mean)
        variance = group.of_y.variance - 2 * slope * group.covariance + slope**2 * group.of_x.variance
        return _with(group.n, mean, variance)

    return freed(treated), freed(control)


def _with(n: int, mean: float, variance: float) -> Sums:
    """The sums of n units that have this mean and this variance."""
    return Sums(n, n * mean, max(0.0, variance) * (n - 1) + n * mean**2)
