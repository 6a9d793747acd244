"""Promise: a campaign through the RPCs lets users in, sends its messages to them in their time, and accounts for everybody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2
from muster.v1 import campaign_pb2, ingest_pb2, message_pb2, project_pb2, simulation_pb2

from tests.server.conftest import PROJECT, Stubs, email, properties, refused

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = 'events["$journey_entered"].exists(e, e.campaign_id == "win" && e.time <= now - duration("48h"))'


def stamp(hours: float) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(START + timedelta(hours=hours))
    return made


def campaign(**fields: Any) -> campaign_pb2.Campaign:
    given = {"key": "win", "title": "Win", "entry": 'user.plan == "free"', "messages": ["one", "two"], **fields}
    return campaign_pb2.Campaign(**given)


def creation(**fields: Any) -> campaign_pb2.CreateCampaignRequest:
    return campaign_pb2.CreateCampaignRequest(project=PROJECT, campaign=campaign(**fields))


def launch(**fields: Any) -> campaign_pb2.LaunchCampaignRequest:
    return campaign_pb2.LaunchCampaignRequest(project=PROJECT, key="win", **fields)


async def set_plan(shop: Stubs, distinct_id: str, plan: str) -> None:
    update = ingest_pb2.ProfileUpdate(distinct_id=distinct_id, set=properties({"plan": plan}))
    await shop.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=PROJECT, updates=[update]))


async def move(shop: Stubs, hours: float) -> None:
    await shop.projects.MoveClock(project_pb2.MoveClockRequest(project=PROJECT, to=stamp(hours)))


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """Users u0 … u3, of whom the first two are on the free plan; two drafts."""
    await stubs.create(start_time=stamp(0))
    await stubs.add_users(4)
    for number in range(4):
        await set_plan(stubs, f"u{number}", "free" if number < 2 else "paid")
    for key, targeting in (("one", "true"), ("two", LATER)):
        message = email(key, targeting=targeting)
        await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project=PROJECT, message=message))
    return stubs


async def test_a_campaign_from_draft_to_end(shop: Stubs) -> None:
    made = await shop.campaigns.CreateCampaign(creation(exit='events["Buy"].size() > 0'))
    assert made.campaign.state == message_pb2.MESSAGE_STATE_DRAFT
    assert [one.name for one in made.warnings] == ["Buy"]
    found = await shop.messages.GetMessage(message_pb2.GetMessageRequest(project=PROJECT, key="one"))
    assert found.message.campaign == "win"

    told = (await shop.campaigns.LaunchCampaign(launch(validate_only=True))).forecast
    assert told.entering == 2
    assert [(one.key, one.forecast.ready) for one in told.messages] == [("one", 2), ("two", 0)]
    live = await shop.campaigns.LaunchCampaign(launch(existing=message_pb2.EXISTING_SEND, etag=made.campaign.etag))
    assert live.campaign.state == message_pb2.MESSAGE_STATE_LIVE

    await move(shop, 1)
    await set_plan(shop, "u2", "free")
    event = ingest_pb2.Event(name="Buy", distinct_id="u1")
    await shop.ingest.Track(ingest_pb2.TrackRequest(project=PROJECT, events=[event]))
    await move(shop, 100)
    counted = await shop.campaigns.CountCampaign(campaign_pb2.CountCampaignRequest(project=PROJECT, key="win"))
    assert (counted.entered, counted.exited, list(counted.left_out)) == (3, 1, [])
    assert [(one.key, one.counts.selected) for one in counted.messages] == [("one", 3), ("two", 3)]
    assert [(one.time, one.users) for one in counted.entered_per_day] == [(stamp(0), 3)]
    two = counted.messages[1].counts
    assert (two.queued, [(one.reason, one.open, one.users) for one in two.skipped]) == (2, [("exited", False, 1)])
    why = message_pb2.ExplainDeliveryRequest(project=PROJECT, key="one", distinct_id="u3")
    gates = {gate.name: gate.passed for gate in (await shop.messages.ExplainDelivery(why)).gates}
    assert gates["entered"] is False and gates["match"] is True

    named = {"project": PROJECT, "key": "win"}
    paused = await shop.campaigns.PauseCampaign(campaign_pb2.PauseCampaignRequest(**named))
    assert paused.campaign.state == message_pb2.MESSAGE_STATE_PAUSED
    resumed = await shop.campaigns.ResumeCampaign(campaign_pb2.ResumeCampaignRequest(**named))
    assert resumed.campaign.state == message_pb2.MESSAGE_STATE_LIVE
    ended = await shop.campaigns.EndCampaign(campaign_pb2.EndCampaignRequest(**named))
    assert ended.campaign.state == message_pb2.MESSAGE_STATE_ENDED
    assert (await shop.counts("two")).queued == 0
    listed = await shop.campaigns.ListCampaigns(
        campaign_pb2.ListCampaignsRequest(project=PROJECT, state=message_pb2.MESSAGE_STATE_ENDED)
    )
    assert [one.key for one in listed.campaigns] == ["win"] and not listed.next_page_token


async def test_an_update_changes_what_the_mask_names(shop: Stubs) -> None:
    made = (await shop.campaigns.CreateCampaign(creation())).campaign
    request = campaign_pb2.UpdateCampaignRequest(
        project=PROJECT,
        campaign=campaign_pb2.Campaign(key="win", messages=["two"], title="No", etag=made.etag),
        update_mask=field_mask_pb2.FieldMask(paths=["messages"]),
    )
    updated = (await shop.campaigns.UpdateCampaign(request)).campaign
    assert (list(updated.messages), updated.title, updated.entry) == (["two"], "Win", made.entry)
    stale = await refused(shop.campaigns.UpdateCampaign(request))
    assert (stale.status, stale.code, stale.field) == (grpc.StatusCode.ABORTED, "STALE_ETAG", "campaign.etag")
    request.campaign.etag = ""
    request.update_mask.paths[:] = ["state"]
    unknown = await refused(shop.campaigns.UpdateCampaign(request))
    assert (unknown.code, unknown.field) == ("UNKNOWN_FIELD", "update_mask")


async def test_a_simulation_tells_what_then_happens(shop: Stubs) -> None:
    await shop.campaigns.CreateCampaign(creation(control_percent=50))
    request = simulation_pb2.SimulateRequest(
        project=PROJECT, campaigns=["win"], end_time=stamp(72), existing=message_pb2.EXISTING_SEND
    )
    result = [part async for part in shop.simulation.Simulate(request)][-1].result
    await shop.campaigns.LaunchCampaign(launch(existing=message_pb2.EXISTING_SEND))
    await move(shop, 72)
    counted = await shop.campaigns.CountCampaign(campaign_pb2.CountCampaignRequest(project=PROJECT, key="win"))
    [told] = result.campaigns
    assert (told.campaign.key, told.entered, told.control) == ("win", counted.entered, counted.control)
    assert list(told.entered_by_interval) == list(counted.entered_per_day)
    assert {one.message.key: one.selected for one in result.messages} == {
        one.key: one.counts.selected for one in counted.messages
    }
    held_out = {one.key: one.counts.held_out for one in counted.messages}
    assert set(held_out.values()) == {counted.control}


async def test_goal_and_control_percent_change_while_it_is_live(shop: Stubs) -> None:
    goal = message_pb2.Goal(event="Purchase", value="amount")
    await shop.campaigns.CreateCampaign(creation(control_percent=5, goal=goal))
    await shop.campaigns.LaunchCampaign(launch(existing=message_pb2.EXISTING_SEND))
    request = campaign_pb2.UpdateCampaignRequest(
        project=PROJECT,
        campaign=campaign_pb2.Campaign(key="win", control_percent=20),
        update_mask=field_mask_pb2.FieldMask(paths=["control_percent", "goal"]),
    )
    made = (await shop.campaigns.UpdateCampaign(request)).campaign
    assert made.control_percent == 20 and not made.HasField("goal")


async def test_a_repeated_request_answers_the_same(shop: Stubs) -> None:
    request = creation()
    request.request_id = "r1"
    first = await shop.campaigns.CreateCampaign(request)
    assert (await shop.campaigns.CreateCampaign(request)).campaign == first.campaign


async def test_refusals_name_the_field(shop: Stubs) -> None:
    wrong = await refused(shop.campaigns.CreateCampaign(creation(entry='user.plan == "free" &&')))
    assert (wrong.status, wrong.code, wrong.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "EXPRESSION_SYNTAX",
        "campaign.entry",
    )
    assert wrong.position is not None
    missing = await refused(shop.campaigns.CreateCampaign(creation(messages=["one", "ones"])))
    assert (missing.status, missing.field) == (grpc.StatusCode.NOT_FOUND, "campaign.messages[1]")
    none = await refused(shop.campaigns.GetCampaign(campaign_pb2.GetCampaignRequest(project=PROJECT, key="wins")))
    assert (none.status, none.code) == (grpc.StatusCode.NOT_FOUND, "CAMPAIGN_NOT_FOUND")
    await shop.campaigns.CreateCampaign(creation())
    alone = message_pb2.LaunchMessageRequest(project=PROJECT, key="one", existing=message_pb2.EXISTING_SEND)
    refusal = await refused(shop.messages.LaunchMessage(alone))
    assert (refusal.status, refusal.code) == (grpc.StatusCode.FAILED_PRECONDITION, "OF_CAMPAIGN")
