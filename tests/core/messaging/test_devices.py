"""Promise: tokens that a worker calls nobody's leave the profile with its acknowledgement, once, whatever it says else;
and they settle nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import commands
from core.messaging.devices import Device, devices_of, is_token, names_of
from core.messaging.push_source import PushButton, PushSource
from tests.core.project import Project, contents

PUSH = PushSource("Hi", buttons=[PushButton("Go", "shop://go")], ttl=1, data={"a": "b"}, badge=3)
DEVICES: dict[str, Any] = {"$android_devices": ["a1", "a2"], "$ios_devices": ["i1"]}


def tokens(project: Project) -> list[str]:
    """The tokens of `a`."""
    return [token for name in DEVICES for token in project.profile("a").get(name, [])]


def begun(project: Project) -> tuple[str, int]:
    """Begin the hand-off of a push notification to `a`; its key and attempt."""
    project.set("a", **DEVICES)
    project.message("hi", "true", content=PUSH)  # type: ignore[arg-type]
    offer = project.desk.offer("push", 10)
    assert offer is not None
    (hand_off,) = offer.recipients
    assert hand_off.devices == (Device("android", "a1"), Device("android", "a2"), Device("ios", "i1"))
    assert hand_off.push is not None and hand_off.push.ttl == 1  # of one microsecond the whole second
    assert project.desk.begin(offer.batch_id, [0]).result(timeout=60) == [0]
    return hand_off.idempotency_key, hand_off.attempt


@pytest.mark.parametrize("outcome", ["sent", "failed", "ambiguous", "not_sent"])
def test_they_leave_the_profile_whatever_became_of_the_hand_off(project: Project, outcome: Any) -> None:
    key, attempt = begun(project)
    ack = commands.Ack(key, outcome, attempt=attempt, removed_tokens=["a2", "i1", "unknown", "no token", ""])
    for _ in range(2):  # a worker that was cut off repeats itself
        project.ask(commands.Acknowledge([ack]))
        assert tokens(project) == ["a1"]
        place = {"failed": "failed:provider_refused", "not_sent": "queued"}.get(outcome, outcome)
        assert project.places("hi") == {"a": place}
    ordinal = project.version.users.find("a")
    timeline = project.version.population.timeline(ordinal, 2**62, 100, False)
    assert sorted(found["token"] for name, found in timeline if name == "$token_removed") == ["a2", "i1", "unknown"]


def test_recovery_finds_the_same(project: Project, tmp_path: Path) -> None:
    key, attempt = begun(project)
    project.ask(commands.Acknowledge([commands.Ack(key, "sent", attempt=attempt, removed_tokens=["a1"])]))
    with project.copy(tmp_path / "copy") as again:
        assert contents(again.version) == contents(project.version)
        assert again.version.messages.get("hi").content == PUSH


def test_a_user_who_gets_a_device_is_sent_to_then(project: Project) -> None:
    project.set("a", **{"$android_devices": []})
    project.set("b", **{"$ios_devices": ["with space"]})
    project.message("hi", "true", content=PUSH)  # type: ignore[arg-type]
    assert project.desk.offer("push", 10) is None
    assert project.places("hi") == {"a": "skipped:unreachable", "b": "skipped:unreachable"}
    project.set("b", **{"$ios_devices": ["without"]})
    offer = project.desk.offer("push", 10)
    assert offer is not None and [one.distinct_id for one in offer.recipients] == ["b"]


def test_what_is_no_token_is_no_device() -> None:
    profile = {"$android_devices": ["a", "a", 7, None, "", "b c", "ж", "x" * 2_001], "$ios_devices": "b"}
    assert devices_of(profile) == (Device("android", "a"),)  # type: ignore[arg-type]
    assert is_token("x" * 2_000)
    assert names_of([Device("ios", "a"), Device("ios", "b"), Device("android", "a")]) == "1 android, 2 ios"
