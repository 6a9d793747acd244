"""Promise: a recurring message runs on the days its rule names, numbered from its start, or says what is wrong with it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.messaging.recurrence import Recurrence, check_rule

NINE = datetime(2026, 12, 1, 9)
"""A Tuesday."""


def days(rule: str, count: int = 5) -> list[str]:
    """The first runs by month and day."""
    found = Recurrence(NINE, rule).between(NINE, NINE + timedelta(days=4000))
    assert [number for number, _ in found] == list(range(len(found)))
    assert {wall.time() for _, wall in found} == {NINE.time()}
    return [f"{wall:%m-%d}" for _, wall in found[:count]]


def test_days_weeks_and_months() -> None:
    assert days("FREQ=DAILY") == ["12-01", "12-02", "12-03", "12-04", "12-05"]
    assert days("FREQ=DAILY;INTERVAL=3") == ["12-01", "12-04", "12-07", "12-10", "12-13"]
    assert days("FREQ=WEEKLY;BYDAY=MO,TH") == ["12-03", "12-07", "12-10", "12-14", "12-17"]
    assert days("FREQ=MONTHLY;BYMONTHDAY=15") == ["12-15", "01-15", "02-15", "03-15", "04-15"]
    assert days("FREQ=MONTHLY;BYMONTHDAY=-1") == ["12-31", "01-31", "02-28", "03-31", "04-30"]
    assert days("FREQ=MONTHLY;BYMONTHDAY=31") == ["12-31", "01-31", "03-31", "05-31", "07-31"]
    assert days("FREQ=MONTHLY;BYDAY=2TU") == ["12-08", "01-12", "02-09", "03-09", "04-13"]
    assert days("FREQ=DAILY;COUNT=2") == ["12-01", "12-02"]
    assert days("FREQ=DAILY;UNTIL=20261203T090000") == ["12-01", "12-02", "12-03"]
    assert days("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", 1) == ["02-29"]


@given(
    st.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TH", "FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=DAILY;COUNT=7"]),
    st.lists(st.tuples(st.integers(-50, 400), st.integers(0, 100)), max_size=5),
)
def test_in_whatever_order_runs_are_asked_for(rule: str, spans: list[tuple[int, int]]) -> None:
    asked = Recurrence(NINE, rule)
    every = Recurrence(NINE, rule).between(datetime(2026, 1, 1), datetime(2029, 1, 1))
    for first, length in spans:
        begin = NINE + timedelta(days=first)
        end = begin + timedelta(days=length)
        assert asked.between(begin, end) == [run for run in every if begin <= run[1] <= end]
        assert asked.following(end) == next((run for run in every if run[1] > end), None)


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ("", "''"),
        ("daily", "'daily'"),
        ("FREQ=HOURLY", "HOURLY"),
        ("FREQ=DAILY;BYHOUR=9", "BYHOUR"),
        ("FREQ=DAILY;FREQ=DAILY", "twice"),
        ("INTERVAL=2", "FREQ"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "COUNT and UNTIL"),
        ("FREQ=DAILY;UNTIL=20270101T000000Z", "UNTIL"),
        ("FREQ=DAILY;UNTIL=20271399", "cannot be read"),
        ("FREQ=WEEKLY;BYDAY=1MO", "numbered"),
        ("FREQ=WEEKLY;BYDAY=XX", "BYDAY"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY"),
        ("FREQ=WEEKLY;BYMONTHDAY=3", "BYMONTHDAY"),
        ("RRULE:FREQ=DAILY", "RRULE:FREQ"),
    ],
)
def test_a_rule_that_is_none(rule: str, word: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_rule(NINE, rule, "message.recurring.rule")
    assert caught.value.code == "RECURRENCE_RULE"
    assert caught.value.field == "message.recurring.rule"
    assert word in caught.value.message


@pytest.mark.parametrize(
    "rule", ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;UNTIL=20261130", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31"]
)
def test_a_rule_that_never_runs(rule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_rule(NINE, rule, "message.recurring.rule")
    assert caught.value.code == "RULE_NEVER_RUNS"
