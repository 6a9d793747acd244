"""Promise: a merged user has received what either received, and once stays once across a deletion."""

from __future__ import annotations

import pytest

from core import commands
from core.messaging import reading
from core.messaging.definitions import WebhookSource
from core.profiles.records import Operation, ProfileChange
from tests.core.project import DAY, HOOK, START, Project, email

FREE = 'user.plan == "free"'


def free(project: Project, *distinct_ids: str) -> None:
    """Make users match and reachable."""
    project.reach(*distinct_ids)
    for distinct_id in distinct_ids:
        project.set(distinct_id, plan="free")


def test_a_merged_user_has_what_either_received(project: Project) -> None:
    project.message("hi", FREE)
    free(project, "anonymous")
    assert project.send_all() == ["anonymous"]
    project.set("known", city="Oslo")
    assert project.merge("known", "anonymous")
    assert project.places("hi") == {"known": "sent"}
    project.set("known", plan="paid")
    project.set("known", plan="free")
    assert project.places("hi") == {"known": "sent"}
    assert project.send_all() == []
    events = [name for name, _ in project.version.population.timeline(1, 2**62, 10, False)]
    assert events == ["$campaign_delivery"]


def test_of_two_deliveries_the_more_advanced_wins(project: Project) -> None:
    project.message("hi", FREE)
    free(project, "sent", "queued")
    offer = project.desk.offer("email", 1)
    assert offer is not None
    assert [one.distinct_id for one in offer.recipients] == ["sent"]
    project.desk.begin(offer.batch_id, [0]).result()
    assert project.merge("queued", "sent")
    assert list(project.places("hi").values()) == ["skipped:merged", "begun"]
    project.desk.acknowledge([commands.Ack(offer.recipients[0].idempotency_key, "sent")]).result()
    assert project.places("hi")["queued"] == "sent"
    assert project.send_all() == []


def test_who_is_queued_and_merged_is_still_sent_to_once(project: Project) -> None:
    project.message("hi", FREE, content=email(subject="Hey {{ user.name }}"))
    free(project, "a")
    project.set("a", name="Ann")
    project.set("b", name="Bo")
    project.merge("b", "a")
    offer = project.desk.offer("email", 10)
    assert offer is not None
    assert [(one.distinct_id, one.to, one.subject) for one in offer.recipients] == [("b", "a@example.com", "Hey Bo")]


def test_a_merge_makes_match(project: Project) -> None:
    project.message("both", 'user.plan == "free" && events["Buy"].size() > 0', content=HOOK)
    project.set("a", plan="free")
    project.track("b", "Buy")
    assert project.places("both") == {}
    project.merge("a", "b")
    assert project.places("both") == {"a": "queued"}


def test_a_list_is_joined_by_a_merge(project: Project) -> None:
    project.set("a", plan="free")
    project.set("b", plan="free")
    project.ask(commands.SaveAudience("vip", ids=["b"]))
    project.message("vips", 'audiences["vip"] && user.city == "Oslo"', content=HOOK)
    project.set("a", city="Oslo")
    assert project.places("vips") == {}
    project.merge("a", "b")
    assert project.places("vips") == {"a": "queued"}


def test_who_is_deleted_is_not_sent_to(project: Project) -> None:
    project.message("hi", FREE)
    free(project, "a")
    project.set("nowhere", plan="free")
    project.delete("a")
    project.delete("nowhere")
    assert sorted(project.places("hi").values()) == ["skipped:deleted", "skipped:deleted"]
    assert project.send_all() == []


def test_once_outlives_the_deletion(project: Project) -> None:
    project.message("hi", FREE)
    project.message("sale", FREE, at=START + DAY)
    free(project, "a", "skipped")
    project.set("waiting", plan="free")
    project.set("skipped", plan="free")
    assert sorted(project.send_all()) == ["a", "skipped"]
    project.merge("a", "alias")
    for distinct_id in ("a", "waiting"):
        project.delete(distinct_id)
    assert project.version.users.find("a") == -1
    free(project, "a", "alias", "waiting")
    project.move(START + 2 * DAY)
    fresh = {name for name, place in project.places("hi").items() if place == "queued"}
    assert fresh == {"waiting"}
    assert {name for name, place in project.places("sale").items() if place == "queued"} == {
        *("a", "alias", "waiting", "skipped")
    }
    copy = project.copy(project.folder.with_name("copy"))
    with copy:
        ledger = copy.version.messages.ledger("hi")
        assert {copy.version.users.name(ordinal) for ordinal in ledger.marked} == {"a", "alias"}
        copy.engine.checkpoint()
        copy.delete("a")
        free(copy, "a")
        assert sorted(copy.send_all()) == ["alias", "skipped", "waiting", "waiting"]


def test_a_mark_stays_with_who_takes_the_id(project: Project) -> None:
    project.message("hi", FREE)
    free(project, "a")
    project.send_all()
    project.delete("a")
    project.set("b", city="Oslo")
    project.merge("b", "a")
    free(project, "b")
    assert project.send_all() == []
    project.set("c", city="Rome")
    project.merge("c", "b")
    free(project, "c")
    assert project.send_all() == []


def test_word_of_a_hand_off_still_counts_after_the_deletion(project: Project) -> None:
    project.message("hi", FREE)
    free(project, "a")
    offer = project.desk.offer("email", 1)
    assert offer is not None
    project.desk.begin(offer.batch_id, [0]).result()
    project.delete("a")
    assert list(project.places("hi").values()) == ["begun"]
    project.desk.acknowledge([commands.Ack(offer.recipients[0].idempotency_key, "sent")]).result()
    assert list(project.places("hi").values()) == ["sent"]
    assert project.version.population.events("$campaign_delivery") is None


@pytest.mark.parametrize("state", ["sent", "ambiguous"])
def test_a_deletion_in_the_same_batch_as_the_return(project: Project, state: str) -> None:
    project.message("hi", FREE)
    free(project, "a")
    offer = project.desk.offer("email", 1)
    assert offer is not None
    project.desk.begin(offer.batch_id, [0]).result()
    project.desk.acknowledge([commands.Ack(offer.recipients[0].idempotency_key, state)]).result()  # type: ignore[arg-type]
    project.ingest(
        [],
        [
            ProfileChange("a", Operation.DELETE),
            ProfileChange("a", Operation.SET, {"plan": "free", "$email": "a@example.com"}),
        ],
    )
    assert project.profile("a") == {"plan": "free", "$email": "a@example.com"}
    assert project.send_all() == []


def test_a_hand_off_keeps_its_key_through_a_merge(project: Project) -> None:
    project.message("hi", FREE, content=WebhookSource("https://example.com/", body="{}", idempotent=True))
    project.set("goes", plan="free")
    offer = project.desk.offer("webhook", 1)
    assert offer is not None
    project.desk.begin(offer.batch_id, [0]).result()
    project.set("stays", plan="free")
    project.merge("stays", "goes")
    project.desk.abandon([offer.batch_id]).result()
    assert project.places("hi") == {"goes": "skipped:merged", "stays": "queued"}
    again = project.desk.offer("webhook", 1)
    assert again is not None
    assert again.recipients[0].idempotency_key == offer.recipients[0].idempotency_key
    rows = [row for part in reading.deliveries(project.version, "hi") for row in part]
    assert len({row.idempotency_key for row in rows}) == len(rows) == 2
    with project.copy(project.folder.with_name("copy")) as copy:
        copy.engine.checkpoint()
        copy.close()
        with Project(copy.folder) as after:
            assert [row for part in reading.deliveries(after.version, "hi") for row in part] == rows
