"""Promises of imports: they go on where they stopped, by themselves and in another process; several batches are under
way at once; rejected records are named by their place in the source; nothing is stored twice, also where batches of an
earlier process still land."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import muster
import pytest
from muster.v1 import ingest_pb2

from tests.clients.conftest import QUICK
from tests.clients.fakes import FakeServer

Connect = Callable[..., muster.Client]


def events(count: int) -> Iterator[ingest_pb2.Event]:
    for number in range(count):
        yield muster.event("A", "u1", {"n": number}, insert_id=str(number))


def numbers(fake: FakeServer, import_id: str = "x") -> list[int]:
    return [record.properties["n"].int_value for record in fake.ingest.imported[import_id]]


def test_everything_arrives_in_order(fake: FakeServer, client: muster.Client) -> None:
    offsets: list[int] = []
    done = client.import_records(events(1_050), import_id="x", batch=100, progress=lambda at: offsets.append(at.offset))
    assert (done.accepted, done.offset, done.rejected, done.reconnects) == (1_050, 1_050, [], 0)
    assert numbers(fake) == list(range(1_050))
    assert offsets == [*range(100, 1_001, 100), 1_050]


def test_nothing_to_import(fake: FakeServer, client: muster.Client) -> None:
    assert client.import_records([]).offset == 0


@pytest.mark.parametrize("swallow", [False, True], ids=["batch lost", "answer lost"])
def test_a_broken_stream_is_taken_up_where_it_stopped(fake: FakeServer, client: muster.Client, swallow: bool) -> None:
    fake.ingest.break_after = [3, 0, 5, None]
    fake.ingest.swallow_last_answer = swallow
    done = client.import_records(events(2_000), import_id="x", batch=100, window=4)
    assert numbers(fake) == list(range(2_000))
    assert (done.offset, done.reconnects, fake.ingest.streams) == (2_000, 3, 4)
    assert done.accepted + done.unreported == 2_000
    assert bool(done.unreported) == swallow


def test_a_restarted_server_is_waited_for(fake: FakeServer, client: muster.Client) -> None:
    pause = threading.Event()

    def stop_and_start(at: muster.Imported) -> None:
        if at.offset == 500 and not pause.is_set():
            pause.set()
            fake.stop()
            threading.Timer(0.3, fake.start).start()

    done = client.import_records(events(2_000), import_id="x", batch=100, progress=stop_and_start)
    assert numbers(fake) == list(range(2_000))
    assert done.reconnects > 0


def test_another_process_goes_on_where_the_first_stopped(fake: FakeServer, connect: Connect) -> None:
    class Crash(Exception):
        pass

    def crash(at: muster.Imported) -> None:
        if at.offset >= 600:
            raise Crash

    with pytest.raises(Crash):
        connect().import_records(events(2_000), import_id="x", batch=100, window=1, progress=crash)
    assert numbers(fake) == list(range(600))
    done = connect().import_records(events(2_000), import_id="x", batch=150)
    assert done.resumed_at == 600
    assert done.accepted == 1_400
    assert numbers(fake) == list(range(2_000))


@pytest.mark.parametrize("awaited", [False, True], ids=["blocking", "asyncio"])
@pytest.mark.parametrize("window", [1, 8])
@pytest.mark.parametrize("later", [0, 50, 100, 400], ids=lambda count: f"then {count}")
async def test_batches_of_an_earlier_process_may_still_land(
    fake: FakeServer, client: muster.Client, awaited: bool, window: int, later: int
) -> None:
    def source() -> Iterator[ingest_pb2.Event]:
        for number, one in enumerate(events(2_000)):
            if number == 700:  # the server has told that it has come to 600
                fake.ingest.land("x", list(events(800))[600:])
            yield one

    fake.ingest.land("x", list(events(600)))
    fake.ingest.when_asked = [lambda: None, lambda: fake.ingest.land("x", list(events(800 + later))[800:])]
    if awaited:
        async with muster.AsyncClient(fake.target, project="shop", retry=QUICK) as other:
            done = await other.import_records(source(), import_id="x", batch=150, window=window)
    else:
        done = client.import_records(source(), import_id="x", batch=150, window=window)
    assert numbers(fake) == list(range(2_000)), "each once, in order"
    assert (done.resumed_at, done.offset, done.accepted, done.unreported) == (600, 2_000, 1_200 - later, 200 + later)


def test_rejected_records_of_a_batch_cut_short_are_named_by_their_place(
    fake: FakeServer, client: muster.Client
) -> None:
    def mixed() -> Iterator[muster.Record]:
        for number in range(100):
            if number == 30:
                fake.ingest.land("x", list(events(25)))
            if number % 3:
                yield muster.event("A", f"u{number}", insert_id=str(number))
            else:
                yield from muster.update(f"u{number}", set={"n": number})

    fake.ingest.reject = lambda record: record.distinct_id in ("u3", "u26", "u27", "u98")
    done = client.import_records(mixed(), import_id="x", batch=40)
    assert sorted(one.offset for one in done.rejected) == [26, 27, 98]
    assert (done.accepted, done.unreported, done.offset) == (72, 25, 100)


def test_two_imports_of_one_id_at_once_store_each_record_once(fake: FakeServer, connect: Connect) -> None:
    failures: list[muster.MusterError] = []

    def run(batch: int) -> None:
        try:
            connect().import_records(events(3_000), import_id="x", batch=batch)
        except muster.MusterError as error:
            failures.append(error)

    both = [threading.Thread(target=run, args=(batch,)) for batch in (70, 110)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert failures == []
    assert numbers(fake) == list(range(3_000))


def test_an_import_that_is_done_reads_its_source_and_sends_nothing(fake: FakeServer, client: muster.Client) -> None:
    client.import_records(events(300), import_id="x", batch=100)
    again = client.import_records(events(300), import_id="x", batch=100)
    assert (again.accepted, again.resumed_at, again.offset) == (0, 300, 300)
    assert numbers(fake) == list(range(300))


def test_a_shorter_source_of_the_same_id_is_refused(fake: FakeServer, client: muster.Client) -> None:
    client.import_records(events(300), import_id="x", batch=100)
    with pytest.raises(muster.FailedPrecondition) as caught:
        client.import_records(events(299), import_id="x")
    assert caught.value.code == "IMPORT_TOO_SHORT"


def test_a_server_that_went_back_is_noticed(fake: FakeServer, client: muster.Client) -> None:
    fake.ingest.break_after = [4, None]

    def go_back(at: muster.Imported) -> None:
        if at.offset == 400:
            fake.ingest.offsets["x"] = 100  # as a store restored from a backup

    with pytest.raises(muster.FailedPrecondition) as caught:
        client.import_records(events(1_000), import_id="x", batch=100, window=1, progress=go_back)
    assert caught.value.code == "IMPORT_DIVERGED"


def test_several_batches_are_under_way_at_once(fake: FakeServer, client: muster.Client) -> None:
    taken = 0

    def source() -> Iterator[ingest_pb2.Event]:
        nonlocal taken
        for one in events(1_000):
            taken += 1
            yield one

    ahead: list[int] = []
    client.import_records(source(), batch=10, window=8, progress=lambda at: ahead.append(taken - at.offset))
    assert ahead[0] == 70, "eight batches were sent before the first answer was waited for"
    assert max(ahead) == 70, "and never more"


def test_rejected_records_are_named_by_their_place(fake: FakeServer, client: muster.Client) -> None:
    def mixed() -> Iterator[muster.Record]:
        for number in range(100):
            if number % 3:
                yield muster.event("A", f"u{number}", insert_id=str(number))
            else:
                yield from muster.update(f"u{number}", set={"n": number})

    fake.ingest.reject = lambda record: record.distinct_id in ("u3", "u4", "u98")
    done = client.import_records(mixed(), import_id="x", batch=10)
    assert [one.offset for one in sorted(done.rejected, key=lambda one: one.offset)] == [3, 4, 98]
    assert {one.error.code for one in done.rejected} == {"VALUE_NOT_FINITE"}
    assert done.accepted == 97


def test_an_event_after_a_deletion_is_not_sent_with_it(fake: FakeServer, client: muster.Client) -> None:
    records = [
        muster.event("before", "u1", insert_id="1"),
        *muster.update("u1", delete=True),
        *muster.update("u1", set={"a": 1}),
        muster.event("after", "u1", insert_id="2"),
    ]
    client.import_records(records, import_id="x")
    kinds = [record.name if isinstance(record, ingest_pb2.Event) else "update" for record in fake.ingest.imported["x"]]
    assert kinds == ["before", "update", "update", "after"]


def test_an_error_in_the_source_is_the_callers(fake: FakeServer, client: muster.Client) -> None:
    def source() -> Iterator[ingest_pb2.Event]:
        yield from events(250)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.import_records(source(), import_id="x", batch=100, window=1)
    assert client.import_records(events(500), import_id="x", batch=100).offset == 500
    assert numbers(fake) == list(range(500))


@pytest.mark.parametrize("waiting", [1, 8])
async def test_a_batch_that_the_server_refuses_ends_the_import_with_its_reason(fake: FakeServer, waiting: int) -> None:
    def refuse_poison(at: muster.Imported) -> None:
        if at.offset == 300:
            fake.ingest.poison = True

    async with muster.AsyncClient(fake.target, project="shop", retry=QUICK) as client:
        with pytest.raises(muster.InvalidInput) as caught:
            await client.import_records(
                events(2_000), import_id="x", batch=100, window=waiting, progress=refuse_poison, patience=20
            )
    assert caught.value.code == "BATCH_TOO_LARGE"


def test_what_is_no_record_is_named(client: muster.Client) -> None:
    records: Any = [muster.event("A", "u1"), muster.update("u1", set={"a": 1})]
    with pytest.raises(muster.InvalidInput, match="record 1 is a list"):
        client.import_records(records)


def test_no_server_is_told_soon(fake: FakeServer, client: muster.Client) -> None:
    fake.stop()
    with pytest.raises(muster.Unavailable):
        client.import_records(events(10), patience=1_000)


def test_patience_ends(fake: FakeServer, client: muster.Client) -> None:
    fake.ingest.break_after = [1, *[0] * 10_000]
    with pytest.raises(muster.Unavailable):
        client.import_records(events(1_000), batch=100, window=1, patience=0.2)


async def test_the_asyncio_client_imports_alike_also_from_an_async_source(fake: FakeServer) -> None:
    async def source() -> AsyncIterator[ingest_pb2.Event]:
        for one in events(1_000):
            yield one

    fake.ingest.break_after = [3, 2, None]
    async with muster.AsyncClient(fake.target, project="shop", retry=QUICK) as client:
        done = await client.import_records(source(), import_id="x", batch=100)
        again = await client.import_records(events(1_000), import_id="x", batch=100)
    assert (done.accepted + done.unreported, done.reconnects, again.resumed_at) == (1_000, 2, 1_000)
    assert numbers(fake) == list(range(1_000))
