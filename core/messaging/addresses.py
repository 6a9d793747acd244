"""Addresses as gates, allow-lists and providers compare them."""

from __future__ import annotations

from functools import lru_cache

from core.render.headers import address
from core.render.results import RenderError


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
