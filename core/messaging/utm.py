"""UTM parameters: what the links of an email tell a site's own analytics, put on those that do not say it themselves."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from html import escape
from typing import Final
from urllib.parse import quote, unquote_plus

from core.codec import record
from core.errors import InvalidInput
from core.messaging.link_places import with_clicks

MAX_VALUE: Final = 200
"""Characters of one parameter."""

_IN_TEXT: Final = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_AFTER: Final = ".,;:!?)]}'"
"""What ends a sentence about a link, rather than the link."""

Pairs = tuple[tuple[str, str], ...]


@record("utm")
@dataclass(frozen=True, slots=True)
class Utm:
    """Parameters for links that lack them; "" leaves one out, but for the campaign, which then is the message's key."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    term: str = ""
    content: str = ""

    def pairs(self, key: str) -> Pairs:
        """The parameters of the links of a message, in the order in which they are written."""
        values = {**asdict(self), "campaign": self.campaign or key}
        return tuple((f"utm_{name}", value) for name, value in values.items() if value)


def check_utm(utm: Utm, channel: str, field: str) -> None:
    """Refuse parameters that are too long, not on one line, or of a message that is no email.

    Raises:
        InvalidInput: UTM_INVALID.
    """
    if channel != "email":
        raise InvalidInput("only emails have UTM parameters", field=field, mend="leave them out", code="UTM_INVALID")
    for name, value in asdict(utm).items():
        if len(value) > MAX_VALUE or not value.isprintable():
            raise InvalidInput(
                "a parameter that is too long, or more than one line",
                field=f"{field}.{name}",
                mend=f"at most {MAX_VALUE} characters",
                code="UTM_INVALID",
            )


def in_html(html: str, pairs: Pairs, own: str) -> str:
    """HTML whose anchors' http(s) addresses have the parameters.

    Arguments:
        pairs: as `Utm.pairs` gives them.
        own: where the project's own links begin, which have none; "" where there are none.
    """
    return with_clicks(html, lambda url: escape(_tagged(url, pairs, own)))


def in_text(text: str, pairs: Pairs, own: str) -> str:
    """A plain text whose http(s) addresses have the parameters; otherwise as `in_html`."""

    def replaced(found: re.Match[str]) -> str:
        url = found[0].rstrip(_AFTER)
        return _tagged(url, pairs, own) + found[0][len(url) :]

    return _IN_TEXT.sub(replaced, text)


@lru_cache(maxsize=4096)
def _tagged(url: str, pairs: Pairs, own: str) -> str:
    """The address with the parameters that its query lacks."""
    if own and url.startswith(own):
        return url
    before, sign, fragment = url.partition("#")
    _, _, query = before.partition("?")
    present = {unquote_plus(part.partition("=")[0]).lower() for part in query.split("&")}
    added = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs if name not in present)
    if not added:
        return url
    joint = "?" if "?" not in before else "" if not query or query.endswith("&") else "&"
    return f"{before}{joint}{added}{sign}{fragment}"
