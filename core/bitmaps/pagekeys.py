"""Keys of the population's pages: kind, name, a zero byte, what, two numbers; all in an order that sorts by number."""

from __future__ import annotations

import struct
from typing import Final

STATE: Final = b"population/state"
COLUMNS: Final = b"population/columns/"
EVENTS: Final = b"population/events/"
_TAIL: Final = struct.Struct(">xcIQ")
_BIAS: Final = 1 << 63


def key_of(prefix: bytes, name: str, what: bytes, owner: int = 0, number: int = 0) -> bytes:
    """A page's key.

    Arguments:
        what: one byte, the kind of page.
        owner: which property of an event table, otherwise 0.
        number: block, day (may be negative) or page of a dictionary.
    """
    return prefix + name.encode() + _TAIL.pack(what, owner, number + _BIAS)


def parts_of(prefix: bytes, key: bytes) -> tuple[str, bytes, int, int]:
    """Name, what, owner and number of a key."""
    what, owner, number = _TAIL.unpack_from(key, len(key) - _TAIL.size)
    return key[len(prefix) : len(key) - _TAIL.size].decode(), what, owner, number - _BIAS
