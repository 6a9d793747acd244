"""Promise: a page of events gives back what was written, in the narrowest form; no bytes whatever bring a reader down."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.bitmaps.event_order import mark_repeats, merged_order
from core.bitmaps.event_page import EventPage
from core.bitmaps.event_page_writer import write_page
from core.errors import StoreError
from core.values import INT_MAX, INT_MIN, ValueType

_DAY = 1_700_006_400_000_000
ordinals = st.sampled_from([0, 1, 2, 65_535, 65_536, 65_540, 2**32 - 1])
moments = st.one_of(
    st.integers(0, 3).map(lambda second: _DAY + second * 1_000_000),
    st.integers(_DAY, _DAY + 3000),
    st.integers(INT_MIN, INT_MAX),
)
doubles = st.one_of(
    st.integers(-(10**6), 10**6).map(lambda cents: cents / 100),
    st.sampled_from([0.0, -0.0, 1e300, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
).map(lambda value: int(np.float64(value).view(np.int64)))
cells = {
    ValueType.NULL: st.just(0),
    ValueType.BOOL: st.integers(0, 1),
    ValueType.INT: st.one_of(st.integers(0, 300), st.integers(INT_MIN, INT_MAX)),
    ValueType.DOUBLE: doubles,
    ValueType.STRING: st.integers(0, 70_000),
    ValueType.TIMESTAMP: moments,
    ValueType.LIST: st.integers(0, 9),
    ValueType.MAP: st.integers(0, 9),
}
any_cell = st.one_of(*(st.tuples(st.just(int(tag)), data) for tag, data in cells.items()))


@st.composite
def columns(draw, size: int):  # type: ignore[no-untyped-def]
    """Tags and data: of one type or of any, with absent values or without."""
    kind = draw(st.one_of(st.none(), st.sampled_from(list(cells))))
    present = any_cell if kind is None else st.tuples(st.just(int(kind)), cells[kind])
    one = present if draw(st.booleans()) else st.one_of(st.just((0, 0)), present)
    found = draw(st.lists(one, min_size=size, max_size=size))
    return np.array([tag for tag, _ in found], np.uint8), np.array([data for _, data in found], np.int64)


@st.composite
def pages(draw):  # type: ignore[no-untyped-def]
    """The arguments of `write_page`."""
    size = draw(st.integers(1, 20))
    rows = sorted(draw(st.lists(st.tuples(ordinals, moments, moments), min_size=size, max_size=size)))
    identities = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    texts = [text.encode() for text in draw(st.lists(st.text(max_size=3), min_size=size, max_size=size))]
    lengths = np.array([len(text) for text in texts], np.uint32)
    ids = (b"".join(texts), np.cumsum(lengths, dtype=np.uint64) - lengths, lengths)
    properties = [(owner, *draw(columns(size))) for owner in sorted(draw(st.sets(st.integers(0, 5), max_size=3)))]
    return (
        np.array([row[0] for row in rows], np.uint32),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.int64),
        np.array(identities, np.uint64),
        ids if draw(st.booleans()) else None,
        [one for one in properties if one[1].any()],
    )


def everything(page: EventPage):  # type: ignore[no-untyped-def]
    """All that can be read of a page."""
    places = np.arange(len(page), dtype=np.int64)
    found = [page.ordinals(), page.times(), page.arrivals(), page.identities()]
    chosen = [page.ordinals(places), page.times(places), page.arrivals(places), page.identities(places)]
    assert [a.tolist() for a in found] == [a.tolist() for a in chosen]
    properties = {}
    for owner in page.owners():
        tags, data = page.property(owner)  # type: ignore[misc]
        again = page.property(owner, places)
        assert again is not None and [tags.tolist(), data.tolist()] == [part.tolist() for part in again]
        properties[owner] = (tags.tolist(), data.tolist(), page.reach(owner))
    return [part.tolist() for part in found], properties, page.insert_ids(places)


@settings(max_examples=300, deadline=None)
@given(pages())
def test_a_page_brings_back_what_was_written(given_) -> None:  # type: ignore[no-untyped-def]
    users, times, arrivals, identities, ids, properties = given_
    page = EventPage(write_page(*given_))
    found, read, texts = everything(page)
    assert found == [users.tolist(), times.tolist(), arrivals.tolist(), identities.tolist()]
    assert page.least_time() == times.min() and page.greatest_time() == times.max()
    assert list(read) == [owner for owner, _, _ in properties]
    for owner, tags, data in properties:
        assert read[owner][:2] == (tags.tolist(), np.where(tags != 0, data, 0).tolist())
        blobs = (tags == ValueType.LIST) | (tags == ValueType.MAP)
        reach = [int(data[of].max()) + 1 if of.any() else 0 for of in (tags == ValueType.STRING, blobs)]
        assert list(read[owner][2]) == reach
    assert page.property(77) is None and page.reach(77) == (0, 0)
    heap, starts, lengths = ids if ids is not None else (b"", users.astype(np.uint64) * 0, users * 0)
    assert [text.encode() for text in texts] == [
        heap[start : start + length] for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
    ]
    assert (page.id_spans() is None) == (not lengths.any())


@settings(max_examples=200, deadline=None)
@given(pages(), ordinals, ordinals, moments, moments, st.data())
def test_looking_up(given_, first, last, after, upto, data) -> None:  # type: ignore[no-untyped-def]
    users, times, _, identities, _, _ = given_
    page = EventPage(write_page(*given_))
    start, stop = page.span(first, last)
    assert list(range(start, stop)) == np.flatnonzero((users >= first) & (users <= last)).tolist()
    wanted = np.array(sorted(data.draw(st.sets(ordinals))), np.uint32)
    assert page.places_of(wanted).tolist() == np.flatnonzero(np.isin(users, wanted)).tolist()
    assert page.places_between(after, upto).tolist() == np.flatnonzero((times > after) & (times <= upto)).tolist()
    words = np.array([data.draw(st.integers(0, 2**64 - 1))], np.uint64)
    alive = data.draw(st.sampled_from([None, words]))
    counts = np.unpackbits(words.view(np.uint8), bitorder="little") if alive is not None else np.ones(64, np.uint8)
    rows = zip(users.tolist(), times.tolist(), identities.tolist(), counts.tolist(), strict=False)
    there = {row[:3] for row in rows if row[3]}
    asked = data.draw(
        st.lists(
            st.one_of(st.sampled_from(sorted(there) or [(0, 0, 0)]), st.tuples(ordinals, moments, st.integers(0, 3)))
        )
    )
    known = np.zeros(len(asked), np.uint8)
    columns = [np.array([row[n] for row in asked], kind) for n, kind in enumerate((np.uint32, np.int64, np.uint64))]
    page.mark_known(*columns, alive, known)  # type: ignore[arg-type]
    assert known.tolist() == [int(row in there) for row in asked]


@settings(max_examples=300, deadline=None)
@given(pages(), st.data())
def test_damage_is_refused_or_read_and_never_more(given_, data) -> None:  # type: ignore[no-untyped-def]
    page = bytearray(write_page(*given_))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(page), 1024) - 1))
        page[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del page[data.draw(st.integers(0, len(page))) :]
    try:
        read = EventPage(bytes(page))
        everything(read)
        read.id_spans()
        read.places_of(np.array([0, 65_536], np.uint32))
        read.places_between(0, _DAY)
    except StoreError as error:
        assert error.code == "STORE_DAMAGED"


def test_the_narrowest_form() -> None:
    size = 10_000
    users = np.arange(size, dtype=np.uint32)
    times = _DAY + users.astype(np.int64) * 1_000_000
    amounts = (np.round(np.linspace(0, 500, size) * 100) / 100).view(np.int64)
    properties = [
        (0, np.full(size, ValueType.DOUBLE, np.uint8), amounts),
        (1, np.full(size, ValueType.STRING, np.uint8), np.arange(size) % 200),
        (2, np.full(size, ValueType.BOOL, np.uint8), np.ones(size, np.int64)),
    ]
    arrivals = np.full(size, _DAY, np.int64)
    page = write_page(users, times, arrivals, users.astype(np.uint64), None, properties)
    # ordinal 2, time in whole seconds 2, identity 8, cents 2, one of 200 strings 1
    assert len(page) < 15 * size + 2048


def test_pages_take_any_buffer_and_keep_it() -> None:
    one = (np.array([3], np.uint32), np.array([5]), np.array([7]), np.array([9], np.uint64), None, [])
    page = write_page(*one)  # type: ignore[arg-type]
    assert EventPage(memoryview(page)).ordinals().tolist() == [3]
    assert EventPage(memoryview(b"123" + page)[3:]).arrivals().tolist() == [7]
    lent = bytearray(page)
    kept = EventPage(lent)
    with pytest.raises(BufferError):
        lent.clear()
    assert kept.identities().tolist() == [9]


@pytest.mark.parametrize("wrong", ["empty", "order", "lengths", "absent", "owners", "heap"])
def test_what_is_no_page_is_not_written(wrong: str) -> None:
    size = 0 if wrong == "empty" else 2
    users = np.array([5, 3] if wrong == "order" else [3, 5], np.uint32)[:size]
    times, identities = np.zeros(1 if wrong == "lengths" else size, np.int64), np.zeros(size, np.uint64)
    ids = (b"abc", np.array([0, 2], np.uint64), np.array([1, 2], np.uint32)) if wrong == "heap" else None
    tags = np.full(2, 0 if wrong == "absent" else 3, np.uint8)
    properties = [(1, tags, np.zeros(2, np.int64)), (1 if wrong == "owners" else 2, tags, np.zeros(2, np.int64))]
    with pytest.raises(ValueError):
        write_page(users, times, np.zeros(size, np.int64), identities, ids, properties if size else [])


runs = st.lists(st.tuples(ordinals, st.integers(0, 2), st.integers(0, 2)), max_size=12).map(sorted)


def _columns(rows):  # type: ignore[no-untyped-def]
    return [np.array([row[n] for row in rows], kind) for n, kind in enumerate((np.uint32, np.int64, np.int64))]


@given(runs, runs)
def test_merging_against_a_stable_sort(first, second) -> None:  # type: ignore[no-untyped-def]
    joined = [*first, *second]
    assert merged_order(*_columns(first), *_columns(second)).tolist() == sorted(
        range(len(joined)), key=lambda row: joined[row]
    )


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=60))
def test_repeats_against_a_set(rows) -> None:  # type: ignore[no-untyped-def]
    users, times, _ = _columns(rows)
    identities = np.array([row[2] for row in rows], np.uint64)
    known = np.array([row[3] for row in rows], np.uint8)
    expected, seen = [], set()
    for row in rows:
        repeats = row[3] or row[:3] in seen
        expected.append(int(repeats))
        if not repeats:
            seen.add(row[:3])
    mark_repeats(users, times, identities, known)
    assert known.tolist() == expected
