"""Promise: draft, live, paused and ended mean what they say, for a message that is due at once and for a scheduled one."""

from __future__ import annotations

import pytest

from core import commands
from core.errors import (
    FailedPrecondition,
    InvalidExpression,
    InvalidInput,
    InvalidTemplate,
    MusterError,
    NotFound,
    StaleEtag,
)
from core.messaging import reading
from core.messaging.definitions import MessageDefinition, Once, WebhookSource
from core.profiles.records import ProfileChange
from tests.core.project import DAY, EMAIL, HOOK, HOUR, START, Project, email

FREE = 'user.plan == "free"'


def free(project: Project, *distinct_ids: str) -> None:
    """Make users match and reachable."""
    project.reach(*distinct_ids)
    for distinct_id in distinct_ids:
        project.set(distinct_id, plan="free")


def refused(project: Project, command: commands.Command) -> MusterError:
    """The error of a command, which changed nothing."""
    before = project.version.position
    with pytest.raises(MusterError) as caught:
        project.ask(command)
    assert project.version.position == before
    return caught.value


def test_a_scheduled_message_goes_to_who_matches_at_its_instant(project: Project) -> None:
    free(project, "a", "b")
    project.message("sale", FREE, at=START + 2 * DAY)
    project.move(START + DAY)
    project.set("a", plan="paid")
    free(project, "c")
    assert project.places("sale") == {}
    project.move(START + 3 * DAY)
    assert project.places("sale") == {"b": "queued", "c": "queued"}
    assert set(project.instants("sale").values()) == {START + 2 * DAY}
    free(project, "d")
    assert "d" not in project.places("sale")


def test_a_scheduled_message_may_be_due_at_its_launch(project: Project) -> None:
    free(project, "a")
    project.message("now", FREE, at=START)
    assert project.places("now") == {"a": "queued"}
    project.message("late", FREE, at=START + HOUR, launch=None)
    project.move(START + DAY)
    error = refused(project, commands.LaunchMessage("late"))
    assert (error.code, error.field) == ("SCHEDULE_IN_PAST", "message.once.time")


def test_pausing_stops_leave_and_resuming_judges_everybody_again(project: Project) -> None:
    free(project, "a", "b")
    project.message("hi", FREE)
    offer = project.desk.offer("email", 10)
    assert offer is not None
    project.ask(commands.PauseMessages(["hi"]))
    assert project.state("hi") == "paused:operator"
    assert project.desk.begin(offer.batch_id, [0, 1]).result() == []
    assert project.desk.offer("email", 10) is None
    project.set("a", plan="paid")
    free(project, "c")
    assert project.places("hi") == {"a": "queued", "b": "queued"}
    project.ask(commands.ResumeMessage("hi"))
    assert project.places("hi") == {"a": "skipped:no_longer_matches", "b": "queued", "c": "queued"}
    assert sorted(project.send_all()) == ["b", "c"]


def test_all_live_messages_can_be_paused_at_once(project: Project) -> None:
    project.message("one", FREE)
    project.message("two", FREE, at=START + DAY)
    project.message("draft", FREE, launch=None)
    paused = project.ask(commands.PauseMessages(None))
    assert [definition.key for definition in paused] == ["one", "two"]
    assert project.ask(commands.PauseMessages(None)) == []
    assert refused(project, commands.PauseMessages(["draft"])).code == "NOT_LIVE"


def test_what_waited_too_long_is_dropped_at_the_resume(project: Project) -> None:
    free(project, "a")
    project.set("later", plan="free")
    project.message("hi", FREE, expires_after=DAY)
    project.message("default", FREE)
    project.move(START + 2 * DAY)
    free(project, "b")
    project.reach("later")
    project.ask(commands.PauseMessages(None))
    project.move(START + 3 * DAY)
    project.ask(commands.ResumeMessage("hi"))
    project.ask(commands.ResumeMessage("default"))
    assert project.places("hi") == {"a": "skipped:expired", "b": "queued", "later": "queued"}
    assert project.places("default") == {"a": "queued", "b": "queued", "later": "queued"}
    project.ask(commands.PauseMessages(["default"]))
    project.move(START + 5 * DAY)
    project.ask(commands.ResumeMessage("default"))
    assert project.places("default") == {"a": "skipped:expired", "b": "queued", "later": "queued"}


