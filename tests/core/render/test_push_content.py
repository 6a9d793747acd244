"""Promise: a push notification is refused when it is written or skipped when it is rendered, never sent broken."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InvalidTemplate
from core.render import compile_push
from core.render.results import Missing, RenderedButton, RenderedPush, RenderFailed, RenderRow


def rendered(user: dict[str, Any] | None = None, **content: Any) -> RenderedPush | Missing | RenderFailed:
    (found,) = compile_push(**content).render_many([RenderRow(user or {})])
    return found


def test_every_part_is_rendered() -> None:
    found = rendered(
        {"name": "Ada & Söhne", "order": "7/8"},
        title=" Hi {{ user.name }} ",
        body="Order {{ user.order }}",
        image="https://example.com/{{ user.order }}.png",
        buttons=[("Track {{ user.order }}", "shop://track/{{ user.order }}"), ("Open", "")],
        deep_link="shop://orders/{{ user.order }}?by={{ user.name }}",
        collapse_key="order-{{ user.order }}",
        data={"order": "{{ user.order }}"},
        ttl=3_600,
        badge=0,
        sound="default",
    )
    assert found == RenderedPush(
        title="Hi Ada & Söhne",
        body="Order 7/8",
        image="https://example.com/7%2F8.png",
        buttons=(RenderedButton("Track 7/8", "shop://track/7%2F8"), RenderedButton("Open")),
        deep_link="shop://orders/7%2F8?by=Ada%20%26%20S%C3%B6hne",
        collapse_key="order-7/8",
        data={"order": "7/8"},
        ttl=3_600,
        badge=0,
        sound="default",
    )


def test_what_any_part_reads_is_known() -> None:
    content = compile_push(
        title="{{ user.a }}",
        body='{{ user.b | default("") }}',
        deep_link="{{ user.c }}",
        buttons=[("{{ user.d }}", "x:{{ user.e }}")],
        data={"f": "{{ user.f }}"},
        collapse_key="{{ event.g }}",
    )
    assert content.properties == frozenset("abcdef")
    assert content.required == frozenset("acdef")
    assert content.requires_event
    assert isinstance(content.render_many([RenderRow({})])[0], Missing)


def test_a_whole_link_may_be_a_value() -> None:
    assert rendered({"to": "shop://a?b=c"}, title="x", deep_link="{{ user.to }}") == RenderedPush(
        title="x", deep_link="shop://a?b=c"
    )
    assert rendered({}, title="x", image='{{ user.pic | default("") }}') == RenderedPush(title="x")


@pytest.mark.parametrize("link", ["nowhere", "javascript:alert(1)", "DATA:text/html,x", "shop://a b", "shop://ä", "x"])
def test_a_value_that_is_no_link_skips_its_user(link: str) -> None:
    found = rendered({"to": link}, title="x", deep_link="{{ user.to }}")
    assert isinstance(found, RenderFailed)
    assert (found.code, found.field) == ("LINK_UNSAFE", "push.deep_link")


def test_a_picture_is_on_the_web() -> None:
    found = rendered({"pic": "shop://a"}, title="x", image="{{ user.pic }}")
    assert isinstance(found, RenderFailed) and found.field == "push.image"


def test_a_silent_one_has_data_alone() -> None:
    assert rendered(silent=True, data={"sync": "1"}) == RenderedPush(silent=True, data={"sync": "1"})
    assert rendered(silent=True) == RenderedPush(silent=True)


def test_who_would_be_shown_nothing_or_too_much_is_skipped() -> None:
    nothing = rendered({"a": " "}, body="{{ user.a }}")
    assert isinstance(nothing, RenderFailed) and nothing.code == "PUSH_EMPTY"
    much = rendered({"a": "é" * 1_501}, body="{{ user.a }}")
    assert isinstance(much, RenderFailed) and much.code == "PUSH_TOO_LONG"
    assert isinstance(rendered({"a": "é" * 1_500}, body="{{ user.a }}"), RenderedPush)
    key = rendered({"a": "k" * 65}, body="x", collapse_key="{{ user.a }}")
    assert isinstance(key, RenderFailed) and key.code == "COLLAPSE_KEY_INVALID"
    button = rendered({"a": " "}, body="x", buttons=[("{{ user.a }}", "")])
    assert isinstance(button, RenderFailed) and button.field == "push.buttons[0].text"


@pytest.mark.parametrize(
    ("content", "field", "code"),
    [
        ({}, "push.body", "TEMPLATE_EMPTY"),
        ({"title": " "}, "push.body", "TEMPLATE_EMPTY"),
        ({"silent": True, "title": "x"}, "push.title", "SILENT_TEXT"),
        ({"silent": True, "sound": "default"}, "push.sound", "SILENT_TEXT"),
        ({"title": "x", "buttons": [("a", "")] * 4}, "push.buttons", "TOO_MANY_BUTTONS"),
        ({"title": "x", "buttons": [("a", ""), ("", "")]}, "push.buttons[1].text", "TEMPLATE_EMPTY"),
        ({"title": "x", "buttons": [("a", "/path")]}, "push.buttons[0].link", "LINK_INVALID"),
        ({"title": "x", "deep_link": "example.com"}, "push.deep_link", "LINK_INVALID"),
        ({"title": "x", "deep_link": "javascript:alert(1)"}, "push.deep_link", "LINK_UNSAFE"),
        ({"title": "x", "image": "shop://a.png"}, "push.image", "LINK_UNSAFE"),
        ({"title": "x", "ttl": -1}, "push.ttl", "INVALID_LIMIT"),
        ({"title": "x", "ttl": 28 * 86_400 + 1}, "push.ttl", "INVALID_LIMIT"),
        ({"title": "x", "badge": -1}, "push.badge", "INVALID_LIMIT"),
        ({"title": "x", "data": {"aps": "1"}}, "push.data['aps']", "DATA_NAME_INVALID"),
        ({"title": "x", "data": {"google.x": "1"}}, "push.data['google.x']", "DATA_NAME_INVALID"),
        ({"title": "x", "data": {"muster_link": "1"}}, "push.data['muster_link']", "DATA_NAME_INVALID"),
        ({"title": "x", "data": {"a b": "1"}}, "push.data['a b']", "DATA_NAME_INVALID"),
        ({"title": "{{ user.name"}, "push.title", "TEMPLATE_SYNTAX"),
    ],
)
def test_what_cannot_be_sent_is_refused_where_it_is_written(content: dict[str, Any], field: str, code: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        compile_push(**content)
    assert (caught.value.field, caught.value.code) == (field, code)
    assert caught.value.mend
