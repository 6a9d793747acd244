"""A content in several languages: each reader's is chosen by `$locale`, and rendered as a content of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Final

from core.errors import InvalidTemplate
from core.render.batch import RenderBatch
from core.render.email_content import EmailContent
from core.render.in_app_content import InAppContent
from core.render.locales import LOCALE, lookup, tag_problem
from core.render.push_content import PushContent
from core.render.reads import Reader, Reads
from core.render.results import Missing, Rendered, RenderFailed, RenderRow
from core.render.sms_content import SmsContent
from core.values import Value

MAX_TRANSLATIONS: Final = 100
"""Languages of one message beside its own."""

Translatable = EmailContent | InAppContent | PushContent | SmsContent


@dataclass(frozen=True, slots=True)
class TranslatedContent(Reader):
    """A content and its translations by tag. `reads` is what they read together, and needs what all of them need."""

    base: Translatable
    by_tag: Mapping[str, Translatable]
    reads: Reads

    def render_many(self, rows: Iterable[RenderRow]) -> list[Any]:
        """The content for each user in the reader's language, or why there is none, in the order of `rows`."""
        return [self._of(row.user.get(LOCALE)).render_many([row])[0] for row in rows]

    def render_batch(self, batch: RenderBatch) -> list[Rendered | Missing | RenderFailed]:
        """What `render_many` gives for the rows of a batch, faster."""
        wanted = batch.user.get(LOCALE) or [None] * len(batch)
        tags = {value: lookup(self.by_tag, value) for value in {one for one in wanted if type(one) is str}}
        groups: dict[str | None, list[int]] = {}
        for place, one in enumerate(wanted):
            groups.setdefault(tags[one] if type(one) is str else None, []).append(place)
        found: list[Any] = [None] * len(batch)
        for tag, places in groups.items():
            content = self.base if tag is None else self.by_tag[tag]
            for place, result in zip(places, content.render_batch(batch.part(places)), strict=True):
                found[place] = result
        return found

    def _of(self, value: Value) -> Translatable:
        tag = lookup(self.by_tag, value) if type(value) is str else None
        return self.base if tag is None else self.by_tag[tag]


def translated(base: Translatable, by_tag: Mapping[str, Translatable]) -> TranslatedContent:
    """A content with its translations, whose tags `check_tags` passed."""
    every = [base.reads, *(one.reads for one in by_tag.values())]
    together = reduce(Reads.__or__, every)
    needed = reduce(frozenset.intersection, (one.required for one in every))
    return TranslatedContent(
        base, by_tag, replace(together, properties=together.properties | {LOCALE}, required=needed)
    )


def check_tags(tags: Iterable[str], field: str) -> None:
    """Refuse tags that no reader can have, are not written as they should be, or are too many.

    Raises:
        InvalidTemplate: LOCALE_UNKNOWN, TOO_MANY_TRANSLATIONS.
    """
    found = list(tags)
    if len(found) > MAX_TRANSLATIONS:
        raise InvalidTemplate(
            f"{len(found)} translations", field=field, mend=f"at most {MAX_TRANSLATIONS}", code="TOO_MANY_TRANSLATIONS"
        )
    for tag in found:
        problem = tag_problem(tag)
        if problem:
            raise InvalidTemplate(
                problem, field=f"{field}[{tag!r}]", mend="write a BCP 47 tag such as de or pt-BR", code="LOCALE_UNKNOWN"
            )
