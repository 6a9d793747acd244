"""Promise: a bad record is named by its index, its field and a stable code, and the good ones beside it are taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from core import commands
from core.errors import MusterError
from core.profiles.records import MAX_BATCH, EventRecord, Operation, ProfileChange, RecordError
from core.profiles.validate import check_id
from core.values import MAX_DEPTH, MAX_MICROS, MIN_MICROS, Value
from tests.core.project import START, Project


def nested(depth: int) -> Value:
    """A list in a list, so deep."""
    value: Value = []
    for _ in range(depth - 1):
        value = [value]
    return value


EVENT: dict[str, Any] = {"name": "Buy", "distinct_id": "a", "time": START, "insert_id": "1", "properties": {"x": 1}}
LONG = "é" * 128
BAD_EVENTS = [
    ({"name": ""}, "EMPTY_NAME", "name"),
    ({"name": LONG}, "NAME_TOO_LONG", "name"),
    ({"distinct_id": ""}, "EMPTY_ID", "distinct_id"),
    ({"distinct_id": LONG}, "ID_TOO_LONG", "distinct_id"),
    ({"distinct_id": "\ud800"}, "VALUE_NOT_UNICODE", "distinct_id"),
    ({"insert_id": LONG}, "ID_TOO_LONG", "insert_id"),
    ({"time": MAX_MICROS + 1}, "TIME_OUT_OF_RANGE", "time"),
    ({"time": MIN_MICROS - 1}, "TIME_OUT_OF_RANGE", "time"),
    ({"properties": {"": 1}}, "EMPTY_NAME", "properties."),
    ({"properties": {LONG: 1}}, "NAME_TOO_LONG", f"properties.{LONG}"),
    ({"properties": {str(n): n for n in range(256)}}, "TOO_MANY_PROPERTIES", "properties"),
]
BAD_VALUES = [
    (float("nan"), "VALUE_NOT_FINITE", "properties.x"),
    (float("inf"), "VALUE_NOT_FINITE", "properties.x"),
    (2**63, "VALUE_OUT_OF_RANGE", "properties.x"),
    (-(2**63) - 1, "VALUE_OUT_OF_RANGE", "properties.x"),
    ("é" * 40_000, "VALUE_TOO_LONG", "properties.x"),
    ("\udfff", "VALUE_NOT_UNICODE", "properties.x"),
    ({"a": ["\udfff"]}, "VALUE_NOT_UNICODE", "properties.x.a[0]"),
    ({"\udfff": 1}, "VALUE_NOT_UNICODE", "properties.x"),
    ({"a": [1, float("nan")]}, "VALUE_NOT_FINITE", "properties.x.a[1]"),
    (nested(MAX_DEPTH + 1), "VALUE_TOO_DEEP", "properties.x" + "[0]" * MAX_DEPTH),
    (nested(100_000), "VALUE_TOO_DEEP", "properties.x" + "[0]" * MAX_DEPTH),
    ({1: 2}, "VALUE_TYPE", "properties.x"),
    (b"bytes", "VALUE_TYPE", "properties.x"),
    (datetime(2026, 1, 1), "TIME_OUT_OF_RANGE", "properties.x"),
    (datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))), "TIME_OUT_OF_RANGE", "properties.x"),
]
BAD_CHANGES = [
    ({"distinct_id": ""}, "EMPTY_ID", "distinct_id"),
    ({"operation": ""}, "NO_OPERATION", "operation"),
    ({"operation": "increment"}, "NO_OPERATION", "operation"),
    ({"operation": Operation.ADD, "properties": {"x": "1"}}, "NOT_A_NUMBER", "properties.x"),
    ({"operation": Operation.ADD, "properties": {"x": True}}, "NOT_A_NUMBER", "properties.x"),
    ({"operation": Operation.MERGE, "properties": {"x": [1]}}, "NOT_A_MAP", "properties.x"),
    ({"operation": Operation.UNSET, "names": ["a", ""]}, "EMPTY_NAME", "names[1]"),
    ({"operation": Operation.APPEND, "properties": {"x": nested(MAX_DEPTH)}}, "VALUE_TOO_DEEP", None),
    ({"properties": {str(n): n for n in range(2001)}}, "TOO_MANY_PROPERTIES", "properties"),
]


def only_error(project: Project, events: list[Any], changes: list[Any]) -> RecordError:
    """The one error of a batch whose other records are taken."""
    result = project.ingest(events, changes)
    assert result.accepted == len(events) + len(changes) - 1
    (error,) = result.errors
    assert error.mend
    assert error.message
    return error


@pytest.mark.parametrize(("changed", "code", "field"), BAD_EVENTS, ids=[f"{c}-{f[:12]}" for _, c, f in BAD_EVENTS])
def test_a_bad_event(project: Project, changed: dict[str, Any], code: str, field: str) -> None:
    error = only_error(project, [EventRecord(**EVENT), EventRecord(**{**EVENT, **changed})], [])
    assert (error.index, error.code, error.field) == (1, code, field)


@pytest.mark.parametrize(
    ("value", "code", "field"), BAD_VALUES, ids=[f"{c}-{n}" for n, (_, c, _) in enumerate(BAD_VALUES)]
)
def test_a_bad_value(project: Project, value: Value, code: str, field: str) -> None:
    error = only_error(
        project,
        [EventRecord(**{**EVENT, "properties": {"good": 1, "x": value}}), EventRecord(**EVENT)],
        [ProfileChange("a", Operation.SET, {"good": 1})],
    )
    assert (error.index, error.code, error.field) == (0, code, field)
    error = only_error(
        project,
        [],
        [ProfileChange("a", Operation.SET, {"good": 2}), ProfileChange("a", Operation.SET, {"y": 1, "x": value})],
    )
    assert (error.index, error.code, error.field) == (1, code, field)
    assert project.profile("a") == {"good": 2}


@pytest.mark.parametrize(
    ("changed", "code", "field"), BAD_CHANGES, ids=[f"{c}-{n}" for n, (_, c, _) in enumerate(BAD_CHANGES)]
)
def test_a_bad_change(project: Project, changed: dict[str, Any], code: str, field: str | None) -> None:
    good: dict[str, Any] = {"distinct_id": "a", "operation": Operation.SET, "properties": {"good": 1}, "names": []}
    error = only_error(project, [EventRecord(**EVENT)], [ProfileChange(**{**good, **changed}), ProfileChange(**good)])
    assert (error.index, error.code) == (1, code)
    assert field in (None, error.field)
    assert project.profile("a") == {"good": 1}


def test_a_record_that_could_not_be_read_keeps_its_index(project: Project) -> None:
    broken = RecordError(0, "TIME_OUT_OF_RANGE", "time", "out of range", "send another")
    result = project.ingest([EventRecord(**EVENT), broken], [broken])
    assert [(error.index, error.code) for error in result.errors] == [
        (1, "TIME_OUT_OF_RANGE"),
        (2, "TIME_OUT_OF_RANGE"),
    ]


def test_the_edges_are_taken(project: Project) -> None:
    edge: dict[str, Any] = {
        "long": "é" * 32_768,
        "deep": nested(MAX_DEPTH),
        "most": 2**63 - 1,
        "least": -(2**63),
        "huge": 1.7976931348623157e308,
        "first": datetime(1, 1, 1, tzinfo=UTC),
        "last": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        "ü" * 127: None,
    }
    result = project.ingest(
        [
            EventRecord("n" * 255, "i" * 255, MAX_MICROS, "s" * 255, edge),
            EventRecord("n", "i" * 255, MIN_MICROS, "", edge),
        ],
        [ProfileChange("i" * 255, Operation.SET, edge)],
    )
    assert result.errors == []
    assert project.profile("i" * 255) == edge


def test_a_batch_over_the_limit_is_refused_whole(project: Project) -> None:
    changes = [ProfileChange("a", Operation.SET, {"n": n}) for n in range(MAX_BATCH)]
    assert project.ingest([], changes).accepted == MAX_BATCH
    before = project.version.position
    with pytest.raises(MusterError) as caught:
        project.ingest([EventRecord(**EVENT)], changes)
    assert (caught.value.code, caught.value.field) == ("BATCH_TOO_LARGE", "events")
    assert project.version.position == before


@pytest.mark.parametrize("distinct_id", ["", "é" * 128, "\ud800"])
def test_ids_are_checked_wherever_they_come(project: Project, distinct_id: str) -> None:
    with pytest.raises(MusterError):
        check_id(distinct_id)
    for command in (
        commands.MergeUsers(distinct_id, "a"),
        commands.MergeUsers("a", distinct_id),
        commands.DeleteUser(distinct_id),
    ):
        with pytest.raises(MusterError) as caught:
            project.ask(command)
        assert caught.value.field in ("distinct_id", "other_id")
    with pytest.raises(MusterError) as caught:
        project.ask(commands.DeleteUser("nobody"))
    assert caught.value.code == "USER_NOT_FOUND"


def test_an_import_goes_on_where_it_stopped(project: Project) -> None:
    def send(offset: int, count: int) -> Any:
        events = [EventRecord("Buy", "a", START - n, str(n), {}) for n in range(offset, offset + count)]
        return project.ask(commands.Ingest(events, [], imported=True, import_id="file", offset=offset))

    assert send(0, 10).next_offset == 10
    repeated = send(0, 10)
    assert (repeated.next_offset, repeated.accepted, repeated.duplicates) == (10, 0, 0)
    with pytest.raises(MusterError) as caught:
        send(20, 5)
    assert (caught.value.code, caught.value.field, "10" in caught.value.mend) == ("OFFSET_GAP", "offset", True)
    bad = project.ask(commands.Ingest([EventRecord("", "a", START, "", {})], [], True, "file", 10))
    assert (bad.next_offset, [error.index for error in bad.errors]) == (11, [0])
    with project.copy(project.folder.with_name("after")) as after:
        assert after.engine.import_offset("file") == 11
        assert after.engine.import_offset("other") == 0
