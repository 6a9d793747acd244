"""Promise: a column behaves as a dict from ordinal to value, and its indexes say what a scan would say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from core.bitmaps.column import Column
from core.bitmaps.population import Population
from core.values import ABSENT, MICROS_PER_DAY, ValueType, from_micros, to_micros, type_of
from tests.core.bitmaps.generated import ordinals, values

changes = st.lists(st.lists(st.tuples(ordinals, st.one_of(st.just(ABSENT), values)), max_size=8), max_size=5)


@settings(max_examples=80)
@given(changes, st.integers(-(10**13), 10**13), st.integers(0, 10**13))
def test_against_a_dict(batches, after, span) -> None:  # type: ignore[no-untyped-def]
    column, model = Column("x"), {}
    for batch in batches:
        column.set_many(np.array([ordinal for ordinal, _ in batch], np.uint32), [value for _, value in batch])
        model.update(batch)
    model = {ordinal: value for ordinal, value in model.items() if value is not ABSENT}
    asked = np.array([200_000, 3, 0, 65_536, 1, 65_535, 2], np.uint32)
    assert [repr(value) for value in column.gather(asked)] == [repr(model.get(o, ABSENT)) for o in asked.tolist()]
    assert [repr(column.get(o)) for o in asked.tolist()] == [repr(model.get(o, ABSENT)) for o in asked.tolist()]
    assert set(column.presence) == set(model)
    kinds = [type_of(value) for value in model.values()]
    assert column.type_counts() == {kind: kinds.count(kind) for kind in kinds}
    for value in (True, False, "", "a", *(v for v in model.values() if isinstance(v, str))):
        assert column.value_bitmap(value) == BitMap(
            o for o, v in model.items() if type(v) is type(value) and v == value
        )
    times = {o: to_micros(v) for o, v in model.items() if type_of(v) == ValueType.TIMESTAMP}
    found = column.time_between(after, after + span)
    assert dict(zip(found[0].tolist(), found[1].tolist(), strict=True)) == {
        o: t for o, t in times.items() if after < t <= after + span
    }
    for number, block in column.blocks.items():
        ints = [v for o, v in model.items() if o >> 16 == number and type(v) is int]
        assert block.least.get(ValueType.INT) == min(ints, default=None)
        assert block.greatest.get(ValueType.INT) == max(ints, default=None)


def test_time_bounds_are_open_and_closed() -> None:
    column = Column("x")
    column.set_many(np.array([1, 2], np.uint32), [from_micros(MICROS_PER_DAY), from_micros(2 * MICROS_PER_DAY)])
    assert column.time_between(MICROS_PER_DAY, 2 * MICROS_PER_DAY)[0].tolist() == [2]
    assert column.time_between(MICROS_PER_DAY - 1, 2 * MICROS_PER_DAY - 1)[0].tolist() == [1]


@pytest.mark.parametrize(
    ("kind", "array", "expected"),
    [
        (ValueType.INT, np.array([3, -4]), [3, -4]),
        (ValueType.BOOL, np.array([True, False]), [True, False]),
        (ValueType.DOUBLE, np.array([0.5, 2.0]), [0.5, 2.0]),
        (ValueType.TIMESTAMP, np.array([5, 6]), [from_micros(5), from_micros(6)]),
        (ValueType.STRING, (np.array([1, 0], np.uint8), ["a", "b"]), ["b", "a"]),
    ],
)
def test_bulk(kind, array, expected) -> None:  # type: ignore[no-untyped-def]
    population = Population()
    population.bulk_column("x", kind, array)
    assert population.columns["x"].gather(np.arange(3, dtype=np.uint32)) == [*expected, ABSENT]
    population.bulk_column("x", kind, array, BitMap([1]))
    assert population.columns["x"].gather(np.arange(2, dtype=np.uint32)) == [ABSENT, expected[1]]


def test_bulk_refuses_codes_outside_the_dictionary() -> None:
    with pytest.raises(ValueError, match="outside"):
        Population().bulk_column("x", ValueType.STRING, (np.array([2], np.uint8), ["a", "b"]))
