"""Promise: an experiment replayed as a campaign has the figures in its report that its data have by SciPy."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from examples import hillstrom
from examples.hillstrom import SEGMENTS, Customer, Replayed, comparison
from server.demo.processes import Server

COLUMNS = "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend"


def generated(path: Path) -> None:
    """A file like Hillstrom's, of 1,200 customers."""
    chance = random.Random(2008)
    lines = [COLUMNS]
    for number in range(1_200):
        segment = list(SEGMENTS.values())[number % 3]
        visit = chance.random() < (0.2 if segment == SEGMENTS["control"] else 0.35)
        bought = visit and chance.random() < 0.4
        spend = round(chance.uniform(5, 200), 2) if bought else 0
        lines.append(f"3,1) $0 - $100,50.0,1,0,Urban,0,Web,{segment},{int(visit)},{int(bought)},{spend}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


def shares(customers: Sequence[Customer]) -> tuple[int, int]:
    """How many there are, and how many visited."""
    return len(customers), sum(one.visit for one in customers)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[Customer]:
    """Customers like Hillstrom's."""
    path = tmp_path_factory.mktemp("hillstrom") / "file.csv"
    generated(path)
    return hillstrom.read(path)


@pytest.fixture(scope="module")
def found(data: list[Customer], tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """What a server's reports say of them."""
    folder = tmp_path_factory.mktemp("server")
    with Server(folder / "store", folder / "log", {}) as server:
        return hillstrom.replay(server.target, "hillstrom", data)


@pytest.mark.parametrize("group", ["variant:mens", "variant:womens"])
def test_the_report_is_that_of_the_data(data: list[Customer], found: Replayed, group: str) -> None:
    treated = [one for one in data if one.segment == SEGMENTS[group]]
    control = [one for one in data if one.segment == SEGMENTS["control"]]
    visits = comparison(found.visits, "converted", group)
    (n, a), (m, b) = shares(treated), shares(control)
    assert (visits.treated.users, visits.control.users) == (n, m) == (400, 400)
    assert (visits.treated.mean, visits.control.mean) == pytest.approx((a / n, b / m))
    pearson = stats.chi2_contingency([[a, n - a], [b, m - b]], correction=False)
    assert visits.difference.p_value == pytest.approx(pearson.pvalue)
    assert visits.difference.statistic**2 == pytest.approx(pearson.statistic)
    spent = [np.array([one.spend for one in those]) for those in (treated, control)]
    welch = stats.ttest_ind(*spent, equal_var=False)
    interval = welch.confidence_interval()
    revenue = comparison(found.purchases, "revenue", group)
    assert revenue.difference.value == pytest.approx(spent[0].mean() - spent[1].mean())
    assert (revenue.difference.statistic, revenue.difference.p_value) == pytest.approx((welch.statistic, welch.pvalue))
    assert (revenue.difference.low, revenue.difference.high) == pytest.approx((interval.low, interval.high))
    bought = comparison(found.purchases, "converted", group)
    assert bought.treated.mean == pytest.approx(float((spent[0] > 0).mean()))


def test_the_groups_are_of_the_sizes_they_were_to_be(found: Replayed) -> None:
    (ratio,) = found.visits.sample_ratios
    expected = stats.chisquare([400, 400, 400])
    assert (ratio.p_value, ratio.mismatch) == (pytest.approx(expected.pvalue), False)
    assert {one.arm: (one.users, round(one.share, 4)) for one in ratio.arms if one.users} == dict.fromkeys(
        SEGMENTS, (400, 0.3333)
    )
