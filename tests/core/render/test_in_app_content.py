"""Promise: an in-app message is refused when it is written or withheld when it is rendered, never shown broken."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InvalidTemplate
from core.render import RenderBatch, compile_in_app
from core.render.results import InAppColors, Missing, RenderedButton, RenderedInApp, RenderFailed, RenderRow

RED = InAppColors(background="#FF0000", text="#80FFFFFF")


def rendered(user: dict[str, Any] | None = None, **content: Any) -> RenderedInApp | Missing | RenderFailed:
    (found,) = compile_in_app(**{"kind": "takeover", **content}).render_many([RenderRow(user or {})])
    return found


def test_every_part_is_rendered() -> None:
    assert rendered(
        {"name": "Ada", "id": "7/8"},
        title=" Hi {{ user.name }}",
        body="<b>{{ user.name }}</b>",
        image="https://example.com/{{ user.id }}.png",
        link="shop://sale/{{ user.id }}",
        buttons=[("Buy {{ user.id }}", "", RED)],
        data={"id": "{{ user.id }}"},
        colors=InAppColors(background="#000000", close="#ffffff"),
        fade_image=True,
    ) == RenderedInApp(
        "takeover",
        title="Hi Ada",
        body="<b>Ada</b>",
        image="https://example.com/7%2F8.png",
        link="shop://sale/7%2F8",
        buttons=(RenderedButton("Buy 7/8", colors=RED),),
        data={"id": "7/8"},
        colors=InAppColors(background="#000000", close="#ffffff"),
        fade_image=True,
    )
    assert rendered(kind="mini", image="https://example.com/a.png") == RenderedInApp(
        "mini", image="https://example.com/a.png"
    )


def test_what_any_part_reads_is_known() -> None:
    content = compile_in_app(
        kind="takeover",
        title="{{ user.a }}",
        link="{{ user.b }}",
        buttons=[("{{ user.c }}", "x:{{ user.d }}", InAppColors())],
        data={"e": '{{ user.e | default("") }}'},
    )
    assert content.properties == frozenset("abcde") and content.required == frozenset("abcd")


def test_a_batch_is_what_its_rows_are() -> None:
    content = compile_in_app(
        kind="takeover",
        title='{{ user.name | default("") }}',
        body="{{ user.text }}",
        link="{{ user.link }}",
        buttons=[("Go {{ user.name }}", "x:{{ user.name }}", RED)],
        data={"n": "{{ user.name }}"},
    )
    values = ["Ada", "", None, " ", "shop://a", 7]
    users = [{"name": a, "text": b, "link": c} for a in values for b in values for c in values]
    ids = [str(number) for number in range(len(users))]
    batch = RenderBatch(ids, {name: [user[name] for user in users] for name in ("name", "text", "link")})
    found = content.render_batch(batch)
    assert found == content.render_many([batch.row(place) for place in range(len(users))])
    assert {type(one) for one in found} == {RenderedInApp, RenderFailed, Missing}


def test_whoever_would_be_shown_nothing_is_shown_nothing() -> None:
    found = rendered({"a": " "}, body="{{ user.a }}")
    assert isinstance(found, RenderFailed) and (found.code, found.field) == ("IN_APP_EMPTY", "in_app")


@pytest.mark.parametrize(
    ("content", "field", "code"),
    [
        ({"body": "x", "kind": ""}, "in_app.kind", "KIND_INVALID"),
        ({"body": "x", "kind": "maxi"}, "in_app.kind", "KIND_INVALID"),
        ({}, "in_app.body", "TEMPLATE_EMPTY"),
        ({"kind": "mini", "title": "x"}, "in_app.title", "NOT_OF_KIND"),
        ({"kind": "mini", "body": "x", "buttons": [("a", "", RED)]}, "in_app.buttons", "NOT_OF_KIND"),
        ({"body": "x", "buttons": [("a", "", RED)] * 4}, "in_app.buttons", "TOO_MANY_BUTTONS"),
        ({"body": "x", "buttons": [("a", "nowhere", RED)]}, "in_app.buttons[0].link", "LINK_INVALID"),
        ({"body": "x", "colors": InAppColors(close="red")}, "in_app.close_color", "COLOR_INVALID"),
        (
            {"body": "x", "buttons": [("a", "", InAppColors(text="#1234567"))]},
            "in_app.buttons[0].text_color",
            "COLOR_INVALID",
        ),
        ({"body": "x", "data": {f"n{n}": "" for n in range(51)}}, "in_app.data", "TOO_MANY_DATA"),
        ({"body": "x", "link": "/path"}, "in_app.link", "LINK_INVALID"),
        ({"body": "{{ x"}, "in_app.body", "TEMPLATE_SYNTAX"),
    ],
)
def test_what_cannot_be_shown_is_refused_where_it_is_written(content: dict[str, Any], field: str, code: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        compile_in_app(**{"kind": "takeover", **content})
    assert (caught.value.field, caught.value.code) == (field, code)
    assert caught.value.mend
