"""Promise: an in-app message waits until it is shown or has waited too long; what an app tells of it counts once; and
the clock's steps make no difference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import commands
from core.commands import InAppReport, InAppTaken
from core.errors import InvalidExpression, InvalidInput
from core.messaging.definitions import MessageDefinition, Variant
from core.messaging.in_app import Event, Shelf, shelf, waits
from core.messaging.in_app_source import DisplayTrigger, InAppButton, InAppSource
from core.messaging.schedules import OnSend
from core.messaging.translations import InAppTranslation
from core.values import MICROS_PER_SECOND
from tests.core.project import DAY, FREE, HOUR, START, Project, contents

MINUTE = 60 * MICROS_PER_SECOND
NOTE = InAppSource("takeover", "Hi", "There", buttons=[InAppButton("Go", "shop://go")], background_color="#000000")


def launched(project: Project, key: str = "hi", targeting: str = FREE, **changes: Any) -> None:
    """Launch an in-app message."""
    content = changes.pop("content", NOTE)
    project.message(key, targeting, content=content, **changes)


def on_shelf(project: Project, distinct_id: str, *args: Any) -> list[str]:
    """The keys of what may be shown to a user."""
    return [one.message_key for one in shelf(project.version, distinct_id, *args).messages]


def say(project: Project, *reports: InAppReport) -> InAppTaken:
    """Tell what users did."""
    taken: InAppTaken = project.ask(commands.ReportInApp(reports))
    return taken


def id_of(project: Project, distinct_id: str, key: str = "hi") -> str:
    """The id of what may be shown."""
    return next(one.id for one in shelf(project.version, distinct_id).messages if one.message_key == key)


def events(project: Project, distinct_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Muster's own events of a user, the oldest first."""
    ordinal = project.version.users.find(distinct_id)
    found = project.version.population.timeline(ordinal, 2**62, 100, False)
    return [(name, properties) for name, properties in found if name.startswith("$campaign")]


@pytest.fixture
def waiting(project: Project) -> Project:
    """A project in which `hi` waits for a and b."""
    for distinct_id in "ab":
        project.set(distinct_id, plan="free")
    launched(project)
    return project


# What is shown


def test_it_waits_for_everybody_selected_and_is_sent_when_it_is_shown(waiting: Project) -> None:
    assert waiting.places("hi") == {"a": "queued", "b": "queued"}
    (found,) = shelf(waiting.version, "a").messages
    assert (found.content.title, found.content.buttons[0].link, found.content.colors.background) == (
        "Hi",
        "shop://go",
        "#000000",
    )
    assert found.expires == START + 30 * DAY
    assert shelf(waiting.version, "nobody") == Shelf([], None) and not waits(waiting.version, "nobody")
    assert say(waiting, InAppReport(found.id, "shown")) == InAppTaken(1, 0, 0)
    assert waiting.places("hi") == {"a": "sent", "b": "queued"}
    assert on_shelf(waiting, "a") == [] and not waits(waiting.version, "a") and waits(waiting.version, "b")
    ((name, properties),) = events(waiting, "a")
    assert (name, properties["message_id"], properties["message_type"]) == ("$campaign_delivery", "hi", "in_app")
    assert "session_id" not in properties


def test_no_worker_is_offered_it(waiting: Project) -> None:
    for channel in ("email", "webhook", "sms", "push"):
        assert waiting.desk.offer(channel, 10) is None  # type: ignore[arg-type]


def test_gates_stand_before_every_fetch_and_hold_nobody_for_good(waiting: Project) -> None:
    waiting.set("a", plan="paid")
    assert on_shelf(waiting, "a") == [] and waiting.places("hi")["a"] == "queued"
    waiting.set("a", plan="free")
    assert on_shelf(waiting, "a") == ["hi"]
    waiting.ask(commands.PauseMessages(["hi"]))
    assert on_shelf(waiting, "a") == []
    waiting.ask(commands.ResumeMessage("hi"))
    assert on_shelf(waiting, "a") == ["hi"]
    waiting.ask(commands.EndMessage("hi"))
    assert on_shelf(waiting, "a") == [] and waiting.places("hi")["a"] == "skipped:ended"


