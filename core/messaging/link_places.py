"""Where links go in a rendered email: the unsubscribe marks, the addresses of its anchors, and the end of its body.

Only these places change; all else of the text stays as its author wrote it, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from html import unescape
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
    """HTML whose anchors lead elsewhere: each http(s) address goes through `link_of`, which gives what needs no escaping.

    What is not on the surface stays: comments, scripts, styles, and anchors without such an address.
    """

    def replaced(found: re.Match[str]) -> str:
        parts = _parts_of(found[0])
        return found[0] if parts is None else f"{parts[0]}{link_of(parts[1])}{parts[2]}"

    return _ANCHORS.sub(replaced, html)


@lru_cache(maxsize=4096)
def _parts_of(tag: str) -> tuple[str, str, str] | None:
    """An anchor's tag about its address: what is before, the address, what is after; None where it leads nowhere.

    Most anchors of a message are the same for everybody.
    """
    if tag[1:2].lower() != "a":
        return None
    for attribute in _ATTRIBUTE.finditer(tag, 2):
        if attribute[1].lower() == "href":
            group = next((number for number in (2, 3, 4) if attribute[number] is not None), None)
            if group is None:
                return None
            url = unescape(attribute[group]).strip()
            start, end = attribute.span(group)
            quote = '"' if group == 4 else ""
            return (tag[:start] + quote, url, quote + tag[end:]) if _WEB.match(url) else None
    return None


def with_pixel(html: str, url: str) -> str:
    """HTML with an invisible picture at the end of its body; the URL needs no escaping."""
    pixel = _PIXEL.format(url)
    ends = list(_BODY_END.finditer(html))
    at = ends[-1].start() if ends else len(html)
    return html[:at] + pixel + html[at:]
