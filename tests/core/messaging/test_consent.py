"""Promise: who unsubscribed or is suppressed is sent nothing more, by whatever spelling of whichever user's address."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import commands
from core.errors import FailedPrecondition, InvalidInput, NotFound
from core.messaging import reading
from tests.core.project import FREE, Project

EMAIL = "$email"


def _matching(project: Project, *distinct_ids: str) -> None:
    for distinct_id in distinct_ids:
        project.set(distinct_id, plan="free", **{EMAIL: f"{distinct_id}@Example.com"})


def test_a_suppressed_address_is_not_sent_to_however_it_is_spelled(project: Project) -> None:
    _matching(project, "ann", "ben")
    answer = project.ask(commands.Suppress("email", ["ann@eXample.COM", "nonsense"], "bounced"))
    assert (answer.added, answer.known, [one.index for one in answer.refused]) == (1, 0, [1])
    project.message("hi", FREE)
    assert project.places("hi") == {"ann": "skipped:suppressed:bounced", "ben": "queued"}
    assert project.ask(commands.Suppress("email", ["ann@example.com"], "bounced")).known == 1


def test_an_unsubscription_stops_what_is_queued(project: Project) -> None:
    _matching(project, "ann", "ben")
    project.message("hi", FREE)
    assert project.ask(commands.Unsubscribe("ann")) == 1
    assert project.ask(commands.Unsubscribe("ann")) == 0
    assert project.send_all() == ["ben"]
    assert project.places("hi") == {"ann": "skipped:unsubscribed", "ben": "sent"}
    assert len(project.version.population.events("$unsubscribe").of_user(0, project.now)) == 1


def test_a_topic_is_unsubscribed_from_on_its_own(project: Project) -> None:
    project.ask(commands.SaveTopic("news", "News"))
    _matching(project, "ann", "ben")
    project.ask(commands.Unsubscribe(address="ann@example.com", channel="email", topic="news"))
    project.message("about", FREE, topic="news")
    project.message("hi", FREE)
    assert project.places("about") == {"ann": "skipped:unsubscribed_topic:news", "ben": "queued"}
    assert project.places("hi") == {"ann": "queued", "ben": "queued"}
    assert project.ask(commands.Resubscribe("ann", topic="news")) == 1
    project.message("again", FREE, topic="news")
    assert project.places("again") == {"ann": "queued", "ben": "queued"}
    assert project.places("about")["ann"] == "skipped:unsubscribed_topic:news"


def test_a_topic_must_be_there_and_stays_while_it_is_used(project: Project) -> None:
    with pytest.raises(NotFound, match="topic"):
        project.message("hi", FREE, topic="news", launch=None)
    project.ask(commands.SaveTopic("news", "News"))
    project.message("hi", FREE, topic="news", launch=None)
    with pytest.raises(FailedPrecondition, match="topic"):
        project.ask(commands.DeleteTopic("news"))
    project.ask(commands.EndMessage("hi"))
    project.ask(commands.DeleteTopic("news"))
    with pytest.raises(NotFound):
        project.ask(commands.DeleteTopic("news"))


@pytest.mark.parametrize(("value", "out"), [(True, True), ("true", True), (1, True), ("false", False), (False, False)])
def test_the_property_keeps_all_email_from_a_user(project: Project, value: object, out: bool) -> None:
    project.set("ann", plan="free", **{EMAIL: "ann@example.com", "$unsubscribed": value})
    project.message("hi", FREE)
    assert project.places("hi") == {"ann": "skipped:unsubscribed" if out else "queued"}
    assert project.ask(commands.Resubscribe("ann")) == int(out)
    project.message("again", FREE)
    assert project.places("again") == {"ann": "queued"}


def test_suppressions_outlive_users_and_restarts(project: Project, tmp_path: Path) -> None:
    project.ask(commands.SaveTopic("news", "News"))
    _matching(project, "ann")
    project.ask(commands.Unsubscribe("ann", topic="news"))
    project.ask(commands.Suppress("email", ["ann@example.com"], "complained"))
    project.delete("ann")
    for round_ in ("log", "checkpoint"):
        with project.copy(tmp_path / round_) as again:
            again.set("anna", plan="free", **{EMAIL: "ann@EXAMPLE.com"})
            again.message("hi", FREE, topic="news")
            assert again.places("hi") == {"anna": "skipped:unsubscribed_topic:news"}
            again.message("all", FREE)
            assert again.places("all") == {"anna": "skipped:suppressed:complained"}
            assert [topic.title for topic in again.version.consent.topics()] == ["News"]
        project.engine.checkpoint()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (commands.Unsubscribe(), "PERSON_REQUIRED"),
        (commands.Unsubscribe("ann", address="ann@example.com", channel="email"), "PERSON_REQUIRED"),
        (commands.Unsubscribe(address="ann@example.com"), "CHANNEL_REQUIRED"),
        (commands.Unsubscribe(address="ann", channel="email"), "INVALID_ADDRESS"),
        (commands.Suppress("push", ["x"]), "CHANNEL_REQUIRED"),  # type: ignore[arg-type]
        (commands.Suppress("email", ["ann@example.com"], "whim"), "WHY_UNKNOWN"),  # type: ignore[arg-type]
        (commands.SaveTopic("News"), "INVALID_KEY"),
    ],
)
def test_a_bad_wish_is_refused_and_changes_nothing(project: Project, command: commands.Command, code: str) -> None:
    before = project.version.position
    with pytest.raises(InvalidInput) as refused:
        project.ask(command)
    assert refused.value.code == code and refused.value.mend
    assert project.version.position == before


def test_a_forecast_tells_who_is_kept_from_it(project: Project) -> None:
    _matching(project, "ann", "ben", "cat", "dan")
    project.set("dan", **{EMAIL: "cat@example.com"})
    project.ask(commands.Unsubscribe("ann"))
    project.message("hi", FREE, launch=None)
    found = reading.forecast(project.version, "hi")
    assert (found.matching, found.reachable, found.ready) == (4, 4, 2)
    assert found.blocked == [("unsubscribed", 1), ("address_in_use", 1)]
