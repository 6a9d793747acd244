"""Promise: an event table behaves as a list of events without repeated identities, in any order of arrival."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.bitmaps import chunk
from core.bitmaps.event_page import EventPage
from core.bitmaps.event_page_writer import write_page
from core.bitmaps.events import EventTable
from core.bitmaps.rows import EventRows, concatenate, merge
from core.values import ABSENT, MICROS_PER_DAY, from_micros
from tests.core.bitmaps.generated import values

times = st.integers(-3, 3).map(lambda half: half * MICROS_PER_DAY // 2)
events = st.tuples(
    st.integers(0, 3),
    times,
    st.integers(0, 3),
    st.sampled_from(["", "u", "u1"]),
    st.sampled_from(["", "1", "11"]),
    st.dictionaries(st.sampled_from(["p", "q", "time"]), values, max_size=2),
)
batches = st.lists(st.lists(events, max_size=6), max_size=5)


def append(table: EventTable, batch) -> list[bool]:  # type: ignore[no-untyped-def]
    columns = list(zip(*batch, strict=True)) if batch else [[]] * 6
    ordinals, moments, arrivals, sent, inserted, properties = columns
    return table.append_records(
        np.array(ordinals, np.uint32), np.array(moments, np.int64), np.array(arrivals, np.int64),
        list(sent), list(inserted), list(properties),
    ).tolist()  # fmt: skip


def ordered(model):  # type: ignore[no-untyped-def]
    return sorted(model, key=lambda event: event[:3])


@settings(max_examples=100)
@given(batches, st.booleans(), times, times)
def test_against_a_list(batches, read_between, after, upto) -> None:  # type: ignore[no-untyped-def]
    table, model, seen = EventTable("E"), [], set()
    for batch in batches:
        expected = []
        for event in batch:
            key = (event[0], event[1], *event[3:5])
            expected.append(key not in seen)
            if key not in seen:
                seen.add(key)
                model.append(event)
        assert append(table, batch) == expected
        if read_between:
            assert sum(len(table.chunk(day).times) for day in table.days()) == len(model)
    assert table.count == len(model)
    assert table.days() == sorted({event[1] // MICROS_PER_DAY for event in model})
    found = table.between(after, upto)
    assert sorted(zip(found[0].tolist(), found[1].tolist(), strict=True)) == sorted(
        event[:2] for event in model if after < event[1] <= upto
    )
    for user in range(4):
        expected = [{**e[5], "time": from_micros(e[1])} for e in ordered(model) if e[0] == user and e[1] <= upto]
        assert repr([sorted(item.items()) for item in table.of_user(user, upto)]) == repr(
            [sorted(item.items()) for item in expected]
        )
    rows = table.slice(1, 2, after, upto)
    chosen = [event for event in ordered(model) if 1 <= event[0] <= 2 and after <= event[1] <= upto]
    got = zip(rows.ordinals.tolist(), rows.times.tolist(), rows.arrivals.tolist(), strict=True)
    assert list(got) == [event[:3] for event in chosen]
    cells = table.cells(rows, "p")
    tags = np.zeros(len(rows), np.uint8) if cells is None else cells[0]
    assert (tags != 0).tolist() == [event[5].get("p", ABSENT) is not ABSENT for event in chosen]


@settings(max_examples=60)
@given(batches, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_remap_and_remove(batches, source, target, gone) -> None:  # type: ignore[no-untyped-def]
    table = EventTable("E")
    model = []
    for batch in batches:
        model += [event for event, taken in zip(batch, append(table, batch), strict=True) if taken]
    older, newer = table, table.fork()
    before = [repr(older.of_user(user, 2**62)) for user in range(4)]
    assert newer.remap(source, target) == sum(event[0] == source for event in model)
    model = [(target if event[0] == source else event[0], *event[1:]) for event in model]
    assert newer.remove([gone]) == sum(event[0] == gone for event in model)
    left = [event for event in model if event[0] != gone]
    for user in range(4):
        stamps = sorted(event[1] for event in left if event[0] == user)
        assert [t for t, _, _ in newer.history(user, 2**62)] == stamps
    again = append(newer, model)
    seen = {(event[0], event[1], *event[3:5]) for event in left}
    for event, taken in zip(model, again, strict=True):
        key = (event[0], event[1], *event[3:5])
        assert taken == (key not in seen)
        seen.add(key)
    assert [repr(older.of_user(user, 2**62)) for user in range(4)] == before


def test_a_dropped_fork_does_not_make_its_events_repeats() -> None:
    table = EventTable("E")
    event = (1, 5, 5, "u", "a", {"p": "x"})
    other = (1, 5, 5, "u", "b", {})
    append(table, [other])
    assert append(table.fork(), [event]) == [True]
    following = table.fork()
    assert append(following, [event, event, other]) == [True, False, False]
    assert table.count == 1


def test_many_small_batches() -> None:
    table = EventTable("E")
    for number in range(300):
        table = table.fork()
        append(table, [(number % 7, 1000 - number, number, "u", str(number), {"p": number})])
    assert [event["p"] for event in table.of_user(3, 2**62)] == [n for n in reversed(range(300)) if n % 7 == 3]


def test_a_saved_day_is_used_in_place_however_much_came_since() -> None:
    frozen = EventTable("E")
    for number in range(20):
        append(frozen, [(number, 1000 + number, number, "u", str(number), {"p": number})])
    page = frozen.chunk(0).dump()
    table = frozen.fork()
    table.clean()
    for number in range(20, 40):
        append(table, [(number, 1000 + number, number, "u", str(number), {"p": number})])
    before = [table.of_user(user, 2**62) for user in range(40)]
    table.adopt(0, frozen.chunk(0), page)
    assert table.chunk(0).parts[0].page.page is page
    assert [table.of_user(user, 2**62) for user in range(40)] == before
    assert table.count == 40
    moved = table.fork()
    moved.remap(3, 4)
    parts = moved.chunk(0).parts
    moved.adopt(0, frozen.chunk(0), page)
    assert moved.chunk(0).parts == parts, "what the page says is true no more"


def test_the_writer_merges_no_large_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "_MOST_MERGED", 8)
    table = EventTable("E")
    for number in range(30):
        append(table, [(number % 7, 1000 - number, number, "u", str(number), {"p": number})])
    assert max(len(part.page) for part in table.chunk(0).parts) <= 8
    assert [event["p"] for event in table.of_user(3, 2**62)] == [n for n in reversed(range(30)) if n % 7 == 3]


keys = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


@given(keys, keys)
def test_merge_is_a_stable_sort(first, second) -> None:  # type: ignore[no-untyped-def]
    def rows(cells, start: int) -> EventRows:  # type: ignore[no-untyped-def]
        table = np.array(sorted(cells), np.int64).reshape(-1, 3)
        numbers = np.arange(start, start + len(table), dtype=np.uint64)
        page = EventPage(
            write_page(table[:, 0].astype(np.uint32), table[:, 1].copy(), table[:, 2].copy(), numbers, None, [])
        )
        return EventRows((page,), None, np.arange(len(table), dtype=np.int64))

    base, added = rows(first, 0), rows(second, len(first))
    assert merge(base, added).identities.tolist() == concatenate([base, added]).sorted().identities.tolist()
