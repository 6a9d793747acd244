"""Promise: a server opens whole or not at all, says when it serves, answers health and reflection, and stops in order."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import muster
import pytest
from google.protobuf import timestamp_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from muster.v1 import audience_pb2, delivery_pb2, ingest_pb2, project_pb2
from muster.worker import Worker

from core.errors import FailedPrecondition, InvalidInput, StoreError
from core.evaluator import answers
from server.config import Config
from server.interceptors import CallInterceptor
from server.main import Server
from tests.server.conftest import PROJECT, Stubs, refusal_of, refused

NAMES = (
    "Audience",
    "Campaign",
    "Consent",
    "Delivery",
    "Feedback",
    "History",
    "InApp",
    "Ingest",
    "Message",
    "Profile",
    "Project",
    "Results",
    "Simulation",
    "Snippet",
)
SERVICES = [f"muster.v1.{name}Service" for name in NAMES]
SERVING = health_pb2.HealthCheckResponse.SERVING
TOKEN, SHOP_TOKEN = "0123456789abcdef-all", "0123456789abcdef-shop"


async def reflected(stubs: Stubs, **request: Any) -> reflection_pb2.ServerReflectionResponse:
    asked = iter([reflection_pb2.ServerReflectionRequest(**request)])
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(stubs.channel)
    async for answer in stub.ServerReflectionInfo(asked):
        return answer
    raise AssertionError("no answer")


async def test_reflection_lists_every_service(stubs: Stubs) -> None:
    answer = await reflected(stubs, list_services="")
    names = [one.name for one in answer.list_services_response.service]
    assert sorted(names) == sorted([*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"])


async def test_reflection_describes_a_service(stubs: Stubs) -> None:
    answer = await reflected(stubs, file_containing_symbol="muster.v1.DeliveryService")
    assert any(b"DeliverRequest" in data for data in answer.file_descriptor_response.file_descriptor_proto)


@pytest.mark.parametrize("service", ["", *SERVICES])
async def test_every_service_is_healthy(stubs: Stubs, service: str) -> None:
    health: Any = health_pb2_grpc.HealthStub(stubs.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == SERVING


async def test_a_stop_is_seen_in_health_before_calls_end_and_running_calls_are_answered(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    count = answers.count

    def slow(*arguments: Any) -> Any:
        reached.set()
        go_on.wait(30)
        return count(*arguments)

    monkeypatch.setattr(answers, "count", slow)
    server = Server(config)
    await server.start()
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        stubs = Stubs(channel)
        await stubs.create()
        await stubs.add_users(3)
        health: Any = health_pb2_grpc.HealthStub(channel)
        watched = health.Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watched.read()).status == SERVING
        counting = asyncio.ensure_future(
            stubs.audiences.Count(audience_pb2.CountRequest(project=PROJECT, expression="true"))
        )
        assert await asyncio.to_thread(reached.wait, 30)
        stopping = asyncio.create_task(server.stop())
        assert (await watched.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await watched.read() is grpc.aio.EOF  # a watcher does not hold up the stop
        assert not counting.done()
        go_on.set()
        assert (await counting).count == 3
        await stopping
        with pytest.raises(grpc.aio.AioRpcError) as gone:
            await stubs.projects.ListProjects(project_pb2.ListProjectsRequest())
        assert gone.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_blocking_work_does_not_hold_up_other_calls(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        reached.set()
        go_on.wait(30)
        raise InvalidInput("done waiting", code="DONE")

    await stubs.create()
    monkeypatch.setattr(answers, "count", slow)
    counting = asyncio.ensure_future(
        refused(stubs.audiences.Count(audience_pb2.CountRequest(project=PROJECT, expression="true")))
    )
    assert await asyncio.to_thread(reached.wait, 30)
    for _ in range(20):
        await stubs.add_users(1)
        await stubs.projects.GetProject(project_pb2.GetProjectRequest(name=PROJECT))
    assert not counting.done()
    go_on.set()
    assert (await counting).code == "DONE"


async def test_what_was_answered_is_there_after_a_restart(config: Config) -> None:
    for users in (3, 5):
        async with Server(config) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            if users == 3:
                await stubs.create()
            await stubs.add_users(users)
            found = await stubs.projects.GetProject(project_pb2.GetProjectRequest(name=PROJECT))
            assert found.project.profiles == users


async def test_a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on(
    stubs: Stubs, config: Config
) -> None:
    await stubs.create()
    with pytest.raises(StoreError) as refusal:
        await Server(config).start()
    assert (refusal.value.code, refusal.value.field) == ("STORE_LOCKED", str(config.store))
    assert refusal.value.mend
    await stubs.add_users(1)


async def test_an_address_in_use_is_refused_and_the_store_given_back(server: Server, config: Config) -> None:
    other = replace(config, store=config.store.parent / "other")
    for taken in ("listen", "http_listen"):
        address = server.grpc_address if taken == "listen" else server.http_address
        with pytest.raises(FailedPrecondition) as refusal:
            await Server(replace(other, **{taken: address})).start()
        assert (refusal.value.code, refusal.value.field) == ("ADDRESS_UNUSABLE", taken)
    async with Server(other):
        pass


@pytest.mark.parametrize("option", ["listen", "http_listen"])
def test_without_a_token_file_only_loopback_is_served(config: Config, option: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        Server(replace(config, **{option: "0.0.0.0:0"}))
    assert (refusal.value.code, refusal.value.field) == ("LOOPBACK_ONLY", option)


async def test_the_ready_file_names_the_addresses_and_is_new_at_each_start(config: Config, tmp_path: Path) -> None:
    ready = tmp_path / "run" / "ready"
    ready.parent.mkdir()
    ready.write_text("stale\n")
    async with Server(replace(config, ready_file=ready)) as server:
        assert ready.read_text() == f"{server.grpc_address}\n{server.http_address}\n"
        assert [path.name for path in ready.parent.iterdir()] == ["ready"]
    failing = replace(config, ready_file=ready, listen="127.0.0.1:1", http_listen="")
    with pytest.raises(FailedPrecondition), socket.create_server(("127.0.0.1", 0)) as taken:
        await Server(replace(failing, listen=f"127.0.0.1:{taken.getsockname()[1]}")).start()
    assert not ready.exists()


async def test_a_port_is_not_shared_between_servers(server: Server) -> None:
    host, port = server.grpc_address.rsplit(":", 1)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError):
            other.bind((host, int(port)))


@pytest.fixture
async def guarded(config: Config, tmp_path: Path) -> AsyncIterator[Server]:
    """A server with tokens: one for everything, one for the project `shop`."""
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN} operator\n{SHOP_TOKEN} shop {PROJECT}\n")
    async with Server(replace(config, token_file=file)) as running:
        yield running


def with_token(server: Server, token: str) -> grpc.aio.Channel:
    """A channel whose every call carries a token."""
    header = ("authorization", f"Bearer {token}")

    class Carry(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            return await continuation(details._replace(metadata=[header]), request)

    return grpc.aio.insecure_channel(server.grpc_address, interceptors=[Carry()])


async def test_tokens_open_what_they_are_for_and_nothing_else(guarded: Server) -> None:
    async with (
        grpc.aio.insecure_channel(guarded.grpc_address) as nobody,
        with_token(guarded, TOKEN) as all_channel,
        with_token(guarded, SHOP_TOKEN) as shop_channel,
        with_token(guarded, "0123456789abcdef-bad") as bad_channel,
    ):
        everything, shop = Stubs(all_channel), Stubs(shop_channel)
        listing = project_pb2.ListProjectsRequest()
        assert (await refused(Stubs(nobody).projects.ListProjects(listing))).code == "TOKEN_MISSING"
        assert (await refused(Stubs(bad_channel).projects.ListProjects(listing))).code == "TOKEN_UNKNOWN"
        await everything.create("other")
        await shop.create()
        assert [one.name for one in (await shop.projects.ListProjects(listing)).projects] == [PROJECT]
        asked = project_pb2.GetProjectRequest(name="other")
        assert (await refused(shop.projects.GetProject(asked))).code == "PROJECT_FORBIDDEN"
        backup = project_pb2.BackupRequest(project=PROJECT, destination="/nowhere")
        assert (await refused(shop.projects.Backup(backup))).code == "SERVER_FORBIDDEN"
        health: Any = health_pb2_grpc.HealthStub(nobody)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING


@pytest.mark.parametrize("method", ["IngestService/Track", "AudienceService/Select", "DeliveryService/Deliver"])
async def test_nothing_is_read_of_a_call_without_a_known_token(guarded: Server, method: str) -> None:
    async with grpc.aio.insecure_channel(guarded.grpc_address) as channel:
        call = channel.stream_stream(f"/muster.v1.{method}")()  # whose request is never sent
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call.read(), 30)
    assert refusal_of(caught.value).code == "TOKEN_MISSING"


async def test_a_request_far_over_the_limit_is_refused_by_its_length_alone(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    parser = CallInterceptor._parser

    def noting(interceptor: CallInterceptor, deserialize: Any, method: str) -> Any:
        parse = parser(interceptor, deserialize, method)

        def noted(raw: bytes) -> Any:
            read.append(len(raw))
            return parse(raw)

        return noted

    monkeypatch.setattr(CallInterceptor, "_parser", noting)
    most = 100_000
    async with (
        Server(replace(config, max_message_bytes=most)) as server,
        grpc.aio.insecure_channel(server.grpc_address) as channel,
    ):
        count = channel.unary_unary("/muster.v1.AudienceService/Count")
        with pytest.raises(grpc.aio.AioRpcError) as over:
            await count(bytes(most + 1))
        with pytest.raises(grpc.aio.AioRpcError) as far_over:
            await count(bytes(3 * most))
    assert (over.value.code(), refusal_of(over.value).code) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "REQUEST_TOO_LARGE",
    )
    assert far_over.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in str(far_over.value.details())  # by which the SDK knows it
    assert read == [most + 1]


@pytest.mark.parametrize(("project", "code"), [("", "SERVER_FORBIDDEN"), ("other", "PROJECT_FORBIDDEN"), (PROJECT, "")])
async def test_a_worker_serves_what_its_token_opens(guarded: Server, project: str, code: str) -> None:
    async with with_token(guarded, TOKEN) as all_channel, with_token(guarded, SHOP_TOKEN) as channel:
        for name in (PROJECT, "other"):
            await Stubs(all_channel).create(name)
        call = Stubs(channel).delivery.Deliver(metadata=[("authorization", f"Bearer {SHOP_TOKEN}")])
        hello = delivery_pb2.Hello(project=project, channel=delivery_pb2.CHANNEL_EMAIL)
        await call.write(delivery_pb2.DeliverRequest(hello=hello))
        if code:
            assert (await refused(call.read())).code == code
            return
        assert (await call.read()).HasField("welcome")
        await call.write(delivery_pb2.DeliverRequest(begin=delivery_pb2.Begin(batch_id=1, indexes=[0])))
        assert list((await call.read()).granted.indexes) == []
        ack = delivery_pb2.Acknowledgement(idempotency_key="x", outcome=delivery_pb2.OUTCOME_SENT)
        other = delivery_pb2.Acknowledge(project="other", acknowledgements=[ack])
        await call.write(delivery_pb2.DeliverRequest(acknowledge=other))
        assert (await refused(call.read())).code == "PROJECT_FORBIDDEN"


async def test_the_python_worker_learns_why_it_is_refused(guarded: Server) -> None:
    async with Worker(guarded.grpc_address, channel="email", project="other", token=SHOP_TOKEN) as worker:
        with pytest.raises(muster.PermissionDenied) as refusal:
            async for _ in worker.batches():
                raise AssertionError("a batch for a worker that is refused")
    assert refusal.value.code == "PROJECT_FORBIDDEN"


async def test_a_repeated_request_id_answers_as_the_first_did(stubs: Stubs) -> None:
    await stubs.create()
    asked = ingest_pb2.TrackRequest(
        project=PROJECT, request_id="r1", events=[ingest_pb2.Event(name="A", distinct_id="u", insert_id="1")]
    )
    first = await stubs.ingest.Track(asked)
    again = await stubs.ingest.Track(asked)
    assert (first.accepted, first.duplicates) == (again.accepted, again.duplicates) == (1, 0)
    asked.request_id = "r2"
    assert (await stubs.ingest.Track(asked)).duplicates == 1
    # The same id of another kind of request is another request.
    update = ingest_pb2.MergeUsersRequest(project=PROJECT, request_id="r1", distinct_id="u", other_id="v")
    assert not (await stubs.ingest.MergeUsers(update)).merged


async def test_creating_a_project_again_with_the_same_request_id_answers_with_it(stubs: Stubs) -> None:
    first = await stubs.create(request_id="r1")
    assert await stubs.create(request_id="r1") == first
    asked = project_pb2.CreateProjectRequest(name=PROJECT, request_id="r2")
    assert (await refused(stubs.projects.CreateProject(asked))).code == "PROJECT_EXISTS"


@pytest.mark.parametrize("change", [{"name": "other"}, {"time_zone": "Europe/Berlin"}, {"live": False}])
async def test_a_request_id_creates_no_other_project(stubs: Stubs, change: dict[str, Any]) -> None:
    await stubs.create(request_id="r1")
    asked = {"name": PROJECT, "clock": project_pb2.CLOCK_KIND_MANUAL, "live": True, "request_id": "r1", **change}
    refusal = await refused(stubs.projects.CreateProject(project_pb2.CreateProjectRequest(**asked)))
    assert (refusal.code, refusal.field) == ("REQUEST_ID_REUSED", "request_id")
    assert len((await stubs.projects.ListProjects(project_pb2.ListProjectsRequest())).projects) == 1


async def test_a_repeated_move_of_the_clock_answers_the_time_of_the_first(stubs: Stubs) -> None:
    start = (await stubs.create()).now.seconds
    for to in (start + 100, start + 200):
        move = project_pb2.MoveClockRequest(project=PROJECT, request_id="r1", to=timestamp_pb2.Timestamp(seconds=to))
        assert (await stubs.projects.MoveClock(move)).now.seconds == start + 100
    asked = project_pb2.GetProjectRequest(name=PROJECT)
    assert (await stubs.projects.GetProject(asked)).project.now.seconds == start + 100


async def test_a_backup_is_served_from_a_folder_of_projects_and_not_as_one(config: Config, tmp_path: Path) -> None:
    copy, restored = tmp_path / "copy", tmp_path / "restored"
    async with Server(config) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        stubs = Stubs(channel)
        await stubs.create()
        await stubs.add_users(3)
        await stubs.projects.Backup(project_pb2.BackupRequest(project=PROJECT, destination=str(copy)))
    before = sorted(copy.rglob("*"))
    with pytest.raises(StoreError) as caught:
        await Server(replace(config, store=copy)).start()
    assert caught.value.code == "STORE_IS_PROJECT" and "projects/NAME" in caught.value.mend
    assert sorted(copy.rglob("*")) == before
    shutil.copytree(copy, restored / "projects" / PROJECT)
    async with (
        Server(replace(config, store=restored)) as server,
        grpc.aio.insecure_channel(server.grpc_address) as channel,
    ):
        asked = project_pb2.GetProjectRequest(name=PROJECT)
        assert (await Stubs(channel).projects.GetProject(asked)).project.profiles == 3


async def test_a_damaged_project_is_told_of_and_the_others_are_served(config: Config) -> None:
    async with Server(config) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        for name in (PROJECT, "broken"):
            await Stubs(channel).create(name)
    largest = max((config.store / "projects" / "broken").rglob("*.mdb"), key=lambda path: path.stat().st_blocks)
    os.truncate(largest, 5_000)
    async with Server(config) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        stubs = Stubs(channel)
        await stubs.add_users(1)
        refusal = await refused(stubs.projects.GetProject(project_pb2.GetProjectRequest(name="broken")))
        assert refusal.status is grpc.StatusCode.FAILED_PRECONDITION
        assert refusal.code.startswith("STORE_")
        async with httpx.AsyncClient(base_url=f"http://{server.http_address}", trust_env=False) as http:
            assert (await http.get("/readyz")).json() == {"serving": True, "projects": 1, "stopped": 1}
        again = project_pb2.CreateProjectRequest(name="broken")
        assert (await refused(stubs.projects.CreateProject(again))).code == "PROJECT_EXISTS"
