"""Promise: where nothing can be known the answer is None and never a number; errors are as rare as they are said to be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.analytics.comparison import compare
from core.analytics.difference import of_means, of_proportions, relative
from core.analytics.sample_ratio import sample_ratio
from core.analytics.sequential import half_width
from core.analytics.sums import PairSums, Sums

EMPTY = Sums(0)


def test_empty_groups() -> None:
    """A message without a control group, or before its first send."""
    some = Sums.of_count(100, 10)
    for treated, control in ((EMPTY, some), (some, EMPTY), (EMPTY, EMPTY)):
        for kind in ("proportion", "mean"):
            found = compare(treated, control, kind)  # type: ignore[arg-type]
            assert (found.difference, found.always_low, found.always_high, found.lift) == (None,) * 4
            assert found.detectable is None


def test_nobody_has_it() -> None:
    """Without a single conversion there is an interval for the difference, and none for the lift."""
    found = compare(Sums.of_count(500, 0), Sums.of_count(500, 0), "proportion")
    assert found.difference is not None
    assert found.difference.low < 0 < found.difference.high and found.difference.p_value == 1
    assert found.lift is None and found.always_low is None and found.detectable is None
    assert of_means(Sums(500), Sums(500)) is None


def test_refunds() -> None:
    """Amounts may be negative; a lift over a mean that is not positive means nothing."""
    assert relative(Sums(10, 5.0, 20.0), Sums(10, -5.0, 20.0)) is None
    assert of_means(Sums(10, 5.0, 20.0), Sums(10, -5.0, 20.0)) is not None


def test_a_group_that_must_be_empty() -> None:
    """A share of 0 that has users is a mismatch for certain."""
    found = sample_ratio([5, 5, 1], [0.5, 0.5, 0])
    assert found is not None and found.mismatch and found.p_value == 0
    assert sample_ratio([5, 5, 0], [0.5, 0.5, 0]) is not None
    assert sample_ratio([5], [1]) is None
    assert sample_ratio([0, 0], [1, 1]) is None


def test_sums_add_up() -> None:
    """Groups' sums are those of all their units."""
    random = np.random.default_rng(4)
    x, y = random.normal(size=100), random.normal(size=100)
    parts = PairSums.of_values(x[:40], y[:40]) + PairSums.of_values(x[40:], y[40:])
    assert parts.of_x.mean == pytest.approx(x.mean()) and parts.of_y.variance == pytest.approx(y.var(ddof=1))
    assert parts.covariance == pytest.approx(np.cov(x, y)[0, 1])
    assert Sums.of_values(100, x) == Sums(100, pytest.approx(parts.x), pytest.approx(parts.xx))


def test_the_sequence_narrows() -> None:
    """It is wider than the fixed interval at any n, and its width goes to 0."""
    widths = [half_width(math.sqrt(2 * 0.25 / (n / 2)), n) for n in (100, 1_000, 10_000, 100_000, 1_000_000)]
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.005
    assert all(width > 1.96 * math.sqrt(1 / n) for width, n in zip(widths, (100, 1_000, 10_000, 100_000), strict=False))
    assert half_width(0.1, 0) == math.inf


def test_errors_of_the_first_kind() -> None:
    """A/A tests, 2,000 of them over 20 looks: the fixed test errs at 5% of last looks and far more often at any look; the
    sequence errs at any look no more often than at 5%."""
    random = np.random.default_rng(2_021)
    runs, looks, step, rate = 2_000, 20, 500, 0.1
    sides = random.binomial(step, rate, (2, runs, looks)).cumsum(axis=2)
    last, ever, always = 0, 0, 0
    for run in range(runs):
        fixed, sequence = False, False
        for look in range(looks):
            n = step * (look + 1)
            treated, control = (Sums.of_count(n, int(side[run, look])) for side in sides)
            found = of_proportions(treated, control)
            assert found is not None
            fixed = fixed or found.p_value < 0.05
            sequence = sequence or abs(found.value) > half_width(found.error, 2 * n)
            last += look == looks - 1 and found.p_value < 0.05
        ever += fixed
        always += sequence
    deviation = math.sqrt(0.05 * 0.95 / runs)
    assert abs(last / runs - 0.05) < 4 * deviation, last
    assert ever / runs > 0.15, ever
    assert always / runs < 0.05 + 3 * deviation, always
