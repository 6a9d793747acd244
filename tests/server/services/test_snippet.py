"""Promise: messages read their snippets as they are now, and no change of one can break a message."""

from __future__ import annotations

from typing import Any

import pytest
from muster.v1 import message_pb2, snippet_pb2

from tests.server.conftest import PROJECT, Stubs, email, refused


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """A project with three users."""
    await stubs.create()
    await stubs.add_users(3)
    return stubs


async def save(shop: Stubs, key: str, text: str) -> Any:
    return await shop.snippets.SaveSnippet(
        snippet_pb2.SaveSnippetRequest(project=PROJECT, snippet=snippet_pb2.Snippet(key=key, text=text))
    )


async def delete(shop: Stubs, key: str) -> Any:
    return await shop.snippets.DeleteSnippet(snippet_pb2.DeleteSnippetRequest(project=PROJECT, key=key))


async def create(shop: Stubs, html: str, layout: str = "") -> Any:
    message = email("welcome")
    message.email.html, message.email.layout = html, layout
    return await shop.messages.CreateMessage(message_pb2.CreateMessageRequest(project=PROJECT, message=message))


async def shown(shop: Stubs) -> str:
    request = message_pb2.PreviewMessageRequest(project=PROJECT, key="welcome", distinct_id="u1")
    return str((await shop.messages.PreviewMessage(request)).rendered.html)


async def test_a_message_has_its_snippets_and_its_layout_as_they_are_now(shop: Stubs) -> None:
    await save(shop, "footer", "<i>{{ user.name }}</i>")
    await save(shop, "page", '<b>{{ content }}</b>{% include "footer" %}')
    made = (await create(shop, "Hi", "page")).message
    assert (made.email.html, made.email.layout) == ("Hi", "page"), "what was written stays"
    assert await shown(shop) == "<b>Hi</b><i>User 1</i>"
    again = await save(shop, "footer", "<u>bye</u>")
    assert again.snippet.revision == 2
    assert await shown(shop) == "<b>Hi</b><u>bye</u>"
    listed = await shop.snippets.ListSnippets(snippet_pb2.ListSnippetsRequest(project=PROJECT))
    assert [one.key for one in listed.snippets] == ["footer", "page"]
    got = await shop.snippets.GetSnippet(snippet_pb2.GetSnippetRequest(project=PROJECT, key="footer"))
    assert got.snippet.text == "<u>bye</u>"


async def test_a_change_that_would_break_a_message_changes_nothing(shop: Stubs) -> None:
    await save(shop, "page", "<b>{{ content }}</b>")
    await create(shop, "Hi", "page")
    for text, code in (("no place", "NO_LAYOUT"), ("{{ content }}{{ user.", "TEMPLATE_SYNTAX")):
        refusal = await refused(save(shop, "page", text))
        assert (refusal.code, refusal.field) == (code, "snippet.text")
    assert (await refused(save(shop, "page", '{{ content }}{% include "page" %}'))).code == "SNIPPET_TOO_DEEP"
    assert await shown(shop) == "<b>Hi</b>"


async def test_a_snippet_in_use_stays(shop: Stubs) -> None:
    await save(shop, "footer", "bye")
    await save(shop, "page", '{{ content }}{% include "footer" %}')
    assert (await refused(delete(shop, "footer"))).code == "SNIPPET_IN_USE"
    await create(shop, "Hi", "page")
    assert (await refused(delete(shop, "page"))).code == "SNIPPET_IN_USE"
    await shop.messages.EndMessage(message_pb2.EndMessageRequest(project=PROJECT, key="welcome"))
    await delete(shop, "page")
    await delete(shop, "footer")
    assert (await refused(delete(shop, "footer"))).code == "SNIPPET_NOT_FOUND"


async def test_a_message_that_names_no_snippet_there_is_is_refused(shop: Stubs) -> None:
    refusal = await refused(create(shop, '{% include "footer" %}'))
    assert (refusal.code, refusal.field) == ("SNIPPET_UNKNOWN", "message.email.html")
    assert (await refused(create(shop, "Hi", "page"))).field == "message.email.layout"
