"""Promise: each reader gets the texts of the nearest language, and all readers of a batch do at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidTemplate
from core.render import Missing, RenderBatch, check_tags, compile_push, compile_sms, translated
from core.render.translated import MAX_TRANSLATIONS

CONTENT = translated(
    compile_sms(text="Hi {{ user.name }}"),
    {"de": compile_sms(text="Hallo {{ user.name }}"), "de-CH": compile_sms(text="Grüezi {{ user.nick }}")},
)


def test_each_reader_has_the_nearest_language() -> None:
    locales = ["en", "de", "de-AT", "de-CH", None, 7, "xx"]
    batch = RenderBatch([f"u{n}" for n in range(7)], {"$locale": locales, "name": ["Ada"] * 7, "nick": ["Urs"] * 7})
    texts = [one.text for one in CONTENT.render_batch(batch)]  # type: ignore[union-attr]
    assert texts == ["Hi Ada", "Hallo Ada", "Hallo Ada", "Grüezi Urs", "Hi Ada", "Hi Ada", "Hi Ada"]


def test_what_all_languages_need_is_required_and_what_one_needs_is_told_by_it() -> None:
    assert CONTENT.properties == {"name", "nick", "$locale"}
    assert CONTENT.required == frozenset()
    batch = RenderBatch(["a", "b"], {"$locale": ["de-CH", "de"], "name": ["Ada", "Ada"]})
    lacking, fine = CONTENT.render_batch(batch)
    assert isinstance(lacking, Missing)
    assert lacking.property == "nick"
    assert not isinstance(fine, Missing)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["de", "de-CH", "fr", "", "x", None, 1, [], "de_ch"]), max_size=8))
def test_batches_give_what_rows_give(locales: list[object]) -> None:
    size = len(locales)
    batch = RenderBatch([f"u{n}" for n in range(size)], {"$locale": locales, "name": ["Ada"] * size})
    assert CONTENT.render_batch(batch) == CONTENT.render_many(batch.row(place) for place in range(size))


def test_without_any_locale_the_texts_stand_as_they_are() -> None:
    content = translated(compile_push(title="Hi"), {"de": compile_push(title="Hallo")})
    (found,) = content.render_batch(RenderBatch(["u"], {}))
    assert found.title == "Hi"  # type: ignore[union-attr]


@pytest.mark.parametrize("tags", [["de_CH"], ["DE"], ["xx"], [""], [f"de-{n:04}" for n in range(MAX_TRANSLATIONS + 1)]])
def test_tags_nobody_has_are_refused(tags: list[str]) -> None:
    with pytest.raises(InvalidTemplate):
        check_tags(tags, "x")
