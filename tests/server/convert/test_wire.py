"""Promise: bytes read straight into columns give what the official decoder gives, whatever the bytes are.

Requests are drawn as messages (good records, records that break each limit) and as bytes (fields out of order, twice,
unknown, spelled longer than need be, cut off, changed at random). Both ways end in what core checks: good rows, errors
by place, or the refusal of the whole request.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from google.protobuf.message import Message
from hypothesis import example, given, settings
from hypothesis import strategies as st
from muster.v1 import ingest_pb2

from core.errors import InvalidInput
from core.profiles.batch import NO_CHANGES, NO_EVENTS, NO_PLACES, ChangeBatch, EventBatch, Read
from core.profiles.validate import check_batch
from server.auth import Tokens
from server.convert import records
from server.convert.batches import READERS, Request
from server.interceptors import CallInterceptor
from tests.core.profiles.test_operations import typed

NOW = 1_700_000_000_000_000
SERVICE = "/muster.v1.IngestService/"
MESSAGES: dict[str, Any] = {
    "Track": ingest_pb2.TrackRequest,
    "UpdateProfiles": ingest_pb2.UpdateProfilesRequest,
    "Import": ingest_pb2.ImportRequest,
}
OPERATIONS = ("set", "set_once", "add", "append", "union", "remove", "unset", "merge", "delete")


def official(method: str) -> Callable[[bytes], Message]:
    """What parses a message in the interceptor."""
    interceptor = CallInterceptor(Tokens(), None, 1 << 30)  # type: ignore[arg-type]
    return interceptor._parser(MESSAGES[method].FromString, SERVICE + method)


def plainly(method: str, raw: bytes) -> Request | Any:
    """The request by the official decoder alone, as everything was read once."""
    message: Any = official(method)(raw)
    events = [records.event(one) for one in getattr(message, "events", ())]
    changes = [records.change(one) for one in getattr(message, "updates", ())]
    return (
        message,
        Read(NO_EVENTS, NO_PLACES, list(enumerate(events))),
        Read(NO_CHANGES, NO_PLACES, list(enumerate(changes))),
    )


def outcome(lists: tuple[Read[EventBatch, Any], Read[ChangeBatch, Any]]) -> object:
    """What core makes of the lists, comparable."""
    events, changes, places, errors = check_batch(*lists, NOW)
    return typed(
        [
            [[one.name, one.distinct_id, one.time, one.insert_id, one.properties] for one in events.records()],
            [[one.distinct_id, str(one.operation), one.properties, sorted(one.names)] for one in changes.records()],
            places.tolist(),
            [[e.index, e.code, e.field, e.message, e.mend] for e in sorted(errors, key=lambda e: e.index)],
        ]
    )


def check(method: str, raw: bytes) -> bool:
    """Both ways agree. Returns whether the request was taken."""
    wanted: object
    try:
        message, *lists = plainly(method, raw)
        wanted = [
            message.project,
            getattr(message, "request_id", ""),
            getattr(message, "import_id", ""),
            getattr(message, "offset", 0),
            outcome(tuple(lists)),  # type: ignore[arg-type]
        ]
    except InvalidInput as refusal:
        wanted = str(refusal)
    found: object
    try:
        request = READERS[SERVICE + method](raw, official(method))
        found = [
            request.project,
            request.request_id,
            request.import_id,
            request.offset,
            outcome(request.records.lists()),
        ]
    except InvalidInput as refusal:
        found = str(refusal)
    assert found == wanted
    return isinstance(found, list)


# Bytes of the wire, with everything the format lets one do.


def varint(value: int, longer: int = 0) -> bytes:
    """A varint, spelled with some bytes more than it needs."""
    value &= 2**64 - 1
    found = bytearray()
    while value >= 0x80 or longer:
        found.append(value & 0x7F | 0x80)
        longer -= value < 0x80
        value >>= 7
    found.append(value)
    return bytes(found)


def field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


LONG = st.sampled_from([1, 254, 255, 256])
TEXT = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["a", "plan", "city", "$email", ""]),
    st.builds(lambda size: "x" * size, LONG),
    st.builds(lambda size: "é" * size, LONG),
).map(str.encode)
ODD_TEXT = st.sampled_from(
    [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ab\xe2\x82", b"\0", b"\xf0\x9f\x98\x80"]
)
TEXTS = st.one_of(TEXT, TEXT, TEXT, ODD_TEXT)
NUMBERS = st.one_of(
    st.integers(-3, 3), st.integers(-(2**63), 2**64 - 1), st.sampled_from([999_999_999, 1_000_000_000, 2**31, 2**32])
)
SECONDS = st.one_of(
    st.integers(-10, 10),
    st.sampled_from([-62_135_596_800, -62_135_596_801, 253_402_300_799, 253_402_300_800, 2**63 - 1, -(2**63)]),
)
TIMES = st.lists(
    st.one_of(
        st.builds(lambda value: b"\x08" + varint(value), SECONDS),
        st.builds(lambda value: b"\x10" + varint(value), NUMBERS),
    ),
    max_size=2,
).map(b"".join)
DOUBLES = st.floats(width=64).map(lambda value: struct.pack("<d", value))
PLAIN = st.one_of(
    st.just(b"\x08\0"),
    st.sampled_from([b"\x10\0", b"\x10\x01", b"\x10\x02"]),
    st.builds(lambda value, longer: b"\x18" + varint(value, longer), NUMBERS, st.integers(0, 2)),
    DOUBLES.map(b"\x21".__add__),
    TEXTS.map(lambda text: field(5, text)),
    TIMES.map(lambda time: field(6, time)),
)
ODD_VALUE = st.one_of(
    st.just(b""),
    st.sampled_from([65_536, 65_537]).map(lambda size: field(5, b"x" * size)),
    st.builds(lambda value: b"\x08" + varint(value), NUMBERS),
    st.lists(PLAIN, min_size=2, max_size=2).map(b"".join),
    st.lists(PLAIN, max_size=2).map(lambda items: field(7, b"".join(field(1, item) for item in items))),
    st.lists(st.tuples(TEXT, PLAIN), max_size=2).map(
        lambda items: field(8, b"".join(field(1, field(1, name) + field(2, item)) for name, item in items))
    ),
    st.integers(10, 130).map(lambda depth: nested(depth)),
    st.binary(max_size=6),
)
VALUE = st.one_of(PLAIN, PLAIN, PLAIN, ODD_VALUE)


def nested(depth: int) -> bytes:
    """A list in a list in a list."""
    found = b"\x18\x02"
    for _ in range(depth):
        found = field(7, field(1, found))
    return found


def entry(name: bytes, value: bytes, odd: int) -> bytes:
    """A map's entry; `odd`: in another order, a part left out or sent twice."""
    key, content = field(1, name), field(2, value)
    return {1: content + key, 2: key, 3: content, 4: key + content + content, 5: key + key + content}.get(
        odd, key + content
    )


