"""A message's content with its snippets and its layout in it, and who uses a snippet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from core.messaging.definitions import EmailSource, MessageDefinition, Source
from core.messaging.work import View
from core.snippets import Snippet, expanded, includes, laid_out


def whole(source: Source, snippets: Mapping[str, Snippet], field: str) -> Source:
    """The content with the texts of its snippets in the place of their names, those of its translations included.

    Arguments:
        field: the caller's name of the content, for errors.

    Raises:
        InvalidTemplate: SNIPPET_UNKNOWN, SNIPPET_TOO_DEEP, NO_LAYOUT, TEMPLATE_TOO_LARGE.
    """
    found: Any = source
    if isinstance(source, EmailSource) and source.layout:
        around = {
            tag: replace(one, html=laid_out(one.html, source.layout, snippets, f"{field}.layout")) if one.html else one
            for tag, one in source.translations.items()
        }
        html = laid_out(source.html, source.layout, snippets, f"{field}.layout") if source.html else ""
        found = replace(source, html=html, translations=around, layout="")
    made: Source = _expanded(found, snippets, field)
    return made


def _expanded(found: Any, snippets: Mapping[str, Snippet], field: str) -> Any:
    """A record with every text in it expanded."""
    changes: dict[str, Any] = {}
    for item in fields(found):
        value, place = getattr(found, item.name), f"{field}.{item.name.rstrip('_')}"
        if isinstance(value, str) and "include" in value:
            changes[item.name] = expanded(value, snippets, place)
        elif isinstance(value, dict) and value:
            changes[item.name] = {
                name: expanded(one, snippets, f"{place}[{name!r}]")
                if isinstance(one, str)
                else _expanded(one, snippets, f"{place}[{name!r}]")
                for name, one in value.items()
            }
    return replace(found, **changes) if changes else found


def users_of(view: View, key: str) -> list[MessageDefinition]:
    """The messages that have not ended and use a snippet, by name or through another one."""
    snippets = view.settings.snippets
    using = {key}
    for _ in snippets:
        more = {one.key for one in snippets.values() if includes(one.text) & using} - using
        if not more:
            break
        using |= more
    return [one for one in view.messages.all() if one.state != "ended" and _named(one) & using]


def _named(definition: MessageDefinition) -> set[str]:
    """The snippets that a message names itself."""
    found: set[str] = set()
    for content in (definition.content, *(variant.content for variant in definition.variants)):
        for text in _texts(content):
            found |= includes(text)
        if isinstance(content, EmailSource) and content.layout:
            found.add(content.layout)
    return found


def _texts(found: Any) -> list[str]:
    """Every text of a record."""
    texts: list[str] = []
    for item in fields(found):
        value = getattr(found, item.name)
        for one in value.values() if isinstance(value, dict) else [value]:
            if isinstance(one, str):
                texts.append(one)
            elif hasattr(one, "__dataclass_fields__"):
                texts += _texts(one)
    return texts
