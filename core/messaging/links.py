"""Signed links of messages: to unsubscribe, to preferences, of opens and of clicks.

A link ends in a token: what it is for, which hand-off it was in, to which address (by its key), and, of a click, where
it leads, all under a MAC with a key of the project. The key never leaves the store. It can be changed; links made with the
one before stay good until it is changed again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from core.settings import Settings

LinkKind = Literal["unsubscribe", "preferences", "open", "click"]

PATHS: Final[dict[LinkKind, str]] = {"unsubscribe": "u", "preferences": "p", "open": "o", "click": "c"}
"""The first part of a link's path, by kind."""

_KINDS: Final[dict[LinkKind, int]] = {"unsubscribe": 1, "preferences": 2, "open": 3, "click": 4}
_KIND_OF: Final = {number: kind for kind, number in _KINDS.items()}
_PREVIEW: Final = 0x80
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BB6sQIIB")
_MAC_BYTES: Final = 16
_TAG_BYTES: Final = 6
MAX_TOKEN: Final = 4_000
"""Characters of the longest token that is looked at; servers and mail programs cut far shorter paths."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says.

    Arguments:
        kind: what it is for.
        message_key, occurrence, ordinal: the hand-off it was in; the ordinal is the one that its idempotency key names.
        address: the key of the address that the message went to.
        target: of a click, the URL it leads to.
        preview: whether it is of a preview, and so changes nothing.
    """

    kind: LinkKind
    message_key: str
    occurrence: int
    ordinal: int
    address: int
    target: str = ""
    preview: bool = False


def new_key() -> str:
    """A key of links, by chance: 32 bytes in hexadecimal."""
    return secrets.token_hex(32)


def project_tag(uid: str) -> bytes:
    """Six bytes that tell a server which project a token is of."""
    return hashlib.blake2b(uid.encode(), digest_size=_TAG_BYTES, person=b"muster links").digest()


class Signer:
    """Makes links under a project's present key.

    Arguments:
        settings: of the project.

    Raises:
        IndexError: where the project has no key of links.
    """

    def __init__(self, settings: Settings) -> None:
        self._base = settings.links.base_url
        self._tag = project_tag(settings.uid)
        self._keyed = hashlib.blake2b(key=bytes.fromhex(settings.link_keys[0]), digest_size=_MAC_BYTES)

    def token(self, link: Link) -> str:
        """The token of a link, for a URL."""
        return self._signed(self._start(link) + link.target.encode())

    def url(self, link: Link) -> str:
        """The whole link."""
        return f"{self._base}/{PATHS[link.kind]}/{self.token(link)}"

    def urls(self, link: Link) -> Callable[[str], str]:
        """What makes the link of any target, all else being as in the link given."""
        start, path = self._start(link), f"{self._base}/{PATHS[link.kind]}/"
        return lambda target: path + self._signed(start + target.encode())

    def _start(self, link: Link) -> bytes:
        name = link.message_key.encode()
        kind = _KINDS[link.kind] | (_PREVIEW if link.preview else 0)
        return _HEAD.pack(_VERSION, kind, self._tag, link.address, link.ordinal, link.occurrence, len(name)) + name

    def _signed(self, body: bytes) -> str:
        mac = self._keyed.copy()
        mac.update(body)
        return urlsafe_b64encode(body + mac.digest()).rstrip(b"=").decode()


def tag_of(token: str) -> bytes | None:
    """The tag of the project that a token says it is of; None where it is no token."""
    body = _decoded(token)
    return None if body is None else body[2 : 2 + _TAG_BYTES]


def read(settings: Settings, token: str) -> Link | None:
    """What a token says; None where it is none, or none of the project, or was changed."""
    decoded = _decoded(token)
    if decoded is None:
        return None
    body, mac = decoded[:-_MAC_BYTES], decoded[-_MAC_BYTES:]
    if not _is_signed(settings.link_keys, body, mac):
        return None
    version, kind, tag, address, ordinal, occurrence, length = _HEAD.unpack_from(body)
    found = _KIND_OF.get(kind & ~_PREVIEW)
    if version != _VERSION or found is None or tag != project_tag(settings.uid):
        return None
    name, target = body[_HEAD.size : _HEAD.size + length], body[_HEAD.size + length :]
    return Link(found, name.decode(), occurrence, ordinal, address, target.decode(), bool(kind & _PREVIEW))


def _decoded(token: str) -> bytes | None:
    if len(token) > MAX_TOKEN or not token.isascii():
        return None
    try:
        decoded = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return None
    # One spelling a token: what the decoder passes over, or bits beyond the last byte, make it another.
    if urlsafe_b64encode(decoded).rstrip(b"=").decode() != token:
        return None
    return decoded if len(decoded) >= _HEAD.size + _MAC_BYTES else None


def _mac(key: str, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=bytes.fromhex(key), digest_size=_MAC_BYTES).digest()


def _is_signed(keys: Iterable[str], body: bytes, mac: bytes) -> bool:
    """Whether any key made this MAC, in a time that tells nothing of it."""
    good = False
    for key in keys:
        good |= hmac.compare_digest(_mac(key, body), mac)
    return good
