"""Promise: every answer is given after its records are on disk, and a broken import goes on where it stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import Future
from typing import Any

import grpc
import pytest
from muster.v1 import audience_pb2, ingest_pb2, message_pb2, profile_pb2, project_pb2

from core.engine import Engine
from server.config import Config
from server.main import Server
from tests.server.conftest import PROJECT, Stubs, email, properties, refusal_of, refused


def events(first: int, count: int) -> list[ingest_pb2.Event]:
    """Purchases numbered on; seven users make them in turn."""
    return [
        ingest_pb2.Event(name="Purchase", distinct_id=f"u{number % 7}", insert_id=str(number))
        for number in range(first, first + count)
    ]


def batch(offset: int, count: int, **fields: Any) -> ingest_pb2.ImportRequest:
    """A batch of the source, which is the numbers from 0 on."""
    return ingest_pb2.ImportRequest(
        project=PROJECT, import_id="source", offset=offset, events=events(offset, count), **fields
    )


async def import_all(stubs: Stubs, requests: Iterable[ingest_pb2.ImportRequest]) -> list[ingest_pb2.ImportResponse]:
    """The answers of a whole stream."""
    return [answer async for answer in stubs.ingest.Import(iter(requests))]


async def stored(stubs: Stubs) -> int:
    """How many events the project holds."""
    return (await stubs.projects.GetProject(project_pb2.GetProjectRequest(name=PROJECT))).project.events


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """An empty project."""
    await stubs.create()
    return stubs


async def test_each_batch_is_answered_with_the_offset_that_is_durable(shop: Stubs) -> None:
    answers = await import_all(shop, [batch(0, 10), batch(10, 5), batch(15, 1)])
    assert [(one.next_offset, one.accepted) for one in answers] == [(10, 10), (15, 5), (16, 1)]
    assert await stored(shop) == 16


async def test_an_empty_first_message_asks_where_to_go_on(shop: Stubs) -> None:
    ask = ingest_pb2.ImportRequest(project=PROJECT, import_id="source")
    assert [one.next_offset for one in await import_all(shop, [ask])] == [0]
    await import_all(shop, [batch(0, 10)])
    answers = await import_all(shop, [ask, batch(10, 3)])
    assert [one.next_offset for one in answers] == [10, 13]
    assert await stored(shop) == 13


async def test_a_batch_sent_again_after_a_broken_stream_changes_nothing(shop: Stubs) -> None:
    call = shop.ingest.Import()
    await call.write(batch(0, 10))
    assert (await call.read()).next_offset == 10
    await call.write(batch(10, 10))  # its answer is never read
    call.cancel()
    answers = await import_all(shop, [batch(0, 10), batch(10, 10), batch(20, 10)])
    assert answers[-1].next_offset == 30
    assert await stored(shop) == 30


async def test_an_import_goes_on_after_a_restart(config: Config) -> None:
    for start in (0, 20, 40):
        async with Server(config) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            if start == 0:
                await stubs.create()
            ask = ingest_pb2.ImportRequest(project=PROJECT, import_id="source")
            answers = await import_all(stubs, [ask, batch(start, 20)])
            assert [one.next_offset for one in answers] == [start, start + 20]
            assert await stored(stubs) == start + 20


@pytest.mark.parametrize("change", [{"project": "other"}, {"import_id": "other"}])
async def test_a_stream_is_of_one_project_and_one_import(shop: Stubs, change: dict[str, Any]) -> None:
    await shop.create("other")
    another = batch(10, 5)
    another.MergeFrom(ingest_pb2.ImportRequest(**change))
    unnamed = batch(10, 5)
    unnamed.ClearField("project")
    unnamed.ClearField("import_id")
    refusal = await refused(import_all(shop, [batch(0, 10), another]))
    assert (refusal.status, refusal.code, refusal.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "IMPORT_CHANGED",
        *change,
    )
    assert await stored(shop) == 10
    assert len(await import_all(shop, [batch(0, 10), unnamed])) == 2
    assert await stored(shop) == 15


async def test_imports_of_other_names_have_offsets_of_their_own(shop: Stubs) -> None:
    await import_all(shop, [batch(0, 10)])
    other = ingest_pb2.ImportRequest(project=PROJECT, import_id="other", events=events(100, 2))
    assert [one.next_offset for one in await import_all(shop, [other])] == [2]


async def test_bad_records_are_named_by_index_events_first_and_count_as_passed(shop: Stubs) -> None:
    request = batch(0, 3)
    request.events[1].distinct_id = ""
    request.updates.add(distinct_id="u1", set=properties({"plan": "free"}))
    request.updates.add(distinct_id="u2")
    (answer,) = await import_all(shop, [request])
    assert [(one.index, one.code) for one in answer.errors] == [(1, "EMPTY_ID"), (4, "NO_OPERATION")]
    assert (answer.accepted, answer.next_offset) == (3, 5)


async def test_what_came_before_a_refused_batch_is_answered_and_stays(shop: Stubs) -> None:
    call = shop.ingest.Import()
    await call.write(batch(0, 10))
    await call.write(batch(10, 10))
    await call.write(batch(50, 10))
    offsets = []
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        while True:
            offsets.append((await call.read()).next_offset)
    assert offsets == [10, 20]
    assert (refusal_of(ended.value).code, refusal_of(ended.value).mend) == ("OFFSET_GAP", "go on at 20")
    assert await stored(shop) == 20


async def test_several_batches_may_be_under_way_and_are_answered_in_order(shop: Stubs) -> None:
    answers = await import_all(shop, [batch(start, 100) for start in range(0, 5_000, 100)])
    assert [one.next_offset for one in answers] == list(range(100, 5_001, 100))
    assert await stored(shop) == 5_000


async def test_a_client_that_leaves_while_commits_hang_leaves_no_task_behind(
    shop: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = 0

    def hang(*arguments: Any, **options: Any) -> Future[Any]:
        nonlocal submitted
        submitted += 1
        return Future()

    def reading() -> bool:
        return any("_submit_all" in str(task.get_coro()) for task in asyncio.all_tasks())

    monkeypatch.setattr(Engine, "submit", hang)
    call = shop.ingest.Import()
    for start in range(0, 2_000, 100):
        await call.write(batch(start, 100))
    async with asyncio.timeout(30):
        while submitted < 10:  # as many as may be under way, and one that waits to be
            await asyncio.sleep(0.01)
        assert reading()
        call.cancel()
        while reading():
            await asyncio.sleep(0.01)
    assert submitted == 10
    monkeypatch.undo()


async def test_imported_events_trigger_no_message_and_live_ones_do(shop: Stubs) -> None:
    buys = email("thanks", targeting='events["Purchase"].size() > 0')
    await shop.messages.CreateMessage(message_pb2.CreateMessageRequest(project=PROJECT, message=buys))
    await shop.messages.LaunchMessage(message_pb2.LaunchMessageRequest(project=PROJECT, key="thanks", existing=1))
    await import_all(shop, [batch(0, 7)])
    counts = await shop.counts("thanks")
    assert [(one.reason, one.users) for one in counts.skipped] == [("backfilled", 7)]
    await shop.add_users(9)
    asked = ingest_pb2.TrackRequest(project=PROJECT, events=[ingest_pb2.Event(name="Purchase", distinct_id="u8")])
    await shop.ingest.Track(asked)
    assert (await shop.counts("thanks")).queued == 1


async def test_an_event_known_by_its_identity_is_not_stored_twice(shop: Stubs) -> None:
    request = ingest_pb2.TrackRequest(project=PROJECT, events=[*events(0, 3), *events(0, 3)])
    first = await shop.ingest.Track(request)
    again = await shop.ingest.Track(request)
    assert (first.accepted, first.duplicates) == (3, 3)
    assert (again.accepted, again.duplicates) == (0, 6)


async def test_a_merge_unites_two_ids_with_all_their_history(shop: Stubs) -> None:
    await shop.ingest.Track(ingest_pb2.TrackRequest(project=PROJECT, events=events(0, 2)))
    await shop.ingest.UpdateProfiles(
        ingest_pb2.UpdateProfilesRequest(
            project=PROJECT,
            updates=[
                ingest_pb2.ProfileUpdate(distinct_id="u0", set=properties({"plan": "free", "city": "Bern"})),
                ingest_pb2.ProfileUpdate(distinct_id="u1", set=properties({"plan": "paid", "name": "Ada"})),
            ],
        )
    )
    asked = ingest_pb2.MergeUsersRequest(project=PROJECT, distinct_id="u0", other_id="u1")
    assert (await shop.ingest.MergeUsers(asked)).merged
    for name in ("u0", "u1"):
        asked_for = profile_pb2.GetProfileRequest(project=PROJECT, distinct_id=name)
        found = (await shop.profiles.GetProfile(asked_for)).profile
        assert sorted(found.distinct_ids) == ["u0", "u1"]
        values = {name: value.string_value for name, value in found.properties.items()}
        assert values == {"plan": "free", "city": "Bern", "name": "Ada"}
    timeline = await shop.profiles.ListEvents(profile_pb2.ListEventsRequest(project=PROJECT, distinct_id="u1"))
    assert len(timeline.events) == 2


async def test_nothing_is_answered_before_it_is_durable(shop: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that fails fails its requests, and nothing of them is seen."""
    from core.errors import StoreError

    def full(self: Engine, *arguments: Any) -> Any:
        raise StoreError("no space left on the device", mend="make room", code="STORE_FULL")

    monkeypatch.setattr(Engine, "_decide_and_append", full)
    refusal = await refused(shop.ingest.Track(ingest_pb2.TrackRequest(project=PROJECT, events=events(0, 3))))
    assert (refusal.status, refusal.code) == (grpc.StatusCode.UNAVAILABLE, "STORE_FULL")
    assert await stored(shop) == 0
    monkeypatch.undo()
    await shop.ingest.Track(ingest_pb2.TrackRequest(project=PROJECT, events=events(0, 3)))
    assert await stored(shop) == 3


async def ids_of(answers: AsyncIterator[audience_pb2.SelectResponse]) -> list[str]:
    """All distinct ids of a stream of parts."""
    return [one async for answer in answers for one in answer.distinct_ids]


async def test_what_was_answered_is_seen_by_the_next_question(shop: Stubs) -> None:
    for number in range(5):
        await shop.ingest.Track(ingest_pb2.TrackRequest(project=PROJECT, events=events(number, 1)))
        asked = audience_pb2.SelectRequest(project=PROJECT, expression='events["Purchase"].size() == 1')
        assert await ids_of(shop.audiences.Select(asked)) == [f"u{one}" for one in range(number + 1)]
