"""Promise: from sums, the statistics are what statsmodels, SciPy and tea-tasting compute, from the rows where they can."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.stats.proportion as proportion
import tea_tasting
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from tea_tasting.aggr import Aggregates

from core.analytics.corrections import benjamini_hochberg, benjamini_yekutieli, holm
from core.analytics.detectable import least_detectable, units_needed
from core.analytics.difference import adjusted, of_means, of_proportions, ratio, relative, wilson
from core.analytics.sample_ratio import sample_ratio
from core.analytics.sums import PairSums, Sums

Floats = npt.NDArray[np.float64]
COUNTS = st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, sizes: tuple[int, int] = (400, 300)) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Two groups of pairs (x, y): amounts, mostly nothing, that depend on one another."""
    random = np.random.default_rng(seed)

    def group(size: int, factor: float) -> tuple[Floats, Floats]:
        x = random.gamma(2.0, 3.0, size) + 0.5
        y = np.where(random.random(size) < 0.6, x * factor * random.gamma(2.0, 1.0, size), 0.0)
        return x, y

    return group(sizes[0], 1.1), group(sizes[1], 1.0)


def aggregates(x: Floats, y: Floats) -> Aggregates:
    """What tea-tasting knows of a group."""
    return Aggregates(
        count_=len(x),
        mean_={"x": float(x.mean()), "y": float(y.mean())},
        var_={"x": float(x.var(ddof=1)), "y": float(y.var(ddof=1))},
        cov_={("x", "y"): float(np.cov(x, y)[0, 1])},
    )


def analysed(metric: Any, treated: tuple[Floats, Floats], control: tuple[Floats, Floats]) -> Any:
    """tea-tasting's answer."""
    found = metric.analyze({0: aggregates(*control), 1: aggregates(*treated)}, 0, 1)
    return found


@given(COUNTS, COUNTS, st.sampled_from([0.01, 0.05, 0.2]))
def test_two_proportions(treated: tuple[int, int], control: tuple[int, int], alpha: float) -> None:
    """Newcombe's interval and the pooled z test, by statsmodels."""
    (n, having), (m, other) = treated, control
    found = of_proportions(Sums.of_count(n, having), Sums.of_count(m, other), alpha)
    assert found is not None
    low, high = proportion.confint_proportions_2indep(having, n, other, m, method="newcomb", alpha=alpha)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert -1 <= found.low <= found.value <= found.high <= 1
    if 0 < having + other < n + m:
        statistic, p_value = proportion.proportions_ztest([having, other], [n, m])
        assert found.statistic == pytest.approx(statistic, abs=1e-9)
        assert found.p_value == pytest.approx(p_value, abs=1e-9)
    else:
        assert (found.statistic, found.p_value) == (0, 1)
    assert wilson(Sums.of_count(n, having), alpha) == pytest.approx(
        proportion.proportion_confint(having, n, alpha, "wilson"), abs=1e-9
    )


@given(SEEDS)
def test_means(seed: int) -> None:
    """Welch's difference by SciPy's, from the rows."""
    (_, treated), (_, control) = drawn(seed)
    found = of_means(Sums.of_values(len(treated), treated), Sums.of_values(len(control), control))
    wanted = stats.ttest_ind(treated, control, equal_var=False)
    assert found is not None
    assert found.statistic == pytest.approx(wanted.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(wanted.pvalue, rel=1e-7)
    assert found.freedom == pytest.approx(wanted.df, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval(0.95)), rel=1e-9)


@given(SEEDS)
def test_relative_difference(seed: int) -> None:
    """The lift and its interval by tea-tasting's delta method."""
    treated, control = drawn(seed)
    wanted = analysed(tea_tasting.Mean("y"), treated, control)
    found = relative(Sums.of_values(400, treated[1]), Sums.of_values(300, control[1]))
    assert found is not None
    assert found.value == pytest.approx(wanted.rel_effect_size, rel=1e-9)
    assert found.low == pytest.approx(wanted.rel_effect_size_ci_lower, rel=1e-9)
    assert found.high == pytest.approx(wanted.rel_effect_size_ci_upper, rel=1e-9)


@given(SEEDS)
def test_ratio_of_means(seed: int) -> None:
    """A ratio metric by tea-tasting's."""
    treated, control = drawn(seed)
    wanted = analysed(tea_tasting.RatioOfMeans("y", "x"), treated, control)
    found = of_means(ratio(PairSums.of_values(*treated)), ratio(PairSums.of_values(*control)))
    assert found is not None
    assert found.value == pytest.approx(wanted.effect_size, rel=1e-9, abs=1e-12)
    assert found.low == pytest.approx(wanted.effect_size_ci_lower, rel=1e-7)
    assert found.high == pytest.approx(wanted.effect_size_ci_upper, rel=1e-7)


@given(SEEDS)
def test_what_was_known_before(seed: int) -> None:
    """CUPED by tea-tasting's covariate; the interval is narrower than without."""
    treated, control = drawn(seed)
    wanted = analysed(tea_tasting.Mean("y", "x"), treated, control)
    found = of_means(*adjusted(PairSums.of_values(*treated), PairSums.of_values(*control)))
    plain = of_means(PairSums.of_values(*treated).of_y, PairSums.of_values(*control).of_y)
    assert found is not None and plain is not None
    assert found.value == pytest.approx(wanted.effect_size, rel=1e-7, abs=1e-9)
    assert found.low == pytest.approx(wanted.effect_size_ci_lower, rel=1e-6)
    assert found.error < plain.error


@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(0.05, 1)), min_size=2, max_size=6))
def test_sample_ratio(groups: list[tuple[int, float]]) -> None:
    """Chi-square by SciPy's."""
    sizes, shares = [size for size, _ in groups], [share for _, share in groups]
    found = sample_ratio(sizes, shares)
    if not sum(sizes):
        assert found is None
        return
    expected = np.array(shares) / sum(shares) * sum(sizes)
    wanted = stats.chisquare(sizes, expected)
    assert found is not None
    assert found.statistic == pytest.approx(wanted.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(wanted.pvalue, rel=1e-7, abs=1e-300)


@settings(max_examples=15)  # statsmodels takes 0.15 s for each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_corrections(p_values: list[float]) -> None:
    """Adjusted p values by SciPy's and statsmodels'."""
    assert benjamini_hochberg(p_values) == pytest.approx(
        stats.false_discovery_control(p_values, method="bh"), abs=1e-12
    )
    assert benjamini_yekutieli(p_values) == pytest.approx(
        stats.false_discovery_control(p_values, method="by"), abs=1e-12
    )
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)
    assert benjamini_hochberg([]) == []


@given(st.floats(0.01, 0.99), st.integers(100, 100_000), st.integers(100, 100_000))
def test_detectable(rate: float, treated: int, control: int) -> None:
    """The power of the z test at the least detectable effect is the power asked for; twice the reach needs fewer."""
    group = Sums.of_count(control, round(control * rate))
    found = least_detectable(group, treated)
    assert found is not None
    error = math.sqrt(group.variance * (1 / treated + 1 / control))
    power = stats.norm.sf(stats.norm.isf(0.025) - found / error)
    assert power == pytest.approx(0.8, abs=1e-9)
    needed = units_needed(group, found, treated / (treated + control))
    assert needed == pytest.approx(treated + control, abs=1.5)
