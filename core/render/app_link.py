"""Where a tap leads: links that an app opens, by templates."""

from __future__ import annotations

import re
from typing import Final

from core.errors import InvalidTemplate
from core.render.printing import Escape
from core.render.results import RenderError
from core.render.template import Template, compile_template

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_WEB: Final = re.compile(r"https?://[^/?#\s]+", re.IGNORECASE)
_NOT_IN_LINK: Final = re.compile(r"[^\x21-\x7e]|[\\<>\"^`{|}]")
_DANGEROUS: Final = ("javascript:", "data:", "vbscript:")
"""Schemes that run what they are given."""


def compile_link(source: str, field: str, *, web: bool = False) -> Template | None:
    """A template of a link; None for none.

    Values are percent-encoded whole where the scheme is written out. Where the whole link is a value, as in
    `{{ user.link }}`, it is taken as it is.

    Arguments:
        web: only http and https will do.

    Raises:
        InvalidTemplate: LINK_INVALID besides the codes of compile_template.
    """
    source = source.strip()
    if not source:
        return None
    written_out = not source.startswith("{")
    if written_out and not _SCHEME.match(source):
        raise InvalidTemplate(
            "a link without a scheme",
            field=field,
            mend="write it as https://example.com/ or shop://orders/7",
            code="LINK_INVALID",
        )
    escape = Escape.URL if written_out else Escape.TEXT
    return compile_template(source, escape, field=field, finish=_web_link if web else _link)


def _link(text: str) -> str:
    """The link itself, which may be empty. Raises RenderError LINK_UNSAFE for what is none."""
    link = text.strip()
    if link and (not _SCHEME.match(link) or _NOT_IN_LINK.search(link) or link.lower().startswith(_DANGEROUS)):
        raise RenderError("it is no link", mend="an absolute URL, percent-encoded", code="LINK_UNSAFE")
    return link


def _web_link(text: str) -> str:
    link = _link(text)
    if link and not _WEB.match(link):
        raise RenderError("it is no web address", mend="one such as https://example.com/a.png", code="LINK_UNSAFE")
    return link
