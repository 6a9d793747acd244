"""Promise: what a provider says of a hand-off becomes an event of whoever its user is by now, once however often it is
said; it settles what was ambiguous; and what is made up, or wrong, changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import commands
from core.commands import Feedback, FeedbackTaken
from core.engine import Engine
from core.errors import InvalidInput
from core.group import Asked, decide, follow
from core.messaging import reading
from core.messaging.consent import keys_of
from core.messaging.definitions import Asap, MessageDefinition
from core.messaging.desk import Desk
from core.messaging.effects import BACKFILLED
from core.messaging.feedback import EVENTS
from core.messaging.keys import idempotency_key
from core.messaging.suppressions import WHYS
from core.profiles.records import EventRecord, Operation, ProfileChange, RecordError
from core.requests import Requests
from core.settings import Settings
from core.values import from_micros
from tests.core.project import DAY, EMAIL, FREE, HOUR, SMALL, START, Project, contents


def key_of(project: Project, distinct_id: str, message: str = "hi") -> str:
    """The idempotency key of a user's hand-off."""
    return idempotency_key("5eed", message, project.version.users.find(distinct_id), 0)


def say(project: Project, *feedback: Any) -> FeedbackTaken:
    """Report feedback."""
    taken: FeedbackTaken = project.ask(commands.TakeFeedback(feedback))
    return taken


def counts(taken: FeedbackTaken) -> tuple[int, int, int]:
    """Accepted, duplicates, unknown."""
    assert taken.errors == []
    return taken.accepted, taken.duplicates, taken.unknown


def events(project: Project, distinct_id: str, name: str) -> list[dict[str, Any]]:
    """A user's events of one name."""
    ordinal = project.version.users.find(distinct_id)
    return [found for kind, found in project.version.population.timeline(ordinal, 2**62, 100, False) if kind == name]


@pytest.fixture
def sent(project: Project) -> Project:
    """A project in which a, b and c were sent `hi`."""
    project.reach("a", "b", "c")
    for distinct_id in "abc":
        project.set(distinct_id, plan="free")
    project.message("hi", FREE)
    assert sorted(project.send_all()) == ["a", "b", "c"]
    return project


@pytest.mark.parametrize("kind", list(EVENTS))
def test_each_kind_is_an_event_that_names_its_hand_off(sent: Project, kind: Any) -> None:
    assert counts(say(sent, Feedback(kind, key_of(sent, "a"), detail="so"))) == (1, 0, 0)
    (found,) = events(sent, "a", EVENTS[kind])
    assert {name: found[name] for name in ("message_id", "message_type", "occurrence", "detail")} == {
        "message_id": "hi",
        "message_type": "email",
        "occurrence": 0,
        "detail": "so",
    }
    assert events(sent, "b", EVENTS[kind]) == []


def test_what_is_said_again_changes_nothing(sent: Project) -> None:
    key = key_of(sent, "a")
    opens = [Feedback("opened", key, "1"), Feedback("opened", key, "2"), Feedback("opened", key, "1")]
    assert counts(say(sent, *opens)) == (2, 1, 0)
    before = contents(sent.version)
    assert counts(say(sent, *opens)) == (0, 3, 0)
    assert contents(sent.version) == before
    sent.move(START + DAY)
    assert counts(say(sent, *opens)) == (0, 3, 0)
    assert len(events(sent, "a", "$campaign_open")) == 2


def test_without_an_id_there_is_one_of_a_kind_for_a_hand_off(sent: Project) -> None:
    assert counts(say(sent, Feedback("delivered", key_of(sent, "a")), Feedback("delivered", key_of(sent, "b")))) == (
        2,
        0,
        0,
    )
    sent.move(START + HOUR)
    assert counts(say(sent, Feedback("delivered", key_of(sent, "a")))) == (0, 1, 0)


def test_a_soft_bounce_may_become_a_hard_one(sent: Project) -> None:
    key = key_of(sent, "a")
    assert counts(say(sent, Feedback("bounced", key), Feedback("bounced", key, permanent=True))) == (2, 0, 0)
    assert sorted(found["bounce"] for found in events(sent, "a", "$campaign_bounced")) == ["hard", "soft"]


def test_feedback_on_a_merged_user_is_of_the_one_who_stays(sent: Project) -> None:
    key, other = key_of(sent, "a"), key_of(sent, "b")
    say(sent, Feedback("delivered", key))
    sent.merge("b", "a")
    assert counts(say(sent, Feedback("opened", key), Feedback("delivered", key), Feedback("opened", other))) == (
        2,
        1,
        0,
    )
    assert len(events(sent, "b", "$campaign_open")) == 2


