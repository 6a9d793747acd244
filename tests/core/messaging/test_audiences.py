"""Promise: a saved audience can be used in any targeting, and changing it counts as changing that targeting."""

from __future__ import annotations

import pytest

from core import commands
from core.errors import MusterError
from tests.core.project import HOOK, Project


def save(project: Project, name: str, **members: object) -> None:
    """Save an audience."""
    project.ask(commands.SaveAudience(name, **members))  # type: ignore[arg-type]


def test_by_expression_and_by_ids(project: Project) -> None:
    project.set("a", plan="free")
    project.set("b", plan="free")
    save(project, "Free plan", expression='user.plan == "free"')
    save(project, "staff", ids=["b", "new"], create_missing=True)
    project.message("hi", 'audiences["Free plan"] && !audiences["staff"]', content=HOOK)
    assert project.places("hi") == {"a": "queued"}
    project.set("c", plan="free")
    assert project.places("hi") == {"a": "queued", "c": "queued"}


def test_a_changed_audience_judges_everybody_for_the_messages_that_name_it(project: Project) -> None:
    for distinct_id, age in (("a", 20), ("b", 40)):
        project.set(distinct_id, age=age)
    save(project, "old", expression="user.age > 30")
    save(project, "older still", expression='audiences["old"]')
    save(project, "listed", ids=["a"])
    project.message("direct", 'audiences["old"]', content=HOOK)
    project.message("nested", 'audiences["older still"]', content=HOOK)
    project.message("listed", 'audiences["listed"]', content=HOOK)
    save(project, "old", expression="user.age > 10")
    save(project, "listed", ids=["b"])
    assert project.places("direct") == {"a": "queued", "b": "queued"}
    assert project.places("nested") == {"a": "queued", "b": "queued"}
    assert project.places("listed") == {"a": "queued", "b": "queued"}


BAD = [
    ({"name": "", "expression": "true"}, "INVALID_NAME", "audience.name"),
    ({"name": "x" * 64, "expression": "true"}, "INVALID_NAME", "audience.name"),
    ({"name": "x"}, "NO_MEMBERS", "audience.members"),
    ({"name": "x", "expression": "true", "ids": ["a"]}, "NO_MEMBERS", "audience.members"),
    ({"name": "x", "ids": ["a", ""]}, "EMPTY_ID", "audience.ids.distinct_ids[1]"),
    ({"name": "x", "ids": ["a", "nobody"]}, "UNKNOWN_IDS", "audience.ids.distinct_ids[1]"),
    ({"name": "x", "expression": "user."}, "EXPRESSION_SYNTAX", "expression"),
    ({"name": "x", "expression": 'audiences["x"]'}, "AUDIENCE_CIRCLE", "expression"),
    ({"name": "used", "expression": "timestamp(user.when) < now"}, "TIME_USE_UNKNOWN", "audience.expression"),
]


@pytest.mark.parametrize(("command", "code", "field"), BAD, ids=[code for _, code, _ in BAD])
def test_what_cannot_be_saved_is_refused(project: Project, command: dict[str, object], code: str, field: str) -> None:
    project.set("a", plan="free")
    save(project, "used", expression="true")
    project.message("hi", 'audiences["used"]', content=HOOK)
    before = project.version.position
    with pytest.raises(MusterError) as caught:
        project.ask(commands.SaveAudience(**command))  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.field) == (code, field)
    assert project.version.position == before


def test_an_audience_in_use_is_not_deleted(project: Project) -> None:
    save(project, "inner", expression="true")
    save(project, "outer", expression='audiences["inner"]')
    project.message("hi", 'audiences["outer"]', content=HOOK)
    for name in ("inner", "outer"):
        with pytest.raises(MusterError) as caught:
            project.ask(commands.DeleteAudience(name))
        assert caught.value.code == "AUDIENCE_IN_USE"
    with pytest.raises(MusterError) as caught:
        project.ask(commands.DeleteAudience("outre"))
    assert "'outer'" in caught.value.mend
    project.ask(commands.EndMessage("hi"))
    project.ask(commands.DeleteAudience("outer"))
    project.ask(commands.DeleteAudience("inner"))
    assert project.version.audiences.page("", 10) == []


def test_members_follow_merges_and_deletions(project: Project) -> None:
    for distinct_id in "abc":
        project.set(distinct_id, plan="free")
    save(project, "list", ids=["a", "b"])
    project.merge("c", "a")
    project.delete("b")
    project.set("b", plan="free")
    project.message("hi", 'audiences["list"]', content=HOOK)
    assert project.places("hi") == {"c": "queued"}
