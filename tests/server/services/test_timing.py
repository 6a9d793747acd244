"""Promise: what a message and a project say about time and groups goes over the wire, changes by mask, and holds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from muster.v1 import message_pb2, project_pb2

from tests.server.conftest import PROJECT, Stubs, email, refused
from tests.server.services.test_message import START, ask, create, stamp, update

WINDOW: dict[str, Any] = {
    "from": "09:00",
    "to": "20:00",
    "days": [message_pb2.DAY_OF_WEEK_MONDAY, message_pb2.DAY_OF_WEEK_THURSDAY],
}
QUIET = {"from": "22:00", "to": "08:30"}


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """A project with ten users, on Thursday, 2026-01-01."""
    await stubs.create(start_time=stamp(START))
    await stubs.add_users(10)
    return stubs


async def move(shop: Stubs, hours: int) -> None:
    to = stamp(START + timedelta(hours=hours))
    await shop.projects.MoveClock(project_pb2.MoveClockRequest(project=PROJECT, to=to))


async def test_what_is_said_about_time_is_found_again_and_changes_by_its_mask(shop: Stubs) -> None:
    sent = email("hi", send_window=WINDOW, quiet_hours=QUIET, control_percent=12.5)
    made = (await create(shop, sent)).message
    assert (made.send_window, made.quiet_hours) == (sent.send_window, sent.quiet_hours)
    assert made.control_percent == 12.5
    later = message_pb2.Message(key="hi", send_window={"from": "10:00"})
    made = await update(shop, later, "send_window.from", "quiet_hours")
    assert getattr(made.send_window, "from") == "10:00"
    assert made.send_window.to == "20:00"
    assert not made.HasField("quiet_hours")


async def test_who_comes_outside_the_window_is_deferred_and_told_until_when(shop: Stubs) -> None:
    await shop.launch("hi", email=email("hi").email, send_window=WINDOW)
    report = await ask(shop, "GetReport", "hi")
    assert (report.counts.deferred, report.counts.queued, report.reconciled) == (10, 0, True)
    found = await ask(shop, "ExplainDelivery", "hi", distinct_id="u1")
    assert (found.state, found.reason) == ("deferred", "send_window")
    assert found.due_time == stamp(START + timedelta(hours=9))
    assert [gate.due_time for gate in found.gates if not gate.passed and gate.name == "send_window"] == [found.due_time]
    await move(shop, 9)
    report = await ask(shop, "GetReport", "hi")
    assert (report.counts.deferred, report.counts.queued) == (0, 10)


async def test_the_holdout_is_a_setting_of_the_project(shop: Stubs) -> None:
    made = await shop.projects.UpdateProject(project_pb2.UpdateProjectRequest(project=PROJECT, holdout_percent=100))
    assert made.project.holdout_percent == 100
    await shop.launch("hi")
    report = await ask(shop, "GetReport", "hi")
    assert (report.counts.held_out, report.reconciled) == (10, True)


async def test_frequency_caps_replace_each_other_where_that_is_said(shop: Stubs) -> None:
    caps = [{"most": 1, "days": 7}, {"most": 2, "days": 30, "channel": "sms"}]
    asked = project_pb2.UpdateProjectRequest(project=PROJECT, frequency_caps=caps)
    error = await refused(shop.projects.UpdateProject(asked))
    assert (error.code, error.field) == ("REPLACE_NOT_SET", "replace_frequency_caps")
    asked.replace_frequency_caps = True
    made = (await shop.projects.UpdateProject(asked)).project
    assert list(made.frequency_caps) == list(asked.frequency_caps)
    await shop.launch("one")
    await shop.launch("two")
    report = await ask(shop, "GetReport", "two")
    assert (report.counts.deferred, report.counts.queued) == (10, 0)
    asked.frequency_caps[0].most = 0
    error = await refused(shop.projects.UpdateProject(asked))
    assert (error.code, error.field) == ("FREQUENCY_CAP", "frequency_caps[0].most")


async def test_throughput_of_a_message_and_of_a_project_is_found_again(shop: Stubs) -> None:
    ramp = {"start": 2, "factor": 1.5}
    made = (await create(shop, email("hi", throughput_per_second=10, ramp=ramp))).message
    assert (made.throughput_per_second, made.ramp.start, made.ramp.factor) == (10, 2, 1.5)
    made = await update(shop, message_pb2.Message(key="hi", throughput_per_second=20), "throughput_per_second")
    assert (made.throughput_per_second, made.ramp.start) == (20, 2)
    made = await update(shop, message_pb2.Message(key="hi"), "throughput_per_second", "ramp")
    assert (made.throughput_per_second, made.HasField("ramp")) == (0, False)
    rates = [{"per_second": 50}, {"channel": "email", "per_second": 9, "ramp": ramp}]
    asked = project_pb2.UpdateProjectRequest(project=PROJECT, throughput=rates)
    assert (await refused(shop.projects.UpdateProject(asked))).code == "REPLACE_NOT_SET"
    asked.replace_throughput = True
    found = (await shop.projects.UpdateProject(asked)).project
    assert list(found.throughput) == list(asked.throughput)


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"send_window": {"from": "9", "to": "20:00"}}, "message.send_window.from", "WALL_CLOCK"),
        ({"send_window": {"from": "09:00", "to": "20:00", "days": [9]}}, "message.send_window.days[0]", "DAY_OF_WEEK"),
        ({"quiet_hours": {"from": "09:00", "to": ""}}, "message.quiet_hours.to", "WALL_CLOCK"),
        ({"control_percent": 101}, "message.control_percent", "INVALID_PERCENT"),
    ],
)
async def test_what_cannot_be_is_refused(shop: Stubs, fields: dict[str, Any], field: str, code: str) -> None:
    error = await refused(create(shop, email("hi", **fields)))
    assert (error.code, error.field) == (code, field)
