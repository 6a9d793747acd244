"""Promise: a seed gives the same people everywhere, shaped as the benchmarks say, and every round's question the same answer."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import people
from benchmarks.arrow import arrow_table
from benchmarks.question import MAX_ROUND, Question


def test_a_seed_is_the_people() -> None:
    assert people.generate(1_000, 7).digest() == people.generate(1_000, 7).digest()
    assert people.generate(1_000, 7).digest() != people.generate(1_000, 8).digest()
    assert people.generate(1_000, 7).digest() != people.generate(999, 7).digest()


def test_columns_are_shaped_as_said() -> None:
    who = people.generate(50_000, 7)
    assert len(set(people.COUNTRIES)) == len(people.COUNTRIES) == 200
    shares = np.bincount(who.country, minlength=200) / len(who)
    assert shares[0] / shares[1] == pytest.approx(2, rel=0.1)  # Zipf: the first twice the second
    assert len(np.unique(who.plan)) == len(people.PLANS) == 4
    assert who.last_seen.max() <= people.NOW
    assert not (who.last_seen % 1_000_000).any()
    assert np.allclose(who.ltv * 100, np.round(who.ltv * 100))


def test_peers_get_the_same_people() -> None:
    who = people.generate(3_000, 7)
    table = arrow_table(who)
    emails = table["email"].to_pylist()
    assert emails == [people.email_of(row) if has else None for row, has in enumerate(who.has_email.tolist())]
    assert table["id"].to_pylist() == list(range(3_000))
    assert table["country"].to_pylist() == [people.COUNTRIES[place] for place in who.country]
    assert table["plan"].to_pylist() == [people.PLANS[place] for place in who.plan]
    assert (table["ltv"].to_numpy() == who.ltv).all()
    assert (table["age"].to_numpy() == who.age).all()
    assert (table["last_seen"].to_numpy().view(np.int64) == who.last_seen).all()
    assert (table["unsubscribed"].to_numpy() == who.unsubscribed).all()


def test_too_many_people_are_refused() -> None:
    with pytest.raises(ValueError, match="profiles"):
        people.generate(people.MAX_PROFILES + 1, 7)


def test_rounds_differ_in_text_and_not_in_who_matches() -> None:
    who = people.generate(200_000, 7)
    # The worst that can be: someone seen on the very second, someone worth just the bound and just a cent more.
    seen = np.append(who.last_seen, [Question(0).seen_before, Question(0).seen_before - 1_000_000])
    worth = np.append(who.ltv, [10.0, 10.01])
    texts, seen_sets, worth_sets = set(), [], []
    for number in (0, 1, MAX_ROUND):
        question = Question(number)
        texts.add(question.cel)
        seen_sets.append(seen < question.seen_before)
        worth_sets.append(worth > float(question.ltv))
    assert len(texts) == 3
    assert all((one == worth_sets[0]).all() for one in worth_sets)
    assert all((one == seen_sets[0]).all() for one in seen_sets)


def test_a_reordered_question_has_a_shape_of_its_own_and_asks_the_same() -> None:
    shapes = set()
    for number in range(1, 5_040):
        parts = Question(number).reordered.split(" && ")
        assert sorted(parts) == sorted(Question(number).cel.split(" && "))
        shapes.add(tuple(part[:12] for part in parts))
    assert len(shapes) == 5_039
