"""Where long pages stand in the data file, noted beside them.

py-lmdb reads all of a value before it hands it out; by its noted place a page is used without that. A note is a hint:
whoever follows it finds the page's head there, checksum and stored key in it, or else asks LMDB. In a copy that LMDB made
compact, say, every page stands elsewhere.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from core.storage.checkpoints import STATE
from core.storage.environment import Environment

_PREFIX: Final = b"p"
_NOTE: Final = struct.Struct(">QQ")
_LMDB_KEY_BYTES: Final = 511


def note(environment: Environment, transaction: Any, stored: bytes, value: memoryview) -> None:
    """Note the place of a value just put, as the transaction gives it; nothing where it has none of its own."""
    place = environment.place_of(value)
    if place >= 0 and len(stored) < _LMDB_KEY_BYTES:
        transaction.put(_PREFIX + stored, _NOTE.pack(place, len(value)), db=environment.database(STATE))


def noted(environment: Environment, transaction: Any, stored: bytes) -> tuple[int, int] | None:
    """The noted offset and length of the value under a stored key, None where there is no note."""
    if len(stored) >= _LMDB_KEY_BYTES:
        return None
    found = transaction.get(_PREFIX + stored, db=environment.database(STATE))
    return None if found is None or len(found) != _NOTE.size else _NOTE.unpack(found)


def forget(environment: Environment, transaction: Any, stored: bytes) -> None:
    """Remove the note of a page that is deleted."""
    if len(stored) < _LMDB_KEY_BYTES:
        transaction.delete(_PREFIX + stored, db=environment.database(STATE))
