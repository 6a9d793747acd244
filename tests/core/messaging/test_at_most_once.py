"""Promise: nobody is handed off to twice unless an operator or a receiver that drops repeated keys allows it, whatever
merges, deletions, ends and late words come in between."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from core import commands
from core.errors import FailedPrecondition
from core.messaging.definitions import WebhookSource
from core.messaging.desk import Offer
from tests.core.project import FREE, Project, email

IDEMPOTENT = WebhookSource("https://example.com/hook", body="{}", idempotent=True)


def free(project: Project, *distinct_ids: str) -> None:
    """Make users match and reachable."""
    project.reach(*distinct_ids)
    for distinct_id in distinct_ids:
        project.set(distinct_id, plan="free")


def begun(project: Project, *distinct_ids: str, channel: Literal["email", "webhook"] = "email") -> Offer:
    """An offer of exactly these users, in order, all of whom have begun."""
    offer = project.desk.offer(channel, 10)
    assert offer is not None
    assert [one.distinct_id for one in offer.recipients] == list(distinct_ids)
    assert len(project.desk.begin(offer.batch_id, range(len(distinct_ids))).result()) == len(distinct_ids)
    return offer


def say(project: Project, offer: Offer, outcome: commands.Outcome, index: int = 0) -> int:
    """Acknowledge one recipient as a worker does that holds the offer."""
    one = offer.recipients[index]
    return project.desk.acknowledge([commands.Ack(one.idempotency_key, outcome, attempt=one.attempt)]).result()


def place(project: Project, distinct_id: str) -> str:
    """The place of the user that an id stands for now."""
    return project.places("hi").get(project.version.users.name(project.version.users.find(distinct_id)), "")


@pytest.fixture
def hi(project: Project) -> Project:
    """A project with one live email for who has the free plan."""
    project.message("hi", FREE)
    return project


@pytest.fixture
def marked(hi: Project) -> Project:
    """The user `a` had the message and was deleted; `b` is queued."""
    free(hi, "a")
    assert hi.send_all() == ["a"]
    hi.delete("a")
    free(hi, "b")
    return hi


# Marks


@pytest.mark.parametrize(("stays", "goes"), [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("came_back", [True, False])
def test_a_mark_closes_whoever_waits(marked: Project, stays: str, goes: str, came_back: bool) -> None:
    if came_back:
        free(marked, "a")
    marked.merge(stays, goes)
    assert place(marked, "b") == "skipped:once"
    assert marked.send_all() == []


def test_a_mark_closes_an_open_skip(marked: Project) -> None:
    marked.set("c", plan="free")
    marked.merge("c", "a")
    assert place(marked, "c") == "skipped:once"
    marked.reach("c")
    assert marked.send_all() == ["b"]


def test_a_mark_closes_whose_hand_off_was_not_made(marked: Project) -> None:
    offer = begun(marked, "b")
    marked.merge("b", "a")
    assert say(marked, offer, "not_sent") == 1
    assert place(marked, "b") == "skipped:once"


def test_an_operator_does_not_offer_again_to_who_had_it(marked: Project) -> None:
    offer = begun(marked, "b")
    marked.merge("b", "a")
    marked.desk.abandon([offer.batch_id]).result()
    assert marked.ask(commands.ResolveAmbiguous("hi", [], "offer_again")) == 0
    assert place(marked, "b") == "ambiguous"


def test_a_deletion_remembers_what_may_have_reached_an_id_though_it_waits_again(project: Project) -> None:
    project.message("hi", FREE, content=IDEMPOTENT)
    project.set("a", plan="free")
    offer = begun(project, "a", channel="webhook")
    project.desk.abandon([offer.batch_id]).result()
    assert place(project, "a") == "queued"
    project.delete("a")
    project.set("a", plan="free")
    assert project.send_all("webhook") == []


def test_a_deletion_forgets_a_hand_off_that_was_surely_not_made(hi: Project) -> None:
    free(hi, "a")
    say(hi, begun(hi, "a"), "not_sent")
    hi.delete("a")
    free(hi, "a")
    assert hi.send_all() == ["a"]


# Merges


def merged_in_flight(hi: Project) -> Offer:
    """Two users, both of whom have begun, become one."""
    free(hi, "a", "b")
    offer = begun(hi, "a", "b")
    hi.merge("a", "b")
    assert hi.places("hi") == {"a": "begun", "b": "skipped:merged"}
    return offer


@pytest.mark.parametrize("outcome", ["not_sent", "failed", "ambiguous"])
def test_word_of_the_hand_off_that_lost_moves_nobody(hi: Project, outcome: commands.Outcome) -> None:
    offer = merged_in_flight(hi)
    assert say(hi, offer, outcome, 1) == 0
    assert place(hi, "a") == "begun"
    assert say(hi, offer, "sent", 0) == 1
    assert hi.send_all() == []


def test_the_loss_of_the_hand_off_that_lost_moves_nobody(hi: Project) -> None:
    free(hi, "a")
    first = begun(hi, "a")
    free(hi, "b")
    second = begun(hi, "b")
    hi.merge("a", "b")
    assert hi.desk.abandon([second.batch_id]).result() == 0
    assert place(hi, "a") == "begun"
    assert say(hi, first, "sent") == 1


def test_that_the_hand_off_that_lost_was_sent_counts(hi: Project) -> None:
    offer = merged_in_flight(hi)
    assert say(hi, offer, "sent", 1) == 1
    assert place(hi, "a") == "sent"
    assert say(hi, offer, "not_sent", 0) == 0
    assert hi.send_all() == []


def test_who_may_have_it_by_the_hand_off_that_lost_does_not_wait_again(hi: Project) -> None:
    offer = merged_in_flight(hi)
    assert say(hi, offer, "not_sent", 0) == 1
    assert place(hi, "a") == "ambiguous"
    assert hi.send_all() == []
    assert hi.ask(commands.ResolveAmbiguous("hi", ["a"], "offer_again")) == 1
    again = begun(hi, "a")
    assert say(hi, again, "not_sent") == 1
    assert place(hi, "a") == "queued"
    assert say(hi, offer, "sent", 1) == 1
    assert place(hi, "a") == "sent"


def test_two_words_on_one_person_in_one_request_are_both_heard(hi: Project) -> None:
    offer = merged_in_flight(hi)
    lost, won = [one.idempotency_key for one in reversed(offer.recipients)]
    assert hi.desk.acknowledge([commands.Ack(won, "failed"), commands.Ack(lost, "sent")]).result() == 2
    assert place(hi, "a") == "sent"


@pytest.mark.parametrize(("stays", "goes"), [("a", "b"), ("b", "a")])
def test_of_two_who_wait_the_one_whose_key_is_known_wins(project: Project, stays: str, goes: str) -> None:
    project.message("hi", FREE, content=IDEMPOTENT)
    project.set("a", plan="free")
    offer = begun(project, "a", channel="webhook")
    project.set("b", plan="free")
    project.desk.abandon([offer.batch_id]).result()
    project.merge(stays, goes)
    again = begun(project, stays, channel="webhook")
    assert again.recipients[0].idempotency_key == offer.recipients[0].idempotency_key
    assert again.recipients[0].attempt == 2


def test_two_keys_that_a_receiver_may_know_are_not_used_again_for_one_person(project: Project) -> None:
    project.message("hi", FREE, content=IDEMPOTENT)
    for distinct_id in "ab":
        project.set(distinct_id, plan="free")
    offer = begun(project, "a", "b", channel="webhook")
    project.desk.abandon([offer.batch_id]).result()
    project.merge("a", "b")
    assert place(project, "a") == "ambiguous"
    assert project.send_all("webhook") == []


def test_leave_is_refused_for_a_key_that_a_merge_took(hi: Project) -> None:
    free(hi, "b")
    waiting = begun(hi, "b")
    free(hi, "a")
    offer = hi.desk.offer("email", 10)
    assert offer is not None
    hi.merge("a", "b")
    say(hi, waiting, "not_sent")
    assert place(hi, "a") == "queued"
    assert hi.desk.begin(offer.batch_id, [0]).result() == []
    assert begun(hi, "a").recipients[0].idempotency_key == waiting.recipients[0].idempotency_key


# Attempts


@pytest.mark.parametrize("outcome", ["not_sent", "failed", "ambiguous"])
@pytest.mark.parametrize("state", ["queued", "begun", "ambiguous"])
def test_late_word_of_an_earlier_attempt_changes_nothing(hi: Project, outcome: commands.Outcome, state: str) -> None:
    free(hi, "a")
    first = begun(hi, "a")
    hi.desk.abandon([first.batch_id]).result()
    hi.ask(commands.ResolveAmbiguous("hi", [], "offer_again"))
    if state != "queued":
        second = begun(hi, "a")
        assert (second.recipients[0].attempt, first.recipients[0].attempt) == (2, 1)
    if state == "ambiguous":
        hi.desk.abandon([second.batch_id]).result()
    assert say(hi, first, outcome) == 0
    assert place(hi, "a") == state
    assert say(hi, first, "sent") == 1
    assert place(hi, "a") == "sent"


def test_late_word_of_an_earlier_attempt_leaves_the_present_one_owed(hi: Project) -> None:
    free(hi, "a")
    first = begun(hi, "a")
    say(hi, first, "not_sent")
    second = begun(hi, "a")
    say(hi, first, "not_sent")
    assert hi.desk.owed([second.batch_id]) == 1
    assert hi.desk.abandon([second.batch_id]).result() == 1
    assert place(hi, "a") == "ambiguous"


def test_attempts_are_counted_through_crashes_and_checkpoints(hi: Project, tmp_path: Path) -> None:
    free(hi, "a")
    first = begun(hi, "a")
    say(hi, first, "not_sent")
    with hi.copy(tmp_path / "copy") as copy:
        copy.engine.checkpoint()
        copy.close()
        with Project(copy.folder) as after:
            second = begun(after, "a")
            assert second.recipients[0].attempt == 2
            assert say(after, first, "not_sent") == 0
            assert say(after, second, "failed") == 1


def test_a_receiver_that_drops_repeated_keys_is_told_nothing_by_an_earlier_attempt(project: Project) -> None:
    project.message("hi", FREE, content=IDEMPOTENT)
    project.set("a", plan="free")
    first = begun(project, "a", channel="webhook")
    project.desk.abandon([first.batch_id]).result()
    begun(project, "a", channel="webhook")
    assert say(project, first, "not_sent") == 0
    assert place(project, "a") == "begun"


def test_that_it_was_sent_counts_of_who_was_skipped_since(hi: Project) -> None:
    free(hi, "a", "never")
    hi.set("never", plan="paid")
    offer = hi.desk.offer("email", 10)
    assert offer is not None
    assert hi.desk.begin(offer.batch_id, [0, 1]).result() == [0]
    hi.desk.abandon([offer.batch_id]).result()
    hi.ask(commands.ResolveAmbiguous("hi", [], "offer_again"))
    hi.set("a", plan="paid")
    assert hi.send_all() == []
    assert place(hi, "a") == "skipped:no_longer_matches"
    assert [say(hi, offer, "sent", index) for index in (0, 1)] == [1, 0]
    assert hi.places("hi") == {"a": "sent", "never": "skipped:no_longer_matches"}


@pytest.mark.parametrize("begin", [True, False])
def test_what_never_began_cannot_have_been_sent(hi: Project, begin: bool) -> None:
    free(hi, "a")
    offer = hi.desk.offer("email", 10)
    assert offer is not None
    if begin:
        hi.desk.begin(offer.batch_id, [0]).result()
        say(hi, offer, "not_sent")
    assert say(hi, offer, "sent") == 0
    assert place(hi, "a") == "queued"


def test_who_waits_for_a_repetition_does_not_once_the_receiver_drops_none(project: Project) -> None:
    project.message("hi", FREE, content=IDEMPOTENT)
    for distinct_id in ("again", "first"):
        project.set(distinct_id, plan="free")
    offer = project.desk.offer("webhook", 1)
    assert offer is not None
    project.desk.begin(offer.batch_id, [0]).result()
    project.desk.abandon([offer.batch_id]).result()
    project.ask(commands.PauseMessages(["hi"]))
    project.ask(commands.UpdateMessage("hi", {"content": WebhookSource("https://example.com/hook", body="[]")}))
    project.ask(commands.ResumeMessage("hi"))
    assert project.send_all("webhook") == ["first"]
    assert project.places("hi") == {"again": "ambiguous", "first": "sent"}


# Ends and deletions


@pytest.mark.parametrize(
    ("word", "expected"), [("not_sent", "skipped:ended"), ("ambiguous", "ambiguous"), ("lost", "ambiguous")]
)
@pytest.mark.parametrize("content", [email(), IDEMPOTENT])
def test_an_ended_message_holds_nobody_in_the_queue(
    project: Project, word: str, expected: str, content: object
) -> None:
    project.message("hi", FREE, content=content)  # type: ignore[arg-type]
    free(project, "a")
    offer = begun(project, "a", channel="webhook" if content is IDEMPOTENT else "email")
    project.ask(commands.EndMessage("hi"))
    if word == "lost":
        project.desk.abandon([offer.batch_id]).result()
    else:
        say(project, offer, word)  # type: ignore[arg-type]
    assert place(project, "a") == expected
    if expected == "ambiguous":
        say(project, offer, "not_sent")
        assert place(project, "a") == "skipped:ended"


def test_what_an_ended_message_left_open_cannot_be_offered_again(hi: Project) -> None:
    free(hi, "a")
    say(hi, begun(hi, "a"), "ambiguous")
    hi.ask(commands.EndMessage("hi"))
    with pytest.raises(FailedPrecondition) as caught:
        hi.ask(commands.ResolveAmbiguous("hi", [], "offer_again"))
    assert caught.value.code == "MESSAGE_ENDED"
    assert hi.ask(commands.ResolveAmbiguous("hi", [], "mark_failed")) == 1
    assert place(hi, "a") == "failed:operator"


@pytest.mark.parametrize(
    ("word", "expected"), [("not_sent", "skipped:deleted"), ("ambiguous", "ambiguous"), ("lost", "ambiguous")]
)
@pytest.mark.parametrize("content", [email(), IDEMPOTENT])
def test_who_is_deleted_never_waits(project: Project, word: str, expected: str, content: object) -> None:
    project.message("hi", "true", content=content)  # type: ignore[arg-type]
    free(project, "a")
    offer = begun(project, "a", channel="webhook" if content is IDEMPOTENT else "email")
    project.delete("a")
    if word == "lost":
        project.desk.abandon([offer.batch_id]).result()
    else:
        say(project, offer, word)  # type: ignore[arg-type]
    assert list(project.places("hi").values()) == [expected]
    if expected == "ambiguous":
        assert project.ask(commands.ResolveAmbiguous("hi", [], "offer_again")) == 0
        assert list(project.places("hi").values()) == [expected]


# What was rendered


def test_leave_is_given_for_what_was_rendered_and_nothing_else(project: Project) -> None:
    project.message("hi", FREE, content=email(subject="Hey {{ user.name }}"))
    free(project, "address", "name", "other", "same")
    for distinct_id in ("address", "name", "other", "same"):
        project.set(distinct_id, name="Ann")
    offer = project.desk.offer("email", 10)
    assert offer is not None
    project.set("address", **{"$email": "new@example.com"})
    project.set("name", name="Bo")
    project.set("other", city="Oslo")
    project.set("same", name="Ann")
    assert project.desk.begin(offer.batch_id, [0, 1, 2, 3]).result() == [2, 3]
    assert project.places("hi") == {"address": "queued", "name": "queued", "other": "begun", "same": "begun"}
    fresh = begun(project, "address", "name")
    assert [(one.to, one.subject) for one in fresh.recipients] == [
        ("new@example.com", "Hey Ann"),
        ("name@example.com", "Hey Bo"),
    ]


def test_what_was_found_missing_is_not_held_against_who_has_it_now(project: Project) -> None:
    project.message("hi", FREE, content=email(subject="{{ user.address.city }}"))
    free(project, "a")
    project.set("a", address={"street": "x"})
    version, submit = project.version, project.engine.submit

    class Behind:
        """An engine whose desk renders from a version that is no longer the present one."""

        def __init__(self) -> None:
            self.version, self.submit = version, submit

    project.set("a", address={"city": "Oslo"})
    project.desk._engine = Behind()
    assert project.desk.offer("email", 10) is None
    project.desk._engine = project.engine
    assert place(project, "a") == "queued"
    assert begun(project, "a").recipients[0].subject == "Oslo"


def test_a_sandbox_lays_down_what_is_so_at_that_moment(sandbox: Project) -> None:
    sandbox.message("hi", FREE)
    free(sandbox, "a")
    submit = sandbox.engine.submit

    class Meanwhile:
        """An engine where the address changes just before the inbox is written to."""

        @property
        def version(self) -> object:
            return sandbox.version

        def submit(self, command: commands.Command, request_id: str = "") -> object:
            if isinstance(command, commands.Divert) and not sandbox.version.messages.inbox:
                sandbox.set("a", **{"$email": f"new{sandbox.version.position}@example.com"})
            return submit(command, request_id)

    sandbox.desk._engine = Meanwhile()  # type: ignore[assignment]
    assert sandbox.desk.drain_sandbox() == 0
    assert place(sandbox, "a") == "queued"
    sandbox.desk._engine = sandbox.engine
    assert sandbox.desk.drain_sandbox() == 1
    assert next(iter(sandbox.version.messages.inbox)).to.startswith("new")
