"""Promise: what waits to be shown to a user can be seen and told of by commands, and be written in a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from muster.messages import message_of
from muster.v1 import message_pb2

from core.errors import InvalidInput
from server.cli.message_file import example, read_message
from server.convert import messages
from tests.server.cli.conftest import Muster

VARIANT = """
[[variants]]
key = "b"
percent = 50
[variants.in_app]
kind = "mini"
body = "New"
"""


def test_the_commented_example_says_what_can_be_written(tmp_path: Path) -> None:
    whole = re.sub(
        r"^# (?=(?:image|\w+_color|triggers|screen) = |  \{|\]|\[in_app\.data\])",
        "",
        example("in_app", "-"),
        flags=re.M,
    )
    path = tmp_path / "in-app.toml"
    for text in (example("in_app", "-"), whole):
        path.write_text(text, "utf-8")
        found = read_message(str(path))
        made = message_of(found.key, **found.fields)
        assert made.in_app.kind == message_pb2.IN_APP_KIND_TAKEOVER
        assert messages.definition(made).channel == "in_app"
    assert [(one.event, one.condition) for one in made.in_app.triggers] == [("View item", 'e.category == "shoes"')]
    path.write_text(whole + VARIANT, "utf-8")
    found = read_message(str(path))
    made = message_of(found.key, **found.fields)
    (variant,) = messages.definition(made).variants
    assert (variant.key, made.variants[0].in_app.kind) == ("b", message_pb2.IN_APP_KIND_MINI)
    assert (made.in_app.close_color, dict(made.in_app.data)) == ("#888888", {"screen": "season"})


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ("triggers = [7]", "in_app.triggers[0]"),
        ('triggers = [{ event = "a", name = "b" }]', "in_app.triggers[0].name"),
        ('buttons = [{ text = "a", color = "b" }]', "in_app.buttons[0].color"),
        ("data = { a = 1 }", "in_app.data"),
    ],
)
def test_a_mistake_in_a_file_is_named_by_its_place(table: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "in-app.toml"
    path.write_text(f'key = "here"\n[in_app]\n{table}\n', "utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_message(str(path))
    assert caught.value.message.startswith(f"{place}:")


def test_what_waits_is_shown_and_told_of(muster: Muster, tmp_path: Path) -> None:
    env = {"MUSTER_PROJECT": "inside"}
    path = tmp_path / "season.toml"
    path.write_text(
        'key = "season"\ntargeting = "true"\nschedule = "asap"\n[in_app]\nkind = "mini"\nbody = "New"\n'
        'triggers = [{ event = "View", condition = "e.price > 5" }]\n',
        "utf-8",
    )
    (tmp_path / "users.csv").write_text("id,plan\nada,free\n", "utf-8")
    for words in (
        ("project", "create", "inside", "--clock", "manual"),
        ("project", "live", "inside"),
        ("project", "update", "inside", "--in-app-per-session", "1"),
        ("import", "profiles", tmp_path / "users.csv", "--distinct-id", "id"),
        ("message", "create", path),
        ("message", "launch", "season", "--existing", "send"),
    ):
        assert muster(*words, env=env).status == 0, words
    waiting = muster("in-app", "fetch", "ada", "--session", "s", "--json", env=env).document
    assert waiting["remaining"] == 1
    (one,) = waiting["messages"]
    assert (one["message_key"], one["content"]["body"]) == ("season", "New")
    assert "season" in muster("in-app", "fetch", "ada", "--event", "View", "--param", "price=6", env=env).out
    assert "nothing waits" in muster("in-app", "fetch", "ada", "--event", "View", env=env).out
    assert muster("in-app", "report", one["id"], "clicked", "--session", "s", env=env).out == "accepted\n"
    assert muster("in-app", "report", one["id"], "shown", env=env).out == "known already\n"
    assert "0 more in this session" in muster("in-app", "fetch", "ada", "--session", "s", env=env).out