def test_feedback_on_a_deleted_user_leaves_no_trace_of_them(sent: Project) -> None:
    key = key_of(sent, "a")
    sent.delete("a")
    assert counts(say(sent, Feedback("bounced", key, permanent=True))) == (1, 0, 0)
    assert sent.version.population.events("$campaign_bounced") is None


def test_made_up_keys_are_counted_and_change_nothing(sent: Project) -> None:
    before = contents(sent.version)
    made_up = ["nonsense", "beef.hi.0.0", "5eed.gone.0.0", "5eed.hi.7.0", "5eed.hi.0.4294967295", "5eed.hi.0.99"]
    assert counts(say(sent, *[Feedback("opened", key) for key in made_up])) == (0, 0, len(made_up))
    assert contents(sent.version) == before


def test_bad_feedback_is_named_by_its_place_and_good_is_taken(sent: Project) -> None:
    key: Any = key_of(sent, "a")
    wrong: Any = "read"
    taken = say(
        sent,
        Feedback(wrong, key),
        Feedback("opened", key),
        Feedback("opened"),
        Feedback("replied", channel="sms", address="+4915112345678"),
        Feedback("opened", key, "x" * 256),
        Feedback("clicked", key, url="x" * 2_001),
        Feedback("opened", key, time=1 << 62),
        RecordError(0, "FEEDBACK_KIND", "kind", "no kind is given", ""),
    )
    assert (taken.accepted, taken.duplicates, taken.unknown) == (1, 0, 0)
    assert [(error.index, error.code, error.field) for error in taken.errors] == [
        (0, "FEEDBACK_KIND", "kind"),
        (2, "FEEDBACK_OF_NOBODY", "idempotency_key"),
        (3, "EVENT_ID_MISSING", "event_id"),
        (4, "ID_TOO_LONG", "event_id"),
        (5, "TEXT_TOO_LONG", "url"),
        (6, "TIME_OUT_OF_RANGE", "time"),
        (7, "FEEDBACK_KIND", "kind"),
    ]


def test_too_much_at_once_is_refused_whole(sent: Project) -> None:
    with pytest.raises(InvalidInput) as caught:
        say(sent, *[Feedback("opened", key_of(sent, "a"), str(number)) for number in range(10_001)])
    assert caught.value.code == "BATCH_TOO_LARGE"
    assert events(sent, "a", "$campaign_open") == []


def test_a_provider_that_tells_of_an_ambiguous_hand_off_took_it(project: Project) -> None:
    project.reach("a", "b")
    project.message("hi", "true")
    offer = project.desk.offer("email", 10)
    assert offer is not None
    project.desk.begin(offer.batch_id, range(2)).result()
    project.desk.abandon([offer.batch_id]).result()
    assert project.places("hi") == {"a": "ambiguous", "b": "ambiguous"}
    say(project, Feedback("delivered", key_of(project, "a")))
    assert project.places("hi") == {"a": "sent", "b": "ambiguous"}
    assert len(events(project, "a", "$campaign_delivery")) == 1
    assert reading.report(project.version, "hi").problems == []


def test_a_bounce_leaves_what_was_sent_as_it_is(sent: Project) -> None:
    say(sent, Feedback("bounced", key_of(sent, "a"), permanent=True))
    assert sent.places("hi")["a"] == "sent"


def test_targeting_uses_feedback(sent: Project) -> None:
    sent.message("again", 'events["$campaign_click"].exists(e, e.message_id == "hi" && e.url.endsWith("/sale"))')
    say(sent, Feedback("clicked", key_of(sent, "b"), url="https://example.com/sale"))
    assert sent.places("again") == {"b": "queued"}


def test_feedback_that_shares_a_group_with_an_import_makes_nothing_of_it_live(sent: Project) -> None:
    sent.message("again", 'events["Visit"].size() > 0 || events["$campaign_open"].size() > 5')
    imported = commands.Ingest([EventRecord("Visit", "a", START, "1", {})], [], imported=True)
    opened = commands.TakeFeedback([Feedback("opened", key_of(sent, "a"))])
    draft = decide(sent.version, sent.now, [Asked(imported), Asked(opened)], Requests())
    place = draft.messages.ledger("again").place(draft.users.find("a"))
    assert place == ("skipped", BACKFILLED)
    same = follow(sent.version, draft.steps, ["again"])
    assert same.messages.ledger("again").place(draft.users.find("a")) == place


