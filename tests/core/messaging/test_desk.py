"""Promise: nothing is sent without leave, leave is durable, and what is not known to be sent is never guessed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from core import commands
from core.errors import Exhausted
from core.messaging import reading
from core.messaging.definitions import WebhookSource
from core.messaging.desk import Desk, Offer
from core.messaging.keys import idempotency_key, read_key
from tests.core.project import HOOK, Project, email

FREE = 'user.plan == "free"'


class Clock:
    """Monotonic seconds, moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ready(project: Project, clock: Clock) -> Iterator[Project]:
    """A project with one message and three users queued; its desk's leases end by `clock`."""
    project.desk = Desk(project.engine, lease_seconds=60.0, clock=clock)
    project.message("hi", FREE)
    project.reach("a", "b", "c")
    for distinct_id in "abc":
        project.set(distinct_id, plan="free")
    yield project


def offered(project: Project, limit: int = 10) -> Offer:
    """The next offer, which must be there."""
    offer = project.desk.offer("email", limit)
    assert offer is not None
    return offer


def ack(project: Project, offer: Offer, outcome: commands.Outcome, *indexes: int) -> int:
    """Acknowledge recipients."""
    acks = [commands.Ack(offer.recipients[index].idempotency_key, outcome, "said so") for index in indexes]
    return project.desk.acknowledge(acks).result()


def test_nobody_is_offered_twice_at_the_same_time(ready: Project) -> None:
    first, second = offered(ready, 2), offered(ready, 2)
    assert [one.distinct_id for one in (*first.recipients, *second.recipients)] == ["a", "b", "c"]
    assert ready.desk.offer("email", 2) is None
    assert not ready.desk.waiting("email")
    assert ready.places("hi") == {"a": "queued", "b": "queued", "c": "queued"}


def test_a_lease_that_expires_unbegun_is_offered_again(ready: Project, clock: Clock) -> None:
    first = offered(ready)
    assert ready.desk.begin(first.batch_id, [0]).result() == [0]
    clock.now = 60.0
    again = offered(ready)
    assert [one.distinct_id for one in again.recipients] == ["b", "c"]
    assert [one.idempotency_key for one in again.recipients] == [one.idempotency_key for one in first.recipients[1:]]
    assert ready.desk.begin(first.batch_id, [1]).result() == []
    assert ack(ready, first, "sent", 0) == 1
    assert ready.places("hi") == {"a": "sent", "b": "queued", "c": "queued"}


def test_leave_is_given_once(ready: Project) -> None:
    offer = offered(ready)
    assert ready.desk.begin(offer.batch_id, [0, 1, 7, -1]).result() == [0, 1]
    assert ready.desk.begin(offer.batch_id, [0, 1]).result() == []
    assert ready.desk.begin(offer.batch_id + 1, [2]).result() == []
    assert ready.places("hi") == {"a": "begun", "b": "begun", "c": "queued"}


def test_leave_looks_a_last_time(ready: Project) -> None:
    offer = offered(ready)
    ready.set("a", plan="paid")
    ready.unset("b", "$email")
    assert ready.desk.begin(offer.batch_id, [0, 1, 2]).result() == [2]
    assert ready.places("hi") == {"a": "skipped:no_longer_matches", "b": "skipped:unreachable", "c": "begun"}


def test_each_outcome_has_its_state_and_is_counted_once(ready: Project) -> None:
    offer = offered(ready)
    ready.desk.begin(offer.batch_id, [0, 1, 2]).result()
    assert ack(ready, offer, "sent", 0) == 1
    assert ack(ready, offer, "sent", 0) == 0
    assert ack(ready, offer, "failed", 0) == 0
    assert ack(ready, offer, "failed", 1) == 1
    assert ack(ready, offer, "not_sent", 2) == 1
    assert ready.places("hi") == {"a": "sent", "b": "failed:provider_refused", "c": "queued"}
    assert ready.send_all() == ["c"]
    assert ack(ready, offer, "sent", 1) == 1
    assert (
        ready.desk.acknowledge([commands.Ack(key, "sent") for key in ("", "x", "5eed.hi.0.99", "5eed.no.0.1")]).result()
        == 0
    )
    population = ready.version.population
    assert [row for row in population.timeline(1, 2**62, 10, False)] == [
        ("$campaign_delivery", population.timeline(1, 2**62, 10, False)[0][1]),
        ("$campaign_failed", population.timeline(1, 2**62, 10, False)[1][1]),
    ]
    assert population.timeline(1, 2**62, 10, False)[1][1]["detail"] == "said so"


