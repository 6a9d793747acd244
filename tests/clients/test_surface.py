"""Promises: the client knows every method of the protocol; its two clients have the same methods, described once; all
that is public is documented with an example."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import muster
import pytest
from google.protobuf import message_factory
from muster import connection, worker
from muster.flow import Rpc
from muster.v1 import (
    audience_pb2,
    campaign_pb2,
    consent_pb2,
    delivery_pb2,
    feedback_pb2,
    history_pb2,
    in_app_pb2,
    ingest_pb2,
    message_pb2,
    profile_pb2,
    project_pb2,
    results_pb2,
    simulation_pb2,
    snippet_pb2,
)

from server import main
from tests.clients.conftest import QUICK
from tests.clients.fakes import FakeServer

FILES = (
    audience_pb2,
    consent_pb2,
    campaign_pb2,
    delivery_pb2,
    feedback_pb2,
    history_pb2,
    in_app_pb2,
    ingest_pb2,
    message_pb2,
    profile_pb2,
    project_pb2,
    results_pb2,
    simulation_pb2,
    snippet_pb2,
)
PARTS = (
    "profiles",
    "audiences",
    "messages",
    "campaigns",
    "projects",
    "history",
    "results",
    "simulation",
    "feedback",
    "consent",
    "in_app",
    "snippets",
)


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(muster.__path__, "muster."):
        if not found.name.startswith("muster.v1"):
            yield importlib.import_module(found.name)


def methods(thing: object) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}


def test_every_method_of_the_protocol_is_described_with_its_own_answer() -> None:
    described = {
        rpc.path: rpc.answer for module in modules() for rpc in vars(module).values() if isinstance(rpc, Rpc)
    } | {worker.DELIVER: delivery_pb2.DeliverResponse}
    declared = {
        f"/{service.full_name}/{method.name}": message_factory.GetMessageClass(method.output_type)
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert described == declared


def test_the_two_clients_have_the_same_methods() -> None:
    blocking, awaiting = muster.Client(), muster.AsyncClient()
    assert set(methods(blocking)) == set(methods(awaiting))
    for part in PARTS:
        ours, theirs = methods(getattr(blocking, part)), methods(getattr(awaiting, part))
        assert set(ours) == set(theirs)
        for name, method in ours.items():
            assert inspect.signature(method).parameters == inspect.signature(theirs[name]).parameters
            assert method.__doc__ == theirs[name].__doc__
            assert not inspect.iscoroutinefunction(method)
            assert inspect.iscoroutinefunction(theirs[name]) or "AsyncIterator" in str(inspect.signature(theirs[name]))


def documented() -> Iterator[tuple[str, Any]]:
    client = muster.Client()
    things: list[tuple[str, Any]] = [("Client", muster.Client), ("Worker", worker.Worker), ("Batch", worker.Batch)]
    things += [(part, type(getattr(client, part))) for part in PARTS]
    for owner, cls in things:
        for name in dir(cls):
            if not name.startswith("_") and callable(getattr(cls, name)):
                yield f"{owner}.{name}", getattr(cls, name)
    yield from (("event", muster.event), ("update", muster.update), ("feedback", muster.feedback))


WITHOUT_EXAMPLE = {"Client.close", "Worker.close"}


@pytest.mark.parametrize(("name", "thing"), list(documented()))
def test_what_is_public_is_documented_with_an_example(name: str, thing: Any) -> None:
    text = inspect.getdoc(thing)
    assert text
    if name not in WITHOUT_EXAMPLE:
        assert "Example::" in text


@pytest.mark.parametrize("module", list(modules()), ids=lambda module: module.__name__)
def test_examples_that_need_no_server_are_true(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_help_shows_what_a_method_answers() -> None:
    assert str(inspect.signature(muster.Client.track_many)).endswith("-> 'Written'")
    assert str(inspect.signature(muster.Client().profiles.list)).endswith("-> 'Iterator[profile_pb2.Profile]'")


def test_pages_are_asked_for_as_they_are_needed(fake: FakeServer, client: muster.Client) -> None:
    found = client.profiles.list()
    assert fake.profiles.pages == []
    assert next(found).distinct_id == "u0"
    assert fake.profiles.pages == [""]
    assert [profile.distinct_id for profile in found] == [f"u{number}" for number in range(1, 7)]
    assert fake.profiles.pages == ["", "3", "6"]


@pytest.mark.parametrize(("limit", "pages"), [(0, 0), (2, 1), (3, 1), (4, 2), (7, 3), (99, 3)])
def test_a_limit_ends_a_listing(fake: FakeServer, client: muster.Client, limit: int, pages: int) -> None:
    assert len(list(client.profiles.list(limit=limit))) == min(limit, 7)
    assert len(fake.profiles.pages) == pages


async def test_async_listings_are_iterated_over(fake: FakeServer) -> None:
    async with muster.AsyncClient(fake.target, retry=QUICK) as client:
        assert [profile.distinct_id async for profile in client.profiles.list(limit=5)] == [f"u{n}" for n in range(5)]
        assert (await client.profiles.get("u1")).distinct_id == "u1"
        with pytest.raises(muster.NotFound):
            await client.profiles.get("nobody")


def test_the_token_is_sent_and_not_shown(fake: FakeServer) -> None:
    with muster.Client(fake.target, token="secret-secret-secret") as client:
        client.merge_users("a", "b")
        assert fake.ingest.metadata[0]["authorization"] == "Bearer secret-secret-secret"
        assert "secret" not in repr(client._transport.connection)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in the same PEM file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split()
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run([openssl, *words, *names], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


def test_tls_by_path_and_by_bytes(certificate: Path) -> None:
    server = FakeServer(tls=certificate)
    for roots in (certificate, str(certificate), certificate.read_bytes()):
        with muster.Client(server.target, tls=roots) as client:
            assert client.profiles.get("u1").distinct_id == "u1"
    for wrong in (None, True):
        with (
            muster.Client(server.target, tls=wrong, retry=muster.Retry(attempts=1)) as client,
            pytest.raises(muster.Unavailable),
        ):
            client.profiles.get("u1")
    server.stop()


def test_pings_come_no_more_often_than_the_server_allows() -> None:
    ours, servers = dict(connection._OPTIONS), dict(main._OPTIONS)
    assert ours["grpc.keepalive_time_ms"] > servers["grpc.http2.min_ping_interval_without_data_ms"]


@pytest.mark.parametrize("option", ["queue_size", "queue_batch"])
def test_a_queue_without_room_is_refused(option: str) -> None:
    with pytest.raises(muster.InvalidInput) as caught:
        muster.Client(**{option: 0})
    assert caught.value.field == option


def test_a_closed_client_opens_anew(client: muster.Client) -> None:
    client.close()
    assert client.profiles.get("u1").distinct_id == "u1"


def test_threads_share_a_client(fake: FakeServer, client: muster.Client) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(client.profiles.get, [f"u{number}" for number in range(100)]))
    assert [profile.distinct_id for profile in found] == [f"u{number}" for number in range(100)]


def test_large_batches_are_cut_to_what_the_server_takes(fake: FakeServer, client: muster.Client) -> None:
    written = client.track_many(muster.event("A", f"u{number}") for number in range(25_000))
    assert written.accepted == 25_000
    assert [len(request.events) for request in fake.ingest.requests] == [10_000, 10_000, 5_000]
    assert len({request.request_id for request in fake.ingest.requests}) == 3


def test_heavy_batches_are_cut_by_bytes(fake: FakeServer, client: muster.Client) -> None:
    client.track_many(muster.event("A", "u", {"text": "x" * 60_000}) for _ in range(400))
    sizes = [request.ByteSize() for request in fake.ingest.requests]
    assert len(sizes) > 1 and max(sizes) < 9 << 20


def test_rejected_records_of_several_requests_are_named_by_their_place(fake: FakeServer, client: muster.Client) -> None:
    fake.ingest.reject = lambda event: event.distinct_id in ("u3", "u10003", "u24999")
    written = client.track_many(muster.event("A", f"u{number}") for number in range(25_000))
    assert [one.offset for one in written.rejected] == [3, 10_003, 24_999]
    assert written.accepted == 24_997


def test_what_is_no_record_is_named(fake: FakeServer, client: muster.Client) -> None:
    change = muster.update("u1", set={"n": 1})
    wrong: list[tuple[Any, list[Any]]] = [
        (client.update_many, [*change, change]),
        (client.update_many, [*change, muster.event("A", "u1")]),
        (client.track_many, [muster.event("A", "u1"), *change]),
    ]
    for call, records in wrong:
        with pytest.raises(muster.InvalidInput, match="record 1 is a ") as caught:
            call(records)
        assert caught.value.code == "VALUE_TYPE"
    assert fake.ingest.taken == []