def test_what_comes_before_the_workers_own_word_is_kept(project: Project) -> None:
    project.reach("a")
    project.message("hi", "true")
    offer = project.desk.offer("email", 1)
    assert offer is not None
    project.desk.begin(offer.batch_id, [0]).result()
    key = offer.recipients[0].idempotency_key
    assert counts(say(project, Feedback("delivered", key))) == (1, 0, 0)
    assert project.places("hi") == {"a": "begun"}
    project.desk.acknowledge([commands.Ack(key, "sent")]).result()
    assert project.places("hi") == {"a": "sent"}
    assert len(events(project, "a", "$campaign_delivery")) == len(events(project, "a", "$campaign_delivered")) == 1


def test_old_news_triggers_nothing_and_stands_at_its_own_time(tmp_path: Path, unsynced: None) -> None:
    """A project on real time: what a provider tells after four days is stored when it happened, and is late."""
    Engine.create(tmp_path / "real", Settings("real", "5eed", clock="real", sandbox=False), START)
    clock = iter(range(START, START + 1_000))
    engine = Engine.open(tmp_path / "real", clock=lambda: next(clock) + 9 * DAY, config=SMALL)
    try:
        desk = Desk(engine, clock=lambda: 0.0)
        ask = lambda command: engine.submit(command).result(timeout=60)  # noqa: E731
        ask(commands.Ingest([], [ProfileChange("a", Operation.SET, {"$email": "a@example.com"})]))
        for key, targeting in (("hi", "true"), ("again", 'events["$campaign_open"].size() > 0')):
            ask(commands.CreateMessage(MessageDefinition(key, key, targeting, Asap(), EMAIL)))
            ask(commands.LaunchMessage(key, "send"))
        offer = desk.offer("email", 1)
        assert offer is not None
        desk.begin(offer.batch_id, [0]).result()
        said = offer.recipients[0].idempotency_key
        for at, place in ((START + 4 * DAY, "skipped"), (START + 99 * DAY, "skipped")):
            ask(commands.TakeFeedback([Feedback("opened", said, str(at), time=at)]))
            found = engine.version.messages.ledger("again").place(0)
            assert found is not None and found[0] == place
        times = [properties["time"] for _, properties in engine.version.population.timeline(0, 2**62, 9, False)]
        assert from_micros(START + 4 * DAY) in times and max(times) <= from_micros(engine.version.now)
    finally:
        engine.close()


def test_word_about_an_address_is_of_everybody_who_has_it(project: Project) -> None:
    project.set("a", **{"$phone": "+4915112345678"})
    project.set("b", **{"$phone": "+49 1511 2345678"})
    project.set("c", **{"$phone": "+4915112345679"})
    reply = Feedback("replied", event_id="SM1", channel="sms", address="+49 1511 2345678", detail="Thanks")
    assert counts(say(project, reply, reply)) == (1, 1, 0)
    assert counts(say(project, reply)) == (0, 1, 0)
    assert [len(events(project, who, "$campaign_reply")) for who in "abc"] == [1, 1, 0]
    assert counts(say(project, Feedback("replied", event_id="SM2", channel="sms", address="+1"))) == (0, 0, 1)


def suppressed(project: Project, channel: Any, address: str) -> list[str]:
    """Why an address is not sent to."""
    key = keys_of(project.version, channel, [address])
    return [why for why in WHYS if project.version.consent.suppressions.at(channel, why, "").inside(key)[0]]


@pytest.mark.parametrize(
    ("feedback", "whys"),
    [
        (Feedback("bounced", permanent=True), ["bounced"]),
        (Feedback("bounced"), []),
        (Feedback("complained"), ["complained"]),
        (Feedback("unsubscribed"), ["unsubscribed"]),
        (Feedback("suppressed"), []),
        (Feedback("opened"), []),
    ],
)
def test_what_suppresses_an_address(sent: Project, feedback: Feedback, whys: list[str]) -> None:
    say(sent, replace(feedback, idempotency_key=key_of(sent, "a")))
    say(sent, replace(feedback, idempotency_key=key_of(sent, "b"), address="Old@Example.COM"))
    assert suppressed(sent, "email", "a@example.com") == whys
    assert suppressed(sent, "email", "b@example.com") == []
    assert suppressed(sent, "email", "Old@example.com") == whys
    sent.message("next", "true")
    reason = {"unsubscribed": "skipped:unsubscribed"}.get("".join(whys), f"skipped:suppressed:{''.join(whys)}")
    assert sent.places("next")["a"] == (reason if whys else "queued")
    assert sent.places("next")["b"] == "queued"


