"""Promise: a call that finds the server unavailable is tried again with the same request id, and takes effect once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import muster
import pytest

from tests.clients.conftest import QUICK
from tests.clients.fakes import FakeServer, unavailable


def test_a_retry_keeps_the_request_id(fake: FakeServer, client: muster.Client) -> None:
    fake.ingest.faults = [unavailable, unavailable]
    written = client.track_many([muster.event("A", "u1")])
    assert written.accepted == 1
    ids = [request.request_id for request in fake.ingest.requests]
    assert len(ids) == 3
    assert ids[0] and len(set(ids)) == 1


def test_an_answer_that_was_lost_is_given_again(fake: FakeServer, client: muster.Client) -> None:
    fake.ingest.late_faults = [unavailable]
    assert client.track_many([muster.event("A", "u1")]).accepted == 1
    assert len(fake.ingest.requests) == 2
    assert len(fake.ingest.taken) == 1


def test_each_call_has_a_request_id_of_its_own(fake: FakeServer, client: muster.Client) -> None:
    client.merge_users("a", "b")
    client.merge_users("a", "b")
    client.merge_users("a", "b", request_id="mine")
    ids = [request.request_id for request in fake.ingest.requests]
    assert len(set(ids)) == 3
    assert ids[2] == "mine"


def test_attempts_are_counted(fake: FakeServer, connect: Callable[..., muster.Client]) -> None:
    fake.ingest.faults = [unavailable] * 10
    with pytest.raises(muster.Unavailable):
        connect(retry=muster.Retry(attempts=3, first_wait=0.001)).merge_users("a", "b")
    assert len(fake.ingest.requests) == 3


def test_the_time_out_bounds_all_attempts(fake: FakeServer, connect: Callable[..., muster.Client]) -> None:
    fake.ingest.faults = [unavailable] * 1_000
    client = connect(timeout=0.3, retry=muster.Retry(attempts=1_000, first_wait=0.05, longest_wait=0.05))
    with pytest.raises((muster.Unavailable, muster.TimedOut)):
        client.merge_users("a", "b")
    assert len(fake.ingest.requests) < 100


def test_a_slow_server_times_out(fake: FakeServer, connect: Callable[..., muster.Client]) -> None:
    fake.ingest.gate.clear()
    with pytest.raises(muster.TimedOut):
        connect(timeout=0.2).merge_users("a", "b")
    assert len(fake.ingest.requests) == 1


def test_other_errors_are_not_tried_again(fake: FakeServer, client: muster.Client) -> None:
    with pytest.raises(muster.NotFound):
        client.profiles.get("nobody")


def test_a_restarted_server_is_found_again(fake: FakeServer, connect: Callable[..., muster.Client]) -> None:
    client = connect(retry=muster.Retry(attempts=100, first_wait=0.05, longest_wait=0.05), timeout=20)
    client.merge_users("a", "b")
    fake.stop()
    timer = threading.Timer(0.3, fake.start)
    timer.start()
    assert client.merge_users("a", "b")
    timer.join()


def test_waits_grow_to_a_bound_and_vary() -> None:
    retry = muster.Retry(attempts=10, first_wait=1.0, longest_wait=8.0)
    waits = list(retry.waits())
    assert all(low <= wait <= 2 * low for wait, low in zip(waits, [0.5, 1, 2, 4, 4, 4, 4, 4, 4], strict=True))
    assert list(retry.waits()) != waits


async def test_the_asyncio_client_retries_alike(fake: FakeServer) -> None:
    fake.ingest.faults = [unavailable]
    async with muster.AsyncClient(fake.target, project="shop", retry=QUICK) as client:
        written, merged = await asyncio.gather(
            client.track_many([muster.event("A", "u1")]), client.merge_users("a", "b")
        )
    assert (written.accepted, merged) == (1, True)
    assert len(fake.ingest.requests) == 3
    assert len({request.request_id for request in fake.ingest.requests}) == 2