def test_the_longest_waiting_comes_first(project: Project) -> None:
    project.set("a", plan="free")
    for number, key in enumerate(("z", "m", "a")):
        project.move(START + number * HOUR)
        launched(project, key)
    launched(project, "b")
    assert on_shelf(project, "a") == ["z", "m", "a", "b"]


def test_what_cannot_be_rendered_for_a_user_is_not_shown(project: Project) -> None:
    project.set("a", plan="free", name=[])
    launched(project, content=InAppSource("mini", body="{{ user.name }}"))
    assert on_shelf(project, "a") == []
    project.set("a", name="Ada")
    (found,) = shelf(project.version, "a").messages
    assert found.content.body == "Ada"


def test_readers_have_their_own_language(project: Project) -> None:
    project.set("a", plan="free", **{"$locale": "de-AT"})
    project.set("b", plan="free")
    texts = {"de": InAppTranslation("Hallo"), "fr": InAppTranslation("Salut", "Là")}
    launched(project, content=replace(NOTE, translations=texts))
    shown = {name: shelf(project.version, name).messages[0].content for name in "ab"}
    assert {name: (one.title, one.body) for name, one in shown.items()} == {
        "a": ("Hallo", "There"),
        "b": ("Hi", "There"),
    }
    with pytest.raises(InvalidInput) as caught:
        launched(project, "bad", content=replace(NOTE, translations={"de": InAppTranslation("{{ x")}))
    assert caught.value.field == "message.in_app.translations['de'].title"


def test_a_sandbox_shows_it_to_those_it_may_send_to_only(tmp_path: Path) -> None:
    with Project(tmp_path / "sand", sandbox=True) as project:
        project.ask(commands.UpdateSettings(allowed_addresses=["user:a"]))
        for distinct_id in "ab":
            project.set(distinct_id, plan="free")
        launched(project)
        assert (on_shelf(project, "a"), on_shelf(project, "b")) == (["hi"], [])
        project.desk.drain_sandbox()
        assert project.places("hi") == {"a": "queued", "b": "sent"}
        ((_, entry),) = project.version.messages.inbox.newest("", "", 2**62)
        assert json.loads(entry.body)["buttons"] == [{"text": "Go", "link": "shop://go"}]
        assert (entry.distinct_id, entry.subject, entry.text) == ("b", "Hi", "There")


def test_what_is_sent_on_a_call_waits_with_its_own_data(project: Project) -> None:
    project.set("a", plan="free")
    content = InAppSource("mini", body="Order {{ data.number }}")
    project.ask(commands.CreateMessage(MessageDefinition("shipped", "", "", OnSend(), content)))
    project.ask(commands.LaunchMessage("shipped"))
    for number in (7, 8):
        project.ask(commands.SendMessage("shipped", ["a"], {"number": number}))
    found = shelf(project.version, "a").messages
    assert [one.content.body for one in found] == ["Order 7", "Order 8"]
    assert say(project, InAppReport(found[1].id, "shown")) == InAppTaken(1, 0, 0)
    assert [one.content.body for one in shelf(project.version, "a").messages] == ["Order 7"]


def test_a_draft_is_shown_to_named_users_as_a_test(project: Project) -> None:
    project.set("a", plan="paid")
    launched(project, launch=None)
    project.ask(commands.SendMessage("hi", ["a"], test=True))
    (found,) = shelf(project.version, "a").messages
    assert found.content.title == "Hi"
    assert say(project, InAppReport(found.id, "clicked")).accepted == 1
    assert project.places("hi") == {} and on_shelf(project, "a") == []


# Triggers


def triggered(*triggers: DisplayTrigger) -> InAppSource:
    return InAppSource("mini", body="There", triggers=list(triggers))


