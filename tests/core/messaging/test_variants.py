"""Promises: who is let through gets one variant of a message, by its percentage, and keeps it; gates, rendering, batches and events go
by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core import commands
from core.errors import InvalidInput, InvalidTemplate, MusterError, NotFound
from core.messaging import reading
from core.messaging.definitions import EmailSource, Variant, WebhookSource
from core.profiles.records import Operation, ProfileChange
from tests.core.project import DAY, HOOK, START, Project, contents, email

B = Variant("b", 50, email(subject="Variant B"))
C = Variant("c", 20, email(subject="Hey {{ user.name }}"))


def users(count: int, first: int = 0) -> list[ProfileChange]:
    return [
        ProfileChange(f"u{number}", Operation.SET, {"$email": f"u{number}@example.com"})
        for number in range(first, first + count)
    ]


def variants(project: Project, key: str = "hi") -> dict[str, set[str]]:
    groups = project.version.messages.ledger(key).groups()
    return {name: {project.version.users.name(ordinal) for ordinal in found} for name, found in groups.items()}


def refused(project: Project, command: commands.Command) -> MusterError:
    before = contents(project.version)
    with pytest.raises(MusterError) as caught:
        project.ask(command)
    assert contents(project.version) == before
    return caught.value


def test_each_user_gets_one_by_its_percentage(project: Project) -> None:
    project.ingest([], users(400))
    project.message("hi", "true", variants=[B])
    found = variants(project)
    assert set(found) == {"variant:b", "variant:main"}
    assert found["variant:b"] | found["variant:main"] == set(project.places("hi"))
    assert 150 < len(found["variant:b"]) < 250 and not found["variant:b"] & found["variant:main"]


def test_batches_are_of_one_variant_and_rendered_as_it_is(project: Project) -> None:
    project.ingest([], users(60))
    project.message("hi", "true", variants=[B], content=email(subject="Main"))
    found = variants(project)
    seen: dict[str, set[str]] = {}
    while (offer := project.desk.offer("email", 7)) is not None:
        subjects = {"b": "Variant B", "main": "Main"}
        assert {one.subject for one in offer.recipients} == {subjects[offer.variant]}
        seen.setdefault(f"variant:{offer.variant}", set()).update(one.distinct_id for one in offer.recipients)
        granted = project.desk.begin(offer.batch_id, range(len(offer.recipients))).result(timeout=60)
        assert len(granted) == len(offer.recipients)
        acks = [commands.Ack(one.idempotency_key, "sent") for one in offer.recipients]
        project.desk.acknowledge(acks).result(timeout=60)
    assert seen == found
    noted = {
        name: {properties["variant"] for event, properties in timeline if event == "$campaign_delivery"}
        for name in project.places("hi")
        for timeline in [project.version.population.timeline(project.version.users.find(name), 2**62, 9, False)]
    }
    assert {name for name, keys in noted.items() if keys == {"b"}} == found["variant:b"]


def test_the_gates_ask_for_what_the_users_variant_needs(project: Project) -> None:
    project.ingest([], users(200))
    project.message("hi", "true", variants=[C])
    places = project.places("hi")
    lacking = {name for name, place in places.items() if place == "skipped:missing_property:name"}
    assert 20 < len(lacking) < 70
    assert variants(project)["variant:main"] == set(places) - lacking
    first = sorted(lacking)[0]
    project.set(first, name="Ann")
    assert project.places("hi")[first] == "queued"
    assert variants(project)["variant:c"] == {first}
    preview = reading.preview(project.version, "hi", first)
    assert preview.variant == "c" and preview.rendered is not None and preview.rendered.subject == "Hey Ann"
    shown = reading.preview(project.version, "hi", first, variant="main")
    assert shown.variant == "main" and shown.rendered is not None and shown.rendered.subject == "Hello"
    with pytest.raises(NotFound, match="no variant"):
        reading.preview(project.version, "hi", first, variant="z")


def test_percentages_that_change_change_nobodys_variant(project: Project) -> None:
    project.ingest([], users(100))
    project.message("hi", "true", variants=[B])
    before = variants(project)
    project.ask(commands.UpdateMessage("hi", {"variants": [replace(B, percent=0)]}))
    project.ingest([], users(100, first=100))
    now = variants(project)
    assert now["variant:b"] == before["variant:b"]
    assert len(now["variant:main"]) == 100 + len(before["variant:main"])


def test_who_was_let_through_before_there_were_variants_has_the_message_s_own_content(project: Project) -> None:
    project.ingest([], users(50))
    project.message("hi", "true")
    project.ask(commands.PauseMessages(["hi"]))
    project.ask(commands.UpdateMessage("hi", {"variants": [replace(B, percent=100)]}))
    project.ask(commands.ResumeMessage("hi"))
    offer = project.desk.offer("email", 100)
    assert offer is not None and offer.variant == "main" and len(offer.recipients) == 50
    project.ingest([], users(1, first=50))
    assert variants(project) == {"variant:b": {"u50"}}


def test_who_is_held_out_gets_none(project: Project) -> None:
    project.ingest([], users(100))
    project.message("hi", "true", variants=[B], control_percent=50)
    found = variants(project)
    assert found["control"] and not found["control"] & (found["variant:b"] | found["variant:main"])


def test_far_and_fine_moves_give_the_same_variants(tmp_path: Path) -> None:
    found = []
    for step in (DAY, 40 * DAY):
        with Project(tmp_path / str(step)) as project:
            project.message("hi", 'events["Buy"].exists(e, e.time <= now - duration("48h"))', variants=[B, C])
            project.ingest([], users(30))
            for number in range(30):
                project.track(f"u{number}", "Buy", at=START + number * DAY)
            while project.now < START + 40 * DAY:
                project.move(min(project.now + step, START + 40 * DAY))
            found.append((variants(project), project.places("hi"), project.instants("hi")))
    assert found[0] == found[1]


def test_variants_outlive_a_crash_and_a_checkpoint(project: Project, tmp_path: Path) -> None:
    project.ingest([], users(40))
    project.message("hi", "true", variants=[B])
    project.engine.checkpoint()
    project.ingest([], users(40, first=40))
    with project.copy(tmp_path / "again") as again:
        assert variants(again) == variants(project)
        assert again.version.messages.get("hi").variants == [B]


def test_what_is_wrong_is_refused_with_its_field(project: Project) -> None:
    def created(*wrong: Variant, **fields: Any) -> tuple[type, str, str]:
        with pytest.raises(MusterError) as caught:
            project.message("new", "true", variants=list(wrong), launch=None, **fields)
        return type(caught.value), caught.value.code, caught.value.field

    assert created(replace(B, key="B")) == (InvalidInput, "INVALID_KEY", "message.variants[0].key")
    assert created(B, B) == (InvalidInput, "VARIANT_TWICE", "message.variants[1].key")
    assert created(replace(B, key="main"))[1] == "VARIANT_TWICE"
    assert created(replace(B, percent=-1)) == (InvalidInput, "INVALID_PERCENT", "message.variants[0].percent")
    assert created(B, replace(C, percent=51)) == (InvalidInput, "INVALID_PERCENT", "message.variants")
    assert created(replace(B, content=HOOK)) == (InvalidInput, "VARIANT_CHANNEL", "message.variants[0]")
    broken = replace(B, content=EmailSource("{{ user.", "Shop <shop@example.com>", text="x"))
    assert created(broken)[0::2] == (InvalidTemplate, "message.variants[0].email.subject")
    odd = Variant("b", 50, WebhookSource("https://example.com/hook", batch_size=-1))
    assert created(odd, content=HOOK)[2] == "message.variants[0].webhook.batch_size"
    assert "new" not in project.version.messages
    project.message("hi", "true", variants=[B])
    for changes in ([], [replace(B, content=email(subject="other"))], [B, C]):
        error = refused(project, commands.UpdateMessage("hi", {"variants": changes}))
        assert (error.code, error.field) == ("NOT_EDITABLE", "message.variants")
    project.ask(commands.PauseMessages(["hi"]))
    assert refused(project, commands.UpdateMessage("hi", {"variants": [C]})).code == "NOT_EDITABLE"
    project.ask(commands.UpdateMessage("hi", {"variants": [replace(B, content=email(subject="other")), C]}))
