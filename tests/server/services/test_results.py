"""Promise: what came of a message can be asked through the RPCs, and a goal is kept, changed and refused there."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2
from muster.v1 import audience_pb2, campaign_pb2, ingest_pb2, message_pb2, project_pb2, results_pb2, value_pb2

from tests.server.conftest import PROJECT, Stubs, email, refused

START = datetime(2026, 1, 1, tzinfo=UTC)
GOAL = message_pb2.Goal(
    event="Purchase", condition="e.amount > 10.0", window=duration_pb2.Duration(seconds=86_400), value="amount"
)


def stamp(hours: float) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(START + timedelta(hours=hours))
    return made


async def purchase(stubs: Stubs, distinct_id: str, hours: float, amount: float) -> None:
    event = ingest_pb2.Event(name="Purchase", distinct_id=distinct_id, time=stamp(hours))
    event.properties["amount"].CopyFrom(value_pb2.Value(double_value=amount))
    await stubs.ingest.Track(ingest_pb2.TrackRequest(project=PROJECT, events=[event]))


async def results(stubs: Stubs, key: str) -> results_pb2.Results:
    request = results_pb2.GetMessageResultsRequest(project=PROJECT, key=key)
    answer: results_pb2.Results = (await stubs.results.GetMessageResults(request)).results
    return answer


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """A sandbox in which four users got a message with a goal."""
    await stubs.create(start_time=stamp(0), live=False)
    await stubs.add_users(4)
    message = message_pb2.CreateMessageRequest(project=PROJECT, message=email("hello", goal=GOAL))
    await stubs.messages.CreateMessage(message)
    await stubs.messages.LaunchMessage(
        message_pb2.LaunchMessageRequest(project=PROJECT, key="hello", existing=message_pb2.EXISTING_SEND)
    )
    while (await stubs.counts("hello")).sent < 4:
        await asyncio.sleep(0.01)
    return stubs


async def test_what_came_of_a_message_by_day_and_in_all(shop: Stubs) -> None:
    await purchase(shop, "u0", 3, 20.0)
    await purchase(shop, "u0", 4, 30.5)
    await purchase(shop, "u1", 5, 9.0)  # too little
    await purchase(shop, "u2", 25, 50.0)  # too late
    await shop.projects.MoveClock(project_pb2.MoveClockRequest(project=PROJECT, to=stamp(48)))
    found = await results(shop, "hello")
    assert found.goal == GOAL and found.now == stamp(48) and found.maturing == 0
    (arm,) = found.arms
    assert (arm.name, arm.users, arm.counts.sent) == ("sent", 4, 4)
    assert (arm.outcome.exposed, arm.outcome.converted, arm.outcome.revenue) == (4, 1, 50.5)
    (day,) = arm.days
    assert (day.time, day.selected, day.outcome) == (stamp(0), 4, arm.outcome)


async def test_a_goal_can_be_changed_and_taken_away_while_live(shop: Stubs) -> None:
    async def change(*paths: str, **fields: Any) -> message_pb2.Message:
        request = message_pb2.UpdateMessageRequest(
            project=PROJECT,
            message=message_pb2.Message(key="hello", **fields),
            update_mask=field_mask_pb2.FieldMask(paths=paths),
        )
        made: message_pb2.Message = (await shop.messages.UpdateMessage(request)).message
        return made

    changed = await change("goal.condition", goal=message_pb2.Goal(condition="true"))
    assert changed.goal.condition == "true" and changed.goal.event == "Purchase"
    assert not (await change("goal")).HasField("goal")
    assert not (await results(shop, "hello")).HasField("goal")


async def test_a_condition_that_is_none_is_refused_at_its_place(stubs: Stubs) -> None:
    await stubs.create()
    goal = message_pb2.Goal(event="Purchase", condition="e.amount >> 3")
    refusal = await refused(
        stubs.messages.CreateMessage(
            message_pb2.CreateMessageRequest(project=PROJECT, message=email("hello", goal=goal))
        )
    )
    assert (refusal.status, refusal.field) == (grpc.StatusCode.INVALID_ARGUMENT, "message.goal.condition")
    assert refusal.position == 10


async def test_results_of_no_message_are_not_found(stubs: Stubs) -> None:
    await stubs.create()
    refusal = await refused(results(stubs, "hello"))
    assert (refusal.status, refusal.code) == (grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND")


async def test_an_explanation_has_values_events_and_the_moment_of_sending(shop: Stubs) -> None:
    await purchase(shop, "u0", 0, 20.0)
    await purchase(shop, "u0", 0, 3.0)
    explained = await shop.audiences.Explain(
        audience_pb2.ExplainRequest(
            project=PROJECT,
            expression='events["Purchase"].filter(e, e.amount > 10.0).size() == 1',
            distinct_id="u0",
        )
    )
    leaf = explained.explanation
    assert [(part.value, [below.value for below in part.parts]) for part in leaf.computed] == [("1", ["1 event"])]
    (evidence,) = leaf.evidence
    assert (evidence.event, evidence.condition) == ("Purchase", "e.amount > 10.0")
    assert (evidence.count, evidence.satisfying) == (2, 1)
    assert sorted((list(event.values), event.satisfies) for event in evidence.events) == [
        (["amount = 20.0"], audience_pb2.SATISFIES_YES),
        (["amount = 3.0"], audience_pb2.SATISFIES_NO),
    ]
    request = message_pb2.ExplainDeliveryRequest(project=PROJECT, key="hello", distinct_id="u0")
    why = await shop.messages.ExplainDelivery(request)
    assert (why.state, why.occurrence, why.group, why.send_time) == ("sent", 0, "", stamp(0))
    assert not why.HasField("due_time")


async def test_a_campaign_has_results_of_its_own_goal_over_all_its_messages(stubs: Stubs) -> None:
    await stubs.create(start_time=stamp(0), live=False)
    await stubs.add_users(3)
    second = 'events["$campaign_delivery"].exists(e, e.message_id == "one" && e.time <= now - duration("24h"))'
    for key, targeting in (("one", "true"), ("two", second)):
        message = message_pb2.CreateMessageRequest(project=PROJECT, message=email(key, targeting=targeting))
        await stubs.messages.CreateMessage(message)
    campaign = campaign_pb2.Campaign(key="both", entry="true", messages=["one", "two"], goal=GOAL)
    made = await stubs.campaigns.CreateCampaign(campaign_pb2.CreateCampaignRequest(project=PROJECT, campaign=campaign))
    assert made.campaign.goal == GOAL
    await stubs.campaigns.LaunchCampaign(
        campaign_pb2.LaunchCampaignRequest(project=PROJECT, key="both", existing=message_pb2.EXISTING_SEND)
    )
    while (await stubs.counts("one")).sent < 3:
        await asyncio.sleep(0.01)
    await stubs.projects.MoveClock(project_pb2.MoveClockRequest(project=PROJECT, to=stamp(24)))
    while (await stubs.counts("two")).sent < 3:
        await asyncio.sleep(0.01)
    await purchase(stubs, "u0", 12, 20.0)
    await purchase(stubs, "u0", 30, 30.0)
    await purchase(stubs, "u1", 30, 40.0)
    await stubs.projects.MoveClock(project_pb2.MoveClockRequest(project=PROJECT, to=stamp(96)))
    request = results_pb2.GetCampaignResultsRequest(project=PROJECT, key="both")
    found = (await stubs.results.GetCampaignResults(request)).results
    (arm,) = found.arms
    assert (arm.users, arm.outcome.exposed) == (3, 6)
    assert (arm.outcome.converted, arm.outcome.revenue) == (3, 90.0)
    assert [(day.time, day.outcome.exposed, day.outcome.converted) for day in arm.days] == [
        (stamp(0), 3, 1),
        (stamp(24), 3, 2),
    ]
    update = campaign_pb2.UpdateCampaignRequest(
        project=PROJECT,
        campaign=campaign_pb2.Campaign(key="both", goal=message_pb2.Goal(event="Visit")),
        update_mask=field_mask_pb2.FieldMask(paths=["goal"]),
    )
    assert (await stubs.campaigns.UpdateCampaign(update)).campaign.goal.event == "Visit"
    request.key = "neither"
    refusal = await refused(stubs.results.GetCampaignResults(request))
    assert (refusal.status, refusal.code) == (grpc.StatusCode.NOT_FOUND, "CAMPAIGN_NOT_FOUND")