def test_a_trigger_is_an_event_and_a_condition_on_it(project: Project) -> None:
    project.set("a", plan="free")
    launched(project, "always")
    launched(project, "big", content=triggered(DisplayTrigger("Buy", "e.amount > 50.0 && e.time <= now")))
    launched(
        project, "any", content=triggered(DisplayTrigger("$any_event", 'e.page == "cart"'), DisplayTrigger("Quit"))
    )
    assert on_shelf(project, "a") == ["always", "any", "big"]
    assert [len(one.triggers) for one in shelf(project.version, "a").messages] == [0, 2, 1]
    for event, expected in (
        (Event("Buy", {"amount": 51}), ["big"]),
        (Event("Buy", {"amount": 50.0}), []),
        (Event("Buy", {"amount": "many"}), []),
        (Event("Buy", {}), []),
        (Event("Buy", {"amount": 60.5, "page": "cart"}), ["any", "big"]),
        (Event("View", {"page": "cart"}), ["any"]),
        (Event("Quit", {}), ["any"]),
        (Event("Sell", {"amount": 51}), []),
    ):
        assert on_shelf(project, "a", "", event) == expected, event
    assert events(project, "a") == []


@pytest.mark.parametrize(
    ("triggers", "field", "code"),
    [
        ([DisplayTrigger("")], "message.in_app.triggers[0].event", "NO_EVENT"),
        ([DisplayTrigger("x" * 300)], "message.in_app.triggers[0].event", "NAME_TOO_LONG"),
        ([DisplayTrigger("x")] * 21, "message.in_app.triggers", "TOO_MANY_TRIGGERS"),
        ([DisplayTrigger("x"), DisplayTrigger("y", "e.")], "message.in_app.triggers[1].condition", "EXPRESSION_SYNTAX"),
        ([DisplayTrigger("x", "user.a == 1")], "message.in_app.triggers[0].condition", "CONDITION_NOT_OF_EVENT"),
    ],
)
def test_a_trigger_that_could_never_fit_is_refused(
    project: Project, triggers: list[DisplayTrigger], field: str, code: str
) -> None:
    before = contents(project.version)
    with pytest.raises((InvalidInput, InvalidExpression)) as caught:
        launched(project, content=triggered(*triggers))
    assert (caught.value.field, caught.value.code) == (field, code)
    assert contents(project.version) == before


def test_each_variant_has_its_own_triggers(project: Project) -> None:
    for number in range(20):
        project.set(f"u{number}", plan="free")
    other = triggered(DisplayTrigger("Buy"))
    launched(project, variants=[Variant("b", 50.0, other)])
    groups = project.version.messages.ledger("hi").groups()
    for number in range(20):
        ordinal = project.version.users.find(f"u{number}")
        (found,) = shelf(project.version, f"u{number}").messages
        of_b = ordinal in groups["variant:b"]
        assert (found.content.kind, bool(found.triggers)) == (("mini", True) if of_b else ("takeover", False))
        assert on_shelf(project, f"u{number}", "", Event("Buy", {})) == (["hi"] if of_b else [])
    assert 0 < len(groups["variant:b"]) < 20
    with pytest.raises(InvalidInput) as caught:
        launched(project, "bad", variants=[Variant("b", 50.0, triggered(DisplayTrigger("")))])
    assert caught.value.field == "message.variants[0].in_app.triggers[0].event"


# Sessions


def test_a_session_shows_no_more_than_the_projects_limit(project: Project) -> None:
    project.ask(commands.UpdateSettings(in_app_per_session=2))
    project.set("a", plan="free")
    for key in ("m1", "m2", "m3"):
        launched(project, key)
    launched(project, "on-buy", content=triggered(DisplayTrigger("Buy")))
    found = shelf(project.version, "a", "s1")
    assert ([one.message_key for one in found.messages], found.remaining) == (["m1", "m2", "on-buy"], 2)
    say(project, InAppReport(found.messages[0].id, "shown", "s1"))
    found = shelf(project.version, "a", "s1")
    assert ([one.message_key for one in found.messages], found.remaining) == (["m2", "on-buy"], 1)
    say(project, InAppReport(found.messages[1].id, "clicked", "s1"))
    found = shelf(project.version, "a", "s1")
    assert ([one.message_key for one in found.messages], found.remaining) == ([], 0)
    assert shelf(project.version, "a", "s1", Event("Buy", {})) == Shelf([], 0)
    assert on_shelf(project, "a", "s2") == ["m2", "m3"]
    assert on_shelf(project, "a") == ["m2", "m3"]  # no session, no limit
    project.move(START + DAY + 1)
    assert on_shelf(project, "a", "s1") == ["m2", "m3"]  # none lasts so long


