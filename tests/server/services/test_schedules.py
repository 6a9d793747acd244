"""Promise: every schedule can be asked for, is answered as it was sent, and sends at its times; a call sends once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2
from muster.v1 import ingest_pb2, message_pb2, project_pb2, value_pb2

from tests.server.conftest import PROJECT, Stubs, email, properties, refused

START = datetime(2026, 3, 1, tzinfo=UTC)
"""A Sunday."""


def stamp(moment: datetime) -> timestamp_pb2.Timestamp:
    """The timestamp of a datetime."""
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(moment)
    return made


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """A project with three users, in Berlin, in Tokyo, and nobody knows where."""
    await stubs.create(start_time=stamp(START))
    await stubs.add_users(3)
    await place(stubs, u0="Europe/Berlin", u1="Asia/Tokyo")
    return stubs


async def place(shop: Stubs, **zones: str) -> None:
    """Let users live in zones."""
    updates = [
        ingest_pb2.ProfileUpdate(distinct_id=name, set=properties({"$timezone": zone})) for name, zone in zones.items()
    ]
    await shop.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=PROJECT, updates=updates))


async def create(shop: Stubs, message: message_pb2.Message) -> message_pb2.Message:
    """Create a draft."""
    request = message_pb2.CreateMessageRequest(project=PROJECT, message=message)
    made: message_pb2.Message = (await shop.messages.CreateMessage(request)).message
    return made


async def ask(shop: Stubs, method: str, key: str, **fields: Any) -> Any:
    """Call a method that names a message."""
    request = getattr(message_pb2, f"{method}Request")(project=PROJECT, key=key, **fields)
    return await getattr(shop.messages, method)(request)


async def move(shop: Stubs, to: datetime) -> None:
    """Move the clock."""
    await shop.projects.MoveClock(project_pb2.MoveClockRequest(project=PROJECT, to=stamp(to)))


async def decided(shop: Stubs, key: str) -> list[tuple[int, str, str]]:
    """Occurrence, user, and day and time of each decision."""
    found = []
    async for part in shop.messages.ListDeliveries(message_pb2.ListDeliveriesRequest(project=PROJECT, key=key)):
        found += [
            (one.occurrence, one.distinct_id, f"{one.decide_time.ToDatetime():%d %H:%M}") for one in part.deliveries
        ]
    return sorted(found)


SCHEDULES = {
    "time": {"once": message_pb2.OnceSchedule(time=stamp(START + timedelta(1)))},
    "local": {"once": message_pb2.OnceSchedule(local_time="2026-03-02T09:00", time_zone="user", past="PAST_SKIP")},
    "next": {"once": message_pb2.OnceSchedule(next="monday 09:00", time_zone="Europe/Berlin")},
    "after": {"once": message_pb2.OnceSchedule(after=duration_pb2.Duration(seconds=60))},
    "recurring": {"recurring": message_pb2.RecurringSchedule(start="2026-03-01T09:00", rule="FREQ=DAILY")},
    "met": {
        "when_met": message_pb2.WhenMetSchedule(least_gap=duration_pb2.Duration(seconds=60), end_time=stamp(START))
    },
    "bare": {"when_met": message_pb2.WhenMetSchedule()},
    "send": {"on_send": message_pb2.OnSendSchedule()},
}


@pytest.mark.parametrize("name", SCHEDULES)
async def test_a_schedule_is_created_and_updated_as_sent(shop: Stubs, name: str) -> None:
    [(kind, schedule)] = SCHEDULES[name].items()
    limits = {"most_per_user": 2, "grace": duration_pb2.Duration(seconds=60)}
    made = await create(shop, email("hi", **{"asap": None, kind: schedule, **limits}))
    assert (made.WhichOneof("schedule"), getattr(made, kind)) == (kind, schedule)
    assert (made.most_per_user, made.grace) == (2, limits["grace"])
    await create(shop, email("other"))
    request = message_pb2.UpdateMessageRequest(
        project=PROJECT,
        message=message_pb2.Message(key="other", **{kind: schedule}, **limits),
        update_mask=field_mask_pb2.FieldMask(paths=["schedule", "most_per_user", "grace"]),
    )
    after = (await shop.messages.UpdateMessage(request)).message
    assert (after.WhichOneof("schedule"), getattr(after, kind)) == (kind, schedule)
    assert (after.most_per_user, after.grace) == (2, limits["grace"])


async def test_a_time_in_each_users_zone(shop: Stubs) -> None:
    await move(shop, START + timedelta(hours=12))
    once = message_pb2.OnceSchedule(local_time="2026-03-01T20:00", time_zone="user")
    await create(shop, email("hi", asap=None, once=once))
    forecast = (await ask(shop, "LaunchMessage", "hi", validate_only=True)).forecast
    assert (forecast.matching, forecast.past) == (3, 1)
    error = await refused(ask(shop, "LaunchMessage", "hi"))
    assert (error.code, error.field) == ("PAST_REQUIRED", "message.once.past")
    once.past = message_pb2.PAST_SEND
    await shop.messages.UpdateMessage(
        message_pb2.UpdateMessageRequest(project=PROJECT, message=message_pb2.Message(key="hi", once=once))
    )
    await ask(shop, "LaunchMessage", "hi")
    await move(shop, START + timedelta(2))
    assert await decided(shop, "hi") == [(0, "u0", "01 19:00"), (0, "u1", "01 12:00"), (0, "u2", "01 20:00")]
    runs = (await ask(shop, "GetReport", "hi")).runs
    assert [message_pb2.RunOutcome.Name(one.outcome)[12:] for one in runs] == ["LATE", "FIRED", "FIRED"]


async def test_a_recurring_message_runs_and_says_when_next(shop: Stubs) -> None:
    rule = message_pb2.RecurringSchedule(start="2026-03-01T09:00", rule="FREQ=WEEKLY;BYDAY=SU,WE;COUNT=3")
    await create(shop, email("digest", asap=None, recurring=rule, most_per_user=2))
    launched = (await ask(shop, "LaunchMessage", "digest")).message
    assert launched.recurring.time_zone == "UTC"
    assert (await ask(shop, "GetReport", "digest")).next_run_time == stamp(START + timedelta(hours=9))
    await move(shop, START + timedelta(20))
    report = await ask(shop, "GetReport", "digest")
    assert [one.plan_time.ToDatetime().day for one in report.runs] == [1, 4, 8]
    assert [(one.number, one.counts.selected) for one in report.occurrences] == [(0, 3), (1, 3)]
    assert not report.HasField("next_run_time")
    assert report.reconciled


async def test_a_pause_misses_runs(shop: Stubs) -> None:
    rule = message_pb2.RecurringSchedule(start="2026-03-01T09:00", rule="FREQ=DAILY")
    await create(shop, email("daily", asap=None, recurring=rule, grace=duration_pb2.Duration(seconds=7200)))
    await ask(shop, "LaunchMessage", "daily")
    await ask(shop, "PauseMessage", "daily")
    await move(shop, START + timedelta(2, hours=11))
    await ask(shop, "ResumeMessage", "daily")
    runs = (await ask(shop, "GetReport", "daily")).runs
    assert [message_pb2.RunOutcome.Name(one.outcome)[12:] for one in runs] == ["MISSED", "MISSED", "LATE"]
    assert {when for _, _, when in await decided(shop, "daily")} == {"03 11:00"}


async def test_each_time_the_criteria_are_met(shop: Stubs) -> None:
    met = message_pb2.WhenMetSchedule(least_gap=duration_pb2.Duration(seconds=86_400))
    await create(shop, email("back", asap=None, when_met=met, targeting='user.place == "in"'))
    error = await refused(ask(shop, "LaunchMessage", "back"))
    assert error.code == "EXISTING_REQUIRED"
    await ask(shop, "LaunchMessage", "back", existing=message_pb2.EXISTING_SEND)
    for hour, where in enumerate(["in", "out", "in"], 1):
        await move(shop, START + timedelta(hours=hour))
        update = ingest_pb2.ProfileUpdate(distinct_id="u0", set=properties({"place": where}))
        await shop.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=PROJECT, updates=[update]))
    assert await decided(shop, "back") == [(0, "u0", "01 01:00")]
    await move(shop, START + timedelta(3))
    assert await decided(shop, "back") == [(0, "u0", "01 01:00"), (1, "u0", "02 01:00")]


async def test_a_call_sends_once_a_request(shop: Stubs) -> None:
    content = message_pb2.EmailContent(subject="Order {{ data.order }}", text="Thanks", **{"from": "shop@example.com"})
    await create(shop, email("receipt", asap=None, targeting="", on_send=message_pb2.OnSendSchedule(), email=content))
    await ask(shop, "LaunchMessage", "receipt")
    named = {"distinct_ids": ["u0", "u2"], "data": {"order": value_pb2.Value(string_value="A-17")}}
    first = await ask(shop, "Send", "receipt", request_id="order-A-17", **named)
    assert [(one.distinct_id, one.state, one.occurrence) for one in first.users] == [
        ("u0", "queued", 0),
        ("u2", "queued", 0),
    ]
    assert await ask(shop, "Send", "receipt", request_id="order-A-17", **named) == first
    assert len(await decided(shop, "receipt")) == 2
    keys = {one.idempotency_key for one in first.users}
    listing = message_pb2.ListDeliveriesRequest(project=PROJECT, key="receipt")
    assert keys == {
        one.idempotency_key async for part in shop.messages.ListDeliveries(listing) for one in part.deliveries
    }
    error = await refused(ask(shop, "Send", "receipt", distinct_ids=["u0"]))
    assert (error.code, error.field) == ("DATA_REQUIRED", "data.order")
    error = await refused(ask(shop, "Send", "receipt", distinct_ids=["u0", "zed"], data=named["data"]))
    assert (error.code, error.field) == ("USER_NOT_FOUND", "distinct_ids[1]")


async def test_a_test_of_a_draft_counts_in_no_report(shop: Stubs) -> None:
    await create(shop, email("welcome"))
    answer = await ask(shop, "TestSend", "welcome", distinct_ids=["u0"])
    assert [(one.distinct_id, one.state) for one in answer.users] == [("u0", "queued")]
    assert (await shop.counts("welcome")).selected == 0
    listed = await shop.messages.ListMessages(message_pb2.ListMessagesRequest(project=PROJECT))
    assert [one.key for one in listed.messages] == ["welcome"]
    await ask(shop, "LaunchMessage", "welcome", existing=message_pb2.EXISTING_SEND)
    assert (await shop.counts("welcome")).selected == 3


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"recurring": message_pb2.RecurringSchedule(start="nine", rule="FREQ=DAILY")}, "WALL_TIME", "start"),
        ({"recurring": message_pb2.RecurringSchedule(start="2026-03-01", rule="often")}, "RECURRENCE_RULE", "rule"),
        (
            {"once": message_pb2.OnceSchedule(local_time="2026-03-01T09:00", time_zone="X")},
            "INVALID_TIME_ZONE",
            "time_zone",
        ),
        ({"once": message_pb2.OnceSchedule()}, "NO_SCHEDULE", "time"),
        (
            {"when_met": message_pb2.WhenMetSchedule(least_gap=duration_pb2.Duration(seconds=-1))},
            "DURATION_OUT_OF_RANGE",
            "least_gap",
        ),
    ],
)
async def test_a_schedule_that_cannot_be(shop: Stubs, fields: dict[str, Any], code: str, field: str) -> None:
    error = await refused(create(shop, email("bad", asap=None, **fields)))
    assert (error.code, error.field) == (code, f"message.{next(iter(fields))}.{field}")
