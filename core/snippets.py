"""Snippets: pieces of templates that messages share, put in before a template is compiled.

`{% include "footer" %}` stands for the text of the snippet `footer`. A layout is a snippet with `{{ content }}` in it, which
stands for the HTML of an email that names it. Both are texts put into texts: what they read is what the message reads.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from core.codec import record
from core.errors import InvalidInput, InvalidTemplate

MAX_SNIPPETS: Final = 200
MAX_CHARACTERS: Final = 100_000
"""Of one snippet."""

MAX_DEPTH: Final = 4
"""Snippets inside each other."""

_MAX_EXPANDED: Final = 524_288
_KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
_INCLUDE: Final = re.compile(r"(?:\s*\{%-|\{%\+?)\s*include\s+(?:\"([^\"{}%]*)\"|'([^'{}%]*)')\s*(?:-%\}\s*|\+?%\})")
_CONTENT: Final = re.compile(r"\{\{-?\s*content\s*-?\}\}")


@record("snippet")
@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a template. `revision` counts changes."""

    key: str
    text: str
    title: str = ""
    revision: int = 1

    @property
    def is_layout(self) -> bool:
        """Whether the HTML of an email can stand in it."""
        return _CONTENT.search(self.text) is not None


def check_snippet(snippet: Snippet, others: Mapping[str, Snippet]) -> None:
    """Refuse a bad key, a text that is too long, and one snippet too many.

    Raises:
        InvalidInput: INVALID_KEY, SNIPPET_TOO_LONG, TOO_MANY_SNIPPETS.
    """
    if not _KEY.match(snippet.key):
        raise InvalidInput(
            f"{snippet.key!r} is no key" if snippet.key else "the key is empty",
            field="snippet.key",
            mend="a lower-case letter, then up to 62 lower-case letters, digits, `-` or `_`",
            code="INVALID_KEY",
        )
    if len(snippet.text) > MAX_CHARACTERS:
        raise InvalidInput(
            f"{len(snippet.text):,} characters",
            field="snippet.text",
            mend=f"at most {MAX_CHARACTERS:,}",
            code="SNIPPET_TOO_LONG",
        )
    if snippet.key not in others and len(others) >= MAX_SNIPPETS:
        raise InvalidInput(
            f"there are {len(others)} snippets",
            field="snippet",
            mend=f"at most {MAX_SNIPPETS}",
            code="TOO_MANY_SNIPPETS",
        )


def includes(text: str) -> frozenset[str]:
    """The keys of the snippets that a text names itself."""
    return frozenset(found[1] or found[2] or "" for found in _INCLUDE.finditer(text))


def expanded(text: str, snippets: Mapping[str, Snippet], field: str, depth: int = 0) -> str:
    """A text with its snippets in it.

    Arguments:
        field: the caller's name of the text, for errors.
        depth: callers leave it 0.

    Raises:
        InvalidTemplate: SNIPPET_UNKNOWN, SNIPPET_TOO_DEEP, TEMPLATE_TOO_LARGE.
    """
    if "include" not in text:
        return text
    if depth > MAX_DEPTH:
        raise InvalidTemplate(
            f"snippets inside each other deeper than {MAX_DEPTH}, or in a circle",
            field=field,
            mend="leave one out",
            code="SNIPPET_TOO_DEEP",
        )
    made = _INCLUDE.sub(
        lambda found: expanded(_text_of(found[1] or found[2] or "", snippets, field), snippets, field, depth + 1), text
    )
    if len(made) > _MAX_EXPANDED:
        raise InvalidTemplate(
            f"more than {_MAX_EXPANDED:,} characters with its snippets",
            field=field,
            mend="shorten them",
            code="TEMPLATE_TOO_LARGE",
        )
    return made


def laid_out(html: str, layout: str, snippets: Mapping[str, Snippet], field: str) -> str:
    """The HTML of an email inside its layout; itself where `layout` is "".

    Raises:
        InvalidTemplate: SNIPPET_UNKNOWN, NO_LAYOUT.
    """
    if not layout:
        return html
    around = _text_of(layout, snippets, field)
    if not _CONTENT.search(around):
        raise InvalidTemplate(
            f"the snippet {layout!r} is no layout",
            field=field,
            mend="put {{ content }} where the HTML of an email goes",
            code="NO_LAYOUT",
        )
    return _CONTENT.sub(lambda _: html, around)


def without_content(text: str) -> str:
    """The text of a snippet as it compiles on its own, without an email in it."""
    return _CONTENT.sub("", text)


def _text_of(key: str, snippets: Mapping[str, Snippet], field: str) -> str:
    found = snippets.get(key)
    if found is None:
        near = difflib.get_close_matches(key, list(snippets), 1)
        raise InvalidTemplate(
            f"there is no snippet {key!r}",
            field=field,
            mend=f"did you mean {near[0]!r}?" if near else "save it first: muster snippet save KEY FILE",
            code="SNIPPET_UNKNOWN",
        )
    return found.text
