"""Promise: changes worked out a property at a time give what they give one after the other, refusals included."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.bitmaps.cells import decode, encode
from core.bitmaps.strings import BlobTable, StringTable
from core.errors import InvalidInput
from core.profiles.changes import work_out
from core.profiles.operations import outcome
from core.profiles.records import OPERATIONS, Operation, ProfileChange
from core.values import ABSENT
from tests.core.profiles.test_operations import typed

NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**63 - 1, -(2**63), 2**62]),
    st.sampled_from([0.0, -0.0, 0.5, 1e308, -1e308, 2.0**63]),
)
VALUES = st.one_of(
    NUMBERS, st.none(), st.booleans(), st.sampled_from(["a", "b"]), st.lists(st.integers(0, 1), max_size=1)
)
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.one_of(
            st.tuples(st.sampled_from([Operation.SET, Operation.SET_ONCE]), VALUES),
            st.tuples(st.just(Operation.ADD), NUMBERS),
            st.tuples(st.just(Operation.UNSET), st.just(ABSENT)),
        ),
    ),
    max_size=12,
)


@settings(max_examples=800, deadline=None)
@given(st.lists(VALUES | st.just(ABSENT), min_size=3, max_size=3), CHANGES)
def test_arrays_give_what_single_changes_give(present: list[Any], changes: list[Any]) -> None:
    wanted, written = list(present), [0, 0, 0]
    allowed = True
    for user, (operation, value) in changes:
        unset = operation == Operation.UNSET
        change = ProfileChange("u", operation, {} if unset else {"p": value}, ["p"] if unset else [])
        try:
            done = outcome(change, lambda _: wanted[user])  # noqa: B023 - called at once
        except InvalidInput:
            allowed = False
            break
        written[user] |= "p" in done
        wanted[user] = done.get("p", wanted[user])
    strings, blobs = StringTable(), BlobTable()
    tags, data = encode(present, strings, blobs)
    given_tags, given_data = encode([value for _, (_, value) in changes], strings, blobs)
    users = np.array([user for user, _ in changes], np.uint32)
    operations = np.array([OPERATIONS.index(operation) for _, (operation, _) in changes], np.uint8)
    marks = np.zeros(3, np.uint8)
    assert work_out(users, operations, given_tags, given_data, tags, data, marks) == allowed
    if allowed:
        found = decode(tags, data, strings, blobs)
        assert typed(found) == typed(wanted)
        assert [math.copysign(1, one) for one in found if isinstance(one, float)] == [
            math.copysign(1, one) for one in wanted if isinstance(one, float)
        ]
        # Adding nothing to a number writes it, which plain Python may see as no change.
        added = {user for user, (operation, value) in changes if operation == Operation.ADD and value == 0}
        assert all(
            mark == was for user, (mark, was) in enumerate(zip(marks, written, strict=True)) if user not in added
        )


def test_what_the_kernel_does_not_know_is_refused() -> None:
    one, cell, none = np.zeros(1, np.uint8), np.zeros(1, np.int64), np.zeros(1, np.uint32)
    append = np.array([OPERATIONS.index(Operation.APPEND)], np.uint8)
    with pytest.raises(ValueError, match="another operation"):
        work_out(none, append, one, cell, one.copy(), cell.copy(), one.copy())
    with pytest.raises(ValueError, match="out of range"):
        work_out(none + np.uint32(1), one, one, cell, one.copy(), cell.copy(), one.copy())
    with pytest.raises(ValueError, match="different lengths"):
        work_out(none, one, one[:0], cell, one.copy(), cell.copy(), one.copy())
