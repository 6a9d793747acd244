"""Promise: a batch of columns is its records, in order, also where two are joined, and after the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.codec import decode, encode
from core.profiles.batch import ChangeBatch, EventBatch, chain, join
from core.profiles.records import EventRecord, Operation, ProfileChange
from core.profiles.steps import EventsAdded
from tests.core.profiles.test_operations import CHANGES, VALUES, typed

NAMES = st.sampled_from(["p", "q", "é"])
EVENTS = st.builds(
    EventRecord,
    st.sampled_from(["Buy", "See", "日"]),
    st.sampled_from(["ann", "bo", "x" * 255]),
    st.none() | st.integers(-5, 5),
    st.sampled_from(["", "i", "j" * 255]),
    st.dictionaries(NAMES, VALUES, max_size=3),
)


def rows(batch: EventBatch | ChangeBatch) -> object:
    """Records, comparable: the order of properties says nothing."""
    if isinstance(batch, EventBatch):
        return typed([[one.name, one.distinct_id, one.time, one.insert_id, one.properties] for one in batch.records()])
    return typed([[one.distinct_id, one.operation, one.properties, sorted(one.names)] for one in batch.records()])


def sent(records: list[Any]) -> object:
    """The same of the records given."""
    if records and isinstance(records[0], EventRecord):
        return typed([[one.name, one.distinct_id, one.time, one.insert_id, one.properties] for one in records])
    return typed(
        [[one.distinct_id, Operation(one.operation), one.properties, sorted(set(one.names))] for one in records]
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=6) | st.lists(CHANGES, min_size=1, max_size=6), st.data())
def test_two_batches_joined_are_their_records_in_order(records: list[Any], data: st.DataObject) -> None:
    make: Any = ChangeBatch if records and isinstance(records[0], ProfileChange) else EventBatch
    left = data.draw(st.sets(st.sampled_from(range(len(records)))) if records else st.just(set()))
    places = [sorted(left), sorted(set(range(len(records))) - left)]
    parts = [make.of([records[place] for place in part]) for part in places]
    both, joined = join(parts[0], np.array(places[0], np.uint32), parts[1], np.array(places[1], np.uint32))
    assert joined.tolist() == list(range(len(records)))
    assert rows(both) == rows(make.of(records)) == sent(records)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(EVENTS, max_size=4), min_size=1, max_size=4))
def test_batches_chained_are_their_records_one_after_the_other(parts: list[list[EventRecord]]) -> None:
    assert rows(chain([EventBatch.of(part) for part in parts])) == sent([one for part in parts for one in part])


@settings(max_examples=50, deadline=None)
@given(st.lists(EVENTS, max_size=6))
def test_a_batch_comes_back_from_the_log(records: list[EventRecord]) -> None:
    step = decode(encode(EventsAdded(EventBatch.of(records), True, 7)))
    assert (rows(step.batch), step.imported, step.oldest_live) == (sent(records), True, 7)


def test_values_keep_their_types() -> None:
    values = {"t": datetime(2026, 1, 31, tzinfo=UTC), "f": 1.0, "i": 1, "b": True, "m": {"b": [1.0, None], "a": "é"}}
    batch = EventBatch.of([EventRecord("n", "a", 1, "", values)])
    assert typed(batch.records()[0].properties) == typed(values)
    assert list(batch.records()[0].properties["m"]) == ["b", "a"]