ENTRY = st.builds(entry, TEXTS, VALUE, st.integers(0, 30))
GOOD_ENTRY = st.builds(entry, st.sampled_from([b"plan", b"age", b"a", b"b"]), PLAIN, st.just(0))
ENTRIES = st.lists(st.one_of(GOOD_ENTRY, GOOD_ENTRY, ENTRY), max_size=5)
JUNK = st.one_of(
    st.builds(lambda number, content: field(number, content), st.integers(1, 17), st.binary(max_size=4)),
    st.binary(max_size=3),
    st.builds(lambda number, value: varint(number << 3) + varint(value), st.integers(1, 17), NUMBERS),
)


def whole(parts: Iterable[bytes], odd: int, junk: bytes) -> bytes:
    """A record of fields; `odd`: something more, something twice, or another order."""
    parts = list(parts)
    if odd == 1:
        parts.append(junk)
    elif odd == 2:
        parts += parts[:1]
    elif odd == 3:
        parts.reverse()
    elif odd == 4 and parts:
        parts.pop(0)
    return b"".join(parts)


EVENT = st.builds(
    lambda name, sent, time, insert, entries, odd, junk: whole(
        [
            field(1, name),
            field(2, sent),
            *([] if time is None else [field(3, time)]),
            *([] if insert is None else [field(4, insert)]),
            *(field(5, item) for item in entries),
        ],
        odd,
        junk,
    ),
    TEXTS,
    TEXTS,
    st.none() | TIMES,
    st.none() | TEXTS,
    ENTRIES,
    st.integers(0, 15),
    JUNK,
)