def test_a_worker_that_is_gone_leaves_ambiguity(ready: Project) -> None:
    offer = offered(ready)
    ready.desk.begin(offer.batch_id, [0, 1]).result()
    ack(ready, offer, "sent", 0)
    assert ready.desk.abandon([offer.batch_id]).result() == 1
    assert ready.places("hi") == {"a": "sent", "b": "ambiguous", "c": "queued"}
    assert ready.send_all() == ["c"]
    assert ack(ready, offer, "sent", 1) == 1
    assert ready.places("hi")["b"] == "sent"


def test_a_crash_leaves_ambiguity(ready: Project, tmp_path: Path) -> None:
    offer = offered(ready)
    ready.desk.begin(offer.batch_id, [0]).result()
    with ready.copy(tmp_path / "after") as after:
        assert after.places("hi") == {"a": "ambiguous", "b": "queued", "c": "queued"}
        assert sorted(after.send_all()) == ["b", "c"]
        assert ack(after, offer, "failed", 0) == 1
        assert after.places("hi")["a"] == "failed:provider_refused"


def test_a_receiver_that_drops_repeated_keys_is_offered_again(project: Project, tmp_path: Path) -> None:
    for key, idempotent in (("once", False), ("again", True)):
        project.message(key, FREE, content=WebhookSource("https://example.com/", body="{}", idempotent=idempotent))
    project.set("a", plan="free")
    for _ in range(2):
        offer = project.desk.offer("webhook", 10)
        assert offer is not None
        project.desk.begin(offer.batch_id, [0]).result()
    with project.copy(tmp_path / "after") as after:
        assert after.places("once") == {"a": "ambiguous"}
        assert after.places("again") == {"a": "queued"}


@pytest.mark.parametrize(
    ("resolution", "place"), [("offer_again", "queued"), ("mark_sent", "sent"), ("mark_failed", "failed:operator")]
)
def test_an_operator_settles_ambiguity(ready: Project, resolution: str, place: str) -> None:
    offer = offered(ready)
    ready.desk.begin(offer.batch_id, [0, 1]).result()
    ready.desk.abandon([offer.batch_id]).result()
    assert ready.ask(commands.ResolveAmbiguous("hi", ["a"], resolution)) == 1  # type: ignore[arg-type]
    assert ready.places("hi") == {"a": place, "b": "ambiguous", "c": "queued"}
    assert ready.ask(commands.ResolveAmbiguous("hi", [], resolution)) == 1  # type: ignore[arg-type]
    assert ready.places("hi")["b"] == place


def test_what_cannot_be_rendered_is_skipped_with_the_reason(project: Project) -> None:
    content = email(subject="{{ user.address.city }}", text="{{ user.score + 1 }}")
    project.message("hi", FREE, content=content)
    project.reach("a", "b", "c")
    project.set("a", plan="free", address={"city": "Oslo"}, score="ten")
    project.set("b", plan="free", address={"street": "x"}, score=1)
    project.set("c", plan="free", address={"city": "Rome"}, score=1)
    offer = project.desk.offer("email", 10)
    assert offer is not None
    assert [(one.distinct_id, one.subject, one.text) for one in offer.recipients] == [("c", "Rome", "2")]
    assert project.places("hi") == {
        "a": "skipped:render_failed:PROPERTY_TYPE",
        "b": "skipped:missing_property:address",
        "c": "queued",
    }
    project.set("b", address={"city": "Bonn"})
    assert project.places("hi")["b"] == "queued"


def test_channels_do_not_see_each_other_and_messages_take_turns(project: Project) -> None:
    project.message("mail", FREE)
    project.message("hook", FREE, content=HOOK)
    project.message("mail2", FREE)
    project.reach("a")
    project.set("a", plan="free", name="Ann")
    first, second = project.desk.offer("email", 10), project.desk.offer("email", 10)
    assert first is not None
    assert second is not None
    assert {first.message_key, second.message_key} == {"mail", "mail2"}
    hook = project.desk.offer("webhook", 10)
    assert hook is not None
    assert (hook.batch_size, hook.recipients[0].url) == (500, "https://example.com/hook")
    assert hook.recipients[0].body == (
        '{"distinct_id":"a","message":{"id":"hook","key":"hook","title":"hook"},"user":{"name":"Ann"}}'
    )


