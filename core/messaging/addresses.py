"""Addresses as gates, allow-lists and providers compare them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

import phonenumbers

from core.render.headers import address
from core.render.results import RenderError

OF_USER: Final = "user:"
"""How an entry of an allow-list begins that is a user, by a distinct id, and no address."""
_PORTS: Final = {"http": 80, "https": 443}


@lru_cache(maxsize=65_536)
def normalise_email(text: str) -> str | None:
    """An email address in its one spelling, checked by its syntax alone (no DNS); None for what is no address.

    The domain is written in lower case and in Unicode; the part before the @ keeps its case, which belongs to the
    receiver.
    """
    try:
        return address(text)
    except RenderError:
        return None


@dataclass(frozen=True, slots=True)
class Url:
    """A web address in parts that can be compared: scheme, host and port in one spelling, the rest as written."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    def allows(self, other: Url) -> bool:
        """Whether an allow-list that holds this URL lets the other be called: it is the same, or lies below it.

        Below a URL that ends in / is what its path begins. A path that may lead out again, such as `/a/../b`, lies
        below none.
        """
        if (self.scheme, self.host, self.port) != (other.scheme, other.host, other.port):
            return False
        if (self.path, self.query) == (other.path, other.query):
            return True
        return (
            self.path.endswith("/") and not self.query and other.path.startswith(self.path) and not _climbs(other.path)
        )


def _climbs(path: str) -> bool:
    return any(part in (".", "..") for part in unquote(path).replace("\\", "/").split("/"))


@lru_cache(maxsize=65_536)
def read_url(text: str) -> Url | None:
    """The parts of an absolute http or https URL; None for what is none, or names no host."""
    try:
        parts = urlsplit(text)
        given = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    port = _PORTS[parts.scheme] if given is None else given
    return Url(parts.scheme, parts.hostname, port, parts.path or "/", parts.query)


@lru_cache(maxsize=65_536)
def normalise_phone(text: str) -> str | None:
    """A telephone number in E.164, such as `+4915112345678`; None for what is none, or lacks the country's code.

    It must be possible by its country's plan: of that code, and of a length in use there. Whether the number is given
    to anybody is for the provider to say, since plans change faster than libraries.
    """
    if not text.lstrip().startswith("+"):
        return None
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
