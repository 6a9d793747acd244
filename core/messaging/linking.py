"""Puts signed links into rendered emails, after rendering and apart from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from core.errors import FailedPrecondition
from core.messaging.address_index import folded_key
from core.messaging.definitions import EmailSource, MessageDefinition
from core.messaging.link_places import has_marks, with_clicks, with_marks_filled, with_pixel
from core.messaging.links import Link, LinkKind, Signer
from core.messaging.snippets import whole
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


class Linking:
    """Makes the links of one occurrence of a message.

    Arguments:
        preview: make links that change nothing.
    """

    def __init__(
        self, settings: Settings, definition: MessageDefinition, occurrence: int, *, preview: bool = False
    ) -> None:
        self._settings = settings
        self._key = definition.key
        self._occurrence = occurrence
        self._preview = preview
        self._signer = Signer(settings) if is_on(settings) and definition.channel == "email" else None

    @property
    def is_on(self) -> bool:
        """Whether there are links for it: the project has some, and it is an email."""
        return self._signer is not None

    def email(self, to: str, html: str, text: str, known_as: int) -> Linked:
        """An email with its links: to unsubscribe, and as the project wishes of clicks and opens.

        Arguments:
            to: the address it goes to, in its one spelling.
            known_as: the ordinal that the hand-off's idempotency key names.
        """
        signer, links = self._signer, self._settings.links
        if signer is None:
            return Linked(html, text)
        address = folded_key(self._settings.uid, to)

        def link(kind: LinkKind) -> Link:
            return Link(kind, self._key, self._occurrence, known_as, address, preview=self._preview)

        unsubscribe = signer.url(link("unsubscribe"))
        if html and links.clicks:
            own, click = links.base_url + "/", signer.urls(link("click"))
            html = with_clicks(html, lambda target: target if target.startswith(own) else click(target))
        if has_marks(html) or has_marks(text):
            preferences = signer.url(link("preferences"))
            html = with_marks_filled(html, unsubscribe, preferences)
            text = with_marks_filled(text, unsubscribe, preferences)
        if html and links.opens:
            html = with_pixel(html, signer.url(link("open")))
        return Linked(html, text, unsubscribe)


def is_on(settings: Settings) -> bool:
    """Whether a project has links."""
    return bool(settings.links.base_url and settings.link_keys)


def needs_links(view: View, definition: MessageDefinition) -> bool:
    """Whether any text of a message, in whichever variant or language, snippets and layout included, has a mark that only
    a link can stand in for.

    Raises:
        InvalidTemplate: for a snippet that there is not.
    """
    contents = [definition.content, *(variant.content for variant in definition.variants)]
    emails = [whole(one, view.settings.snippets, "message.email") for one in contents if isinstance(one, EmailSource)]
    texts = [text for one in emails if isinstance(one, EmailSource) for text in _texts(one)]
    return any(map(has_marks, texts))


def _texts(email: EmailSource) -> Iterator[str]:
    yield from (email.html, email.text)
    for other in email.translations.values():
        yield from (other.html, other.text)


def refuse_missing_links(view: View, definition: MessageDefinition) -> None:
    """Refuse to launch what has a mark for a link in a project without links.

    Raises:
        FailedPrecondition: LINKS_NOT_SET.
    """
    if not is_on(view.settings) and needs_links(view, definition):
        raise FailedPrecondition(
            "the content has a link to unsubscribe, and the project does not say where its links lead",
            field="message.email",
            mend="muster project update --links-url https://… says where the server's gateway is reached",
            code="LINKS_NOT_SET",
        )
