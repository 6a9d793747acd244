"""Promise: users gathered side by side have exactly the properties and events that they have where they stand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from core.bitmaps.gathered import Gathered
from core.bitmaps.population import Population
from tests.core.bitmaps.test_population import change, groups

UPTO = 2**62


@settings(max_examples=80, deadline=None)
@given(groups, st.sets(st.sampled_from([0, 1, 2, 3, 65_535, 65_536, 200_000])))
def test_profiles_and_timelines(made, chosen) -> None:  # type: ignore[no-untyped-def]
    population = Population()
    change(population, [step for group in made for step in group])
    users = np.array([user for user in sorted(chosen) if user in population.live], np.uint32)
    gathered = Gathered(population, users)
    assert list(gathered.live) == list(range(len(users))) and gathered.size == len(users)
    for ordinal, user in enumerate(users.tolist()):
        for name in ("a", "b\0c", "\u00e9"):
            column, whole = gathered.column(name), population.column(name)
            assert (column is None) == (whole is None)
            assert column is None or whole is None or repr(column.get(ordinal)) == repr(whole.get(user))
        assert repr(gathered.timeline(ordinal, UPTO, 100, False)) == "[]", "nothing is taken before it is asked for"
        for name in ("E", "F"):
            table, of_all = gathered.events(name), population.events(name)
            assert (table is None) == (of_all is None)
            if table is not None and of_all is not None:
                assert repr(table.of_user(ordinal, UPTO)) == repr(of_all.of_user(user, UPTO))
        gathered = Gathered(population, users)
    assert set(gathered.columns) == set(population.columns)
    assert set(gathered.event_tables) == set(population.event_tables)


@settings(max_examples=80, deadline=None)
@given(st.sets(st.integers(0, 2**32 - 1)), st.data())
def test_ordinals_there_and_back(users: set[int], data: st.DataObject) -> None:
    gathered = Gathered(Population(), np.array(sorted(users), np.uint32))
    some = BitMap(data.draw(st.sets(st.sampled_from(sorted(users))))) if users else BitMap()
    here = gathered.within(some)
    assert here <= gathered.live and len(here) == len(some)
    assert gathered.without(here) == some
