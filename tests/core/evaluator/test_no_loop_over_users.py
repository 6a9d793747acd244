"""Promise: on indexed paths Python's work grows with blocks and days, never with users or events."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

from core.bitmaps.population import Population
from core.evaluator.bind import bind
from core.evaluator.parse import parse
from core.values import MICROS_PER_DAY, ValueType
from tests.conformance.strategies import NOW

FEW, MANY = 2_000, 60_000
_DAYS = 3


@cache
def _population(users: int) -> Population:
    """Users in one block, each with one purchase, all on the same three days."""
    dice = np.random.default_rng(5)
    population = Population()
    population.issue(users)
    population.bulk_column(
        "plan", ValueType.STRING, (dice.integers(0, 3, users).astype(np.uint32), ["free", "pro", "team"])
    )
    population.bulk_column("age", ValueType.INT, dice.integers(0, 90, users))
    population.bulk_column("ltv", ValueType.DOUBLE, dice.exponential(20.0, users))
    population.bulk_column("seen", ValueType.TIMESTAMP, NOW - dice.integers(0, 40 * MICROS_PER_DAY, users))
    population.bulk_column("mail", ValueType.BOOL, dice.random(users) < 0.5)
    times = NOW - dice.integers(0, _DAYS, users) * MICROS_PER_DAY
    population.writable_events("Purchase").append_records(
        np.arange(users, dtype=np.uint32),
        times,
        times,
        [""] * users,
        [str(number) for number in range(users)],
        [{"amount": float(amount)} for amount in dice.integers(1, 400, users)],
    )
    return population


def _work(text: str, users: int, *, own: bool) -> int:
    """How many lines of Python one run executes and how many functions of C it calls, taken together."""
    population, parsed = _population(users), parse(text)
    now = (np.arange(users, dtype=np.uint32), np.full(users, NOW, np.int64)) if own else NOW
    plan = bind(parsed, population)
    plan.run(population, now=now)  # what is computed once and kept
    work = 0

    def line(frame: Any, event: str, given: Any) -> Any:
        nonlocal work
        work += 1
        return line

    def call(frame: Any, event: str, given: Any) -> None:
        nonlocal work
        work += event == "c_call"

    tracing = sys.gettrace()  # a debugger's or a coverage tool's
    sys.setprofile(call)
    sys.settrace(line)
    try:
        outcome = plan.run(population, now=now)
    finally:
        sys.settrace(tracing)
        sys.setprofile(None)
    assert outcome.judged == population.live
    return work


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        'user.plan in ["free", "pro"] && user.age >= 25 && user.ltv > 10.0 && has(user.seen) && !user.mail',
        'user.seen < now - duration("336h")', "user.ltv * 2.0 > dyn(user.age)", 'user.plan.startsWith("f")', "user.age % 2 == 0",
        'events["Purchase"].size() >= 2 && !events["Purchase"].exists(e, e.time > now - duration("2160h"))',
        'events["Purchase"].map(e, e.amount).sum() > 200.0', 'events["Purchase"].all(e, e.amount > 5.0)',
        'events["Purchase"].filter(e, e.time > now - duration("36h") && e.amount > 50.0).size() >= 1',
        'events["Purchase"].filter(e, e.amount > dyn(user.age)).map(e, e.amount).max() > 300.0',
    ],
)  # fmt: skip
def test_many_users_are_as_much_work_as_few(text: str, own: bool) -> None:
    few, many = _work(text, FEW, own=own), _work(text, MANY, own=own)
    assert many <= few + 50, (few, many)
