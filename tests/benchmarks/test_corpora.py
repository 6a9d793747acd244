"""Promise: a corpus holds exactly the generated people, is made once, and is made anew where the generator changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import people
from benchmarks.corpora import people_corpus
from core.errors import StoreError
from core.values import from_micros


def test_the_store_holds_the_people(corpora: Path) -> None:
    who = people.generate(70_000, 3)  # more than one block
    corpus = people_corpus(who, 3, corpora, lambda text: None)
    engine = corpus.open()
    try:
        version = engine.version
        assert version.population.size == len(who)
        for row in (0, 1, 65_535, 65_536, 69_999, *np.flatnonzero(~who.has_email)[:3].tolist()):
            expected = {
                "country": people.COUNTRIES[who.country[row]],
                "plan": people.PLANS[who.plan[row]],
                "age": int(who.age[row]),
                "last_seen": from_micros(int(who.last_seen[row])),
                "ltv": float(who.ltv[row]),
                "unsubscribed": bool(who.unsubscribed[row]),
            }
            if who.has_email[row]:
                expected["email"] = people.email_of(row)
            assert version.population.profile(row) == expected
            assert version.users.find(people.id_of(row)) == row
        ordinals = np.arange(len(who), dtype=np.uint32)
        tags, data = version.population.columns["ltv"].cells(ordinals)
        assert (data.view(np.float64) == who.ltv).all()
        assert tags.all()
    finally:
        engine.close()


def test_a_corpus_is_made_once_per_key(corpora: Path) -> None:
    stages: list[str] = []
    who = people.generate(500, 3)
    first = people_corpus(who, 3, corpora, stages.append)
    made = len(stages)
    assert made
    assert people_corpus(who, 3, corpora, stages.append) == first
    assert len(stages) == made
    assert people_corpus(people.generate(501, 3), 3, corpora, stages.append).key != first.key


def test_other_people_under_the_same_key_are_made_anew(corpora: Path) -> None:
    who = people.generate(600, 3)
    people_corpus(who, 3, corpora, lambda text: None)
    changed = replace(who, age=who.age + np.int8(1))
    corpus = people_corpus(changed, 3, corpora, lambda text: None)
    assert json.loads((corpus.folder / "corpus.json").read_text())["digest"] == changed.digest()


def test_a_corpus_that_could_not_be_made_leaves_nothing(tmp_path: Path) -> None:
    def fail(text: str) -> None:
        raise RuntimeError(text)

    with pytest.raises(RuntimeError):
        people_corpus(people.generate(500, 3), 3, tmp_path, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_corpus_says_what_to_do(tmp_path: Path) -> None:
    corpus = people_corpus(people.generate(500, 3), 3, tmp_path, lambda text: None)
    (pages,) = corpus.folder.rglob("pages/data.mdb")
    pages.write_bytes(pages.read_bytes()[:8192])
    with pytest.raises(StoreError, match="delete this folder"):
        corpus.open()
