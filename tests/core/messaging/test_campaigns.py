"""Promises: whoever comes to match enters a campaign once, at the instant of it, with an event; its messages go to those who
entered and nobody else; the campaign and its messages live and end together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import commands
from core.errors import AlreadyExists, FailedPrecondition, InvalidExpression, InvalidInput, MusterError, NotFound
from core.messaging import campaign_reading, reading
from core.messaging.campaign_definitions import CampaignDefinition
from core.messaging.goal import Goal
from core.profiles.records import Operation, ProfileChange
from core.values import from_micros
from tests.core.project import DAY, FREE, HOOK, HOUR, START, Project, contents

AT_ONCE = "true"
LATER = 'events["$journey_entered"].exists(e, e.campaign_id == "win" && e.time <= now - duration("48h"))'


def drafts(project: Project, **targeting: str) -> list[str]:
    for key, text in targeting.items():
        project.message(key, text, content=HOOK, launch=None)
    return list(targeting)


def refused(project: Project, command: commands.Command) -> MusterError:
    before = contents(project.version)
    with pytest.raises(MusterError) as caught:
        project.ask(command)
    assert contents(project.version) == before
    return caught.value


# Entry


def test_who_matches_at_the_launch_enters_then(project: Project) -> None:
    project.set("a", plan="free")
    project.set("b", plan="paid")
    project.campaign("win", FREE, drafts(project, one=AT_ONCE))
    assert project.entered("win") == {"a": START}
    assert project.places("one") == {"a": "queued"}


def test_who_comes_to_match_enters_and_gets_what_is_for_them_at_once(project: Project) -> None:
    project.campaign("win", FREE, drafts(project, one=AT_ONCE, two=LATER))
    project.move(START + HOUR)
    project.set("a", plan="free")
    assert project.entered("win") == {"a": START + HOUR}
    assert project.instants("one") == {"a": START + HOUR}
    project.move(START + 10 * DAY)
    assert project.instants("two") == {"a": START + HOUR + 2 * DAY}


def test_time_alone_lets_in_each_at_the_instant_of_it(project: Project) -> None:
    lapsed = 'events["Buy"].size() > 0 && !events["Buy"].exists(e, e.time > now - duration("240h"))'
    named = drafts(project, one=AT_ONCE, two=LATER, three='user.plan == "free"')
    project.campaign("win", lapsed, named)
    project.track("a", "Buy", at=START)
    project.set("a", plan="free")
    project.track("b", "Buy", at=START + DAY)
    project.move(START + 30 * DAY)
    assert project.entered("win") == {"a": START + 10 * DAY, "b": START + 11 * DAY}
    assert project.instants("one") == project.entered("win")
    assert project.instants("two") == {"a": START + 12 * DAY, "b": START + 13 * DAY}
    assert project.instants("three") == {"a": START + 10 * DAY}


def test_nobody_enters_twice(project: Project) -> None:
    project.campaign("win", FREE, drafts(project, one=AT_ONCE))
    for plan in ("free", "paid", "free"):
        project.move(project.now + HOUR)
        project.set("a", plan=plan)
    assert project.entered("win") == {"a": START + HOUR}
    assert len(project.version.population.timeline(0, 2**62, 100, False)) == 1


def test_who_has_not_entered_gets_nothing_though_the_targeting_matches(project: Project) -> None:
    project.campaign("win", FREE, drafts(project, one=AT_ONCE))
    project.set("a", plan="paid")
    assert project.places("one") == {}
    found = reading.explain_delivery(project.version, "one", "a")
    assert {gate.name: (gate.passed, gate.detail) for gate in found.gates}["entered"] == (
        False,
        "has not entered the campaign 'win'",
    )


def test_a_scheduled_message_goes_to_those_who_have_entered_by_then(project: Project) -> None:
    project.message("sale", "true", at=START + 5 * DAY, content=HOOK, launch=None)
    project.campaign("win", 'events["Buy"].exists(e, e.time <= now - duration("24h"))', ["sale"])
    project.track("early", "Buy", at=START)
    project.track("late", "Buy", at=START + 8 * DAY)
    project.move(START + 20 * DAY)
    assert project.entered("win") == {"early": START + DAY, "late": START + 9 * DAY}
    assert project.instants("sale") == {"early": START + 5 * DAY}


def test_an_import_lets_nobody_in_and_keeps_them_out(project: Project) -> None:
    project.campaign("win", FREE, drafts(project, one=AT_ONCE))
    project.set("a", imported=True, plan="free")
    assert project.entered("win") == {}
    project.set("a", plan="free")
    assert (project.entered("win"), project.places("one")) == ({}, {})
    found = campaign_reading.campaign_counts(project.version, "win")
    assert found.left_out == [("backfilled", 1)]
    gates = {gate.name: gate.detail for gate in reading.explain_delivery(project.version, "one", "a").gates}
    assert "import" in gates["entered"]


def test_a_launch_may_leave_out_who_matches_already(project: Project) -> None:
    project.set("a", plan="free")
    project.campaign("win", FREE, drafts(project, one=AT_ONCE), launch="skip")
    project.set("a", plan="paid")
    project.set("a", plan="free")
    project.set("b", plan="free")
    assert project.entered("win").keys() == {"b"}


def test_a_message_outside_reads_who_entered_at_that_instant(project: Project) -> None:
    project.message("watch", 'events["$journey_entered"].exists(e, e.campaign_id == "win")', content=HOOK)
    project.campaign("win", 'user.seen < now - duration("48h")', drafts(project, one=AT_ONCE))
    project.set("a", seen=from_micros(START))
    project.move(START + 9 * DAY)
    assert project.instants("watch") == project.entered("win") == {"a": START + 2 * DAY + 1}


def test_the_event_of_entry_is_the_users_and_a_send_names_the_campaign(project: Project) -> None:
    project.set("a", plan="free")
    project.campaign("win", FREE, drafts(project, one=AT_ONCE))
    project.send_all("webhook")
    timeline = project.version.population.timeline(0, 2**62, 100, False)
    assert sorted((name, properties["campaign_id"]) for name, properties in timeline) == [
        ("$campaign_delivery", "win"),
        ("$journey_entered", "win"),
    ]


def test_a_saved_audience_is_an_entry_and_its_change_lets_in(project: Project) -> None:
    project.ask(commands.SaveAudience("grown", expression="user.age > 20"))
    project.set("a", age=15)
    project.campaign("win", 'audiences["grown"]', drafts(project, one=AT_ONCE))
    project.ask(commands.SaveAudience("grown", expression="user.age > 10"))
    assert project.places("one") == {"a": "queued"}
    error = refused(project, commands.DeleteAudience("grown"))
    assert (error.code, "campaign 'win'" in str(error)) == ("AUDIENCE_IN_USE", True)
    entered = 'events["$journey_entered"].size() > 0'
    assert refused(project, commands.SaveAudience("grown", expression=entered)).code == "ENTRY_READS_ENTRY"


def test_of_two_who_become_one_either_brings_the_membership(project: Project) -> None:
    project.set("a", plan="free")
    project.set("b", plan="paid")
    project.message("one", 'user.name == "Ann"', content=HOOK, launch=None)
    project.campaign("win", FREE, ["one"])
    project.set("b", name="Ann")
    project.merge("b", "a")
    assert project.version.campaigns.membership("win").members == project.version.population.live
    assert set(project.places("one").values()) == {"queued"}


def test_who_is_deleted_is_no_member(project: Project) -> None:
    project.set("a", plan="free")
    project.campaign("win", FREE, drafts(project, one=AT_ONCE))
    project.delete("a")
    assert campaign_reading.campaign_counts(project.version, "win").entered == 0


# Exit


def test_who_exits_is_skipped_at_the_decision_and_at_leave_to_begin(project: Project) -> None:
    named = drafts(project, one=AT_ONCE, two=LATER)
    project.campaign("win", FREE, named, exit='events["Buy"].size() > 0')
    project.set("a", plan="free")
    project.set("b", plan="free")
    assert project.places("one") == {"a": "queued", "b": "queued"}
    project.track("a", "Buy")
    assert project.send_all("webhook") == ["b"]
    project.move(START + 9 * DAY)
    assert project.places("one") == {"a": "skipped:exited", "b": "sent"}
    assert project.places("two") == {"a": "skipped:exited", "b": "queued"}
    assert campaign_reading.campaign_counts(project.version, "win").exited == 1


# States


def test_a_pause_lets_nobody_in_and_a_resume_lets_in_who_matches_by_then(project: Project) -> None:
    project.set("a", plan="free")
    project.campaign("win", FREE, drafts(project, one=AT_ONCE, two=AT_ONCE))
    project.ask(commands.PauseMessages(["two"]))
    project.ask(commands.PauseCampaign("win"))
    assert (project.state("one"), project.state("two")) == ("paused:campaign", "paused:operator")
    project.set("b", plan="free")
    assert project.entered("win").keys() == {"a"}
    assert project.send_all("webhook") == []
    error = refused(project, commands.ResumeMessage("one"))
    assert error.code == "CAMPAIGN_NOT_LIVE"
    project.move(START + HOUR)
    project.ask(commands.ResumeCampaign("win"))
    assert project.entered("win") == {"a": START, "b": START + HOUR}
    assert project.places("one") == {"a": "queued", "b": "queued"}
    assert project.state("two") == "paused:operator"


def test_the_end_ends_its_messages(project: Project) -> None:
    project.set("a", plan="free")
    project.campaign("win", FREE, drafts(project, one=AT_ONCE))
    project.ask(commands.EndCampaign("win"))
    assert project.state("one") == "ended"
    assert project.places("one") == {"a": "skipped:ended"}
    project.set("b", plan="free")
    assert project.entered("win").keys() == {"a"}
    assert refused(project, commands.EndCampaign("win")).code == "ALREADY_ENDED"


def test_a_message_that_is_added_in_a_pause_is_launched_at_the_resume(project: Project) -> None:
    project.set("a", plan="free")
    project.campaign("win", FREE, drafts(project, one=AT_ONCE))
    project.ask(commands.PauseCampaign("win"))
    project.ask(commands.UpdateCampaign("win", {"messages": [*drafts(project, zero=AT_ONCE), "one"]}))
    project.ask(commands.ResumeCampaign("win"))
    assert project.places("zero") == {"a": "queued"}
    assert project.version.campaigns.get("win").messages == ["zero", "one"]


def test_a_message_belongs_to_one_campaign_at_most_and_may_leave_it_as_a_draft(project: Project) -> None:
    named = drafts(project, one=AT_ONCE, two=AT_ONCE)
    project.campaign("win", FREE, named, launch=None)
    assert project.version.messages.get("one").campaign == "win"
    assert refused(project, commands.LaunchMessage("one", "send")).code == "OF_CAMPAIGN"
    project.ask(commands.UpdateCampaign("win", {"messages": ["two"]}))
    assert project.version.messages.get("one").campaign == ""
    project.campaign("other", FREE, ["one"], launch=None)


def test_what_is_wrong_is_refused_with_its_field_and_changes_nothing(project: Project) -> None:
    named = drafts(project, one=AT_ONCE, two=AT_ONCE)
    project.message("live", "true", content=HOOK)
    project.campaign("win", FREE, ["one"], launch=None)

    def create(entry: str, messages: list[str], key: str = "new", **fields: Any) -> MusterError:
        return refused(project, commands.CreateCampaign(CampaignDefinition(key, "", entry, messages, **fields)))

    for error, kind, code, field in [
        (create(FREE, ["two"], "win"), AlreadyExists, "CAMPAIGN_EXISTS", "campaign.key"),
        (create(FREE, [], "No"), InvalidInput, "INVALID_KEY", "campaign.key"),
        (create(" ", []), InvalidInput, "NO_ENTRY", "campaign.entry"),
        (create("user.", []), InvalidExpression, "EXPRESSION_SYNTAX", "campaign.entry"),
        (create(FREE, [], exit="user."), InvalidExpression, "EXPRESSION_SYNTAX", "campaign.exit"),
        (create(FREE, ["two", "two"]), InvalidInput, "MESSAGE_TWICE", "campaign.messages[1]"),
        (create(FREE, ["none"]), NotFound, "MESSAGE_NOT_FOUND", "campaign.messages[0]"),
        (create(FREE, ["two", "one"]), FailedPrecondition, "MESSAGE_TAKEN", "campaign.messages[1]"),
        (create(FREE, ["live"]), FailedPrecondition, "NOT_A_DRAFT", "campaign.messages[0]"),
        (create('events["$journey_entered"].size() > 0', []), InvalidExpression, "ENTRY_READS_ENTRY", "campaign.entry"),
    ]:
        assert isinstance(error, kind) and (error.code, error.field) == (code, field)
    assert refused(project, commands.LaunchCampaign("none", "send")).code == "CAMPAIGN_NOT_FOUND"
    assert refused(project, commands.LaunchCampaign("win")).code == "EXISTING_REQUIRED"
    assert refused(project, commands.LaunchCampaign("win", "send", "stale")).code == "STALE_ETAG"
    project.campaign("empty", FREE, [], launch=None)
    assert refused(project, commands.LaunchCampaign("empty", "send")).code == "NO_MESSAGES"
    project.campaign("odd", "int(now) > 5", ["two"], launch=None)
    unknown = refused(project, commands.LaunchCampaign("odd", "send"))
    assert (unknown.code, unknown.field) == ("TIME_USE_UNKNOWN", "campaign.entry")
    project.ask(commands.LaunchCampaign("win", "send"))
    for command, code in [
        (commands.LaunchCampaign("win", "send"), "NOT_A_DRAFT"),
        (commands.ResumeCampaign("win"), "NOT_PAUSED"),
        (commands.UpdateCampaign("win", {"entry": "true"}), "NOT_EDITABLE"),
        (commands.UpdateCampaign("win", {"colour": "red"}), "UNKNOWN_FIELD"),
        (commands.PauseCampaign("empty"), "NOT_LIVE"),
    ]:
        assert refused(project, command).code == code
    project.ask(commands.PauseCampaign("win"))
    assert refused(project, commands.UpdateCampaign("win", {"messages": []})).code == "MESSAGE_LAUNCHED"
    assert named == ["one", "two"]


# Durability


def test_members_outlive_a_crash_and_a_checkpoint(project: Project, tmp_path: Path) -> None:
    project.set("a", plan="free")
    project.campaign("win", FREE, drafts(project, one=AT_ONCE))
    project.set("b", imported=True, plan="free")
    project.engine.checkpoint()
    project.set("c", plan="free")
    before = contents(project.version)
    with project.copy(tmp_path / "again") as again:
        assert contents(again.version) == before
        again.set("a", plan="free")
        again.set("d", plan="free")
        assert again.entered("win").keys() == {"a", "c", "d"}
        again.engine.checkpoint()
        with again.copy(tmp_path / "thrice") as thrice:
            assert contents(thrice.version) == contents(again.version)


def test_a_defect_in_judging_who_enters_pauses_the_campaign_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.campaign("win", FREE, drafts(project, one=AT_ONCE))
    project.message("other", FREE, content=HOOK)

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr("core.messaging.entry.matching_touched", broken)
    project.set("a", plan="free")
    assert project.version.campaigns.get("win").pause_reason == "judgement_failed"
    assert (project.state("one"), project.places("other")) == ("paused:campaign", {"a": "queued"})


# The control group


def control_of(project: Project, key: str = "win") -> set[str]:
    return set(project.version.users.names(np.array(project.version.campaigns.membership(key).control, np.uint32)))


def users(count: int, first: int = 0) -> list[ProfileChange]:
    return [ProfileChange(f"u{number}", Operation.SET, {"plan": "free"}) for number in range(first, first + count)]


def test_a_user_is_on_one_side_for_all_messages_of_a_campaign(project: Project) -> None:
    project.campaign("win", FREE, drafts(project, one=AT_ONCE, two=AT_ONCE), control_percent=40)
    project.ingest([], users(200))
    control = control_of(project)
    assert 40 < len(control) < 120 and len(project.entered("win")) == 200
    for key in ("one", "two"):
        places = project.places(key)
        assert {name for name, place in places.items() if place == "held_out"} == control
        assert len(places) == 200
    assert project.send_all("webhook") and control.isdisjoint(project.places("one").keys() - control)
    assert campaign_reading.campaign_counts(project.version, "win").control == len(control)


def test_a_share_that_changes_moves_nobody_who_entered(project: Project) -> None:
    project.campaign("win", FREE, drafts(project, one=AT_ONCE, two=LATER), control_percent=40)
    project.ingest([], users(100))
    before = control_of(project)
    project.ask(commands.UpdateCampaign("win", {"control_percent": 0.0}))
    project.ingest([], users(100, first=100))
    assert control_of(project) == before
    project.move(START + 9 * DAY)
    assert {name for name, place in project.places("two").items() if place == "held_out"} == before
    assert project.version.campaigns.get("win").divided_at == START


def test_of_two_members_who_become_one_the_side_of_who_stays_holds(project: Project) -> None:
    project.campaign("win", FREE, drafts(project, one=AT_ONCE), control_percent=50)
    project.ingest([], users(40))
    control = sorted(control_of(project))
    free = sorted(project.entered("win").keys() - set(control))
    project.merge(control[0], free[0])
    project.merge(free[1], control[1])
    project.set("late", plan="paid")
    project.merge("late", control[2])
    names = control_of(project)
    survivor = {one: project.version.users.name(project.version.users.find(one)) for one in [*control, *free]}
    live = project.version.campaigns.membership("win")
    assert live.control.issubset(live.members) and live.members == project.version.population.live
    assert survivor[control[2]] in names


def test_a_message_of_a_campaign_has_no_control_group_of_its_own(project: Project) -> None:
    project.message("own", AT_ONCE, content=HOOK, launch=None, control_percent=10)
    error = refused(project, commands.CreateCampaign(CampaignDefinition("win", "", FREE, ["own"])))
    assert (error.code, error.field) == ("CONTROL_OF_CAMPAIGN", "campaign.messages[0]")
    project.campaign("win", FREE, drafts(project, one=AT_ONCE), launch=None)
    error = refused(project, commands.UpdateMessage("one", {"control_percent": 5.0}))
    assert (error.code, error.field) == ("CONTROL_OF_CAMPAIGN", "message.control_percent")
    error = refused(project, commands.UpdateCampaign("win", {"control_percent": 101.0}))
    assert (error.code, error.field) == ("INVALID_PERCENT", "campaign.control_percent")
    error = refused(project, commands.UpdateCampaign("win", {"goal": Goal("")}))
    assert (error.code, error.field) == ("NO_EVENT", "campaign.goal.event")


# What its messages share


def test_the_list_s_order_decides_between_messages_that_qualify_together_and_the_least_gap_between_sends(
    project: Project,
) -> None:
    named = drafts(project, one=AT_ONCE, two=AT_ONCE, three=AT_ONCE)
    project.campaign("win", FREE, [named[2], named[0], named[1]], rate_limit=DAY, control_percent=50)
    project.ingest([], users(40))
    places = {key: project.places(key) for key in named}
    control = control_of(project)
    assert set(places["three"].values()) == {"queued", "held_out"}
    assert set(places["one"].values()) == set(places["two"].values()) == {"deferred:rate_limit"}
    project.move(START + DAY)
    places = {key: project.places(key) for key in named}
    assert {name for name, place in places["one"].items() if place == "held_out"} == control
    assert set(places["two"].values()) == {"deferred:rate_limit"}
    project.move(START + 2 * DAY)
    assert {name for name, place in project.places("two").items() if place == "held_out"} == control
    assert set(project.places("two").values()) == {"queued", "held_out"}


def test_who_exits_while_deferred_is_skipped_at_the_release(project: Project) -> None:
    named = drafts(project, one=AT_ONCE, two=AT_ONCE)
    project.campaign("win", FREE, named, rate_limit=DAY, exit='events["Buy"].size() > 0')
    project.set("a", plan="free")
    project.set("b", plan="free")
    project.track("a", "Buy")
    project.move(START + DAY)
    assert project.places("two") == {"a": "skipped:exited", "b": "queued"}