def test_a_sandbox_keeps_what_it_would_send(sandbox: Project) -> None:
    sandbox.message("hi", FREE)
    sandbox.message("hook", FREE, content=HOOK)
    sandbox.ask(commands.UpdateSettings(allowed_addresses=["B@example.com", "https://example.com/"]))
    sandbox.reach("a", "b")
    for distinct_id in "ab":
        sandbox.set(distinct_id, plan="free")
    assert sandbox.send_all() == ["b"]
    assert sandbox.send_all("webhook") == ["a", "b"]
    assert sandbox.desk.drain_sandbox() == 1
    assert sandbox.places("hi") == {"a": "sent", "b": "sent"}
    entries, following, total = reading.inbox_page(sandbox.version, "hi", "", 10)
    assert [(one.distinct_id, one.to, one.subject) for one in entries] == [("a", "a@example.com", "Hello")]
    assert (following, total) == (None, 1)
    assert sandbox.desk.drain_sandbox() == 0


def test_who_could_not_be_laid_in_the_inbox_is_free_again(sandbox: Project) -> None:
    sandbox.message("hi", FREE)
    sandbox.reach("a")
    sandbox.set("a", plan="free")

    class Full:
        """An engine that takes nothing."""

        version = sandbox.version

        def submit(self, command: commands.Command, request_id: str = "") -> Future[Any]:
            """Refuse."""
            future: Future[Any] = Future()
            future.set_exception(Exhausted("full", code="QUEUE_FULL"))
            return future

    engine = sandbox.desk._engine
    sandbox.desk._engine = Full()
    with pytest.raises(Exhausted):
        sandbox.desk.drain_sandbox()
    sandbox.desk._engine = engine
    assert sandbox.desk.drain_sandbox() == 1


def test_a_sandbox_ends_and_begins_at_once(sandbox: Project) -> None:
    sandbox.message("hi", FREE)
    sandbox.reach("a")
    sandbox.set("a", plan="free")
    assert sandbox.desk.offer("email", 10) is None
    sandbox.ask(commands.UpdateSettings(sandbox=False))
    offer = sandbox.desk.offer("email", 10)
    assert offer is not None
    sandbox.ask(commands.UpdateSettings(sandbox=True))
    assert sandbox.desk.begin(offer.batch_id, [0]).result() == []
    assert sandbox.desk.drain_sandbox() == 1
    assert len(sandbox.version.messages.inbox) == 1


def test_a_preview_shows_what_one_user_would_read(sandbox: Project) -> None:
    content = email(subject="Hey {{ user.name }}", text="{{ event.page | default('nothing') }}")
    sandbox.message("hi", 'events["Visit"].size() > 0', content=content, launch=None)
    sandbox.reach("a", "b")
    sandbox.track("a", "Visit", page="home")
    sandbox.set("a", name="Ann")
    shown = reading.preview(sandbox.version, "hi", "a")
    assert shown.rendered is not None
    assert (shown.rendered.subject, shown.rendered.text, shown.would_send) == ("Hey Ann", "home", True)
    assert "sandbox" in shown.detail
    shown = reading.preview(sandbox.version, "hi", "b")
    assert (shown.rendered, shown.would_send, shown.reason) == (None, False, "match")
    sandbox.track("b", "Visit")
    shown = reading.preview(sandbox.version, "hi", "b")
    assert (shown.would_send, shown.reason) == (False, "missing_property:name")


@pytest.mark.parametrize(
    "text", ["", "5eed", "5eed.hi.0", "5eed.hi.0.x", "5eed.HI.0.1", "other.hi.0.1", "5eed.hi.0.1\n"]
)
def test_only_keys_made_here_are_read(text: str) -> None:
    assert read_key(text, "5eed") is None
    assert read_key(idempotency_key("5eed", "hi", 17, 3), "5eed") == ("hi", 3, 17)