def test_an_open_skip_is_judged_again_at_the_resume(project: Project) -> None:
    project.set("a", plan="free")
    project.message("hi", FREE)
    project.ask(commands.PauseMessages(None))
    project.reach("a")
    assert project.places("hi") == {"a": "skipped:unreachable"}
    project.ask(commands.ResumeMessage("hi"))
    assert project.places("hi") == {"a": "queued"}


def test_a_scheduled_instant_that_passes_in_a_pause(project: Project) -> None:
    free(project, "a")
    project.message("soon", FREE, at=START + DAY)
    project.message("missed", FREE, at=START + DAY)
    project.ask(commands.PauseMessages(None))
    project.move(START + 2 * DAY)
    assert project.places("soon") == {}
    project.ask(commands.ResumeMessage("soon"))
    assert project.places("soon") == {"a": "queued"}
    assert project.instants("soon") == {"a": START + 2 * DAY}
    project.move(START + 5 * DAY)
    project.ask(commands.ResumeMessage("missed"))
    assert project.state("missed") == "ended:missed"
    assert project.places("missed") == {}


def test_a_message_about_to_pass_its_limit_pauses_instead(project: Project) -> None:
    free(project, "a", "b")
    project.set("nowhere", plan="free")
    project.message("hi", FREE, max_recipients=3)
    assert project.places("hi") == {"a": "queued", "b": "queued", "nowhere": "skipped:unreachable"}
    project.ingest([], [ProfileChange(one, "set", {"plan": "free", "$email": f"{one}@example.com"}) for one in "cd"])
    assert project.state("hi") == "paused:max_recipients"
    assert len(project.places("hi")) == 3
    error = refused(project, commands.ResumeMessage("hi"))
    assert (error.code, error.field) == ("LIMIT_REACHED", "max_recipients")
    project.ask(commands.ResumeMessage("hi", max_recipients=4))
    assert project.state("hi") == "live"
    assert len(project.places("hi")) == 5


def test_a_limit_raised_while_paused_lets_it_resume(project: Project) -> None:
    free(project, "a", "b")
    project.message("hi", FREE, max_recipients=1)
    assert project.state("hi") == "paused:max_recipients"
    project.ask(commands.UpdateMessage("hi", {"max_recipients": 2}))
    project.ask(commands.ResumeMessage("hi"))
    assert project.places("hi") == {"a": "queued", "b": "queued"}


def test_the_limit_is_reached_at_an_instant_of_a_far_move(project: Project) -> None:
    project.reach("a", "b", "c")
    for day, distinct_id in enumerate(("a", "b", "c"), 1):
        project.track(distinct_id, "Buy", at=START + day * DAY)
    project.message("hi", 'events["Buy"].size() > 0', max_recipients=2)
    project.move(START + 10 * DAY)
    assert project.instants("hi") == {"a": START + DAY, "b": START + 2 * DAY}
    definition = project.version.messages.get("hi")
    assert (definition.state, definition.paused_at) == ("paused", START + 3 * DAY)


def test_an_ended_message_is_over(project: Project) -> None:
    free(project, "a")
    project.set("nowhere", plan="free")
    project.message("hi", FREE)
    project.ask(commands.EndMessage("hi"))
    assert project.places("hi") == {"a": "skipped:ended", "nowhere": "skipped:unreachable"}
    project.reach("nowhere")
    free(project, "b")
    assert project.places("hi") == {"a": "skipped:ended", "nowhere": "skipped:unreachable"}
    assert project.send_all() == []
    assert refused(project, commands.EndMessage("hi")).code == "ALREADY_ENDED"
    assert refused(project, commands.ResumeMessage("hi")).code == "NOT_PAUSED"
    assert refused(project, commands.LaunchMessage("hi", "send")).code == "NOT_A_DRAFT"


