"""Promise: an event is (name, time, distinct id as sent, insert id), its first copy wins, and it is seen from its time on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.profiles import reading
from core.profiles.records import EventRecord, Operation, ProfileChange
from core.values import from_micros
from tests.core.project import DAY, HOUR, START, Project


def timeline(project: Project, distinct_id: str, limit: int = 100) -> list[tuple[str, int, dict[str, Any]]]:
    """A user's events, newest first."""
    return reading.timeline(project.version, distinct_id, limit, "", ())[0]


def test_the_first_copy_wins(project: Project) -> None:
    event = EventRecord("Buy", "a", START, "i-1", {"amount": 1})
    other = EventRecord("Buy", "a", START, "i-1", {"amount": 2})
    result = project.ingest([event, other])
    assert (result.accepted, result.duplicates) == (1, 1)
    project.move(START + 40 * DAY)
    result = project.ingest([other, event])
    assert (result.accepted, result.duplicates) == (0, 2)
    assert timeline(project, "a") == [("Buy", START, {"amount": 1})]


@pytest.mark.parametrize("changed", [{"name": "Sell"}, {"distinct_id": "b"}, {"time": START - 1}, {"insert_id": "i-2"}])
def test_each_part_of_the_identity_counts(project: Project, changed: dict[str, Any]) -> None:
    first: dict[str, Any] = {"name": "Buy", "distinct_id": "a", "time": START, "insert_id": "i-1", "properties": {}}
    result = project.ingest([EventRecord(**first), EventRecord(**{**first, **changed})])
    assert (result.accepted, result.duplicates) == (2, 0)


def test_the_id_as_sent_counts_though_its_user_is_another_now(project: Project) -> None:
    project.track("anonymous", "Buy", at=START, insert_id="1")
    project.merge("known", "anonymous")
    assert project.track("anonymous", "Buy", at=START, insert_id="1").duplicates == 1
    assert project.track("known", "Buy", at=START, insert_id="1").accepted == 1
    assert len(timeline(project, "known")) == 2


def test_a_deleted_users_events_are_forgotten(project: Project) -> None:
    project.track("a", "Buy", at=START, insert_id="1")
    project.track("b", "Buy", at=START, insert_id="1")
    project.delete("a")
    assert project.track("a", "Buy", at=START, insert_id="1").accepted == 1
    assert project.track("b", "Buy", at=START, insert_id="1").duplicates == 1


def test_without_insert_id_only_an_exact_copy_is_one(project: Project) -> None:
    assert project.track("a", "Buy", at=START, amount=1, item="cup").accepted == 1
    assert project.ingest([EventRecord("Buy", "a", START, "", {"item": "cup", "amount": 1})]).duplicates == 1
    assert project.track("a", "Buy", at=START, amount=2, item="cup").accepted == 1


def test_an_event_without_time_happened_at_arrival(project: Project) -> None:
    project.track("a", "Buy")
    project.move(START + HOUR)
    project.track("a", "Buy")
    assert [time for _, time, _ in timeline(project, "a")] == [START + HOUR, START]


def test_a_future_event_is_invisible_until_its_time(project: Project) -> None:
    project.track("a", "Buy", at=START + DAY)
    project.track("a", "Buy", at=START)
    assert [time for _, time, _ in timeline(project, "a")] == [START]
    project.move(START + DAY - 1)
    assert len(timeline(project, "a")) == 1
    project.move(START + DAY)
    assert [time for _, time, _ in timeline(project, "a")] == [START + DAY, START]


def test_a_timeline_has_pages_and_names(project: Project) -> None:
    for hour in range(5):
        project.track("a", "Buy" if hour % 2 else "Visit", at=START - hour * HOUR, n=hour)
    page, following = reading.timeline(project.version, "a", 3, "", ())
    assert [properties["n"] for *_, properties in page] == [0, 1, 2]
    page, following = reading.timeline(project.version, "a", 3, following, ())
    assert ([properties["n"] for *_, properties in page], following) == ([3, 4], "")
    page, _ = reading.timeline(project.version, "a", 3, "", ["Buy"])
    assert [properties["n"] for *_, properties in page] == [1, 3]


