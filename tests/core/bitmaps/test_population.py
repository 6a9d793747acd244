"""Promises: a fork is invisible to older versions; pages bring back exactly what was there, also when written bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.bitmaps.population import Population
from core.errors import StoreError
from core.values import ABSENT
from tests.core.bitmaps.generated import Pages, adopted, checkpoint, ordinals, picture, scan_of, values
from tests.core.bitmaps.test_events import append, events

steps = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(["a", "b\0c", "é"]), ordinals, st.one_of(st.just(ABSENT), values)),
    st.tuples(st.just("event"), st.sampled_from(["E", "F"]), events),
    st.tuples(st.just("remove"), st.integers(0, 3)),
    st.tuples(st.just("remap"), st.integers(0, 3), st.integers(0, 3)),
)
groups = st.lists(st.lists(steps, max_size=6), max_size=5)


def change(population: Population, group) -> None:  # type: ignore[no-untyped-def]
    for kind, *rest in group:
        if kind == "set":
            name, ordinal, value = rest
            population.issue(ordinal + 1)
            population.writable_column(name).set_many(np.array([ordinal], np.uint32), [value])
        elif kind == "event":
            append(population.writable_events(rest[0]), [rest[1]])
        elif kind == "remove":
            population.remove_user(rest[0])
        else:
            for name in population.event_tables:
                population.writable_events(name).remap(*rest)


@settings(max_examples=50, deadline=None)
@given(groups, groups)
def test_forks_are_invisible(first, second) -> None:  # type: ignore[no-untyped-def]
    old = Population()
    change(old, [step for group in first for step in group])
    before = picture(old)
    dropped = old.fork()
    change(dropped, [step for group in second for step in group])
    assert picture(old) == before
    following, alone = old.fork(), Population()
    change(alone, [step for group in first for step in group])
    for version in (following, alone):
        change(version, [step for group in reversed(second) for step in group])
    assert picture(following) == picture(alone)
    assert picture(old) == before


@settings(max_examples=50, deadline=None)
@given(groups, st.integers(0, 4))
def test_pages_bring_it_back(groups, failing) -> None:  # type: ignore[no-untyped-def]
    population, pages = Population(), Pages()
    for number, group in enumerate(groups):
        population = population.fork()
        change(population, group)
        frozen = population
        if number == failing:  # this checkpoint reaches no disk: what it had to save is marked again
            population = checkpoint(frozen, Pages())
            change(population, group)
            population = population.fork()
            population.soil(frozen)
        saved = population
        population = checkpoint(saved, pages)
        assert not list(population.dirty_pages())
        in_place = adopted(population, saved, pages)
        assert picture(in_place) == picture(population)
        assert not list(in_place.dirty_pages())
        later = population.fork()
        change(later, group)
        changed = picture(later)
        assert picture(adopted(later, saved, pages)) == changed  # what changed since stays as it is now
        population = in_place
        loaded = Population.load(scan_of(pages))
        assert picture(loaded) == picture(population)
        assert not list(loaded.dirty_pages())
        again, there = loaded.fork(), population.fork()
        change(again, group)
        change(there, group)
        assert picture(again) == picture(there)


def test_only_what_changed_is_written() -> None:
    population = Population()
    users = np.array([1, 70_000, 140_000], np.uint32)
    population.issue(140_001)
    population.writable_column("a").set_many(users, ["x", "y", "z"])
    population.writable_column("b").set_many(users, [1, 2, 3])
    population = checkpoint(population, {})
    population.writable_column("b").set_many(users[1:2], [9])
    assert len(list(population.dirty_pages())) == 1


def test_removed_users_are_gone_and_never_issued_again() -> None:
    population = Population()
    population.issue(3)
    population.writable_column("a").set_many(np.array([1, 2], np.uint32), ["x", "x"])
    append(population.writable_events("E"), [(1, 5, 5, "u", "", {}), (2, 6, 6, "v", "", {})])
    population.remove_user(1)
    population.issue(3)
    assert list(population.live) == [0, 2]
    assert population.profile(1) == {} and population.timeline(1, 10, 10, True) == []
    assert list(population.columns["a"].value_bitmap("x")) == [2]
    assert population.event_tables["E"].count == 1


def test_profiles_and_timeline() -> None:
    population = Population()
    population.writable_column("a").set_many(np.array([1, 2], np.uint32), ["x", None])
    population.writable_column("b").set_many(np.array([2], np.uint32), [7])
    assert population.profiles(np.array([2, 0, 1], np.uint32), None) == [{"a": None, "b": 7}, {}, {"a": "x"}]
    assert population.profiles(np.array([2], np.uint32), ["b", "unknown"]) == [{"b": 7}]
    append(population.writable_events("E"), [(1, 5, 5, "u", "", {"n": 1}), (1, 9, 5, "u", "", {"n": 3})])
    append(population.writable_events("F"), [(1, 7, 5, "u", "", {"n": 2})])
    named = [(name, event["n"]) for name, event in population.timeline(1, 8, 10, True)]
    assert named == [("F", 2), ("E", 1)]
    assert [name for name, _ in population.timeline(1, 9, 2, False)] == ["E", "F"]


@pytest.mark.parametrize("damage", ["cut", "lost"])
@pytest.mark.parametrize("kind", ["columns/a\0b", "columns/a\0s", "events/E\0r", "events/E\0n", "events/E\0s"])
def test_damaged_pages_are_refused(kind: str, damage: str) -> None:
    population, pages = Population(), Pages()
    population.writable_column("a").set_many(np.array([1], np.uint32), ["x"])
    append(population.writable_events("E"), [(1, 5, 5, "u", "", {"p": "x"})])
    checkpoint(population, pages)
    key = next(key for key in pages if key.startswith(b"population/" + kind.encode()))
    if damage == "cut":
        pages[key] = pages[key][:-1]
    else:
        del pages[key]
    if (kind, damage) == ("columns/a\0b", "lost"):  # a block that is not there has no users; the store's sums notice
        assert Population.load(scan_of(pages)).profile(1) == {}
        return
    if (kind, damage) == ("events/E\0r", "lost"):  # nor has a day that is not there any events
        assert Population.load(scan_of(pages)).event_tables["E"].count == 0
        return
    with pytest.raises(StoreError):
        Population.load(scan_of(pages))