def operation(number: int, entries: list[bytes], names: list[bytes]) -> bytes:
    """An operation of a profile update."""
    content = {8: b"".join(field(1, name) for name in names), 10: b""}.get(
        number, b"".join(field(1, item) for item in entries)
    )
    return field(number, content)


CHANGE = st.builds(
    lambda sent, done, more, odd, junk: whole([field(1, sent), done, *more], odd, junk),
    TEXTS,
    st.builds(operation, st.integers(2, 10), ENTRIES, st.lists(TEXTS, max_size=3)),
    st.lists(st.builds(operation, st.integers(2, 10), ENTRIES, st.lists(TEXTS, max_size=3)), max_size=1).filter(
        lambda more: not more
    )
    | st.lists(st.builds(operation, st.integers(2, 10), ENTRIES, st.just([])), max_size=1),
    st.integers(0, 15),
    JUNK,
)


GOOD_TEXT = st.sampled_from(["ann", "bo", "x" * 255, "é" * 127, "日本", "😀", "plan", "z"]).map(str.encode)
GOOD_PLAIN = st.one_of(
    st.just(b"\x08\0"),
    st.sampled_from([b"\x10\0", b"\x10\x01"]),
    st.builds(lambda value: b"\x18" + varint(value), NUMBERS),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: b"\x21" + struct.pack("<d", value)),
    st.text(max_size=12).map(lambda text: field(5, text.encode())),
    st.builds(
        lambda seconds, nanos: field(6, b"\x08" + varint(seconds) + b"\x10" + varint(nanos)),
        st.integers(-62_135_596_800, 253_402_300_799),
        st.integers(0, 999_999_999),
    ),
)
GOOD_ENTRIES = st.dictionaries(GOOD_TEXT, GOOD_PLAIN, max_size=5).map(
    lambda found: [entry(name, value, 0) for name, value in found.items()]
)
GOOD_EVENT = st.builds(
    lambda name, sent, time, insert, entries: whole(
        [field(1, name), field(2, sent), field(3, time), field(4, insert), *(field(5, item) for item in entries)],
        0,
        b"",
    ),
    GOOD_TEXT,
    GOOD_TEXT,
    st.sampled_from([b"", b"\x08\x01", b"\x10\x01"]),
    GOOD_TEXT | st.just(b""),
    GOOD_ENTRIES,
)
GOOD_CHANGE = st.builds(
    lambda sent, number, entries, names: field(1, sent) + operation(number, entries, names),
    GOOD_TEXT,
    st.integers(2, 10),
    GOOD_ENTRIES,
    st.lists(GOOD_TEXT, unique=True, max_size=3),
)


def request(method: str, events: list[bytes], changes: list[bytes], odd: int, junk: bytes) -> bytes:
    """A request of records."""
    parts = [field(1, b"project"), field(2, b"id")]
    if method == "Import":
        parts.append(b"\x18" + varint(odd))
    if method != "UpdateProfiles":
        parts += [field(4 if method == "Import" else 3, one) for one in events]
    if method != "Track":
        parts += [field(5 if method == "Import" else 3, one) for one in changes]
    return whole(parts, odd, junk)


REQUESTS = st.sampled_from(sorted(MESSAGES)).flatmap(
    lambda method: st.tuples(
        st.just(method),
        st.builds(
            request,
            st.just(method),
            st.lists(st.one_of(GOOD_EVENT, GOOD_EVENT, EVENT), max_size=5),
            st.lists(st.one_of(GOOD_CHANGE, GOOD_CHANGE, CHANGE), max_size=5),
            st.integers(0, 40),
            JUNK,
        ),
    )
)


