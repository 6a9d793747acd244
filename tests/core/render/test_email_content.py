"""Promise: an email comes out whole, by the rules of each of its parts, or says which part is in the way."""

from __future__ import annotations

import pytest

from core.errors import InvalidTemplate
from core.render import Missing, RenderedEmail, RenderFailed, RenderRow, compile_email

ANN = {"name": "Ann", "bio": "<b>\r\nhi", "$email": "ann@example.com"}


def rendered(user: dict[str, object], **parts: str) -> RenderedEmail | Missing | RenderFailed:
    """An email for one user."""
    content = compile_email(**{"subject": "Hi", "from_": "Shop <shop@example.com>", "text": "Hi", **parts})  # type: ignore[arg-type]
    (found,) = content.render_many([RenderRow(user)])
    return found


def test_each_part_is_escaped_in_its_own_way() -> None:
    found = rendered(
        ANN,
        subject="{{ user.bio }} {{ user.name }}",
        from_='"{{ user.bio }} Shop" <shop@example.com>',
        reply_to="{{ user.name }} <{{ ${$email} }}>",
        preheader="{{ user.bio }}",
        html="<html><body class='x'>{{ user.bio }}</body></html>",
        text="{{ user.bio }}",
    )
    assert found == RenderedEmail(
        subject="<b> hi Ann",
        from_='"<b> hi Shop" <shop@example.com>',
        reply_to='"Ann" <ann@example.com>',
        preheader="<b> hi",
        html=(
            "<html><body class='x'><div style=\"display:none;max-height:0;overflow:hidden;mso-hide:all\">"
            "&lt;b&gt; hi</div>&lt;b&gt;\r\nhi</body></html>"
        ),
        text="<b>\r\nhi",
    )


@pytest.mark.parametrize(
    ("user", "parts", "outcome"),
    [
        ({}, {"subject": "{{ user.name }}"}, Missing("name", "name", "user", "email.subject")),
        ({}, {"html": "{{ user.a.b }}"}, Missing("a", "a.b", "user", "email.html")),
        ({}, {"from_": "{{ user.name }} <a@example.com>"}, Missing("name", "name", "user", "email.from")),
        ({}, {"text": "{{ event.item }}"}, Missing("item", "item", "event", "email.text")),
        ({"name": " \n"}, {"subject": "{{ user.name }}"}, "HEADER_EMPTY"),
        ({"name": "x" * 2001}, {"subject": "{{ user.name }}"}, "HEADER_TOO_LONG"),
        ({"to": "nobody"}, {"reply_to": "{{ user.to }}"}, "ADDRESS_INVALID"),
        ({"to": "a@example.com>\nBcc: <b@example.com"}, {"reply_to": "{{ user.to }}"}, "ADDRESS_INVALID"),
        ({"list": [1]}, {"text": "{{ user.list }}"}, "PROPERTY_TYPE"),
        ({"list": ["x" * 60_000] * 20}, {"text": "{% for i in user.list %}{{ i }}{% endfor %}"}, "OUTPUT_TOO_LARGE"),
        ({"list": [0] * 10_001}, {"text": "{% for i in user.list %}{% endfor %}"}, "TOO_MANY_STEPS"),
    ],
)
def test_what_is_in_the_way_is_told(user: dict[str, object], parts: dict[str, str], outcome: Missing | str) -> None:
    found = rendered(user, **parts)
    if isinstance(outcome, Missing):
        assert found == outcome
    else:
        assert isinstance(found, RenderFailed)
        assert found.code == outcome
        assert found.field.startswith("email.")


@pytest.mark.parametrize(
    ("parts", "code", "field"),
    [
        ({"text": None}, "TEMPLATE_EMPTY", "email.html"),
        ({"subject": " "}, "TEMPLATE_EMPTY", "email.subject"),
        ({"preheader": "x"}, "TEMPLATE_EMPTY", "email.preheader"),
        ({"from_": "nobody"}, "ADDRESS_INVALID", "email.from"),
        ({"from_": "Shop <{{ user.from }}>"}, "TEMPLATE_NOT_ALLOWED", "email.from"),
        ({"reply_to": "{{ user.name"}, "TEMPLATE_SYNTAX", "email.reply_to"),
        ({"html": "{{ user.name | upcase }}"}, "TEMPLATE_SYNTAX", "email.html"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_part(parts: dict[str, str | None], code: str, field: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        compile_email(**{"subject": "Hi", "from_": "a@example.com", "text": "Hi", **parts})  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.field) == (code, field)
    assert caught.value.mend


def test_reads_of_all_parts_together() -> None:
    content = compile_email(
        subject="{{ user.name }}",
        from_="{{ user.brand | default('Shop') }} <a@example.com>",
        html="{% if user.vip %}{{ user.tier }}{% endif %}{{ event.item | default('') }}",
    )
    assert content.properties == {"name", "brand", "vip", "tier"}
    assert content.required == {"name"}
    assert (content.needs_event, content.requires_event) == (True, False)
