"""Promise: numbers, money and times are written as each reader's `$locale` has them, and a tag finds its translation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from babel import Locale
from hypothesis import given, settings
from hypothesis import strategies as st

from core.render import Escape, RenderBatch, RenderFailed, compile_sms, compile_template
from core.render.locales import DEFAULT, locale_of, lookup, tag_problem
from tests.core.render.conftest import Refused, Render


@pytest.mark.parametrize(
    ("value", "name"),
    [
        *(("de", "de"), ("de-CH", "de_CH"), ("de_ch", "de_CH"), ("DE-ch", "de_CH"), (" fr ", "fr")),
        *(("de-XX", "de"), ("zh-Hant-TW", "zh_Hant_TW"), ("pt-BR-x-private", "pt_BR")),
        *(("xx", "en"), ("", "en"), ("-", "en"), ("x" * 500, "en"), (None, "en"), (7, "en"), ("../../etc", "en")),
    ],
)
def test_the_nearest_known_locale_is_the_readers(value: object, name: str) -> None:
    assert locale_of(value).lower() == name.lower()
    assert Locale.parse(locale_of(value))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.text("deEUhant-_x1@.", max_size=20))
def test_any_text_gives_a_locale(text: str) -> None:
    template = compile_template("{{ 1234.5 | number(1) }} {{ 1 | currency('EUR') }}", Escape.TEXT, field="x")
    (found,) = template.render_batch(RenderBatch(["u"], {"$locale": [text]}))
    assert isinstance(found, str)


@pytest.mark.parametrize(
    ("tags", "wanted", "found"),
    [
        (["de", "fr"], "de-CH", "de"),
        (["de", "de-CH"], "de-CH", "de-CH"),
        (["de", "de-CH"], "de_ch", "de-CH"),
        (["de-CH"], "de", None),
        (["zh-Hant", "zh"], "zh-TW", "zh-Hant"),
        (["zh-Hant", "zh-Hans"], "zh-CN", "zh-Hans"),
        (["fr"], "", None),
        (["fr"], "klingon", None),
        (["pt"], "pt-BR-x-shop", "pt"),
    ],
)
def test_a_translation_is_looked_up_from_the_whole_tag_to_its_language(
    tags: list[str], wanted: str, found: str | None
) -> None:
    assert lookup(tags, wanted) == found


@pytest.mark.parametrize(
    ("tag", "right"), [("de", True), ("de-CH", True), ("de_CH", False), ("DE", False), ("xx", False)]
)
def test_tags_of_translations_are_written_one_way(tag: str, right: bool) -> None:
    assert (tag_problem(tag) == "") is right


@pytest.mark.parametrize(
    ("source", "tag", "text"),
    [
        ("{{ user.n | number(2) }}", "de", "1.234,50"),
        ("{{ user.n | number(2) }}", "fr", "1\u202f234,50"),
        ("{{ user.n | number(2) }}", None, "1,234.50"),
        ("{{ user.n | number(2, '_') }}", "de", "1_234,50"),
        ("{{ user.n | number(2, '.', ',') }}", "en", "1.234,50"),
        ("{{ user.n | currency('EUR') }}", "de", "1.234,50\xa0€"),
        ("{{ user.n | currency('JPY') }}", "en", "¥1,235"),
        ("{{ user.n | currency('EUR', locale='en') }}", "de", "€1,234.50"),
        ("{{ 0.125 | percent }}", "de", "13\xa0%"),
        ("{{ -0.001 | percent }}", "en", "0%"),
        ("{{ user.t | date('long', 'Europe/Berlin') }}", "de", "1. Februar 2026"),
        ("{{ user.t | date('%d.%m.%Y') }}", "de", "31.01.2026"),
        ("{{ user.t | time('short') }}", "fr", "23:30"),
        ("{{ user.t | datetime('short', 'Asia/Tokyo') }}", "ja", "2026/02/01 8:30"),
    ],
)
def test_values_are_written_as_the_reader_is_used_to(render: Render, source: str, tag: str | None, text: str) -> None:
    user = {"n": 1234.5, "t": datetime(2026, 1, 31, 23, 30, tzinfo=UTC), "$locale": tag}
    assert render(source, **user) == text
    template = compile_template(source, Escape.TEXT, field="x")
    assert "$locale" in template.properties or "locale=" in source
    users = {name: [value, value] for name, value in user.items()}
    users["$locale"] = [tag, "xx"]
    assert template.render_batch(RenderBatch(["a", "b"], users))[0] == text


@pytest.mark.parametrize(
    ("source", "mend"),
    [
        ("{{ 1 | currency('EURO') }}", "EUR"),
        ("{{ 1 | currency }}", "code"),
        ("{{ 1 | number(locale='xx') }}", "de-CH"),
        ("{{ user.t | time('tiny') }}", "short"),
        ("{{ user.t | date('long', 'Mars/Base') }}", "Europe/Madrid"),
    ],
)
def test_what_is_written_wrong_is_told_when_it_is_compiled(refused: Refused, source: str, mend: str) -> None:
    assert mend in refused(source).mend


def test_a_currency_of_the_profile_that_is_none_fails_for_that_user(render: Render) -> None:
    found = render("{{ user.n | currency(user.code) }}", n=1, code="€")
    assert isinstance(found, RenderFailed)
    assert found.code == "CURRENCY_UNKNOWN"
    assert render("{{ user.n | currency(user.code) }}", n=1, code="USD") == "$1.00"


def test_a_text_message_has_no_unbreakable_spaces() -> None:
    content = compile_sms(text="{{ user.n | currency('EUR') }} {{ user.n | number(2) }}")
    (found,) = content.render_batch(RenderBatch(["u"], {"n": [1234.5], "$locale": ["fr"]}))
    assert found.text == "1 234,50 € 1 234,50"  # type: ignore[union-attr]
    assert found.length.encoding == "gsm7"  # type: ignore[union-attr]


def test_without_a_locale_nobody_is_missing_anything() -> None:
    template = compile_template("{{ user.n | number }}", Escape.TEXT, field="x")
    assert template.required == {"n"}
    assert locale_of(None) == DEFAULT
