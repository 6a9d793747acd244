"""Opaque page tokens that know what they belong to, and page sizes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any, Final

from core.errors import InvalidInput

DEFAULT_SIZE: Final = 100
MAX_SIZE: Final = 1_000


def page_size(asked: int) -> int:
    """The size to serve: 100 where none is asked, at most 1,000.

    Raises:
        InvalidInput: PAGE_SIZE, for a negative one.
    """
    if asked < 0:
        raise InvalidInput(
            f"a page of {asked}", field="page_size", mend=f"0 (for {DEFAULT_SIZE}) to {MAX_SIZE}", code="PAGE_SIZE"
        )
    return min(asked or DEFAULT_SIZE, MAX_SIZE)


class Pages:
    """Makes and reads the page tokens of one listing.

    Arguments:
        listing: the name of the method.
        scope: what the client asked besides the page (project, filters); a token from another question is refused.
    """

    def __init__(self, listing: str, *scope: object) -> None:
        text = json.dumps([listing, *scope], separators=(",", ":"), default=list)
        self._owner = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()

    def token(self, position: object | None) -> str:
        """The token of the page that starts after `position` (JSON-able); "" for None, there being no more."""
        if position is None:
            return ""
        text = json.dumps([self._owner, position], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def position(self, token: str, start: Any) -> Any:
        """The position a token holds, or `start` for the empty one.

        Raises:
            InvalidInput: INVALID_PAGE_TOKEN, for a token that is damaged or of another listing.
        """
        if not token:
            return start
        try:
            decoded = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            owner, position = decoded
        except (binascii.Error, ValueError, TypeError):
            raise self._refusal("the page token is damaged") from None
        if owner != self._owner:
            raise self._refusal("the page token belongs to another listing")
        if type(position) is not type(start):
            raise self._refusal("the page token is damaged")
        return position

    @staticmethod
    def _refusal(message: str) -> InvalidInput:
        return InvalidInput(
            message,
            field="page_token",
            mend="send `next_page_token` of the same request's answer, or none to start over",
            code="INVALID_PAGE_TOKEN",
        )
