"""How a page's bytes become one LMDB value: a head of 48 bytes, the payload, the whole key where it was cut.

The head has a checksum of its own, so that a page that is used in place is known for what it is without its payload
being read. LMDB puts a long value 16 bytes behind the beginning of a page of the file, so that the payload begins at
a multiple of 64.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing_extensions import Buffer

# checksum of the stored key and the rest of the head | checksum of payload and whole key, the checkpoint's log
# position, bytes of the payload, bytes of the whole key (0 where it was not cut), kind
_CHECKSUM: Final = struct.Struct(">I")
_REST: Final = struct.Struct(">IQQIB19x")
HEAD_BYTES: Final = _CHECKSUM.size + _REST.size
_KIND_AT: Final = 28
_DELETED: Final = 0
_PRESENT: Final = 1


@dataclass(frozen=True, slots=True)
class PageHead:
    """What the head of a value says: see the module's comment. `present` is False where the page is gone."""

    body_checksum: int
    position: int
    payload_bytes: int
    key_bytes: int
    present: bool


@dataclass(frozen=True, slots=True)
class PageValue:
    """A stored value taken apart: the whole key where it was cut, else b""; the payload, None for a deleted page."""

    position: int
    whole_key: bytes
    payload: bytes | None


def seal(stored_key: bytes, position: int, whole_key: bytes, payload: Buffer | None) -> bytes:
    """The stored value of a page's version.

    Arguments:
        stored_key: what it will stand under; covered by the checksum, so that no value passes for another's.
        position: of the checkpoint, in the log.
        whole_key: the page's key where the stored key is cut, else b"".
        payload: the page's bytes; None marks it deleted.
    """
    body = memoryview(b"" if payload is None else payload).cast("B")
    checksum = zlib.crc32(whole_key, zlib.crc32(body))
    kind = _DELETED if payload is None else _PRESENT
    rest = _REST.pack(checksum, position, len(body), len(whole_key), kind)
    return b"".join((_CHECKSUM.pack(zlib.crc32(rest, zlib.crc32(stored_key))), rest, body, whole_key))


def head_of(stored_key: bytes, value: memoryview) -> PageHead | None:
    """The head of a stored value; None where its checksum or the value's length does not fit."""
    if len(value) < HEAD_BYTES:
        return None
    rest = value[_CHECKSUM.size : HEAD_BYTES]
    if _CHECKSUM.unpack(value[: _CHECKSUM.size])[0] != zlib.crc32(rest, zlib.crc32(stored_key)):
        return None
    body_checksum, position, payload_bytes, key_bytes, kind = _REST.unpack(rest)
    if len(value) != HEAD_BYTES + payload_bytes + key_bytes:
        return None
    return PageHead(body_checksum, position, payload_bytes, key_bytes, kind == _PRESENT)


def is_whole(head: PageHead, value: memoryview) -> bool:
    """Whether payload and whole key are what was written."""
    return zlib.crc32(value[HEAD_BYTES:]) == head.body_checksum


def unseal(stored_key: bytes, value: memoryview) -> PageValue | None:
    """A stored value's parts, copied out; None where a checksum does not fit."""
    head = head_of(stored_key, value)
    if head is None or not is_whole(head, value):
        return None
    start = HEAD_BYTES + head.payload_bytes
    payload = bytes(value[HEAD_BYTES:start]) if head.present else None
    return PageValue(head.position, bytes(value[start:]), payload)


def peek_whole_key(value: memoryview) -> bytes:
    """The whole key in a value, without reading or checking the payload."""
    if len(value) < HEAD_BYTES:
        return b""
    _, _, payload_bytes, key_bytes, _ = _REST.unpack(value[_CHECKSUM.size : HEAD_BYTES])
    start = HEAD_BYTES + payload_bytes
    return bytes(value[start : start + key_bytes])


def is_deleted(value: memoryview) -> bool:
    """Whether a value says that its page is gone, without reading or checking the rest."""
    return len(value) >= HEAD_BYTES and value[_KIND_AT] == _DELETED
