"""Languages of readers: which locale a profile's `$locale` names, and which of some translations is for it.

Tags are BCP 47 (`de`, `de-CH`, `zh-Hant-TW`); an underscore for a hyphen, and any case, are read alike. A translation is
found by RFC 4647's lookup: `de-CH-1996`, then `de-CH`, then `de`, then none; a tag that leaves its script open is tried with
its likely one (CLDR) before the language alone, so that `zh-TW` finds `zh-Hant`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from core.values import Value

LOCALE: Final = "$locale"
"""The profile property that holds a reader's tag."""

DEFAULT: Final = "en"
"""The locale of whoever has none that is known."""

MAX_TAG: Final = 35
"""Characters of a tag, by BCP 47's advice."""


@lru_cache(maxsize=4096)
def locale_of_tag(tag: str) -> str | None:
    """The name that CLDR has for the nearest known locale of a tag, such as `de_CH`; None where there is none."""
    for one in shorter(tag):
        if _parsed(one) is not None:
            return one.replace("-", "_")
    return None


def locale_of(value: Value) -> str:
    """The name of a reader's locale: of a value of `$locale`, or `DEFAULT`."""
    return (locale_of_tag(value) if type(value) is str else None) or DEFAULT


@lru_cache(maxsize=1024)
def locale(name: str) -> Locale:
    """The locale of a name that `locale_of` gave."""
    found = _parsed(name.replace("_", "-"))
    assert found is not None
    return found


def tag_problem(tag: str) -> str:
    """What is wrong with the tag of a translation, or ""."""
    found = _parsed(tag) if tag else None
    if found is None:
        return f"{tag!r} is no language that is known"
    written = str(found).replace("_", "-")
    return "" if written == tag else f"{tag!r} is written {written!r}"


def lookup(tags: Collection[str], wanted: str) -> str | None:
    """Which of some translations is for a reader.

    Arguments:
        tags: of the translations, written as `tag_problem` has them.
        wanted: a value of `$locale`.

    Returns:
        One of the tags; None where the text that is not translated is for the reader.
    """
    by_name = {tag.lower(): tag for tag in tags}
    *regional, language = [*shorter(wanted)] or [""]
    *scripts, _ = [*shorter(_likely(wanted))] or [""]
    for one in (*regional, *scripts, language):
        if one.lower() in by_name:
            return by_name[one.lower()]
    return None


def shorter(tag: str) -> Iterator[str]:
    """A tag and what is left of it as its end is taken off, subtag by subtag."""
    parts = [part for part in tag[:MAX_TAG].strip().replace("_", "-").split("-") if part]
    while parts:
        yield "-".join(parts)
        parts.pop()
        while parts and len(parts[-1]) == 1:  # what begins an extension is nothing without it
            parts.pop()


def _parsed(tag: str) -> Locale | None:
    if len(tag) > MAX_TAG:
        return None
    try:
        return Locale.parse(tag, sep="-", resolve_likely_subtags=False)
    except (UnknownLocaleError, ValueError, TypeError):
        return None


@lru_cache(maxsize=4096)
def _likely(tag: str) -> str:
    """The tag with its likely script, "" where that is not known."""
    parts = [part for part in tag[:MAX_TAG].strip().replace("_", "-").split("-") if part]
    if not parts:
        return ""
    language, region = parts[0].lower(), parts[-1].upper() if len(parts) > 1 else ""
    known = get_global("likely_subtags")
    found = known.get(f"{language}_{region}") or known.get(language) or ""
    return str(found).replace("_", "-")
