"""Promise: every profile operation means what Mixpanel's means, in any order, in one batch or in several."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.profiles.batch import ChangeBatch
from core.profiles.ingest import change_profiles
from core.profiles.records import Operation, ProfileChange
from tests.core.profiles.people import Folk
from tests.core.project import Project

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, 1.0, 2.5]),
    st.sampled_from(["", "a", "b"]),
    st.just(datetime(2026, 1, 31, tzinfo=UTC)),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.sampled_from("xyz"), SCALARS, max_size=2)
NAMES = st.sampled_from(["p", "q", "r"])
IDS = st.sampled_from(["ann", "bo"])


def written(values: st.SearchStrategy[Any], *operations: Operation) -> st.SearchStrategy[ProfileChange]:
    """Changes that carry properties."""
    properties = st.dictionaries(NAMES, values, min_size=1, max_size=2)
    return st.builds(ProfileChange, IDS, st.sampled_from(operations), properties)


CHANGES = st.one_of(
    written(VALUES, Operation.SET, Operation.SET_ONCE, Operation.APPEND, Operation.UNION, Operation.REMOVE),
    written(st.integers(-5, 5) | st.sampled_from([0.5, -2.0]), Operation.ADD),
    written(st.dictionaries(st.sampled_from("xyz"), SCALARS, max_size=2), Operation.MERGE),
    st.builds(ProfileChange, IDS, st.just(Operation.UNSET), st.just({}), st.lists(NAMES, max_size=2)),
    st.builds(ProfileChange, IDS, st.just(Operation.DELETE)),
)


def typed(value: Any) -> Any:
    """A value that compares equal only to one of the same type: True is not 1, and 1 is not 1.0."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    return type(value).__name__, value


def plainly(users: dict[str, dict[str, Any]], change: ProfileChange) -> bool:
    """The same on a dict of dicts, one property after the other. False: the change is refused, and does nothing."""
    if change.operation == Operation.DELETE:
        users.pop(change.distinct_id, None)
        return True
    user = dict(users.setdefault(change.distinct_id, {}))
    for name in change.names:
        user.pop(name, None)
    for name, sent in change.properties.items():
        there, present = name in user, user.get(name)
        match change.operation:
            case Operation.SET:
                user[name] = sent
            case Operation.SET_ONCE if not there:
                user[name] = sent
            case Operation.ADD:
                if there and present is not None and type(present) not in (int, float):
                    return False
                user[name] = (0 if present is None else present) + sent
            case Operation.APPEND if not there or isinstance(present, list):
                user[name] = [*(present or []), sent]
            case Operation.UNION if not there or isinstance(present, list):
                result = list(present or [])
                for value in sent if isinstance(sent, list) else [sent]:
                    if typed(value) not in [typed(item) for item in result]:
                        result.append(value)
                user[name] = result
            case Operation.REMOVE if isinstance(present, list):
                user[name] = [item for item in present if typed(item) != typed(sent)]
            case Operation.MERGE:
                user[name] = {**present, **sent} if isinstance(present, dict) else sent
    users[change.distinct_id] = user
    return True


@settings(max_examples=300, deadline=None)
@given(st.lists(CHANGES, max_size=12), st.lists(st.integers(0, 12), max_size=3))
def test_any_changes_in_any_batches(changes: list[ProfileChange], cuts: list[int]) -> None:
    folk = Folk()
    users: dict[str, dict[str, Any]] = {}
    edges = sorted({0, len(changes), *(cut for cut in cuts if cut < len(changes))})
    for first, last in pairwise(edges):
        refused = [place for place in range(first, last) if not plainly(users, changes[place])]
        folk = folk.fork()
        batch, places = ChangeBatch.of(changes[first:last]), np.arange(first, last, dtype=np.uint32)
        errors = change_profiles(folk, batch, places, folk.touched, live=True)
        assert [error.index for error in errors] == refused
    for distinct_id in ("ann", "bo"):
        assert typed(folk.profile(distinct_id)) == typed(users.get(distinct_id))


@pytest.mark.parametrize(
    ("present", "added"), [(2**63 - 1, 1), (-(2**63), -1), (1.7e308, 1.7e308), ("ten", 1), (True, 1), ([1], 1)]
)
def test_a_sum_that_cannot_be_stored_is_refused(project: Project, present: Any, added: Any) -> None:
    project.set("a", score=present, city="Oslo")
    result = project.change("a", Operation.ADD, {"visits": 1, "score": added})
    assert (result.accepted, [error.field for error in result.errors]) == (0, ["properties.score"])
    assert project.profile("a") == {"score": present, "city": "Oslo"}


def test_times_in_reserved_properties_become_timestamps(project: Project) -> None:
    project.set(
        "a", **{"$created": "2026-01-31T09:00:00+02:00", "$last_seen": "yesterday", "other": "2026-01-31T09:00:00Z"}
    )
    assert project.profile("a") == {
        "$created": datetime(2026, 1, 31, 7, tzinfo=UTC),
        "$last_seen": "yesterday",
        "other": "2026-01-31T09:00:00Z",
    }


def test_the_deletion_of_nobody_makes_nobody(project: Project) -> None:
    project.change("nobody", Operation.DELETE, {})
    assert project.version.users.issued == 0