def test_what_may_be_changed_depends_on_the_state(project: Project) -> None:
    project.message("hi", FREE, launch=None)
    project.ask(commands.UpdateMessage("hi", {"targeting": "true", "schedule": Once(START + DAY), "title": "Hi"}))
    project.ask(commands.LaunchMessage("hi"))
    assert refused(project, commands.UpdateMessage("hi", {"content": EMAIL})).code == "NOT_EDITABLE"
    project.ask(commands.UpdateMessage("hi", {"title": "Hey"}))
    project.ask(commands.PauseMessages(["hi"]))
    project.ask(commands.UpdateMessage("hi", {"content": email(subject="Hey")}))
    assert refused(project, commands.UpdateMessage("hi", {"content": HOOK})).code == "NOT_EDITABLE"
    assert refused(project, commands.UpdateMessage("hi", {"targeting": "false"})).code == "NOT_EDITABLE"
    assert refused(project, commands.UpdateMessage("hi", {"nonsense": 1})).code == "UNKNOWN_FIELD"


def test_a_stale_etag_is_refused(project: Project) -> None:
    first = project.message("hi", FREE, launch=None)
    project.ask(commands.UpdateMessage("hi", {"title": "Hi"}, first.etag))
    for command in (
        commands.UpdateMessage("hi", {"title": "Hey"}, first.etag),
        commands.LaunchMessage("hi", "send", first.etag),
    ):
        error = refused(project, command)
        assert isinstance(error, StaleEtag)
        assert error.code == "STALE_ETAG"


def test_content_that_changed_is_not_sent_as_it_was(project: Project) -> None:
    free(project, "a")
    project.message("hi", FREE)
    offer = project.desk.offer("email", 10)
    assert offer is not None
    project.ask(commands.PauseMessages(None))
    project.ask(commands.UpdateMessage("hi", {"content": email(subject="Better")}))
    project.ask(commands.ResumeMessage("hi"))
    assert project.desk.begin(offer.batch_id, [0]).result() == []
    fresh = project.desk.offer("email", 10)
    assert fresh is not None
    assert [one.subject for one in fresh.recipients] == ["Better"]
    assert project.desk.begin(fresh.batch_id, [0]).result() == [0]


BAD = [
    ({"key": ""}, InvalidInput, "INVALID_KEY", "message.key"),
    ({"key": "Hello!"}, InvalidInput, "INVALID_KEY", "message.key"),
    ({"key": "a" * 64}, InvalidInput, "INVALID_KEY", "message.key"),
    ({"targeting": " "}, InvalidInput, "NO_TARGETING", "message.targeting"),
    ({"targeting": "user."}, InvalidExpression, "EXPRESSION_SYNTAX", "message.targeting"),
    ({"targeting": "1 + 1"}, InvalidExpression, "NOT_A_CONDITION", "message.targeting"),
    ({"targeting": 'user.a == "' + "x" * 100_000 + '"'}, InvalidExpression, "EXPRESSION_TOO_LONG", "message.targeting"),
    ({"targeting": "(" * 1000 + "true" + ")" * 1000}, InvalidExpression, "EXPRESSION_TOO_DEEP", "message.targeting"),
    (
        {"targeting": "[" * 1000 + "]" * 1000 + ".size() > 0"},
        InvalidExpression,
        "EXPRESSION_TOO_DEEP",
        "message.targeting",
    ),
    ({"targeting": 'audiences["none"]'}, InvalidExpression, "UNKNOWN_AUDIENCE", "message.targeting"),
    ({"content": email(subject="{{ user.name ")}, InvalidTemplate, "TEMPLATE_SYNTAX", "message.email.subject"),
    ({"content": email(subject=" ")}, InvalidTemplate, "TEMPLATE_EMPTY", "message.email.subject"),
    ({"content": email(text="")}, InvalidTemplate, "TEMPLATE_EMPTY", "message.email.html"),
    ({"content": email(from_="nobody")}, InvalidTemplate, "ADDRESS_INVALID", "message.email.from"),
    (
        {"content": email(from_="{{ user.a }}@example.com")},
        InvalidTemplate,
        "TEMPLATE_NOT_ALLOWED",
        "message.email.from",
    ),
    ({"content": WebhookSource("example.com", body="{}")}, InvalidTemplate, "URL_INVALID", "message.webhook.url"),
    (
        {"content": WebhookSource("https://a.b/", body="{}", properties=["a"])},
        InvalidTemplate,
        "TEMPLATE_EMPTY",
        "message.webhook.body",
    ),
    ({"content": WebhookSource("https://a.b/", body="{")}, InvalidTemplate, "TEMPLATE_JSON", "message.webhook.body"),
    (
        {"content": WebhookSource("https://a.b/", {"Host": "x"}, "{}")},
        InvalidTemplate,
        "HEADER_INVALID",
        "message.webhook.headers['Host']",
    ),
    (
        {"content": WebhookSource("https://a.b/", properties=["a"], batch_size=5001)},
        InvalidInput,
        "INVALID_BATCH_SIZE",
        "message.webhook.batch_size",
    ),
    ({"max_recipients": -1}, InvalidInput, "INVALID_LIMIT", "message.max_recipients"),
    ({"expires_after": -1}, InvalidInput, "INVALID_DURATION", "message.expires_after"),
    ({"schedule": Once(2**62)}, InvalidInput, "TIME_OUT_OF_RANGE", "message.once.time"),
    (
        {"schedule": Once(START), "content": email(subject="{{ event.item }}")},
        InvalidTemplate,
        "EVENT_WITHOUT_CAUSE",
        "message.content",
    ),
]


