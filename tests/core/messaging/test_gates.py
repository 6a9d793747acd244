"""Promise: whoever matches passes the gates in their order, and whoever does not pass one is told which."""

from __future__ import annotations

import pytest

from core import commands
from core.errors import InvalidInput
from core.messaging import reading
from core.messaging.windows import SendWindow
from core.profiles.records import ProfileChange
from tests.core.project import DAY, HOOK, HOUR, START, Project, email

FREE = 'user.plan == "free"'


def test_a_write_makes_a_user_match_once_ever(project: Project) -> None:
    project.message("hi", FREE)
    project.set("a", plan="paid", **{"$email": "a@example.com"})
    assert project.places("hi") == {}
    project.set("a", plan="free")
    assert project.places("hi") == {"a": "queued"}
    project.set("a", plan="paid")
    project.set("a", plan="free")
    assert project.places("hi") == {"a": "queued"}
    assert project.instants("hi") == {"a": START}


def test_launch_says_what_becomes_of_those_who_match_already(project: Project) -> None:
    project.reach("a", "b")
    project.set("a", plan="free")
    project.message("send", FREE, launch="send")
    project.message("skip", FREE, launch="skip")
    assert project.places("send") == {"a": "queued"}
    assert project.places("skip") == {"a": "skipped:matched_at_launch"}
    project.set("b", plan="free")
    assert project.places("skip") == {"a": "skipped:matched_at_launch", "b": "queued"}


def test_targeting_that_reads_nothing_of_a_user_finds_whoever_is_new(project: Project) -> None:
    project.message("all", "true", content=HOOK)
    project.message("none", '!has(user.plan) && events["Purchase"].size() == 0', content=HOOK)
    project.track("a", "Visit")
    project.set("b", city="Kyiv")
    project.merge("c", "c-anonymous")
    assert project.places("all") == {"a": "queued", "b": "queued", "c": "queued"}
    assert project.places("none") == {"a": "queued", "b": "queued", "c": "queued"}


def test_an_address_that_is_missing_is_waited_for(project: Project) -> None:
    project.message("hi", FREE)
    project.set("a", plan="free")
    project.set("b", plan="free")
    assert project.places("hi") == {"a": "skipped:unreachable", "b": "skipped:unreachable"}
    project.set("a", **{"$email": "no address"})
    assert project.places("hi")["a"] == "skipped:unreachable"
    project.reach("a")
    assert project.places("hi") == {"a": "queued", "b": "skipped:unreachable"}
    project.set("b", plan="paid")
    project.reach("b")
    assert project.places("hi")["b"] == "skipped:no_longer_matches"
    project.set("b", plan="free")
    assert project.places("hi")["b"] == "skipped:no_longer_matches"


def test_a_property_that_the_template_needs_is_waited_for(project: Project) -> None:
    project.message("hi", FREE, content=email(subject="Hey {{ user.name }} of {{ user.city | default('Earth') }}"))
    project.reach("a")
    project.set("a", plan="free")
    assert project.places("hi") == {"a": "skipped:missing_property:name"}
    project.unset("a", "$email")
    assert project.places("hi") == {"a": "skipped:unreachable"}
    project.set("a", name="Ann")
    assert project.places("hi") == {"a": "skipped:unreachable"}
    project.reach("a")
    assert project.places("hi") == {"a": "queued"}


def test_imports_and_late_events_are_backfilled(project: Project) -> None:
    project.message("buyers", 'events["Purchase"].size() >= 1', content=HOOK)
    project.track("import", "Purchase", imported=True)
    project.track("late", "Purchase", at=START - 72 * HOUR - 1)
    project.track("just", "Purchase", at=START - 72 * HOUR)
    project.set("paid", plan="paid")
    assert project.places("buyers") == {
        "import": "skipped:backfilled",
        "late": "skipped:backfilled",
        "just": "queued",
    }
    project.track("late", "Purchase")
    assert project.places("buyers")["late"] == "skipped:backfilled"


def test_how_late_is_late_is_the_projects_setting(project: Project) -> None:
    project.ask(commands.UpdateSettings(late_after=HOUR))
    project.message("buyers", 'events["Purchase"].size() >= 1', content=HOOK)
    project.track("late", "Purchase", at=START - HOUR - 1)
    project.track("just", "Purchase", at=START - HOUR)
    assert project.places("buyers") == {"late": "skipped:backfilled", "just": "queued"}
    with pytest.raises(InvalidInput) as refused:
        project.ask(commands.UpdateSettings(late_after=-1))
    assert (refused.value.code, refused.value.field) == ("INVALID_DURATION", "late_after")


def test_sharing_a_group_with_an_import_changes_nothing(project: Project) -> None:
    project.message("free", FREE, content=HOOK)
    futures = [
        project.engine.submit(commands.Ingest([], [ProfileChange("a", "set", {"plan": "free"})], imported=True)),
        project.engine.submit(commands.Ingest([], [ProfileChange("a", "set", {"city": "Oslo"})])),
        project.engine.submit(commands.Ingest([], [ProfileChange("b", "set", {"city": "Oslo"})], imported=True)),
        project.engine.submit(commands.Ingest([], [ProfileChange("b", "set", {"plan": "free"})])),
    ]
    for future in futures:
        future.result(timeout=60)
    assert project.places("free") == {"a": "skipped:backfilled", "b": "queued"}


