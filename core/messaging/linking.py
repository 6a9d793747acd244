"""Puts signed links into rendered emails, after rendering and apart from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.errors import FailedPrecondition
from core.messaging.address_index import address_key
from core.messaging.definitions import EmailSource, MessageDefinition
from core.messaging.link_places import has_marks, with_clicks, with_marks_filled, with_pixel
from core.messaging.links import Link, LinkKind, url_of
from core.messaging.work import View
from core.settings import Settings

LINKS_OFF: Final = "LINKS_OFF"
"""Why an email is not rendered whose text has a mark for a link, in a project that has no links."""


@dataclass(frozen=True, slots=True)
class Linked:
    """The parts of an email that links change. `unsubscribe_url` is for its headers, "" where the project has no links."""

    html: str
    text: str
    unsubscribe_url: str = ""


@dataclass(frozen=True, slots=True)
class Linking:
    """How links are made for one occurrence of a message.

    Arguments:
        preview: make links that change nothing.
    """

    settings: Settings
    definition: MessageDefinition
    occurrence: int
    preview: bool = False

    @property
    def is_on(self) -> bool:
        """Whether the project has links."""
        return is_on(self.settings)

    def email(self, to: str, html: str, text: str, known_as: int) -> Linked:
        """An email with its links: to unsubscribe, and as the project wishes of clicks and opens.

        Arguments:
            to: the address it goes to.
            known_as: the ordinal that the hand-off's idempotency key names.
        """
        links = self.settings.links
        address = address_key(self.settings.uid, "email", to)

        def url(kind: LinkKind, target: str = "") -> str:
            key = self.definition.key
            return url_of(self.settings, Link(kind, key, self.occurrence, known_as, address, target, self.preview))

        unsubscribe = url("unsubscribe")
        if html and links.clicks:
            own = links.base_url + "/"
            html = with_clicks(html, lambda target: target if target.startswith(own) else url("click", target))
        if has_marks(html) or has_marks(text):
            preferences = url("preferences")
            html = with_marks_filled(html, unsubscribe, preferences)
            text = with_marks_filled(text, unsubscribe, preferences)
        if html and links.opens:
            html = with_pixel(html, url("open"))
        return Linked(html, text, unsubscribe)


def is_on(settings: Settings) -> bool:
    """Whether a project has links."""
    return bool(settings.links.base_url and settings.link_keys)


def needs_links(definition: MessageDefinition) -> bool:
    """Whether a message's content has a mark that only a link can stand in for."""
    content = definition.content
    return isinstance(content, EmailSource) and (has_marks(content.html) or has_marks(content.text))


def refuse_missing_links(view: View, definition: MessageDefinition) -> None:
    """Refuse to launch what has a mark for a link in a project without links.

    Raises:
        FailedPrecondition: LINKS_NOT_SET.
    """
    if not is_on(view.settings) and needs_links(definition):
        raise FailedPrecondition(
            "the content has a link to unsubscribe, and the project does not say where its links lead",
            field="message.email",
            mend="muster project update --links-url https://… says where the server's gateway is reached",
            code="LINKS_NOT_SET",
        )