def test_a_bounce_of_a_deleted_user_suppresses_the_address(sent: Project) -> None:
    key = key_of(sent, "a")
    sent.delete("a")
    say(sent, Feedback("bounced", key, permanent=True, address="a@example.com"))
    assert suppressed(sent, "email", "a@example.com") == ["bounced"]


def test_an_operator_who_lets_an_address_go_is_not_overruled_by_old_word(sent: Project) -> None:
    bounce = Feedback("bounced", key_of(sent, "a"), permanent=True)
    say(sent, bounce)
    sent.ask(commands.Unsuppress("email", ["a@example.com"]))
    assert counts(say(sent, bounce)) == (0, 1, 0)
    assert suppressed(sent, "email", "a@example.com") == []


def test_stop_and_start_by_text_message(project: Project) -> None:
    number = "+4915112345678"
    stop = Feedback("unsubscribed", event_id="SM1", channel="sms", address=number)
    start = Feedback("resubscribed", event_id="SM2", channel="sms", address=number)
    assert counts(say(project, stop)) == (1, 0, 0), "nobody's number is kept from being sent to, too"
    assert suppressed(project, "sms", number) == ["stop"]
    project.set("a", **{"$phone": "+49 1511 2345678"})
    assert counts(say(project, replace(start, event_id="SM3"), replace(stop, event_id="SM4"))) == (2, 0, 0)
    assert suppressed(project, "sms", number) == ["stop"], "the last word counts"
    assert counts(say(project, start)) == (1, 0, 0)
    assert suppressed(project, "sms", number) == []
    assert len(events(project, "a", "$unsubscribe")) == 1 and len(events(project, "a", "$resubscribe")) == 2


def test_a_token_that_is_no_more_leaves_its_lists(sent: Project) -> None:
    sent.set("a", **{"$android_devices": ["t1", "t2"], "$ios_devices": ["t3"]})
    say(sent, Feedback("token_removed", key_of(sent, "a"), "1", address="t1"))
    assert sent.profile("a")["$android_devices"] == ["t2"]
    say(sent, Feedback("token_removed", key_of(sent, "a"), "2", address="t3"))
    assert sent.profile("a")["$ios_devices"] == []


def test_a_repeated_request_answers_as_the_first_did(sent: Project) -> None:
    command = commands.TakeFeedback([Feedback("opened", key_of(sent, "a"))])
    assert sent.ask(command, "r") == sent.ask(command, "r") == FeedbackTaken(1, 0, 0)


def test_recovery_from_the_log_and_from_a_checkpoint_brings_the_same(sent: Project, tmp_path: Path) -> None:
    sent.merge("b", "c")
    say(sent, Feedback("opened", key_of(sent, "a"), "1"), Feedback("bounced", key_of(sent, "b"), permanent=True))
    with sent.copy(tmp_path / "log") as copy:
        assert contents(copy.version) == contents(sent.version)
        copy.engine.checkpoint()
        copy.copy_files(tmp_path / "pages")
    with Project(tmp_path / "pages") as again:
        assert contents(again.version) == contents(sent.version)
        assert counts(say(again, Feedback("opened", key_of(again, "a"), "1"))) == (0, 1, 0)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_split_and_repetition_of_feedback_brings_the_same_events(
    data: st.DataObject, tmp_path_factory: Any
) -> None:
    one_of = st.builds(
        Feedback,
        st.sampled_from(["delivered", "opened", "clicked", "bounced"]),
        st.sampled_from(["5eed.hi.0.0", "5eed.hi.0.1", "5eed.hi.0.9"]),
        st.sampled_from(["", "1", "2"]),
        permanent=st.booleans(),
    )
    said = data.draw(st.lists(one_of, max_size=12))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=3)))
    found = []
    for parts in ([said], [said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)] + [said]):
        with Project(tmp_path_factory.mktemp("feedback") / "project") as project:
            project.reach("a", "b")
            project.message("hi", "true")
            project.send_all()
            for part in parts:
                say(project, *part)
            found.append(
                {who: sorted(map(str, project.version.population.timeline(who, 2**62, 999, False))) for who in (0, 1)}
            )
    assert found[0] == found[1]
