"""Promise: a call sends to whom it names, once a request id, with its data; a test counts nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from core import commands
from core.errors import MusterError
from core.messaging import reading
from core.messaging.campaign_definitions import CampaignDefinition
from core.messaging.definitions import MessageDefinition
from core.messaging.schedules import OnSend
from core.messaging.windows import QuietHours
from tests.core.project import DAY, EMAIL, HOOK, Project, contents, email

CODE = email(subject="Your code: {{ data.code }}", text="{{ data.note | default('none') }}")


def told(answer: commands.SendAnswer) -> list[tuple[str, str, str, int]]:
    """What became of whom."""
    return [(one.distinct_id, one.state, one.reason, one.occurrence) for one in answer.users]


def send(project: Project, key: str, *ids: str, request_id: str = "", **data: Any) -> list[tuple[str, str, str, int]]:
    """Send to users."""
    return told(project.ask(commands.SendMessage(key, ids, data), request_id))


def refusal(project: Project, key: str, *ids: str, **data: Any) -> tuple[str, str]:
    """The code and field of the error, which changes nothing."""
    before = contents(project.version)
    with pytest.raises(MusterError) as caught:
        send(project, key, *ids, **data)
    assert contents(project.version) == before
    return caught.value.code, caught.value.field


def subjects(project: Project) -> list[tuple[str, str]]:
    """Be a worker: to whom, and which subject."""
    found = []
    while (offer := project.desk.offer("email", 10)) is not None:
        project.desk.begin(offer.batch_id, range(len(offer.recipients))).result(timeout=60)
        found += [(one.distinct_id, one.subject) for one in offer.recipients]
        acks = [commands.Ack(one.idempotency_key, "sent") for one in offer.recipients]
        project.desk.acknowledge(acks).result(timeout=60)
    return found


def test_each_send_of_a_user_is_an_occurrence_of_its_own(project: Project) -> None:
    project.reach("a", "b")
    project.message("code", "", schedule=OnSend(), content=CODE)
    assert project.places("code") == {}
    assert send(project, "code", "a", code=1) == [("a", "queued", "", 0)]
    assert subjects(project) == [("a", "Your code: 1")]
    assert send(project, "code", "b", "a", code=2) == [("b", "queued", "", 0), ("a", "queued", "", 1)]
    assert sorted(subjects(project)) == [("a", "Your code: 2"), ("b", "Your code: 2")]
    report = reading.report(project.version, "code")
    assert report.reconciled
    assert (report.counts.selected, report.counts.sent) == (3, 3)


def test_two_sends_that_wait_keep_their_own_data(project: Project) -> None:
    project.reach("a")
    project.message("code", "", schedule=OnSend(), content=CODE)
    send(project, "code", "a", code=1)
    send(project, "code", "a", code=2)
    assert sorted(subjects(project)) == [("a", "Your code: 1"), ("a", "Your code: 2")]


def test_the_same_request_sends_once(project: Project) -> None:
    project.reach("a")
    project.message("code", "", schedule=OnSend(), content=CODE)
    first = send(project, "code", "a", request_id="order-1", code=1)
    before = contents(project.version)
    assert send(project, "code", "a", request_id="order-1", code=1) == first
    assert contents(project.version) == before
    assert len(subjects(project)) == 1


def test_what_keeps_a_user_from_it_is_final(project: Project) -> None:
    project.set("nowhere", plan="free")
    project.set("gone", **{"$email": "gone@example.com"})
    project.ask(commands.Unsubscribe("gone"))
    project.message("code", "", schedule=OnSend(), content=CODE)
    assert send(project, "code", "nowhere", code=1) == [("nowhere", "skipped", "at_send:unreachable", 0)]
    [(_, state, reason, _)] = send(project, "code", "gone", code=1)
    assert state == "skipped" and "unsubscribed" in reason
    project.reach("nowhere")
    project.move(project.now + DAY)
    assert subjects(project) == []
    assert not any(is_open for _, is_open, _ in reading.report(project.version, "code").counts.skipped)


def test_targeting_holds_where_there_is_any(project: Project) -> None:
    project.reach("a", "b")
    project.set("a", plan="free")
    project.message("hi", 'user.plan == "free"', schedule=OnSend(), content=EMAIL)
    assert project.places("hi") == {}
    assert send(project, "hi", "a", "b") == [("a", "queued", "", 0), ("b", "skipped", "not_targeted", 0)]


def test_two_users_of_one_address_are_both_meant(project: Project) -> None:
    for name in "ab":
        project.set(name, **{"$email": "shared@example.com"})
    project.message("code", "", schedule=OnSend(), content=CODE)
    assert [state for _, state, *_ in send(project, "code", "a", "b", code=1)] == ["queued", "queued"]
    assert len(subjects(project)) == 2


def test_what_cannot_be_sent(project: Project) -> None:
    project.reach("a")
    project.message("code", "", schedule=OnSend(), content=CODE)
    project.message("draft", "", schedule=OnSend(), content=EMAIL, launch=None)
    project.message("asap", "false", content=EMAIL)
    assert refusal(project, "code", "a") == ("DATA_REQUIRED", "data.code")
    assert refusal(project, "code", "a", code=None) == ("DATA_REQUIRED", "data.code")
    assert refusal(project, "code", "a", "zed", code=1) == ("USER_NOT_FOUND", "distinct_ids[1]")
    assert refusal(project, "code", code=1) == ("NO_USERS", "distinct_ids")
    assert refusal(project, "code", *["a"] * 1001, code=1) == ("TOO_MANY_USERS", "distinct_ids")
    assert refusal(project, "code", "a", code="x" * 60_000, more="y" * 60_000) == ("DATA_TOO_LARGE", "data")
    assert refusal(project, "draft", "a") == ("NOT_LIVE", "key")
    assert refusal(project, "asap", "a") == ("NOT_ON_SEND", "key")
    assert refusal(project, "none", "a") == ("MESSAGE_NOT_FOUND", "key")
    project.ask(commands.PauseMessages(["code"]))
    assert refusal(project, "code", "a", code=1) == ("NOT_LIVE", "key")
    with pytest.raises(MusterError) as caught:
        project.message("wrong", "true", content=CODE, launch=None)
    assert caught.value.code == "DATA_WITHOUT_SEND"


def test_a_send_survives_a_crash_and_a_checkpoint(project: Project, tmp_path: Any) -> None:
    project.reach("a", "b")
    project.message("code", "", schedule=OnSend(), content=CODE)
    send(project, "code", "a", "b", request_id="one", code=7)
    with project.copy(tmp_path / "crashed") as crashed:
        assert contents(crashed.version) == contents(project.version)
        assert send(crashed, "code", "a", "b", request_id="one", code=7)[0][1] == "queued"
        assert sorted(subjects(crashed)) == [("a", "Your code: 7"), ("b", "Your code: 7")]
    project.engine.checkpoint()
    with project.copy(tmp_path / "saved") as saved:
        assert contents(saved.version) == contents(project.version)


def test_a_test_of_a_draft_counts_nowhere(project: Project) -> None:
    project.reach("me", "other")
    project.set("me", plan="free")
    project.message("draft", 'user.plan == "free"', content=email(subject="Hi {{ user.plan }}"), launch=None)
    answer = project.ask(commands.SendMessage("draft", ["me"], {}, test=True))
    assert told(answer) == [("me", "queued", "", 0)]
    assert subjects(project) == [("me", "Hi free")]
    assert project.places("draft") == {}
    assert reading.report(project.version, "draft").counts.selected == 0
    assert [one.key for one in reading.messages_page(project.version, "", 10)[0]] == ["draft"]
    again = project.ask(commands.SendMessage("draft", ["me"], {}, test=True))
    assert told(again) == [("me", "queued", "", 1)]
    project.ask(commands.UpdateMessage("draft", {"content": email(subject="Now {{ user.plan }}")}))
    project.ask(commands.SendMessage("draft", ["me"], {}, test=True))
    assert sorted(subjects(project)) == [("me", "Now free"), ("me", "Now free")]
    project.ask(commands.LaunchMessage("draft", "send"))
    assert project.places("draft") == {"me": "queued"}


def test_a_test_reads_the_latest_event(project: Project) -> None:
    project.reach("me")
    project.track("me", "Buy", item="cup")
    content = email(subject="{{ event.item }} {{ event.size }}")
    project.message("bought", 'events["Buy"].size() > 5', content=content, launch=None)
    project.ask(commands.SendMessage("bought", ["me"], {"size": "L"}, test=True))
    assert subjects(project) == [("me", "cup L")]


def test_a_webhook_gets_the_data(project: Project) -> None:
    project.set("a", name="Ann")
    project.message("hook", "", schedule=OnSend(), content=HOOK)
    send(project, "hook", "a", order="A-17")
    offer = project.desk.offer("webhook", 10)
    assert offer is not None
    assert '"data":{"order":"A-17"}' in offer.recipients[0].body.replace(" ", "")


def test_a_test_of_a_campaigns_message_asks_no_campaign(project: Project) -> None:
    project.reach("me")
    project.message("step", "true", content=EMAIL, launch=None)
    project.ask(commands.CreateCampaign(CampaignDefinition("win", "", 'user.plan == "free"', ["step"])))
    answer = project.ask(commands.SendMessage("step", ["me"], {}, test=True))
    assert told(answer) == [("me", "queued", "", 0)]
    assert subjects(project) == [("me", "Hello")]


def test_times_of_day_have_no_say(project: Project) -> None:
    project.reach("a")
    quiet = commands.CreateMessage(
        MessageDefinition("code", "", "", OnSend(), CODE, quiet_hours=QuietHours(0, 1439), control_percent=100.0)
    )
    project.ask(quiet)
    project.ask(commands.LaunchMessage("code"))
    assert send(project, "code", "a", code=1) == [("a", "queued", "", 0)]
    assert subjects(project) == [("a", "Your code: 1")]