EVENTS = st.builds(
    EventRecord,
    st.sampled_from(["Buy", "Visit"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from([START, START + 1, START - DAY]),
    st.sampled_from(["1", "2", "a1"]),
    st.dictionaries(st.sampled_from("xy"), st.integers(0, 3), max_size=2),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(EVENTS, max_size=6), max_size=4))
def test_any_batches_equal_a_plain_set(
    unsynced: None, tmp_path_factory: pytest.TempPathFactory, batches: list[list[EventRecord]]
) -> None:
    seen: dict[tuple[str, int | None, str, str], dict[str, Any]] = {}
    with Project(tmp_path_factory.mktemp("events") / "project", start=START + 1) as project:
        for batch in batches:
            fresh = 0
            for event in batch:
                key = (event.name, event.time, event.distinct_id, event.insert_id)
                fresh += key not in seen
                seen.setdefault(key, event.properties)
            result = project.ingest(batch)
            assert (result.accepted, result.duplicates) == (fresh, len(batch) - fresh)
        for distinct_id in {key[2] for key in seen}:
            expected = sorted((k[0], k[1], sorted(p.items())) for k, p in seen.items() if k[2] == distinct_id)
            assert sorted((n, t, sorted(p.items())) for n, t, p in timeline(project, distinct_id)) == expected


def test_the_schema_is_live(project: Project) -> None:
    project.ingest(
        [EventRecord("Buy", "a", START, "1", {"amount": 1}), EventRecord("Buy", "b", START + 5, "1", {"amount": 1.5})],
        [
            ProfileChange("a", Operation.SET, {"age": 3, "city": "Oslo"}),
            ProfileChange("b", Operation.SET, {"age": "x"}),
        ],
    )
    found = reading.schema(project.version)
    assert [(one.name, {kind.name: count for kind, count in one.kinds.items()}) for one in found.properties] == [
        ("age", {"INT": 1, "STRING": 1}),
        ("city", {"STRING": 1}),
    ]
    (event,) = found.events
    assert (event.name, event.count, event.first, event.last) == ("Buy", 2, START, START + 5)
    assert [(one.name, {kind.name: count for kind, count in one.kinds.items()}) for one in event.properties] == [
        ("amount", {"INT": 1, "DOUBLE": 1})
    ]
    project.unset("a", "city")
    project.delete("b")
    project.set("a", when=from_micros(START))
    found = reading.schema(project.version)
    assert [(one.name, {kind.name: count for kind, count in one.kinds.items()}) for one in found.properties] == [
        ("age", {"INT": 1}),
        ("when", {"TIMESTAMP": 1}),
    ]
    assert [(one.name, one.count) for one in found.events] == [("Buy", 1)]


def test_merging_unites_history(project: Project) -> None:
    project.ingest(
        [EventRecord("Buy", "a", START, "1", {}), EventRecord("Visit", "b", START - 1, "1", {})],
        [
            ProfileChange("a", "set", {"city": "Oslo", "age": 1}),
            ProfileChange("b", "set", {"city": "Rome", "name": "B"}),
        ],
    )
    assert project.merge("a", "b") is True
    assert project.merge("a", "b") is False
    assert project.merge("a", "c") is False
    assert project.merge("d", "e") is False
    shown = reading.profile(project.version, "b")
    assert (shown.distinct_id, shown.distinct_ids) == ("a", ["a", "b", "c"])
    assert shown.properties == {"city": "Oslo", "age": 1, "name": "B"}
    assert [name for name, _, _ in timeline(project, "c")] == ["Buy", "Visit"]
    assert len(project.version.population.live) == 2
    profiles, following = reading.profiles_page(project.version, None, -1, 1)
    assert ([one.distinct_ids for one in profiles], following) == ([["a", "b", "c"]], 0)
    profiles, following = reading.profiles_page(project.version, None, 0, 1)
    assert ([one.distinct_ids for one in profiles], following) == ([["d", "e"]], None)
