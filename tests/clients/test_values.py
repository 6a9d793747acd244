"""Promise: a Python value survives the way into the protocol and back; what the protocol cannot hold is refused by
path."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import muster
import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster import values

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    TEXT,
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=10
)


def same(one: Any, other: Any) -> bool:
    """Equal in value and type; NaN is itself."""
    if isinstance(one, datetime):
        return isinstance(other, datetime) and one == other and other.tzinfo is UTC
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    return bool(one == other) or (one != one and other != other)


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_values_survive_the_round_trip(properties: dict[str, Any]) -> None:
    assert same(properties, values.to_python(values.from_python(properties)))


@given(VALUES)
def test_one_value_survives_the_wire(value: Any) -> None:
    message = values.make(value)
    assert message.WhichOneof("kind") is not None, "no kind at all would be refused by the server"
    assert same(value, values.to_python(type(message).FromString(message.SerializeToString())))


class Plan(enum.StrEnum):
    FREE = "free"


class Level(enum.IntEnum):
    HIGH = 3


def test_enums_and_tuples_are_what_they_stand_for() -> None:
    written = values.from_python({"plan": Plan.FREE, "level": Level.HIGH, "tags": ("a", "b")})
    assert values.to_python(written) == {"plan": "free", "level": 3, "tags": ["a", "b"]}


def circle() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize(
    ("value", "code", "field"),
    [
        (2**63, "INT_OUT_OF_RANGE", "p"),
        (datetime(2026, 1, 1), "TIME_WITHOUT_ZONE", "p"),
        ({"a": [1, object()]}, "VALUE_TYPE", "p.a[1]"),
        ({"a": {1: 2}}, "VALUE_TYPE", "p.a"),
        ({1, 2}, "VALUE_TYPE", "p"),
        (b"bytes", "VALUE_TYPE", "p"),
        ("\ud800", "NOT_UTF8", "p"),
        ({"a": ["x", "\udfff"]}, "NOT_UTF8", "p.a[1]"),
    ],
)
def test_what_cannot_be_held_is_named(value: Any, code: str, field: str) -> None:
    with pytest.raises(muster.InvalidInput) as caught:
        values.from_python({"p": value})
    assert (caught.value.code, caught.value.field) == (code, field)


def test_what_holds_itself_is_refused() -> None:
    with pytest.raises(muster.InvalidInput) as caught:
        values.from_python({"p": circle()})
    assert caught.value.code == "VALUE_TOO_DEEP"


def test_times_are_exact_to_the_microsecond() -> None:
    for moment in (
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ):
        stamp = values.timestamp(moment)
        assert 0 <= stamp.nanos < 1_000_000_000
        assert values.to_datetime(stamp) == moment


def test_an_update_that_is_empty_still_names_its_user() -> None:
    (change,) = muster.update("u1", set={})
    assert change.WhichOneof("operation") == "set"
    with pytest.raises(muster.InvalidInput, match="changes nothing"):
        muster.update("u1")


def test_operations_come_in_the_order_of_the_signature() -> None:
    changes = muster.update(
        "u1",
        delete=True,
        merge={"m": {"a": 1}},
        unset=["x"],
        remove={"l": 1},
        union={"l": [1]},
        append={"l": 1},
        add={"n": 1},
        set_once={"a": 1},
        set={"a": 1},
    )
    operations = ["set", "set_once", "add", "append", "union", "remove", "unset", "merge", "delete"]
    assert [change.WhichOneof("operation") for change in changes] == operations


def test_unset_takes_names() -> None:
    with pytest.raises(muster.InvalidInput):
        muster.update("u1", unset="plan")