def test_a_negative_limit_is_refused(project: Project) -> None:
    with pytest.raises(InvalidInput) as caught:
        project.ask(commands.UpdateSettings(in_app_per_session=-1))
    assert caught.value.field == "in_app_per_session"


# What users do


def test_each_deed_is_an_event_once_and_means_that_it_was_shown(waiting: Project) -> None:
    clicked = InAppReport(id_of(waiting, "a"), "clicked", "s1", "shop://go")
    dismissed = InAppReport(id_of(waiting, "b"), "dismissed")
    assert say(waiting, clicked, clicked, dismissed) == InAppTaken(2, 1, 0)
    assert waiting.places("hi") == {"a": "sent", "b": "sent"}
    before = contents(waiting.version)
    shown = InAppReport(clicked.idempotency_key, "shown")
    assert say(waiting, clicked, shown, dismissed) == InAppTaken(0, 3, 0)
    assert contents(waiting.version) == before
    assert say(waiting, InAppReport(clicked.idempotency_key, "dismissed")) == InAppTaken(1, 0, 0)
    names = sorted(name for name, _ in events(waiting, "a"))
    assert names == ["$campaign_click", "$campaign_delivery", "$campaign_dismissed", "$campaign_open"]
    assert dict(events(waiting, "a"))["$campaign_click"]["url"] == "shop://go"
    assert dict(events(waiting, "a"))["$campaign_delivery"]["session_id"] == "s1"
    assert sorted(name for name, _ in events(waiting, "b")) == ["$campaign_delivery", "$campaign_dismissed"]


def test_shown_and_clicked_in_one_call_count_each(waiting: Project) -> None:
    name = id_of(waiting, "a")
    assert say(waiting, InAppReport(name, "shown"), InAppReport(name, "clicked")) == InAppTaken(2, 0, 0)
    name = id_of(waiting, "b")
    assert say(waiting, InAppReport(name, "clicked"), InAppReport(name, "shown")) == InAppTaken(1, 1, 0)


@pytest.mark.parametrize("end", ["expired", "ended", "no_longer_matches"])
def test_what_was_shown_from_an_earlier_fetch_is_believed(waiting: Project, end: str) -> None:
    name = id_of(waiting, "a")
    if end == "expired":
        waiting.move(START + 31 * DAY)
    elif end == "ended":
        waiting.ask(commands.EndMessage("hi"))
    else:
        waiting.ask(commands.PauseMessages(["hi"]))
        waiting.set("a", plan="paid")
        waiting.ask(commands.ResumeMessage("hi"))
    assert waiting.places("hi")["a"] == f"skipped:{end}"
    assert say(waiting, InAppReport(name, "shown")) == InAppTaken(1, 0, 0)
    assert waiting.places("hi")["a"] == "sent"
    assert waiting.version.messages.ledger("hi").problems() == []


def test_what_is_made_up_changes_nothing(waiting: Project) -> None:
    waiting.reach("a")
    waiting.message("mail", FREE)
    offer = waiting.desk.offer("email", 1)
    assert offer is not None
    waiting.set("c", plan="free")
    held = id_of(waiting, "c")
    names = ["", "x", "5eed.hi.0.99", "other.hi.0.0", "5eed.no.0.0", offer.recipients[0].idempotency_key]
    before = contents(waiting.version)
    assert say(waiting, *(InAppReport(name, "clicked") for name in names)) == InAppTaken(0, 0, len(names))
    assert contents(waiting.version) == before
    assert held
    for report, field in (
        (InAppReport("x" * 256, "shown"), "reports[0].id"),
        (InAppReport("x", "shown", "s" * 256), "reports[0].session_id"),
        (InAppReport("x", "clicked", "", "l" * 2_001), "reports[0].link"),
    ):
        with pytest.raises(InvalidInput) as caught:
            say(waiting, report)
        assert caught.value.field == field


def test_whoever_is_held_out_is_shown_nothing_whatever_an_app_says(project: Project) -> None:
    for number in range(20):
        project.set(f"u{number}", plan="free")
    launched(project, control_percent=50.0)
    held = [name for name, place in project.places("hi").items() if place == "held_out"]
    assert held and all(on_shelf(project, name) == [] for name in held)
    ordinal = project.version.users.find(held[0])
    assert say(project, InAppReport(f"5eed.hi.0.{ordinal}", "shown")).accepted == 0
    assert project.places("hi")[held[0]] == "held_out"


