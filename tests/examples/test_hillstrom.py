"""Promise: an experiment replayed as a campaign has the figures in its report that its data have by SciPy."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from examples import hillstrom
from examples.hillstrom import NONE, Customer
from server.demo.processes import Server

COLUMNS = "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend"


def generated(path: Path) -> None:
    """A file like Hillstrom's, of 1,200 customers."""
    chance = random.Random(2008)
    lines = [COLUMNS]
    for number in range(1_200):
        segment = ("Mens E-Mail", "Womens E-Mail", NONE)[number % 3]
        visit = chance.random() < (0.2 if segment == NONE else 0.35)
        bought = visit and chance.random() < 0.4
        spend = round(chance.uniform(5, 200), 2) if bought else 0
        lines.append(f"3,1) $0 - $100,50.0,1,0,Urban,0,Web,{segment},{int(visit)},{int(bought)},{spend}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


def compared(found: Any, metric: str) -> Any:
    """The campaign's comparison of a metric."""
    return next(one for one in found.comparisons if one.metric == metric)


def shares(customers: Sequence[Customer]) -> tuple[int, int]:
    """How many there are, and how many visited."""
    return len(customers), sum(one.visit for one in customers)


def test_the_report_is_that_of_the_data(tmp_path: Path) -> None:
    generated(tmp_path / "file.csv")
    customers = hillstrom.read(tmp_path / "file.csv")
    treated = [one for one in customers if one.segment == "Mens E-Mail"]
    control = [one for one in customers if one.segment == NONE]
    with Server(tmp_path / "store", tmp_path / "log", {}) as server:
        found = hillstrom.replay(server.target, "hillstrom", treated, control)
    visits = compared(found.visits, "converted")
    (n, a), (m, b) = shares(treated), shares(control)
    assert (visits.treated.users, visits.control.users) == (n, m) == (400, 400)
    assert (visits.treated.mean, visits.control.mean) == pytest.approx((a / n, b / m))
    pearson = stats.chi2_contingency([[a, n - a], [b, m - b]], correction=False)
    assert visits.difference.p_value == pytest.approx(pearson.pvalue)
    assert visits.difference.statistic**2 == pytest.approx(pearson.statistic)
    spent = [np.array([one.spend for one in those]) for those in (treated, control)]
    welch = stats.ttest_ind(*spent, equal_var=False)
    interval = welch.confidence_interval()
    revenue = compared(found.purchases, "revenue")
    assert revenue.difference.value == pytest.approx(spent[0].mean() - spent[1].mean())
    assert (revenue.difference.statistic, revenue.difference.p_value) == pytest.approx((welch.statistic, welch.pvalue))
    assert (revenue.difference.low, revenue.difference.high) == pytest.approx((interval.low, interval.high))
    bought = compared(found.purchases, "converted")
    assert bought.treated.mean == pytest.approx(float((spent[0] > 0).mean()))