def test_an_import_while_paused_is_backfilled_all_the_same(project: Project) -> None:
    project.message("free", FREE, content=HOOK)
    project.ask(commands.PauseMessages(None))
    project.set("import", plan="free", imported=True)
    project.set("live", plan="free")
    assert project.places("free") == {"import": "skipped:backfilled"}
    project.ask(commands.ResumeMessage("free"))
    assert project.places("free") == {"import": "skipped:backfilled", "live": "queued"}


def test_the_event_that_caused_the_match_is_in_the_template(project: Project) -> None:
    content = email(
        subject="{{ event.item }} for {{ event.amount | number(2) }}", text="{{ event.name }} {{ event.time }}"
    )
    project.message("thanks", 'events["Purchase"].exists(e, e.amount > 10.0)', content=content)
    project.reach("a", "b")
    project.track("a", "Purchase", item="cup", amount=5.0)
    project.track("a", "Purchase", at=START - HOUR, item="pot", amount=20.0)
    project.track("b", "Purchase", at=START + DAY, item="pan", amount=30.0)
    project.move(START + 2 * DAY)
    assert project.instants("thanks") == {"a": START, "b": START + DAY}
    offer = project.desk.offer("email", 10)
    assert offer is not None
    assert [(one.subject, one.text) for one in offer.recipients] == [
        ("pot for 20.00", "Purchase 1997-05-18T23:00:00Z"),
        ("pan for 30.00", "Purchase 1997-05-20T00:00:00Z"),
    ]


def test_no_event_causes_a_match_by_time_or_by_a_property(project: Project) -> None:
    lapsed = 'events["Visit"].size() > 0 && !events["Visit"].exists(e, e.time > now - duration("24h"))'
    project.message("needs", lapsed, content=email(subject="{{ event.page }}"))
    project.message("copes", lapsed, content=email(subject="{{ event.page | default('us') }}"))
    project.reach("a")
    project.track("a", "Visit", page="home")
    project.move(START + 2 * DAY)
    assert project.places("needs") == {"a": "skipped:missing_event"}
    assert project.places("copes") == {"a": "queued"}


def test_explain_names_each_gate(project: Project) -> None:
    project.message("hi", FREE, content=email(subject="Hey {{ user.name }}"))
    project.set("a", plan="free")
    explained = reading.explain_delivery(project.version, "hi", "a")
    assert (explained.state, explained.reason) == ("skipped", "unreachable")
    assert [gate.name for gate in explained.gates if not gate.passed] == ["once", "reachable", "properties"]
    project.set("b", plan="paid", name="Bo")
    explained = reading.explain_delivery(project.version, "hi", "b")
    assert explained.state == "none"
    assert [gate.name for gate in explained.gates if not gate.passed] == ["match", "reachable"]


def test_explain_tells_when_in_which_group_and_occurrence(project: Project) -> None:
    project.reach("a", "b")
    project.message("hi", "true", control_percent=100.0)
    held_out = reading.explain_delivery(project.version, "hi", "a")
    assert (held_out.state, held_out.group, held_out.occurrence, held_out.sent_at) == ("held_out", "control", 0, None)
    project.message("hello", "true")
    project.move(START + HOUR)
    project.send_all()
    project.move(START + DAY)
    sent = reading.explain_delivery(project.version, "hello", "b")
    assert (sent.state, sent.group, sent.decided_at, sent.sent_at) == ("sent", "", START, START + HOUR)


def test_explain_tells_until_when_a_user_is_deferred(project: Project) -> None:
    project.reach("a")
    project.message("hi", "true", send_window=SendWindow(9 * 60, 10 * 60))
    explained = reading.explain_delivery(project.version, "hi", "a")
    opening = START + 9 * HOUR
    assert (explained.state, explained.reason, explained.due_at) == ("deferred", "send_window", opening)
    assert {gate.name: gate.due for gate in explained.gates if gate.due} == {"send_window": opening}
    project.move(opening)
    explained = reading.explain_delivery(project.version, "hi", "a")
    assert (explained.state, explained.due_at) == ("queued", None)
    assert [gate.name for gate in explained.gates if gate.due] == []


def test_a_forecast_counts_without_changing_anything(project: Project) -> None:
    project.reach("a", "b", "d")
    project.set("a", plan="free", name="Ann", town="Bern")
    project.set("b", plan="free")
    project.set("c", plan="free")
    project.set("d", plan="free", name="Dan")
    project.message("hi", FREE, content=email(subject="Hey {{ user.name }} of {{ user.town }}"), launch=None)
    found = reading.forecast(project.version, "hi")
    assert (found.matching, found.reachable, found.missing, found.ready) == (4, 3, {"name": 1, "town": 2}, 1)
    assert project.places("hi") == {}
    assert project.state("hi") == "draft"
    project.ask(commands.LaunchMessage("hi", "send"))
    assert [user for user, place in project.places("hi").items() if place == "queued"] == ["a"]


def test_a_forecast_counts_whom_an_event_makes_match_now(project: Project) -> None:
    project.reach("a", "b")
    project.track("a", "A")
    project.move(project.now + HOUR)
    project.track("b", "A")
    project.message("hi", 'events["A"].size() > 0', content=email(subject="{{ event.name }}"), launch=None)
    found = reading.forecast(project.version, "hi")
    assert (found.reachable, found.ready) == (2, 1)
    project.ask(commands.LaunchMessage("hi", "send"))
    assert project.places("hi") == {"a": "skipped:missing_event", "b": "queued"}
