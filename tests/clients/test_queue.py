"""Promises of the queue: putting never blocks; a full queue drops the newest and says so; what was taken reaches the
server once, in order; what is lost is told, and what waits for a server that is not there."""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import muster
import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster import outage
from muster.queue import stages
from muster.v1 import ingest_pb2

from tests.clients.conftest import QUICK
from tests.clients.fakes import FakeServer, refuse, unavailable

Connect = Callable[..., muster.Client]


def until(condition: Callable[[], bool]) -> None:
    """Wait for what a thread does soon."""
    for _ in range(1_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to pass")


def test_what_is_tracked_arrives_in_order(fake: FakeServer, client: muster.Client) -> None:
    assert all(client.track("A", "u1", {"n": number}) for number in range(500))
    assert client.flush(10)
    assert client.pending == 0
    assert [event.properties["n"].int_value for event in fake.ingest.taken] == list(range(500))


def test_records_share_requests(fake: FakeServer, connect: Connect) -> None:
    client = connect(linger=5.0)
    for number in range(1_000):
        client.track("A", f"u{number}")
    assert client.flush(10)
    assert len(fake.ingest.requests) <= 3


def test_tracking_does_not_wait_for_a_server_that_hangs(fake: FakeServer, connect: Connect) -> None:
    fake.ingest.gate.clear()
    client = connect(queue_size=10_000, exit_timeout=0.1)
    done = threading.Event()

    def track() -> None:
        for number in range(2_000):
            client.track("A", f"u{number}")
        done.set()

    threading.Thread(target=track, daemon=True).start()
    assert done.wait(20), "track waited for the server"
    assert not client.flush(0.05)
    assert client.pending == 2_000
    fake.ingest.gate.set()
    assert client.flush(20)


def test_tracking_does_not_wait_where_there_is_no_server(fake: FakeServer, connect: Connect) -> None:
    fake.stop()
    client = connect(exit_timeout=0.1)
    assert client.track("A", "u1")
    assert client.pending == 1


def test_a_full_queue_drops_the_newest(fake: FakeServer, connect: Connect) -> None:
    fake.ingest.gate.clear()
    lost: list[muster.Lost] = []
    client = connect(queue_size=10, on_error=lost.extend)
    taken = [client.track("A", "u1", {"n": number}) for number in range(15)]
    assert taken == [True] * 10 + [False] * 5
    assert client.dropped == 5
    fake.ingest.gate.set()
    assert client.flush(10)
    assert [event.properties["n"].int_value for event in fake.ingest.taken] == list(range(10))
    until(lambda: sum(one.count for one in lost) == 5)
    assert {one.error.code for one in lost} == {"CLIENT_QUEUE_FULL"}
    assert client.track("A", "u1"), "there is room again"


def test_an_update_of_several_operations_is_taken_whole_or_not(fake: FakeServer, connect: Connect) -> None:
    fake.ingest.gate.clear()
    client = connect(queue_size=3)
    assert client.update("u1", set={"a": 1}, add={"b": 1})
    assert not client.update("u1", set={"a": 2}, add={"b": 2})
    assert client.update("u1", set={"a": 3})


def test_an_outage_loses_nothing(fake: FakeServer, client: muster.Client) -> None:
    client.track("A", "u1", {"n": 0})
    assert client.flush(10)
    fake.stop()
    for number in range(1, 50):
        client.track("A", "u1", {"n": number})
    assert not client.flush(0.2)
    fake.start()
    assert client.flush(20)
    assert [event.properties["n"].int_value for event in fake.ingest.taken] == list(range(50))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_no_server_is_warned_of_once_and_nothing_is_lost(
    fake: FakeServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "muster")
    lost: list[muster.Lost] = []
    fake.stop()
    client = connect(on_error=lost.extend)
    client.track("A", "u1")
    client.track("A", "u2")
    assert not client.flush(0.1)
    until(lambda: len(caplog.records) >= 3)
    (warning,) = warnings(caplog)
    assert warning.startswith(f"{fake.target} does not take records; 2 wait until it does: ")
    assert "connect" in warning, "the reason"
    assert (lost, client.pending) == ([], 2)
    fake.start()
    assert client.flush(20)
    assert caplog.records[-1].getMessage() == f"{fake.target} takes records again"
    assert lost == []


def test_an_outage_that_lasts_is_warned_of_again(
    fake: FakeServer, client: muster.Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "REMIND_SECONDS", 0.0)
    fake.ingest.faults = [unavailable] * 3
    client.track("A", "u1")
    assert client.flush(10)
    assert len(warnings(caplog)) == 3


@pytest.mark.parametrize("there", [False, True], ids=["no server", "a server that hangs"])
def test_a_flush_ends_without_being_told_when(fake: FakeServer, connect: Connect, there: bool) -> None:
    if there:
        fake.ingest.gate.clear()
    else:
        fake.stop()
    client = connect(timeout=0.2, exit_timeout=0.1)
    client.track("A", "u1")
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(client.flush()), daemon=True)
    waiting.start()
    waiting.join(20)
    assert answers == [False]
    assert client.pending == 1