@pytest.mark.parametrize(
    ("fields", "kind", "code", "field"), BAD, ids=[f"{code}-{n}" for n, (*_, code, _) in enumerate(BAD)]
)
def test_a_bad_message_is_refused_by_field(
    project: Project, fields: dict[str, object], kind: type[MusterError], code: str, field: str
) -> None:
    good = {"key": "hi", "title": "", "targeting": FREE, "schedule": Once(START), "content": EMAIL}
    error = refused(project, commands.CreateMessage(MessageDefinition(**{**good, **fields})))  # type: ignore[arg-type]
    assert type(error) is kind
    assert (error.code, error.field) == (code, field)
    assert error.mend


def test_an_unknown_or_taken_message(project: Project) -> None:
    project.message("welcome", FREE, launch=None)
    error = refused(project, commands.LaunchMessage("welcom", "send"))
    assert isinstance(error, NotFound)
    assert (error.code, "'welcome'" in error.mend) == ("MESSAGE_NOT_FOUND", True)
    definition = project.version.messages.get("welcome")
    assert refused(project, commands.CreateMessage(definition)).code == "MESSAGE_EXISTS"
    assert refused(project, commands.LaunchMessage("welcome")).code == "EXISTING_REQUIRED"
    assert isinstance(refused(project, commands.PauseMessages(["welcome"])), FailedPrecondition)


def test_time_that_cannot_be_known_is_refused_where_it_matters(project: Project) -> None:
    strange = "timestamp(user.when) < now"
    error = refused_launch(project, "asap", strange)
    assert (error.code, error.field) == ("TIME_USE_UNKNOWN", "message.targeting")
    assert isinstance(error, InvalidExpression)
    assert error.position == strange.index("now")
    project.message("once", strange, at=START + DAY)
    assert project.state("once") == "live"


def refused_launch(project: Project, key: str, targeting: str) -> MusterError:
    """The error of launching a message that is due at once."""
    project.message(key, targeting, launch=None)
    return refused(project, commands.LaunchMessage(key, "send"))


def test_the_report_accounts_for_everybody(project: Project) -> None:
    free(project, "a", "b", "c")
    project.set("nowhere", plan="free")
    project.message("hi", FREE)
    project.send_all()
    free(project, "d")
    found = reading.report(project.version, "hi")
    assert (found.counts.selected, found.counts.sent, found.counts.queued) == (5, 3, 1)
    assert found.counts.skipped == [("unreachable", True, 1)]
    assert found.reconciled
    assert found.per_day == [(START, 5)]
