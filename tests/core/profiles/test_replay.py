"""Promise: recovery gives what applying the log's steps one by one gives, however many records' events it stores at once."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.bitmaps.event_page_writer import write_page
from core.codec import encode
from core.group import FORMAT, replay
from core.profiles import steps as profile_steps
from core.profiles.batch import ChangeBatch, EventBatch, chain
from core.profiles.identity import NOBODY
from core.profiles.records import EventRecord, Operation, ProfileChange
from core.profiles.steps import EventsAdded, ImportAdvanced, ProfilesChanged, UserDeleted, UsersIssued, UsersMerged
from core.requests import Requests
from core.settings import Settings
from core.values import MICROS_PER_DAY
from core.version import ClockMoved, Version

IDS = st.sampled_from(["ann", "bo", "cy", "日"])
EVENTS = st.lists(
    st.builds(
        EventRecord,
        st.sampled_from(["Buy", "See"]),
        IDS,
        st.sampled_from([0, 1, MICROS_PER_DAY, MICROS_PER_DAY + 1]),
        st.sampled_from(["", "", "i", "j"]),
        st.dictionaries(
            st.sampled_from(["p", "q"]),
            st.sampled_from([1, 2.5, "text", "日", True, [1, "a"], {"k": "v"}, None]),
            max_size=2,
        ),
    ),
    min_size=1,
    max_size=5,
)
ACTIONS = st.one_of(
    st.tuples(st.just("events"), EVENTS),
    st.tuples(st.just("events"), EVENTS),
    st.tuples(st.just("clock"), st.integers(1, 5)),
    st.tuples(st.just("import"), st.integers(1, 9)),
    st.tuples(st.just("profile"), IDS),
    st.tuples(st.just("issue"), IDS),
    st.tuples(st.just("merge"), st.tuples(IDS, IDS)),
    st.tuples(st.just("delete"), IDS),
)


def step_of(version: Version, kind: str, told: Any) -> object | None:
    """The step of an action on a version; None where there is nothing to do."""
    if kind == "events":
        return EventsAdded(EventBatch.of(told), False, 0)
    if kind == "clock":
        return ClockMoved(version.now + told)
    if kind == "import":
        return ImportAdvanced("file", told)
    if kind == "profile":
        change = ProfileChange(told, Operation.SET, {"seen": version.now})
        return ProfilesChanged(ChangeBatch.of([change]), np.zeros(1, np.uint32), False)
    if kind == "issue":
        return UsersIssued([told])
    if kind == "merge":
        return UsersMerged(*told)
    ordinal = version.users.find(told)
    return None if ordinal == NOBODY else UserDeleted(ordinal)


def state(version: Version) -> object:
    """Everything that a log of such steps decides, in words that tell 1 from True and 1.0."""
    events = {}
    for name, table in version.population.event_tables.items():
        rows = table.slice(0, 1 << 20, 0, 10 * MICROS_PER_DAY)
        columns = (rows.ordinals, rows.times, rows.arrivals, rows.identities)
        events[name] = (
            [column.tolist() for column in columns],
            rows.insert_ids(),
            table.properties(rows),
            table.property_names(),
        )
    ids = {sent: version.users.find(sent) for sent in ("ann", "bo", "cy", "日")}
    profiles = {sent: version.population.profile(at) for sent, at in ids.items() if at != NOBODY}
    return repr(
        (version.position, version.now, version.imports, version.users.issued, ids, profiles, sorted(events.items()))
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(ACTIONS, min_size=1, max_size=4), max_size=8), st.sampled_from([1, 4, 1 << 17]))
def test_replay_is_step_by_step(groups: list[list[tuple[str, Any]]], at_once: int) -> None:
    start = Version(Settings("p", "u"), 100)
    plain, log = start, []
    for position, actions in enumerate(groups, 1):
        draft = plain.fork()
        steps = []
        for kind, told in actions:
            step = step_of(draft, kind, told)
            if step is not None:
                draft.apply(step)
                steps.append(step)
        log.append((position, encode([FORMAT, steps])))
        plain = draft.publish(position)
    with patch.object(profile_steps, "_MOST_ROWS", at_once):
        replayed = replay(Version(Settings("p", "u"), 100), log, Requests())
    assert state(replayed) == state(plain)


def test_many_records_are_stored_at_once() -> None:
    log = []
    for position in range(1, 101):
        batch = EventBatch.of([EventRecord("Buy", "ann", 0, f"{position}", {})])
        log.append((position, encode([FORMAT, [EventsAdded(batch, False, 0), ClockMoved(position)]])))
    with patch("core.bitmaps.events.write_page", wraps=write_page) as writing:
        version = replay(Version(Settings("p", "u"), 0), log, Requests())
    assert writing.call_count == 1
    table = version.population.event_tables["Buy"]
    assert (table.count, table.slice(0, 1, 0, 1).arrivals.tolist()) == (100, list(range(100)))


def test_more_names_than_a_batch_can_tell_apart() -> None:
    log = []
    for position in range(2):
        names = [EventRecord(f"{position} {number}", "ann", 0, "", {}) for number in range(40)]
        log.append((position + 1, encode([FORMAT, [EventsAdded(EventBatch.of(names), False, 0)]])))
    with patch.object(profile_steps, "MOST_NAMES", 79), patch.object(profile_steps, "chain", wraps=chain) as chaining:
        version = replay(Version(Settings("p", "u"), 0), log, Requests())
    assert [len(call.args[0]) for call in chaining.call_args_list] == [1, 1]
    assert len(version.population.event_tables) == 80
