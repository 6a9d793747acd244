"""What signed links lead to: pages to unsubscribe and of preferences, the picture that tells of an open, the way to a click's
target. Whoever holds a link needs no token."""

from __future__ import annotations

import hashlib
import logging
from base64 import b64decode
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.commands import Feedback, Resubscribe, TakeFeedback, Unsubscribe
from core.errors import MusterError
from core.messaging.consent_reading import Preferences, preferences_of
from core.messaging.keys import idempotency_key
from core.messaging.links import Link, LinkKind, project_tag, read, tag_of
from server import link_html as html
from server.gateway import Page
from server.projects import Project, Projects

log = logging.getLogger("muster.links")

_PIXEL: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_MOST_BODY: Final = 16_384
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
}


class _Unreadable(Exception):
    """A link that says nothing to this server."""


def link_pages(projects: Projects) -> list[Page]:
    """The pages of links.

    Arguments:
        projects: the registry.
    """
    pages = LinkPages(projects)
    described = {
        "/u/{token}": ("A page to unsubscribe", pages.ask_unsubscribe),
        "/p/{token}": ("A page of preferences", pages.ask_preferences),
        "/o/{token}": ("The picture that tells of an open", pages.open),
        "/c/{token}": ("To where a link in an email leads", pages.click),
    }
    posted = {
        "/u/{token}": ("Unsubscribe, by the page or in one click (RFC 8058)", pages.unsubscribe),
        "/p/{token}": ("Change preferences", pages.choose),
    }
    return [
        *(Page(path, handler, _operation(about), public=True) for path, (about, handler) in described.items()),
        *(Page(path, handler, _operation(about), "POST", public=True) for path, (about, handler) in posted.items()),
    ]


def _operation(summary: str) -> dict[str, Any]:
    token = {"name": "token", "in": "path", "required": True, "schema": {"type": "string"}}
    responses = {"200": {"description": "OK"}, "404": {"description": "no link of this server"}}
    return {"summary": summary, "parameters": [token], "responses": responses}


class LinkPages:
    """Answers links.

    Arguments:
        projects: the registry.
    """

    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    async def ask_unsubscribe(self, request: Request) -> Response:
        """The page that asks whether to unsubscribe; it changes nothing, as mail scanners look at it, too."""
        try:
            project, link = self._link(request, "unsubscribe")
        except _Unreadable:
            return _not_found()
        return _page(html.unsubscribe(self._chosen(project, link), _topic_of(project, link), preview=link.preview))

    async def unsubscribe(self, request: Request) -> Response:
        """Unsubscribe: in one click from the message's topic where it has one, on the page from what was chosen."""
        try:
            project, link = self._link(request, "unsubscribe")
        except _Unreadable:
            return _not_found()
        form = await _form(request)
        one_click = form is None or "List-Unsubscribe" in form
        topic = _topic_of(project, link)
        everything = not one_click and form is not None and form.get("scope") == "everything"
        if not link.preview:
            await self._unsubscribe(project, link, "" if everything or topic is None else topic.key)
        chosen = self._chosen(project, link)
        return _page(html.unsubscribed(chosen, None if everything else topic, _token(request)))

    async def ask_preferences(self, request: Request) -> Response:
        """The page of preferences. A link to unsubscribe opens it, too."""
        try:
            project, link = self._link(request, "preferences", "unsubscribe")
        except _Unreadable:
            return _not_found()
        return _page(html.preferences(self._chosen(project, link), saved=False, preview=link.preview))

    async def choose(self, request: Request) -> Response:
        """Keep what was chosen on the page of preferences."""
        try:
            project, link = self._link(request, "preferences", "unsubscribe")
        except _Unreadable:
            return _not_found()
        form = await _form(request)
        if form is not None and "choice" in form and not link.preview:
            await self._choose(project, link, form)
        return _page(html.preferences(self._chosen(project, link), saved=True, preview=link.preview))

    async def open(self, request: Request) -> Response:
        """Note an open; the picture comes whatever happens."""
        try:
            project, link = self._link(request, "open")
            if request.method == "GET":
                await _note(project, link, Feedback("opened", _key_of(project, link)))
        except _Unreadable:
            pass
        return Response(_PIXEL, media_type="image/gif", headers=_HEADERS)

    async def click(self, request: Request) -> Response:
        """Note a click and go on to its target, which the link's signature names."""
        try:
            project, link = self._link(request, "click")
        except _Unreadable:
            return _not_found()
        if request.method == "GET":
            of_target = hashlib.blake2b(link.target.encode(), digest_size=8).hexdigest()
            await _note(
                project, link, Feedback("clicked", _key_of(project, link), event_id=of_target, url=link.target[:500])
            )
        return RedirectResponse(link.target, HTTPStatus.FOUND, headers=_HEADERS)

    def _link(self, request: Request, *kinds: LinkKind) -> tuple[Project, Link]:
        token = _token(request)
        tag = tag_of(token)
        for project in self._projects.all() if tag is not None else ():
            settings = project.engine.version.settings
            if project_tag(settings.uid) == tag:
                link = read(settings, token)
                if link is not None and link.kind in kinds:
                    return project, link
        raise _Unreadable

    def _chosen(self, project: Project, link: Link) -> Preferences:
        return preferences_of(project.engine.version, link)

    async def _unsubscribe(self, project: Project, link: Link, topic: str) -> None:
        hand_off = _key_of(project, link)
        await project.submit(Unsubscribe(channel="email", topic=topic, address_key=link.address, hand_off=hand_off), "")

    async def _choose(self, project: Project, link: Link, form: Mapping[str, str]) -> None:
        chosen = self._chosen(project, link)
        wanted = {name.removeprefix("topic:") for name in form if name.startswith("topic:")}
        everything = form["choice"] == "nothing"
        if everything != chosen.everything:
            await self._turn(project, link, "", everything)
        for topic, stopped in chosen.topics if not everything else ():
            if (topic.key not in wanted) != stopped:
                await self._turn(project, link, topic.key, topic.key not in wanted)

    async def _turn(self, project: Project, link: Link, topic: str, stop: bool) -> None:
        if stop:
            await self._unsubscribe(project, link, topic)
        else:
            await project.submit(Resubscribe(channel="email", topic=topic, address_key=link.address), "")


def _token(request: Request) -> str:
    return str(request.path_params["token"])


def _topic_of(project: Project, link: Link) -> Any:
    """The topic of the message that a link was in, None where it has none, or that is no more."""
    version = project.engine.version
    topic = version.messages.get(link.message_key).topic if link.message_key in version.messages else ""
    return version.consent.topic(topic) if topic and topic in version.consent else None


def _key_of(project: Project, link: Link) -> str:
    return idempotency_key(project.engine.version.settings.uid, link.message_key, link.ordinal, link.occurrence)


async def _note(project: Project, link: Link, feedback: Feedback) -> None:
    """Note what a reader did. That it cannot be noted now is no reason to keep the reader waiting."""
    if link.preview:
        return
    try:
        await project.submit(TakeFeedback([feedback]), "")
    except MusterError as error:
        log.warning("project %s: %s was not noted: %s", project.name, feedback.kind, error.code)


async def _form(request: Request) -> Mapping[str, str] | None:
    """The fields of a form; None where a mail program sent what is no form of this server's page, or too much."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BODY:
            return None
    if not request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        return None
    fields = parse_qs(body.decode("ascii", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


def _page(text: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return HTMLResponse(text, status, headers=_HEADERS)


def _not_found() -> Response:
    return _page(html.unreadable(), HTTPStatus.NOT_FOUND)
