"""Promise: a snippet's text stands where it is named, however deep, and what cannot be put together is refused by name."""

from __future__ import annotations

import pytest

from core.errors import InvalidInput, InvalidTemplate
from core.messaging.definitions import EmailSource, WebhookSource
from core.messaging.snippets import whole
from core.messaging.translations import EmailTranslation
from core.snippets import MAX_CHARACTERS, MAX_SNIPPETS, Snippet, check_snippet, expanded, includes, laid_out

SNIPPETS = {
    "footer": Snippet("footer", "-- {{ user.name }}"),
    "page": Snippet("page", '<body>{{ content }}{% include "footer" %}</body>'),
    "twice": Snippet("twice", "{% include 'footer' %}{% include 'footer' %}"),
    "loop": Snippet("loop", '{% include "loop" %}'),
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('a {% include "footer" %} b', "a -- {{ user.name }} b"),
        ("a {%- include 'footer' -%} b", "a-- {{ user.name }}b"),
        ("{%include 'twice'%}", "-- {{ user.name }}-- {{ user.name }}"),
        ("to include or not", "to include or not"),
        ("{% include user.name %}", "{% include user.name %}"),
    ],
)
def test_a_snippet_takes_the_place_of_its_name(text: str, found: str) -> None:
    assert expanded(text, SNIPPETS, "x") == found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{% include "foter" %}', "SNIPPET_UNKNOWN"),
        ('{% include "loop" %}', "SNIPPET_TOO_DEEP"),
        ('{% include "" %}', "SNIPPET_UNKNOWN"),
    ],
)
def test_what_cannot_be_put_together_is_refused(text: str, code: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        expanded(text, SNIPPETS, "message.email.html")
    assert (caught.value.code, caught.value.field) == (code, "message.email.html")
    assert caught.value.mend


def test_a_circle_of_doublings_ends_early() -> None:
    wide = {"a": Snippet("a", '{% include "a" %}' * 5_000)}
    with pytest.raises(InvalidTemplate) as caught:
        expanded('{% include "a" %}', wide, "x")
    assert caught.value.code in ("SNIPPET_TOO_DEEP", "TEMPLATE_TOO_LARGE")


def test_a_layout_needs_a_place_for_the_content() -> None:
    assert laid_out("<p>{{ x }}</p>", "page", SNIPPETS, "x").startswith("<body><p>{{ x }}</p>")
    with pytest.raises(InvalidTemplate) as caught:
        laid_out("a", "footer", SNIPPETS, "message.email.layout")
    assert (caught.value.code, caught.value.field) == ("NO_LAYOUT", "message.email.layout")


def test_all_texts_of_a_content_are_put_together() -> None:
    source = EmailSource(
        "{% include 'footer' %}",
        "a@example.com",
        html="<p>",
        layout="page",
        translations={"de": EmailTranslation(html="<b>", text="{% include 'footer' %}"), "fr": EmailTranslation("Oui")},
    )
    made = whole(source, SNIPPETS, "message.email")
    assert isinstance(made, EmailSource)
    assert (made.subject, made.layout) == ("-- {{ user.name }}", "")
    assert made.html == "<body><p>-- {{ user.name }}</body>"
    assert made.translations["de"] == EmailTranslation(
        html="<body><b>-- {{ user.name }}</body>", text="-- {{ user.name }}"
    )
    assert made.translations["fr"] == EmailTranslation("Oui")
    hook = WebhookSource("https://a.example/", {"X": "{% include 'footer' %}"})
    assert whole(hook, SNIPPETS, "x") == WebhookSource("https://a.example/", {"X": "-- {{ user.name }}"})
    plain = WebhookSource("https://a.example/")
    assert whole(plain, SNIPPETS, "x") is plain


def test_what_a_text_includes_is_known() -> None:
    assert includes("{% include 'a' %}{%- include \"b\" -%}{% include c %}") == {"a", "b"}


@pytest.mark.parametrize(
    ("snippet", "code"),
    [
        (Snippet("Footer", ""), "INVALID_KEY"),
        (Snippet("", ""), "INVALID_KEY"),
        (Snippet("a", "x" * (MAX_CHARACTERS + 1)), "SNIPPET_TOO_LONG"),
        (Snippet("one-more", ""), "TOO_MANY_SNIPPETS"),
    ],
)
def test_snippets_are_bounded(snippet: Snippet, code: str) -> None:
    others = {f"s{n}": Snippet(f"s{n}", "") for n in range(MAX_SNIPPETS)} if code == "TOO_MANY_SNIPPETS" else {}
    with pytest.raises(InvalidInput) as caught:
        check_snippet(snippet, others)
    assert caught.value.code == code