def test_a_flush_may_take_as_long_as_it_takes(fake: FakeServer, connect: Connect) -> None:
    client = connect(timeout=5.0)
    client.track("A", "u1")
    assert client.flush(math.inf)


def test_a_batch_whose_answer_was_lost_is_not_stored_twice(fake: FakeServer, client: muster.Client) -> None:
    fake.ingest.late_faults = [unavailable, unavailable]
    client.track("A", "u1")
    assert client.flush(10)
    assert len(fake.ingest.requests) == 3
    assert len(fake.ingest.taken) == 1


def test_a_full_server_is_waited_for(fake: FakeServer, client: muster.Client) -> None:
    fake.ingest.faults = [lambda context: refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "full", "EXHAUSTED")]
    client.track("A", "u1")
    assert client.flush(10)
    assert len(fake.ingest.taken) == 1


def test_what_the_server_refuses_is_told(fake: FakeServer, connect: Connect) -> None:
    fake.ingest.reject = lambda record: math.isnan(record.properties["amount"].double_value)
    lost: list[muster.Lost] = []
    client = connect(on_error=lost.extend)
    client.track("Purchase", "u1", {"amount": 1.0})
    client.track("Purchase", "u2", {"amount": math.nan})
    assert client.flush(10)
    assert len(fake.ingest.taken) == 1
    (one,) = lost
    assert one.record is not None and one.record.distinct_id == "u2"
    assert (one.error.code, one.error.field) == ("VALUE_NOT_FINITE", "properties.amount")


def test_a_refused_batch_is_told_and_the_next_goes_on(fake: FakeServer, connect: Connect) -> None:
    fake.ingest.faults = [lambda context: refuse(context, grpc.StatusCode.NOT_FOUND, "no", "PROJECT_NOT_FOUND")]
    lost: list[muster.Lost] = []
    client = connect(on_error=lost.extend)
    client.track("A", "u1")
    assert client.flush(10)
    client.track("B", "u1")
    assert client.flush(10)
    assert [one.error.code for one in lost] == ["PROJECT_NOT_FOUND"]
    assert [event.name for event in fake.ingest.taken] == ["B"]


def test_a_batch_too_large_for_the_server_is_cut(connect: Connect) -> None:
    small = FakeServer(most_bytes=100_000)
    lost: list[muster.Lost] = []
    with muster.Client(small.target, project="shop", retry=QUICK, linger=0.2, on_error=lost.extend) as client:
        for number in range(20):
            client.track("A", "u1", {"n": number, "text": "x" * 30_000})
        client.track("huge", "u1", {"text": "x" * 200_000})
        assert client.flush(10)
    small.stop()
    assert [event.properties["n"].int_value for event in small.ingest.taken] == list(range(20))
    assert [(one.error.code, one.record and one.record.name) for one in lost] == [("REQUEST_TOO_LARGE", "huge")]


def test_without_on_error_losses_are_logged(
    fake: FakeServer, client: muster.Client, caplog: pytest.LogCaptureFixture
) -> None:
    fake.ingest.reject = lambda record: True
    client.track("A", "u1")
    assert client.flush(10)
    assert "1 record was lost" in caplog.text


