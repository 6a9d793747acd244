"""Promise: a message's whole life can be asked for, and each answer says exactly what stands."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2
from muster.v1 import audience_pb2, ingest_pb2, message_pb2, project_pb2

from tests.server.conftest import PROJECT, Stubs, email, properties, refused

START = datetime(2026, 1, 1, tzinfo=UTC)


def stamp(moment: datetime) -> timestamp_pb2.Timestamp:
    """The timestamp of a datetime."""
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(moment)
    return made


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """A project with ten users, on 2026-01-01."""
    await stubs.create(start_time=stamp(START))
    await stubs.add_users(10)
    return stubs


async def create(shop: Stubs, message: message_pb2.Message) -> message_pb2.CreateMessageResponse:
    """Create a draft."""
    answer: message_pb2.CreateMessageResponse = await shop.messages.CreateMessage(
        message_pb2.CreateMessageRequest(project=PROJECT, message=message)
    )
    return answer


async def update(shop: Stubs, message: message_pb2.Message, *paths: str) -> message_pb2.Message:
    """Change what the paths name."""
    answer = await shop.messages.UpdateMessage(
        message_pb2.UpdateMessageRequest(
            project=PROJECT, message=message, update_mask=field_mask_pb2.FieldMask(paths=paths)
        )
    )
    changed: message_pb2.Message = answer.message
    return changed


async def ask(shop: Stubs, method: str, key: str, **fields: Any) -> Any:
    """Call a method that names a message."""
    request = getattr(message_pb2, f"{method}Request")(project=PROJECT, key=key, **fields)
    return await getattr(shop.messages, method)(request)


async def test_a_draft_is_created_as_sent_and_found_again(shop: Stubs) -> None:
    sent = email("welcome", title="Welcome", max_recipients=7, expires_after=duration_pb2.Duration(seconds=3600))
    made = (await create(shop, sent)).message
    assert made.state == message_pb2.MESSAGE_STATE_DRAFT
    assert made.etag
    assert made.create_time == stamp(START)
    assert (await ask(shop, "GetMessage", "welcome")).message == made
    for name in ("key", "title", "targeting", "asap", "email", "max_recipients", "expires_after"):
        assert getattr(made, name) == getattr(sent, name), name


async def test_a_webhook_at_a_time_is_created_as_sent(shop: Stubs) -> None:
    sent = message_pb2.Message(
        key="hook",
        targeting="true",
        once=message_pb2.OnceSchedule(time=stamp(START + timedelta(days=1))),
        webhook=message_pb2.WebhookContent(
            url="https://example.com/{{ ${name} }}", headers={"X-A": "b"}, body='{"a": 1}', idempotent=True
        ),
    )
    made = (await create(shop, sent)).message
    assert (made.once, made.webhook) == (sent.once, sent.webhook)


async def test_names_never_seen_are_warned_of(shop: Stubs) -> None:
    answer = await create(shop, email("welcome", targeting='user.nam == "x" && events["Purchse"].size() > 0'))
    assert [(one.name, one.nearest) for one in answer.warnings] == [("nam", "name"), ("Purchse", "")]


async def test_messages_are_listed_by_key_in_pages_and_by_state(shop: Stubs) -> None:
    for number in range(5):
        await create(shop, email(f"m{number}"))
    await ask(shop, "LaunchMessage", "m3", existing=message_pb2.EXISTING_SKIP)
    listing = message_pb2.ListMessagesRequest(project=PROJECT, page_size=2)
    found = []
    while True:
        page = await shop.messages.ListMessages(listing)
        found.append([one.key for one in page.messages])
        if not page.next_page_token:
            break
        listing.page_token = page.next_page_token
    assert found == [["m0", "m1"], ["m2", "m3"], ["m4"]]
    live = message_pb2.ListMessagesRequest(project=PROJECT, state=message_pb2.MESSAGE_STATE_LIVE)
    assert [one.key for one in (await shop.messages.ListMessages(live)).messages] == ["m3"]


async def test_an_update_changes_what_its_mask_names_and_nothing_else(shop: Stubs) -> None:
    before = (await create(shop, email("welcome", title="Old", max_recipients=5))).message
    sent = message_pb2.Message(
        key="welcome", title="New", email=message_pb2.EmailContent(subject="Hi", text="ignored"), etag=before.etag
    )
    after = await update(shop, sent, "title", "email.subject")
    assert (after.title, after.email.subject, after.email.text) == ("New", "Hi", before.email.text)
    assert (after.max_recipients, after.targeting) == (5, "true")
    assert after.etag != before.etag
    assert (await refused(update(shop, sent, "title"))).code == "STALE_ETAG"


async def test_an_update_without_a_mask_changes_every_field_sent(shop: Stubs) -> None:
    await create(shop, email("welcome", title="Old", max_recipients=5))
    after = await update(shop, message_pb2.Message(key="welcome", title="New"))
    assert (after.title, after.max_recipients) == ("New", 5)


async def test_an_update_can_take_another_schedule_and_another_content(shop: Stubs) -> None:
    await create(shop, email("welcome"))
    hook = message_pb2.WebhookContent(url="https://example.com/", properties=["name"])
    once = message_pb2.OnceSchedule(time=stamp(START + timedelta(days=1)))
    after = await update(shop, message_pb2.Message(key="welcome", once=once, webhook=hook), "schedule", "content")
    assert (after.WhichOneof("schedule"), after.WhichOneof("content")) == ("once", "webhook")
    back = await update(shop, message_pb2.Message(key="welcome", asap=message_pb2.AsapSchedule()), "asap")
    assert (back.WhichOneof("schedule"), back.WhichOneof("content")) == ("asap", "webhook")


async def test_updates_of_different_fields_at_once_are_all_kept(shop: Stubs) -> None:
    await create(shop, email("welcome"))
    contents = {"subject": "s", "html": "<p>h</p>", "text": "t", "reply_to": "r@example.com"}
    await asyncio.gather(
        *(
            update(
                shop,
                message_pb2.Message(key="welcome", email=message_pb2.EmailContent(**{name: text})),
                f"email.{name}",
            )
            for name, text in contents.items()
        )
    )
    found = (await ask(shop, "GetMessage", "welcome")).message.email
    assert {name: getattr(found, name) for name in contents} == contents


async def test_what_a_launch_settled_cannot_be_updated(shop: Stubs) -> None:
    await shop.launch("welcome")
    refusal = await refused(update(shop, message_pb2.Message(key="welcome", targeting="false"), "targeting"))
    assert (refusal.code, refusal.field) == ("NOT_EDITABLE", "message.targeting")


async def test_validate_only_tells_what_a_launch_would_do_and_changes_nothing(shop: Stubs) -> None:
    await shop.ingest.UpdateProfiles(
        ingest_pb2.UpdateProfilesRequest(
            project=PROJECT,
            updates=[
                ingest_pb2.ProfileUpdate(distinct_id="u1", unset=ingest_pb2.PropertyNames(names=["$email"])),
                ingest_pb2.ProfileUpdate(distinct_id="u2", unset=ingest_pb2.PropertyNames(names=["name"])),
                ingest_pb2.ProfileUpdate(distinct_id="u3", set=properties({"plan": "paid"})),
            ],
        )
    )
    await create(shop, email("welcome", targeting='!has(user.plan) || user.plan != "paid"'))
    answer = await ask(shop, "LaunchMessage", "welcome", validate_only=True)
    forecast = answer.forecast
    assert (forecast.matching, forecast.reachable, forecast.ready) == (9, 8, 7)
    assert [(one.name, one.users) for one in forecast.missing] == [("name", 1)]
    assert len(forecast.leaves) == 2
    assert answer.message.state == message_pb2.MESSAGE_STATE_DRAFT
    launched = await ask(shop, "LaunchMessage", "welcome", existing=message_pb2.EXISTING_SEND)
    assert launched.message.state == message_pb2.MESSAGE_STATE_LIVE
    counts = await shop.counts("welcome")
    assert counts.selected == forecast.matching
    assert counts.queued == forecast.ready
    assert {one.reason: (one.open, one.users) for one in counts.skipped} == {
        "unreachable": (True, 1), "missing_property:name": (True, 1),
    }  # fmt: skip


async def test_a_message_pauses_resumes_and_ends(shop: Stubs) -> None:
    for key in ("one", "two"):
        await shop.launch(key)
    paused = await ask(shop, "PauseMessage", "one")
    assert [(one.key, one.state) for one in paused.messages] == [("one", message_pb2.MESSAGE_STATE_PAUSED)]
    everything = await shop.messages.PauseMessage(message_pb2.PauseMessageRequest(project=PROJECT, all=True))
    assert [one.key for one in everything.messages] == ["two"]
    resumed = await ask(shop, "ResumeMessage", "one")
    assert resumed.message.state == message_pb2.MESSAGE_STATE_LIVE
    ended = await ask(shop, "EndMessage", "one")
    assert ended.message.state == message_pb2.MESSAGE_STATE_ENDED
    assert [(one.reason, one.users) for one in (await shop.counts("one")).skipped] == [("ended", 10)]
    assert (await refused(ask(shop, "EndMessage", "one"))).code == "ALREADY_ENDED"


async def test_a_message_about_to_pass_its_limit_pauses_instead(shop: Stubs) -> None:
    await create(shop, email("welcome", max_recipients=4))
    launched = await ask(shop, "LaunchMessage", "welcome", existing=message_pb2.EXISTING_SEND)
    assert launched.message.state == message_pb2.MESSAGE_STATE_PAUSED
    assert launched.message.pause_reason == "max_recipients"
    assert (await refused(ask(shop, "ResumeMessage", "welcome"))).code == "LIMIT_REACHED"
    resumed = await ask(shop, "ResumeMessage", "welcome", max_recipients=20)
    assert resumed.message.max_recipients == 20
    assert (await shop.counts("welcome")).queued == 10


async def test_a_scheduled_message_fires_when_its_time_comes(shop: Stubs) -> None:
    once = message_pb2.OnceSchedule(time=stamp(START + timedelta(days=2)))
    await shop.launch("later", once=once, email=email("x").email)
    assert (await shop.counts("later")).selected == 0
    move = project_pb2.MoveClockRequest(project=PROJECT, to=stamp(START + timedelta(days=30)))
    moved = await shop.projects.MoveClock(move)
    assert dict(moved.selected) == {"later": 10}
    report = await ask(shop, "GetReport", "later")
    assert [(one.time, one.users) for one in report.selected_per_day] == [(stamp(START + timedelta(days=2)), 10)]
    assert report.now == stamp(START + timedelta(days=30))


async def test_a_preview_shows_what_one_user_would_read_and_whether_they_get_it(shop: Stubs) -> None:
    await create(shop, email("welcome", targeting='user.name != "User 3"'))
    seen = await ask(shop, "PreviewMessage", "welcome", distinct_id="u2")
    assert (seen.rendered.to, seen.rendered.subject, seen.would_send) == ("u2@example.com", "Hello User 2", True)
    assert seen.explanation.verdict == audience_pb2.VERDICT_MATCHES
    other = await ask(shop, "PreviewMessage", "welcome", distinct_id="u3")
    assert (other.rendered.subject, other.would_send, other.reason) == ("Hello User 3", False, "match")
    await shop.add_users(1, first=10)
    await shop.ingest.UpdateProfiles(
        ingest_pb2.UpdateProfilesRequest(
            project=PROJECT,
            updates=[ingest_pb2.ProfileUpdate(distinct_id="u10", unset=ingest_pb2.PropertyNames(names=["$email"]))],
        )
    )
    unreachable = await ask(shop, "PreviewMessage", "welcome", distinct_id="u10")
    assert (unreachable.would_send, unreachable.reason) == (False, "unreachable")
    assert not unreachable.HasField("rendered")


async def test_a_preview_is_shown_in_the_language_of_a_reader(shop: Stubs) -> None:
    sent = email("welcome")
    sent.email.translations["de"].subject = "Hallo {{ user.name }}"
    created = (await create(shop, sent)).message
    assert created.email.translations == sent.email.translations
    seen = await ask(shop, "PreviewMessage", "welcome", distinct_id="u2", locale="de-CH")
    assert (seen.rendered.subject, seen.rendered.text) == ("Hallo User 2", "Dear User 2")
    assert (await ask(shop, "PreviewMessage", "welcome", distinct_id="u2")).rendered.subject == "Hello User 2"
    unknown = ask(shop, "PreviewMessage", "welcome", distinct_id="u2", locale="xx")
    assert (await refused(unknown)).code == "LOCALE_UNKNOWN"


async def test_links_of_an_email_get_the_parameters_they_lack(shop: Stubs) -> None:
    sent = email("welcome", utm=message_pb2.Utm(source="news"))
    sent.email.html = '<a href="https://a.example/?utm_source=mine">x</a>'
    sent.email.text = "https://a.example/"
    assert (await create(shop, sent)).message.utm == message_pb2.Utm(source="news")
    seen = (await ask(shop, "PreviewMessage", "welcome", distinct_id="u2")).rendered
    assert seen.html == '<a href="https://a.example/?utm_source=mine&amp;utm_campaign=welcome">x</a>'
    assert seen.text == "https://a.example/?utm_source=news&utm_campaign=welcome"
    sent.utm.term = "x" * 201
    assert (await refused(update(shop, sent, "utm"))).field == "message.utm.term"
    assert (await update(shop, message_pb2.Message(key="welcome", utm=message_pb2.Utm(term="t")), "utm.term")).utm == (
        message_pb2.Utm(source="news", term="t")
    )


@pytest.mark.parametrize(
    ("tag", "subject", "code"),
    [("de_CH", "Hallo", "LOCALE_UNKNOWN"), ("xx", "Hallo", "LOCALE_UNKNOWN"), ("de", "{{ user.", "TEMPLATE_SYNTAX")],
)
async def test_a_translation_that_nobody_could_read_is_refused(shop: Stubs, tag: str, subject: str, code: str) -> None:
    sent = email("welcome")
    sent.email.translations[tag].subject = subject
    refusal = await refused(create(shop, sent))
    assert refusal.code == code
    assert refusal.field.startswith(f"message.email.translations['{tag}']")


async def test_a_delivery_is_explained_gate_by_gate(shop: Stubs) -> None:
    await shop.launch("welcome")
    found = await ask(shop, "ExplainDelivery", "welcome", distinct_id="u1")
    assert (found.state, found.decide_time) == ("queued", stamp(START))
    assert [gate.name for gate in found.gates][:3] == ["live", "match", "once"]
    assert all(gate.detail for gate in found.gates)
    await create(shop, email("draft"))
    never = await ask(shop, "ExplainDelivery", "draft", distinct_id="u1")
    assert (never.state, never.HasField("decide_time")) == ("none", False)


async def test_every_delivery_is_listed_with_instant_and_state(shop: Stubs) -> None:
    await shop.launch("one")
    await shop.launch("two")

    async def rows(key: str) -> list[message_pb2.Delivery]:
        request = message_pb2.ListDeliveriesRequest(project=PROJECT, key=key)
        return [row async for part in shop.messages.ListDeliveries(request) for row in part.deliveries]

    found = await rows("one")
    assert [row.distinct_id for row in found] == [f"u{number}" for number in range(10)]
    assert {(row.message_key, row.state) for row in found} == {("one", "queued")}
    assert {row.decide_time.seconds for row in found} == {stamp(START).seconds}
    everything = await rows("")
    assert len(everything) == 20
    assert len({row.idempotency_key for row in everything}) == 20
    request = message_pb2.ListDeliveriesRequest(project=PROJECT, key="three")
    refusal = await refused(shop.messages.ListDeliveries(request).read())
    assert (refusal.status, refusal.code) == (grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND")


async def test_a_repeated_launch_answers_as_the_first_did(shop: Stubs) -> None:
    await create(shop, email("welcome"))
    first = await ask(shop, "LaunchMessage", "welcome", existing=message_pb2.EXISTING_SEND, request_id="r1")
    again = await ask(shop, "LaunchMessage", "welcome", existing=message_pb2.EXISTING_SEND, request_id="r1")
    assert again == first
    fresh = ask(shop, "LaunchMessage", "welcome", existing=message_pb2.EXISTING_SEND, request_id="r2")
    assert (await refused(fresh)).code == "NOT_A_DRAFT"