@settings(max_examples=1_500, deadline=None)
@given(REQUESTS)
@example(("Track", b""))
@example(("Track", field(3, b"")))
def test_any_request_is_read_as_the_official_decoder_reads_it(sent: tuple[str, bytes]) -> None:
    check(*sent)


@settings(max_examples=1_500, deadline=None)
@given(REQUESTS, st.data())
def test_bytes_changed_at_random_are_read_alike(sent: tuple[str, bytes], data: st.DataObject) -> None:
    method, raw = sent
    changed = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        if changed:
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(changed)) | st.just(len(changed)))
    check(method, bytes(changed[:cut]))


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(MESSAGES)), st.binary(max_size=60))
def test_any_bytes_are_read_alike(method: str, raw: bytes) -> None:
    check(method, raw)


def test_what_the_sdk_sends_needs_no_official_decoder() -> None:
    sent = ingest_pb2.TrackRequest(project="p", request_id="r")
    for number in range(300):
        event = sent.events.add(name=f"Näme {number % 3}", distinct_id=f"user-{number}", insert_id=str(number))
        event.time.FromMicroseconds(NOW + number)
        event.properties["text"].string_value = "naïve 😀"
        event.properties["int"].int_value = -number
        event.properties["double"].double_value = number / 7
        event.properties["bool"].bool_value = number % 2 == 0
        event.properties["null"].null_value = 0  # type: ignore[assignment]
        event.properties["at"].time_value.FromMicroseconds(-number)
    updates = ingest_pb2.UpdateProfilesRequest(project="p", request_id="r")
    for number, kind in enumerate(("set", "set_once", "add", "append", "union", "remove")):
        properties = getattr(updates.updates.add(distinct_id=f"user-{number}"), kind).properties
        properties["n"].int_value = number
    updates.updates.add(distinct_id="a").unset.names.append("n")
    updates.updates.add(distinct_id="a").delete.SetInParent()
    for method, message, count in (("Track", sent, 300), ("UpdateProfiles", updates, 8)):
        raw = message.SerializeToString()
        found = READERS[SERVICE + method](raw, official(method)).records
        assert (found.is_read, len(found)) == (True, count)
        assert len(found.event_places) + len(found.change_places) == count
        assert check(method, raw)


def test_rows_keep_the_order_of_the_request() -> None:
    sent = ingest_pb2.TrackRequest(project="p")
    for number in range(20):
        event = sent.events.add(name="odd" if number % 3 else "Even", distinct_id=f"user-{number}")
        event.properties["n"].int_value = number
        if number % 2:
            event.properties["tags"].list_value.values.add(string_value=str(number))
        if number % 5 == 4:
            event.distinct_id = ""
    request = READERS[SERVICE + "Track"](sent.SerializeToString(), official("Track"))
    events, _, _, errors = check_batch(*request.records.lists(), NOW)
    assert [error.index for error in errors] == [4, 9, 14, 19]
    good = [number for number in range(20) if number % 5 != 4]
    assert [one.distinct_id for one in events.records()] == [f"user-{number}" for number in good]
    for number, one in zip(good, events.records(), strict=True):
        assert one.properties == ({"n": number, "tags": [str(number)]} if number % 2 else {"n": number})
    assert all(np.all(np.diff(cells.places.astype(np.int64)) > 0) for cells in events.cells())


def test_more_names_than_a_batch_may_hold_records_are_counted_and_refused() -> None:
    raw = b"".join(field(3, field(1, str(number).encode()) + field(2, b"a")) for number in range(70_000))
    try:
        check_batch(*READERS[SERVICE + "Track"](raw, official("Track")).records.lists(), NOW)
    except InvalidInput as refusal:
        assert (refusal.code, "70000" in refusal.message) == ("BATCH_TOO_LARGE", True)
    else:
        raise AssertionError("taken")