def test_an_on_error_that_fails_does_not_end_the_queue(
    fake: FakeServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    def on_error(lost: Sequence[muster.Lost]) -> None:
        raise ZeroDivisionError

    fake.ingest.reject = lambda record: record.name == "bad"
    client = connect(on_error=on_error)
    client.track("bad", "u1")
    assert client.flush(10)
    client.track("good", "u1")
    assert client.flush(10)
    assert [event.name for event in fake.ingest.taken] == ["good"]
    assert "on_error failed" in caplog.text


def test_closing_sends_what_is_left(fake: FakeServer, connect: Connect) -> None:
    client = connect(linger=60.0)
    client.track("A", "u1")
    client.close()
    assert len(fake.ingest.taken) == 1
    assert not client.track("B", "u1"), "a closed queue takes nothing"
    client.close()


def test_closing_gives_up_in_time_and_tells(fake: FakeServer, connect: Connect) -> None:
    fake.ingest.gate.clear()
    lost: list[muster.Lost] = []
    client = connect(exit_timeout=0.2, on_error=lost.extend)
    client.track("A", "u1")
    client.close()
    until(lambda: bool(lost))
    assert [one.record and one.record.distinct_id for one in lost] == ["u1"]


def test_closing_without_a_server_tells_once_of_all_that_is_lost(
    fake: FakeServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    fake.stop()
    client = connect(queue_batch=10, exit_timeout=0.2)
    for number in range(1_000):
        client.track("A", f"u{number}")
    until(lambda: bool(warnings(caplog)))
    client.close()
    until(lambda: len(warnings(caplog)) >= 2)
    told = warnings(caplog)
    assert len(told) == 2
    assert told[0].startswith(f"{fake.target} does not take records")
    assert told[1].startswith("1,000 records were lost") and "connect" in told[1]
    assert client.pending == 0


def test_a_client_that_nobody_closed_still_sends_and_leaves_no_thread(fake: FakeServer) -> None:
    client = muster.Client(fake.target, project="shop", retry=QUICK, linger=0.01)
    client.track("A", "u1")
    thread = client._queue._thread
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()
    assert len(fake.ingest.taken) == 1


def test_what_cannot_be_written_is_refused_at_once(client: muster.Client) -> None:
    with pytest.raises(muster.InvalidInput) as caught:
        client.track("A", "u1", {"when": datetime(2026, 1, 1)})
    assert (caught.value.code, caught.value.field) == ("TIME_WITHOUT_ZONE", "properties.when")
    assert client.pending == 0


def test_properties_are_read_when_they_are_given(fake: FakeServer, connect: Connect) -> None:
    client = connect(linger=0.3)
    properties = {"n": 1}
    client.track("A", "u1", properties)
    properties["n"] = 2
    assert client.flush(10)
    assert fake.ingest.taken[0].properties["n"].int_value == 1


def test_a_signal_handler_may_track(client: muster.Client) -> None:
    with client._queue._changed:  # as if the handler interrupted a put
        assert client.track("A", "u1")


def test_tracking_equal_events_makes_several(fake: FakeServer, client: muster.Client) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(2):
        client.track("Click", "u1")
        client.track("Import", "u1", time=moment)
    assert client.flush(10)
    ids = {(event.name, event.insert_id) for event in fake.ingest.taken}
    assert len([one for one in ids if one[0] == "Click"]) == 2, "each click is a click of its own"
    assert ("Import", "") in ids and len(ids) == 3, "a time makes the event what it is"


def test_updates_and_events_of_a_user_keep_their_order(fake: FakeServer, connect: Connect) -> None:
    client = connect(linger=0.5)
    for number in range(20):
        client.update(f"u{number}", set={"n": number})
        client.track("A", f"u{number}")
    client.update("u0", set={"n": 99})
    assert client.flush(10)
    of_first = [type(record).__name__ for record in fake.ingest.taken if record.distinct_id == "u0"]
    assert of_first == ["ProfileUpdate", "Event", "ProfileUpdate"]
    assert len(fake.ingest.requests) == 3, "interleaved records of many users make few requests"


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=40))
def test_stages_keep_each_users_order(kinds: list[tuple[bool, str]]) -> None:
    def record(number: int, is_event: bool, user: str) -> Any:
        if is_event:
            return ingest_pb2.Event(distinct_id=user, name=str(number))
        return ingest_pb2.ProfileUpdate(distinct_id=user, unset=ingest_pb2.PropertyNames(names=[str(number)]))

    records = [record(number, *kind) for number, kind in enumerate(kinds)]
    found = stages(records)
    assert all(len({type(one) for one in stage}) == 1 for stage in found)
    for user in "abc":
        sent = [one for stage in found for one in stage if one.distinct_id == user]
        assert sent == [one for one in records if one.distinct_id == user]


async def test_the_asyncio_client_has_the_same_queue(fake: FakeServer) -> None:
    fake.ingest.reject = lambda record: record.name == "bad"
    told: list[tuple[str, threading.Thread]] = []

    def on_error(lost: Sequence[muster.Lost]) -> None:
        told.append((lost[0].error.code, threading.current_thread()))

    async with muster.AsyncClient(fake.target, project="shop", retry=QUICK, on_error=on_error) as client:
        assert client.track("good", "u1")
        assert client.track("bad", "u1")
        assert await client.flush(10)
        client.track("last", "u1")
    assert [event.name for event in fake.ingest.taken] == ["good", "last"]
    assert told == [("VALUE_NOT_FINITE", threading.main_thread())], "on_error is called in the event loop"
