"""How a page's key and its checkpoint's number become one LMDB key of at most 511 bytes.

The stored key is the page's key, escaped so that it ends itself, then the number, big-endian: all versions of a
page stand together, oldest first, and pages stand in the order of their keys. Each zero byte of the key is
followed by FF; 00 00 ends a key. A key too long keeps its first bytes, 00 01, and a digest of the whole; the
whole stands in the value. Such long keys with the same beginning stand together but in the digest's order.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from typing import Final

NUMBER: Final = struct.Struct(">Q")
MAX_NUMBER: Final = 2**64 - 1
_LMDB_KEY_BYTES: Final = 511
_DIGEST_BYTES: Final = 16
_WHOLE_END: Final = b"\x00\x00"
CUT_END: Final = b"\x00\x01"
CUT_TAIL_BYTES: Final = len(CUT_END) + _DIGEST_BYTES
_HEAD_BYTES: Final = _LMDB_KEY_BYTES - NUMBER.size - CUT_TAIL_BYTES
_END: Final = re.compile(rb"\x00[\x00\x01]")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A stored key taken apart.

    Arguments:
        stem: the stored key without the number: the same for all versions of a page.
        head: the page's key, or its beginning where `cut`.
        cut: whether the whole key stands in the value.
        number: of the checkpoint that wrote this version.
    """

    stem: bytes
    head: bytes
    cut: bool
    number: int


def _escape(key: bytes) -> bytes:
    return key.replace(b"\x00", b"\x00\xff")


def stem_of(key: bytes) -> bytes:
    """The stored key of a page without its number."""
    escaped = _escape(key)
    if len(escaped) <= _HEAD_BYTES:
        return escaped + _WHOLE_END
    return cut_head(key) + CUT_END + hashlib.blake2b(key, digest_size=_DIGEST_BYTES).digest()


def is_cut(key: bytes) -> bool:
    """Whether a page's key is too long to stand in a stored key as a whole."""
    return len(_escape(key)) > _HEAD_BYTES


def cut_head(key: bytes) -> bytes:
    """The escaped beginning of a key as far as it fits, never cutting an escaped zero in two."""
    head = _escape(key)[:_HEAD_BYTES]
    return head[:-1] if head.endswith(b"\x00") else head


def seek_of(prefix: bytes) -> bytes:
    """Where the stored keys of all pages with this prefix begin."""
    return cut_head(prefix) if is_cut(prefix) else _escape(prefix)


def version_of(stem: bytes, number: int) -> bytes:
    """The stored key of one version."""
    return stem + NUMBER.pack(number)


def take_apart(stored: bytes) -> StoredKey | None:
    """A stored key's parts; None where it is none."""
    end = _END.search(stored)
    if end is None:
        return None
    cut = stored[end.start() : end.end()] == CUT_END
    if len(stored) != end.end() + (_DIGEST_BYTES if cut else 0) + NUMBER.size:
        return None
    stem = stored[: -NUMBER.size]
    (number,) = NUMBER.unpack(stored[-NUMBER.size :])
    return StoredKey(stem, stored[: end.start()].replace(b"\x00\xff", b"\x00"), cut, number)