def test_a_merge_takes_the_word_along(waiting: Project) -> None:
    name = id_of(waiting, "b")
    waiting.merge("a", "b")
    assert say(waiting, InAppReport(name, "clicked")).unknown == 0
    assert "sent" in waiting.places("hi").values() and on_shelf(waiting, "a") == []
    assert waiting.version.messages.ledger("hi").problems() == []


def test_a_repeated_request_answers_as_the_first_did(waiting: Project) -> None:
    command = commands.ReportInApp([InAppReport(id_of(waiting, "a"), "shown")])
    assert waiting.ask(command, "r") == waiting.ask(command, "r") == InAppTaken(1, 0, 0)


def test_recovery_from_the_log_and_from_a_checkpoint_brings_the_same(waiting: Project, tmp_path: Path) -> None:
    say(waiting, InAppReport(id_of(waiting, "a"), "clicked", "s", "shop://go"))
    waiting.ask(commands.UpdateSettings(in_app_per_session=3))
    waiting.move(START + 40 * DAY)
    with waiting.copy(tmp_path / "log") as copy:
        assert contents(copy.version) == contents(waiting.version)
        copy.engine.checkpoint()
        copy.copy_files(tmp_path / "pages")
    with Project(tmp_path / "pages") as again:
        assert contents(again.version) == contents(waiting.version)
        assert again.version.messages.get("hi").content == NOTE


# Waiting too long


def test_it_expires_by_the_minute_and_is_not_shown_a_moment_longer(project: Project) -> None:
    project.set("a", plan="free")
    launched(project, expires_after=HOUR)
    project.move(START + HOUR)
    assert on_shelf(project, "a") == ["hi"]
    project.move(START + HOUR + 1)
    assert on_shelf(project, "a") == [] and project.places("hi") == {"a": "queued"}
    project.move(START + HOUR + MINUTE)
    assert project.places("hi") == {"a": "skipped:expired"}


def test_what_is_paused_expires_at_the_resume(project: Project) -> None:
    project.set("a", plan="free")
    launched(project, expires_after=HOUR)
    project.ask(commands.PauseMessages(["hi"]))
    project.move(START + DAY)
    assert project.places("hi") == {"a": "queued"}
    project.ask(commands.ResumeMessage("hi"))
    assert project.places("hi") == {"a": "skipped:expired"}


steps = st.lists(st.integers(1, 5 * HOUR // MINUTE * MINUTE + 17), max_size=12)


@settings(max_examples=40, deadline=None)
@given(
    steps=steps,
    enters=st.lists(st.integers(0, 30 * HOUR), min_size=1, max_size=8),
    expires_after=st.sampled_from([0, MINUTE // 2, MINUTE, HOUR, 7 * HOUR + 3]),
    most=st.integers(0, 5),
)
def test_one_far_move_is_any_finer_sequence(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], enters: list[int], expires_after: int, most: int
) -> None:
    end = START + 40 * HOUR
    found = []
    for moves in ([end], [*sorted({START + sum(steps[:n]) for n in range(1, len(steps) + 1)} - {end}), end]):
        with Project(tmp_path_factory.mktemp("project") / "p") as project:
            for number, after in enumerate(enters):
                # Each comes to match by time alone, at an instant of its own.
                project.track(f"u{number}", "In", at=START - DAY + after)
            launched(
                project,
                targeting='events["In"].exists(e, e.time < now - duration("24h"))',
                expires_after=expires_after,
                max_recipients=most,
            )
            for to in moves:
                if to > project.now and to <= end:
                    project.move(to)
            found.append((project.places("hi"), project.instants("hi"), project.state("hi")))
            ledger = project.version.messages.ledger("hi")
            assert ledger.problems() == []
            joined = zip(*ledger.joined(ledger.selected), strict=True)
            assert all(ledger.joined_at(int(ordinal)) == instant for ordinal, instant in joined)
    assert found[0] == found[1]
