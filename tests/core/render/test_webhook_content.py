"""Promise: a webhook's request is safe in every part: URL, headers and a body that is always JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from core.errors import InvalidTemplate
from core.render import Missing, RenderedWebhook, RenderFailed, RenderRow, compile_webhook


def rendered(row: RenderRow, **parts: Any) -> RenderedWebhook | Missing | RenderFailed:
    """A request for one user."""
    (found,) = compile_webhook(**{"url": "https://example.com/hook", **parts}).render_many([row])
    return found


def test_a_body_of_ones_own() -> None:
    found = rendered(
        RenderRow({"name": 'A "B"', "n": 1, "list": [1, {"x": None}]}, distinct_id="u/1"),
        url="https://example.com/{{ distinct_id }}?n={{ user.name }}",
        headers={"X-Name": "{{ user.n }}"},
        body='{"hey": "Hey {{ user.name }}", "all": {{ user.list }}{% if user.n > 0 %}, "n": {{ user.n }}{% endif %}}',
    )
    assert isinstance(found, RenderedWebhook)
    assert found.url == "https://example.com/u%2F1?n=A%20%22B%22"
    assert dict(found.headers) == {"X-Name": "1"}
    assert json.loads(found.body) == {"hey": 'Hey A "B"', "all": [1, {"x": None}], "n": 1}


def test_chosen_properties() -> None:
    row = RenderRow(
        {"name": "Ann", "none": None, "when": datetime(2026, 1, 31, tzinfo=UTC), "secret": "x"},
        event={"item": "cup"},
        message={"key": "hi"},
        distinct_id="u-1",
    )
    found = rendered(row, properties=["when", "name", "none", "lacking", "name"])
    assert isinstance(found, RenderedWebhook)
    assert json.loads(found.body) == {
        "distinct_id": "u-1",
        "message": {"key": "hi"},
        "user": {"when": "2026-01-31T00:00:00Z", "name": "Ann"},
        "event": {"item": "cup"},
    }


@pytest.mark.parametrize(
    ("user", "parts", "code"),
    [
        ({"p": ".."}, {"url": "https://example.com/{{ user.p }}/x", "body": "{}"}, "URL_UNSAFE"),
        ({"p": "x" * 9000}, {"url": "https://example.com/{{ user.p }}", "body": "{}"}, "URL_UNSAFE"),
        ({"p": "a\r\nX-Evil: 1"}, {"headers": {"X-A": "{{ user.p }}"}, "body": "{}"}, "HEADER_UNSAFE"),
        ({"p": "ü"}, {"headers": {"X-A": "{{ user.p }}"}, "body": "{}"}, "HEADER_UNSAFE"),
        ({"p": True}, {"body": '{"a": 1{% if user.p %}"{% endif %}{% if user.p %}"{% endif %}}'}, None),
        ({"p": True}, {"body": '{"a": 1{% if user.p %},{% endif %}}'}, "INVALID_JSON"),
    ],
)
def test_what_values_can_break_is_refused_for_that_user(
    user: dict[str, Any], parts: dict[str, Any], code: str | None
) -> None:
    try:
        found = rendered(RenderRow(user), **parts)
    except InvalidTemplate as error:
        assert (code, error.code) == (None, "TEMPLATE_JSON")
        return
    assert isinstance(found, RenderFailed)
    assert found.code == code


@pytest.mark.parametrize(
    ("parts", "code", "field"),
    [
        ({"url": "ftp://example.com/", "body": "{}"}, "URL_INVALID", "webhook.url"),
        ({"url": "https://{{ user.host }}/", "body": "{}"}, "URL_INVALID", "webhook.url"),
        ({"url": "https://example.com{{ user.path }}", "body": "{}"}, "URL_INVALID", "webhook.url"),
        ({"url": "https://user:pass@example.com/", "body": "{}"}, "URL_INVALID", "webhook.url"),
        ({"url": "https://example.com:99999/", "body": "{}"}, "URL_INVALID", "webhook.url"),
        ({"url": "https://example.com/a b", "body": "{}"}, "URL_UNSAFE", "webhook.url"),
        ({}, "TEMPLATE_EMPTY", "webhook.body"),
        ({"body": "{}", "properties": ["a"]}, "TEMPLATE_EMPTY", "webhook.body"),
        ({"body": '{"a": NaN}'}, "TEMPLATE_JSON", "webhook.body"),
        ({"body": '{"a": "{{ user.b }}}'}, "TEMPLATE_JSON", "webhook.body"),
        ({"body": "{}", "headers": {"Content-Type": "x"}}, "HEADER_INVALID", "webhook.headers['Content-Type']"),
        ({"body": "{}", "headers": {"webhook-id": "x"}}, "HEADER_INVALID", "webhook.headers['webhook-id']"),
        ({"body": "{}", "headers": {"X A": "x"}}, "HEADER_INVALID", "webhook.headers['X A']"),
        ({"body": "{}", "headers": {"X-A": "1", "x-a": "2"}}, "HEADER_INVALID", "webhook.headers['x-a']"),
        ({"body": "{}", "headers": {f"X-{n}": "1" for n in range(33)}}, "HEADER_INVALID", "webhook.headers"),
        ({"body": "{}", "headers": {"X-A": "a\nb"}}, "HEADER_UNSAFE", "webhook.headers['X-A']"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_part(parts: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        compile_webhook(**{"url": "https://example.com/hook", **parts})
    assert (caught.value.code, caught.value.field) == (code, field)
    assert caught.value.mend


def test_one_request_for_many_needs_the_same_url_and_headers() -> None:
    assert compile_webhook(url="https://example.com/", properties=["a"], headers={"X": "1"}).batchable
    assert not compile_webhook(url="https://example.com/{{ distinct_id }}", properties=["a"]).batchable
    assert not compile_webhook(url="https://example.com/", properties=["a"], headers={"X": "{{ user.a }}"}).batchable
