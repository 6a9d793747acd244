"""Promise: the benchmarks' audience costs so much work and no more, counted in what kernels read rather than in seconds.

A lost index shows as scanned rows, a lost skip as more questions, a worse order of operands as more of everything.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from pyroaring import BitMap

from benchmarks import people
from benchmarks.question import Question
from core.bitmaps.population import Population
from core.evaluator.audience import Audiences
from core.evaluator.batch import Run
from core.evaluator.bind import bind
from core.evaluator.plan import program_of
from core.evaluator.program import Blocks
from core.values import ValueType

PEOPLE = 1 << 20
BLOCKS = PEOPLE >> 16
WORDS = 1024


@pytest.fixture(scope="module")
def population() -> Iterator[Population]:
    """A million of the benchmarks' people."""
    who = people.generate(PEOPLE, 7)
    made = Population()
    made.issue(PEOPLE)
    made.bulk_column("country", ValueType.STRING, (who.country, list(people.COUNTRIES)))
    made.bulk_column("plan", ValueType.STRING, (who.plan, list(people.PLANS)))
    made.bulk_column("age", ValueType.INT, who.age)
    made.bulk_column("last_seen", ValueType.TIMESTAMP, who.last_seen)
    made.bulk_column("ltv", ValueType.DOUBLE, who.ltv)
    made.bulk_column("unsubscribed", ValueType.BOOL, who.unsubscribed)
    members = np.flatnonzero(who.has_email)
    codes = np.maximum(np.cumsum(who.has_email) - 1, 0).astype(np.uint32)
    emails = [people.email_of(ordinal) for ordinal in members.tolist()]
    made.bulk_column("email", ValueType.STRING, (codes, emails), BitMap(members.astype(np.uint32)))
    yield made


def _work(population: Population, text: str) -> dict[str, int]:
    prepared = Audiences().prepare(text)
    plan = bind(prepared.parsed, population)
    program = program_of(plan.root, Run(population, people.NOW, given=prepared.given))
    assert program is not None, "kernels alone answer this"
    program.rank(BLOCKS // 2)
    done = program.work(population.living, None, Blocks(population.living.blocks))
    assert plan.count(population, now=people.NOW, given=prepared.given) == program.count(
        population.living, None, Blocks(population.living.blocks)
    )
    return done


def test_the_seven_predicates(population: Population) -> None:
    done = _work(population, Question(0).cel)
    assert done["asked"] == 7 * BLOCKS
    assert done["scanned_rows"] == done["patched_rows"] == 0
    # Three bounds read two sets each, the plan, the flag and the three countries one each at most.
    assert done["index_words"] <= 9 * WORDS * BLOCKS
    assert done["index_rows"] <= 2_500 * BLOCKS


def test_a_question_for_few_ends_early(population: Population) -> None:
    """Whom no operand is left to ask about is not asked about."""
    done = _work(population, 'user.age >= 25 && user.ltv > 10.0 && user.country == "Atlantis" && has(user.email)')
    assert done["asked"] == BLOCKS
    assert done["index_words"] == done["index_rows"] == done["scanned_rows"] == 0


def test_any_of_two_asks_the_second_about_the_rest_only(population: Population) -> None:
    done = _work(population, "has(user.plan) || user.age >= 25")
    assert done["asked"] == BLOCKS


def test_changed_cells_are_mended_not_scanned(population: Population) -> None:
    """What was changed since the pages were made costs its own number, for each comparison with it."""
    changed = population.fork()
    chosen = np.arange(0, PEOPLE, 1 << 12, dtype=np.uint32)
    changed.writable_column("age").set_many(chosen, [20 + ordinal % 50 for ordinal in chosen.tolist()])
    done = _work(changed, Question(0).cel)
    assert done["asked"] == 7 * BLOCKS
    assert done["scanned_rows"] == 0
    assert 0 < done["patched_rows"] <= len(chosen)
    assert done["index_rows"] <= 2_500 * BLOCKS
