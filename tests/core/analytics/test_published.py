"""Promise: real experiments come out as they were published.

The sums are those of the public files: Kevin Hillstrom's e-mail challenge (64,000 customers, MineThatData 2008) and
Udacity's free-trial screener (37 days).
"""

from __future__ import annotations

import math

import pytest

from core.analytics.comparison import compare
from core.analytics.sample_ratio import sample_ratio
from core.analytics.sums import Sums

MENS, WOMENS, NONE = 21_307, 21_387, 21_306


def test_hillstroms_visits() -> None:
    """Men's e-mail against none: 18.276% to 10.617%, +7.659 points, z = 22.49."""
    found = compare(Sums.of_count(MENS, 3_894), Sums.of_count(NONE, 2_262), "proportion")
    assert found.treated.mean == pytest.approx(0.18276, abs=5e-6)
    assert found.control.mean == pytest.approx(0.10617, abs=5e-6)
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0.07659, abs=5e-6)
    assert found.difference.statistic == pytest.approx(22.49, abs=0.005)
    assert found.lift is not None and found.lift.value == pytest.approx(0.7214, abs=5e-5)


def test_hillstroms_spend() -> None:
    """$1.423 a head to $0.653: Welch's t = 5.300, 95% interval [.485, 1.055]."""
    found = compare(Sums(MENS, 30_311.69, 6_759_024.4973), Sums(NONE, 13_908.33, 2_870_050.3621), "mean")
    assert (found.treated.mean, found.control.mean) == (
        pytest.approx(1.423, abs=5e-4),
        pytest.approx(0.653, abs=5e-4),
    )
    assert found.difference is not None
    assert found.difference.statistic == pytest.approx(5.300, abs=5e-4)
    assert found.difference.low == pytest.approx(0.485, abs=5e-4)
    assert found.difference.high == pytest.approx(1.055, abs=5e-4)
    assert found.always_low is not None and found.always_low > 0, "it would have been seen while looking every day"


def test_hillstroms_sample_ratio() -> None:
    """Three groups of one size: p = .904."""
    found = sample_ratio([MENS, WOMENS, NONE], [1, 1, 1])
    assert found is not None and found.p_value == pytest.approx(0.904, abs=5e-4) and not found.mismatch


@pytest.mark.parametrize(
    ("treated", "control", "value", "low", "high"),
    [(3_423, 3_785, -0.02055, -0.0291, -0.0120), (1_945, 2_033, -0.00487, -0.0116, 0.0019)],
    ids=["gross conversion", "net conversion"],
)
def test_udacitys_screener(treated: int, control: int, value: float, low: float, high: float) -> None:
    """The published intervals, which are Wald's: at these sizes Newcombe's agree to the digits given."""
    found = compare(Sums.of_count(17_260, treated), Sums.of_count(17_293, control), "proportion").difference
    assert found is not None
    assert found.value == pytest.approx(value, abs=5e-6)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_udacitys_pageviews() -> None:
    """345,543 to 344,660 page views: p = .288."""
    found = sample_ratio([345_543, 344_660], [0.5, 0.5])
    assert found is not None and found.p_value == pytest.approx(0.288, abs=5e-4)
    assert math.isclose(found.statistic, 1.1297, abs_tol=5e-5)
