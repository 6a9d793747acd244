"""Promise: what a project was can be asked, explained and restored through the RPCs, and too old a time says what is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from muster.v1 import audience_pb2, history_pb2, ingest_pb2, message_pb2, project_pb2
from pyroaring import BitMap

from core.engine import verify
from server.config import Config
from server.main import Server
from tests.server.conftest import PROJECT, Stubs, email, properties, refused

START = datetime(2026, 1, 1, tzinfo=UTC)
FREE = 'user.plan == "free"'


def stamp(days: float) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(START + timedelta(days=days))
    return made


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """A project in which u0 … u3 become free a day after the other, and u0 ends up paying."""
    await stubs.create(start_time=stamp(0))
    await stubs.add_users(4)
    message = message_pb2.CreateMessageRequest(project=PROJECT, message=email("hello", targeting=FREE))
    await stubs.messages.CreateMessage(message)
    await stubs.messages.LaunchMessage(
        message_pb2.LaunchMessageRequest(project=PROJECT, key="hello", existing=message_pb2.EXISTING_SEND)
    )
    for day in range(4):
        await stubs.ingest.UpdateProfiles(
            ingest_pb2.UpdateProfilesRequest(
                project=PROJECT,
                updates=[ingest_pb2.ProfileUpdate(distinct_id=f"u{day}", set=properties({"plan": "free"}))],
            )
        )
        await stubs.projects.MoveClock(project_pb2.MoveClockRequest(project=PROJECT, to=stamp(day + 1)))
    paid = ingest_pb2.ProfileUpdate(distinct_id="u0", set=properties({"plan": "paid"}))
    await stubs.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=PROJECT, updates=[paid]))
    return stubs


async def test_an_audience_is_counted_selected_and_explained_as_it_was(shop: Stubs) -> None:
    async def ids(**fields: Any) -> list[str]:
        request = audience_pb2.SelectRequest(project=PROJECT, expression=FREE, **fields)
        return [one async for part in shop.audiences.Select(request) for one in part.distinct_ids]

    for day in range(4):
        request = audience_pb2.CountRequest(project=PROJECT, expression=FREE, at=stamp(day + 0.5), explain=True)
        answer = await shop.audiences.Count(request)
        assert (answer.count, answer.total, answer.now) == (day + 1, 4, stamp(day + 0.5))
        assert answer.leaves[0].matched == day + 1
        assert await ids(at=stamp(day)) == [f"u{number}" for number in range(day + 1)]
    assert await ids() == ["u1", "u2", "u3"]
    bitmap = audience_pb2.SelectRequest(
        project=PROJECT, expression=FREE, at=stamp(1), format=audience_pb2.SELECT_FORMAT_BITMAP
    )
    assert list(BitMap.deserialize(b"".join([part.bitmap async for part in shop.audiences.Select(bitmap)]))) == [0, 1]

    why = audience_pb2.ExplainRequest(project=PROJECT, expression=FREE, distinct_id="u0", at=stamp(3))
    assert list((await shop.audiences.Explain(why)).explanation.values) == ['user.plan = "free"']
    why.ClearField("at")
    assert list((await shop.audiences.Explain(why)).explanation.values) == ['user.plan = "paid"']


async def test_a_delivery_is_explained_as_it_was(shop: Stubs) -> None:
    request = message_pb2.ExplainDeliveryRequest(project=PROJECT, key="hello", distinct_id="u2")
    assert (await shop.messages.ExplainDelivery(request)).state == "queued"
    request.at.CopyFrom(stamp(1.5))
    before = await shop.messages.ExplainDelivery(request)
    assert before.state == "none"
    assert {gate.name: gate.passed for gate in before.gates}["match"] is False


async def test_what_cannot_be_had_is_refused_with_what_can(shop: Stubs) -> None:
    for days, code, status in [
        (-1, "HISTORY_GONE", grpc.StatusCode.FAILED_PRECONDITION),
        (5, "TIME_IN_FUTURE", grpc.StatusCode.INVALID_ARGUMENT),
    ]:
        refusal = await refused(
            shop.audiences.Count(audience_pb2.CountRequest(project=PROJECT, expression=FREE, at=stamp(days)))
        )
        assert (refusal.status, refusal.code, refusal.field) == (status, code, "at")
        assert ("2026-01-01" if days < 0 else "2026-01-05") in refusal.mend


async def test_history_is_told_and_pruned(shop: Stubs) -> None:
    found = await shop.history.GetHistory(history_pb2.GetHistoryRequest(project=PROJECT))
    assert (found.earliest_time, found.now) == (stamp(0), stamp(4))
    assert [one.time for one in found.checkpoints] == [stamp(0)]
    assert 0 < found.log_bytes < found.disk_bytes and 0 < found.page_bytes < found.disk_bytes
    pruned = await shop.history.PruneHistory(history_pb2.PruneHistoryRequest(project=PROJECT, before=stamp(2)))
    assert pruned.earliest_time == stamp(0)  # there is no later checkpoint to begin with
    missing = await refused(shop.history.PruneHistory(history_pb2.PruneHistoryRequest(project=PROJECT)))
    assert (missing.code, missing.field) == ("TIME_MISSING", "before")


async def test_a_project_is_restored_and_served_as_it_was(shop: Stubs, tmp_path: Path) -> None:
    destination = tmp_path / "other" / "projects" / PROJECT
    destination.parent.mkdir(parents=True)
    request = history_pb2.RestoreProjectRequest(project=PROJECT, at=stamp(1.5), destination=str(destination))
    made = await shop.history.RestoreProject(request)
    assert made.destination == str(destination) and made.bytes > 10_000
    assert verify(destination) == []
    taken = await refused(shop.history.RestoreProject(request))
    assert taken.code == "BACKUP_DESTINATION"
    request.destination = "relative"
    assert (await refused(shop.history.RestoreProject(request))).code == "PATH_NOT_ABSOLUTE"

    config = Config(store=tmp_path / "other", listen="127.0.0.1:0", http_listen="")
    async with Server(config) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        other = Stubs(channel)
        count = await other.audiences.Count(audience_pb2.CountRequest(project=PROJECT, expression=FREE))
        assert (count.count, count.now) == (2, stamp(1))
        found = await other.messages.GetMessage(message_pb2.GetMessageRequest(project=PROJECT, key="hello"))
        assert (found.message.state, found.message.pause_reason) == (message_pb2.MESSAGE_STATE_PAUSED, "restored")
        assert (await other.counts("hello")).queued == 2
