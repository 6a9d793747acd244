"""Promise: apps fetch what waits for their user, have it pushed on a stream, and tell what the user did, by RPC."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from muster.v1 import (
    delivery_pb2,
    in_app_pb2,
    ingest_pb2,
    message_pb2,
    profile_pb2,
    project_pb2,
    value_pb2,
)

from server.config import Config
from server.main import Server
from tests.server.conftest import Stubs, properties, refused

WHOLE = message_pb2.InAppContent(
    kind=message_pb2.IN_APP_KIND_TAKEOVER,
    title="Hi {{ user.name }}",
    body="There is a sale.",
    image="https://example.com/{{ user.name }}.png",
    buttons=[
        message_pb2.InAppButton(
            text="Go",
            link="shop://sale/{{ user.name }}",
            text_color="#FFFFFF",
            background_color="#80000000",
            border_color="#000000",
        )
    ],
    link="shop://sale",
    background_color="#112233",
    title_color="#445566",
    body_color="#778899",
    close_color="#AABBCC",
    border_color="#DDEEFF",
    image_tint_color="#012345",
    fade_image=True,
    data={"screen": "{{ user.name }}"},
    translations={"de": message_pb2.InAppTranslation(title="Hallo {{ user.name }}", body="Schau")},
)


async def add(stubs: Stubs, *names: str) -> None:
    """Users with their names."""
    updates = [ingest_pb2.ProfileUpdate(distinct_id=name, set=properties({"name": name})) for name in names]
    await stubs.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project="shop", updates=updates))


def mini(*triggers: message_pb2.DisplayTrigger) -> message_pb2.InAppContent:
    return message_pb2.InAppContent(kind=message_pb2.IN_APP_KIND_MINI, body="There", triggers=triggers)


async def fetch(stubs: Stubs, distinct_id: str, session: str = "", **event: Any) -> in_app_pb2.FetchInAppResponse:
    """What may be shown."""
    request = in_app_pb2.FetchInAppRequest(project="shop", distinct_id=distinct_id, session_id=session)
    if event:
        request.event.CopyFrom(in_app_pb2.TriggeringEvent(**event))
    return await stubs.in_app.FetchInApp(request)


async def tell(stubs: Stubs, id: str, action: int, **more: str) -> in_app_pb2.ReportInAppResponse:
    """Report one deed."""
    reports = [in_app_pb2.InAppReport(id=id, action=action, **more)]
    return await stubs.in_app.ReportInApp(in_app_pb2.ReportInAppRequest(project="shop", reports=reports))


async def test_the_whole_way(stubs: Stubs) -> None:
    await stubs.create()
    await add(stubs, "ada", "bob")
    await stubs.launch("sale", in_app=WHOLE, expires_after=duration_pb2.Duration(seconds=3_600))
    (waiting,) = (await fetch(stubs, "ada", "s1")).messages
    content = waiting.content
    assert (content.title, content.image, content.buttons[0].link) == (
        "Hi ada",
        "https://example.com/ada.png",
        "shop://sale/ada",
    )
    assert dict(content.data) == {"screen": "ada"}
    for name in ("background_color", "title_color", "body_color", "close_color", "border_color", "image_tint_color"):
        assert getattr(content, name) == getattr(WHOLE, name)
    assert content.buttons[0].text_color == "#FFFFFF" and content.fade_image
    now = (await stubs.projects.GetProject(project_pb2.GetProjectRequest(name="shop"))).project.now
    assert waiting.expire_time.seconds == now.seconds + 3_600
    told = await tell(stubs, waiting.id, in_app_pb2.IN_APP_ACTION_CLICKED, session_id="s1", link="shop://sale")
    assert (told.accepted, told.duplicates, told.unknown) == (1, 0, 0)
    assert not (await fetch(stubs, "ada")).messages
    counts = await stubs.counts("sale")
    assert (counts.selected, counts.sent, counts.queued) == (2, 1, 1)
    history = await stubs.profiles.ListEvents(profile_pb2.ListEventsRequest(project="shop", distinct_id="ada"))
    names = {event.name for event in history.events if event.name.startswith("$campaign")}
    assert names == {"$campaign_delivery", "$campaign_open", "$campaign_click"}
    moved = project_pb2.MoveClockRequest(project="shop")
    moved.to.FromSeconds(now.seconds + 7_200)
    await stubs.projects.MoveClock(moved)
    assert not (await fetch(stubs, "bob")).messages
    skipped = (await stubs.counts("sale")).skipped
    assert [(one.reason, one.users) for one in skipped] == [("expired", 1)]


async def test_it_reads_back_as_it_was_written_and_is_previewed(stubs: Stubs) -> None:
    await stubs.create()
    await add(stubs, "ada")
    trigger = message_pb2.DisplayTrigger(event="Buy", condition="e.amount > 5.0")
    content = message_pb2.InAppContent()
    content.CopyFrom(WHOLE)
    content.triggers.append(trigger)
    message = message_pb2.Message(key="sale", targeting="true", asap=message_pb2.AsapSchedule(), in_app=content)
    message.variants.add(key="b", percent=0, in_app=mini(trigger))
    made = await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project="shop", message=message))
    assert made.message.in_app == content
    assert list(made.message.variants) == list(message.variants)
    change = message_pb2.UpdateMessageRequest(
        project="shop", message=message_pb2.Message(key="sale", in_app=message_pb2.InAppContent(body="Changed"))
    )
    change.update_mask.paths.extend(["in_app.body", "in_app.triggers"])
    fresh = (await stubs.messages.UpdateMessage(change)).message.in_app
    assert (fresh.body, fresh.title, list(fresh.triggers)) == ("Changed", content.title, [])
    found = await stubs.messages.PreviewMessage(
        message_pb2.PreviewMessageRequest(project="shop", key="sale", distinct_id="ada")
    )
    assert (found.rendered.in_app.title, found.rendered.in_app.body) == ("Hi ada", "Changed")


async def test_triggers_and_the_limit_of_a_session(stubs: Stubs) -> None:
    await stubs.create()
    made = await stubs.projects.UpdateProject(project_pb2.UpdateProjectRequest(project="shop", in_app_per_session=1))
    assert made.project.in_app_per_session == 1
    await add(stubs, "ada")
    await stubs.launch("big", in_app=mini(message_pb2.DisplayTrigger(event="Buy", condition="e.amount > 5.0")))
    found = await fetch(stubs, "ada", "s1")
    assert [one.content.triggers[0].condition for one in found.messages] == ["e.amount > 5.0"]
    amount = {"amount": value_pb2.Value(double_value=6)}
    assert not (await fetch(stubs, "ada", "s1", name="Buy")).messages
    (waiting,) = (await fetch(stubs, "ada", "s1", name="Buy", properties=amount)).messages
    await tell(stubs, waiting.id, in_app_pb2.IN_APP_ACTION_SHOWN, session_id="s1")
    await stubs.launch("next", in_app=mini())
    found = await fetch(stubs, "ada", "s1")
    assert (len(found.messages), found.HasField("remaining"), found.remaining) == (0, True, 0)
    found = await fetch(stubs, "ada")
    assert (len(found.messages), found.HasField("remaining")) == (1, False)


async def test_a_stream_is_told_at_once_and_whenever_it_changes(stubs: Stubs) -> None:
    await stubs.create()
    await add(stubs, "ada", "bob")
    call = stubs.in_app.WatchInApp(in_app_pb2.WatchInAppRequest(project="shop", distinct_id="ada"))

    async def keys() -> list[str]:
        async with asyncio.timeout(30):
            return [one.message_key for one in (await call.read()).messages]

    assert await keys() == []
    await stubs.launch("one", in_app=mini())
    assert await keys() == ["one"]
    await stubs.launch("two", in_app=mini())
    assert await keys() == ["one", "two"]
    first = (await fetch(stubs, "ada")).messages[0]
    await tell(stubs, first.id, in_app_pb2.IN_APP_ACTION_DISMISSED)
    assert await keys() == ["two"]
    await stubs.messages.PauseMessage(message_pb2.PauseMessageRequest(project="shop", key="two"))
    assert await keys() == []
    call.cancel()


async def test_a_server_that_stops_ends_the_streams(config: Config) -> None:
    async with Server(config) as server:
        async with grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            await stubs.create()
            call = stubs.in_app.WatchInApp(in_app_pb2.WatchInAppRequest(project="shop", distinct_id="ada"))
            await call.read()
            await server.stop()
            refusal = await refused(call.read())
            assert (refusal.status, refusal.code) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"kind": message_pb2.IN_APP_KIND_UNSPECIFIED}, "message.in_app.kind", "KIND_INVALID"),
        ({"body": ""}, "message.in_app.body", "TEMPLATE_EMPTY"),
        ({"close_color": "red"}, "message.in_app.close_color", "COLOR_INVALID"),
        ({"triggers": [message_pb2.DisplayTrigger()]}, "message.in_app.triggers[0].event", "NO_EVENT"),
    ],
)
async def test_what_is_wrong_is_named(stubs: Stubs, changes: dict[str, Any], field: str, code: str) -> None:
    await stubs.create()
    content = message_pb2.InAppContent(**{"kind": message_pb2.IN_APP_KIND_MINI, "body": "x", **changes})
    message = message_pb2.Message(key="sale", targeting="true", asap=message_pb2.AsapSchedule(), in_app=content)
    refusal = await refused(
        stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project="shop", message=message))
    )
    assert (refusal.status, refusal.field, refusal.code) == (grpc.StatusCode.INVALID_ARGUMENT, field, code)


async def test_bad_requests_are_named(stubs: Stubs) -> None:
    await stubs.create()
    for call, field, code in (
        (fetch(stubs, ""), "distinct_id", "EMPTY_ID"),
        (fetch(stubs, "ada", properties={"a": value_pb2.Value(int_value=1)}), "event.name", "NO_EVENT"),
        (fetch(stubs, "ada", name="Buy", properties={"a": value_pb2.Value()}), "event.properties.a", "VALUE_UNSET"),
        (tell(stubs, "x", 0), "reports[0].action", "ACTION_MISSING"),
        (stubs.in_app.ReportInApp(in_app_pb2.ReportInAppRequest(project="shop")), "reports", "NO_VALUE"),
    ):
        refusal = await refused(call)
        assert (refusal.status, refusal.field, refusal.code) == (grpc.StatusCode.INVALID_ARGUMENT, field, code)
    assert (await tell(stubs, "made up", in_app_pb2.IN_APP_ACTION_SHOWN)).unknown == 1


async def test_no_worker_carries_it(stubs: Stubs) -> None:
    await stubs.create()
    call = stubs.delivery.Deliver()
    await call.write(
        delivery_pb2.DeliverRequest(hello=delivery_pb2.Hello(project="shop", channel=delivery_pb2.CHANNEL_IN_APP))
    )
    refusal = await refused(call.read())
    assert (refusal.field, refusal.code) == ("hello.channel", "CHANNEL_MISSING")
