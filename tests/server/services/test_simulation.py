"""Promise: a simulation through the RPC tells what a launch then does, with its progress, and leaves the project alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from muster.v1 import ingest_pb2, message_pb2, project_pb2, simulation_pb2

from tests.server.conftest import PROJECT, Stubs, email, properties, refused

START = datetime(2026, 1, 1, tzinfo=UTC)
LATE = 'events["Visit"].exists(e, e.time < now - duration("12h"))'


def stamp(hours: float) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(START + timedelta(hours=hours))
    return made


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """A project whose users u0 … u9 visit at each of its first ten hours; only the first eight have an address."""
    await stubs.create(start_time=stamp(0))
    await stubs.add_users(8)
    for hour in range(10):
        await stubs.projects.MoveClock(project_pb2.MoveClockRequest(project=PROJECT, to=stamp(hour + 1)))
        event = ingest_pb2.Event(name="Visit", distinct_id=f"u{hour}")
        await stubs.ingest.Track(ingest_pb2.TrackRequest(project=PROJECT, events=[event]))
        named = ingest_pb2.ProfileUpdate(distinct_id=f"u{hour}", set=properties({"name": f"User {hour}"}))
        await stubs.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=PROJECT, updates=[named]))
    return stubs


async def simulated(shop: Stubs, **fields: Any) -> tuple[list[Any], simulation_pb2.SimulationResult]:
    """The progress told, and the result."""
    request = simulation_pb2.SimulateRequest(project=PROJECT, existing=message_pb2.EXISTING_SEND, **fields)
    parts = [part async for part in shop.simulation.Simulate(request)]
    return [part.progress for part in parts[:-1]], parts[-1].result


def counts(found: Any) -> dict[str, int]:
    return {one.state: one.users for one in found.counts}


async def test_what_is_to_come_is_told_as_it_then_happens(shop: Stubs) -> None:
    _, result = await simulated(shop, message=email("late", targeting=LATE), end_time=stamp(34), examples=2)
    [found] = result.messages
    assert (result.start_time, result.end_time) == (stamp(10), stamp(34))
    assert counts(found) == {"sent": 8, "skipped": 2} and found.selected == 10
    assert [(one.state, one.reason, one.open, one.users) for one in found.reasons] == [
        ("skipped", "unreachable", True, 2)
    ]
    assert [one.start_time for one in found.intervals] == [stamp(13 + hour) for hour in range(10)]
    assert found.interval.ToTimedelta() == timedelta(hours=1)
    assert [one.rendered.subject for one in found.examples] == ["Hello User 0", "Hello User 1"]

    listed = await shop.messages.ListMessages(message_pb2.ListMessagesRequest(project=PROJECT))
    assert not listed.messages
    await shop.messages.CreateMessage(
        message_pb2.CreateMessageRequest(project=PROJECT, message=email("late", targeting=LATE))
    )
    _, again = await simulated(shop, keys=["late"], end_time=stamp(34))
    assert again.messages[0].counts == found.counts and again.messages[0].intervals == found.intervals
    await shop.messages.LaunchMessage(
        message_pb2.LaunchMessageRequest(project=PROJECT, key="late", existing=message_pb2.EXISTING_SEND)
    )
    await shop.projects.MoveClock(project_pb2.MoveClockRequest(project=PROJECT, to=stamp(34)))
    real = await shop.counts("late")
    assert (real.selected, real.queued) == (10, 8)


async def test_what_would_have_been_is_told(shop: Stubs) -> None:
    visited = email("visited", targeting='events["Visit"].size() > 0')
    _, result = await simulated(shop, message=visited, start_time=stamp(4.5), end_time=stamp(10))
    [found] = result.messages
    # Four had visited before; the others come one an hour.
    assert [(one.start_time, sum(count.users for count in one.counts)) for one in found.intervals] == [
        (stamp(4), 4),
        *((stamp(hour), 1) for hour in range(5, 11)),
    ]


async def test_a_long_one_tells_how_far_it_is(shop: Stubs) -> None:
    step = {"step": {"seconds": 60}}
    told, result = await simulated(shop, message=email("late", targeting=LATE), end_time=stamp(10 + 24 * 60), **step)
    assert result.messages[0].selected == 10
    shares = [one.share for one in told]
    assert shares and shares == sorted(shares) and all(0 <= share <= 1 for share in shares)


async def test_what_cannot_be_simulated_is_refused(shop: Stubs) -> None:
    async def refusal(**fields: Any) -> tuple[str, str]:
        found = await refused(simulated(shop, **fields))
        assert found.mend
        return found.code, found.field

    assert await refusal() == ("TIME_MISSING", "end_time")
    assert await refusal(end_time=stamp(20)) == ("NOTHING_TO_SIMULATE", "keys")
    assert await refusal(keys=["none"], end_time=stamp(20)) == ("MESSAGE_NOT_FOUND", "key")
    late = email("late", targeting=LATE)
    assert await refusal(message=late, start_time=stamp(11), end_time=stamp(20)) == ("TIME_IN_FUTURE", "start_time")
    assert await refusal(message=late, start_time=stamp(-1), end_time=stamp(20)) == ("HISTORY_GONE", "start_time")
    assert await refusal(message=late, end_time=stamp(20), examples=99) == ("TOO_MANY_EXAMPLES", "examples")
    broken = await refused(simulated(shop, message=email("x", targeting="user."), end_time=stamp(20)))
    assert (broken.status, broken.field) == (grpc.StatusCode.INVALID_ARGUMENT, "message.targeting")
