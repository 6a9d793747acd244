"""Where links go in a rendered email: the unsubscribe marks, the addresses of its anchors, and the end of its body.

Only these places change; all else of the text stays as its author wrote it, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape, unescape
from typing import Final

UNSUBSCRIBE: Final = re.compile(r"<<\s*unsub(?:scribe)?\s*>>|&lt;&lt;\s*unsub(?:scribe)?\s*&gt;&gt;", re.IGNORECASE)
"""The mark that stands for the link to unsubscribe."""

PREFERENCES: Final = re.compile(r"<<\s*preferences\s*>>|&lt;&lt;\s*preferences\s*&gt;&gt;", re.IGNORECASE)
"""The mark that stands for the link to the page of preferences."""

_ANCHORS: Final = re.compile(
    r"<!--.*?-->"  # also what only Outlook reads
    r"|<(script|style|title|textarea)\b.*?</\1\s*>"
    r"""|<a(?=[\s/])(?:[^"'>]|"[^"]*"|'[^']*')*>""",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE: Final = re.compile(r"""([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+)))?""")
_WEB: Final = re.compile(r"https?://", re.IGNORECASE)
_BODY_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)
_PIXEL: Final = '<img src="{}" width="1" height="1" alt="" style="display:none">'


def has_marks(text: str) -> bool:
    """Whether a text has a mark that a link must stand in for."""
    if "<<" not in text and "&lt;&lt;" not in text:
        return False
    return UNSUBSCRIBE.search(text) is not None or PREFERENCES.search(text) is not None


def with_marks_filled(text: str, unsubscribe: str, preferences: str) -> str:
    """A text with its marks replaced by links, which need no escaping."""
    text = UNSUBSCRIBE.sub(lambda _: unsubscribe, text)
    return PREFERENCES.sub(lambda _: preferences, text)


def with_clicks(html: str, link_of: Callable[[str], str]) -> str:
    """HTML whose anchors lead elsewhere: each http(s) address goes through `link_of`, once a distinct one.

    What is not on the surface stays: comments, scripts, styles, and anchors without such an address.
    """
    known: dict[str, str] = {}

    def replaced(found: re.Match[str]) -> str:
        tag = found[0]
        if found[1] is not None or tag.startswith("<!"):
            return tag
        for attribute in _ATTRIBUTE.finditer(tag, 2):
            if attribute[1].lower() == "href":
                return _with_target(tag, attribute, link_of, known)
        return tag

    return _ANCHORS.sub(replaced, html)


def _with_target(tag: str, attribute: re.Match[str], link_of: Callable[[str], str], known: dict[str, str]) -> str:
    group = next((number for number in (2, 3, 4) if attribute[number] is not None), None)
    if group is None:
        return tag
    url = unescape(attribute[group]).strip()
    if not _WEB.match(url):
        return tag
    if url not in known:
        known[url] = link_of(url)
    target = escape(known[url])
    start, end = attribute.span(group)
    return tag[:start] + (target if group != 4 else f'"{target}"') + tag[end:]


def with_pixel(html: str, url: str) -> str:
    """HTML with an invisible picture at the end of its body."""
    pixel = _PIXEL.format(escape(url))
    ends = list(_BODY_END.finditer(html))
    at = ends[-1].start() if ends else len(html)
    return html[:at] + pixel + html[at:]
