"""How a page's bytes become one LMDB value: checksum, kind, the whole key where it was cut, the payload."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

_CHECKSUM: Final = struct.Struct(">I")
# checkpoint's log position, kind, bytes of the whole key (0 where it was not cut)
_HEAD: Final = struct.Struct(">QBI")
_DELETED: Final = 0
_PRESENT: Final = 1
_HEAD_END: Final = _CHECKSUM.size + _HEAD.size


@dataclass(frozen=True, slots=True)
class PageValue:
    """A stored value taken apart: the whole key where it was cut, else b""; the payload, None for a deleted page."""

    position: int
    whole_key: bytes
    payload: bytes | None


def seal(stored_key: bytes, position: int, whole_key: bytes, payload: bytes | None) -> bytes:
    """The stored value of a page's version.

    Arguments:
        stored_key: what it will stand under; covered by the checksum, so that no value passes for another's.
        position: of the checkpoint, in the log.
        whole_key: the page's key where the stored key is cut, else b"".
        payload: the page's bytes; None marks it deleted.
    """
    head = _HEAD.pack(position, _DELETED if payload is None else _PRESENT, len(whole_key))
    body = b"".join((head, whole_key, payload or b""))
    return _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(stored_key))) + body


def unseal(stored_key: bytes, value: memoryview) -> PageValue | None:
    """A stored value's parts, copied out; None where the checksum does not fit."""
    if len(value) < _HEAD_END:
        return None
    (checksum,) = _CHECKSUM.unpack(value[: _CHECKSUM.size])
    if zlib.crc32(value[_CHECKSUM.size :], zlib.crc32(stored_key)) != checksum:
        return None
    position, kind, key_bytes = _HEAD.unpack(value[_CHECKSUM.size : _HEAD_END])
    start = _HEAD_END + key_bytes
    return PageValue(position, bytes(value[_HEAD_END:start]), bytes(value[start:]) if kind == _PRESENT else None)


def peek_whole_key(value: memoryview) -> bytes:
    """The whole key in a value, without reading or checking the payload."""
    if len(value) < _HEAD_END:
        return b""
    _, _, key_bytes = _HEAD.unpack(value[_CHECKSUM.size : _HEAD_END])
    return bytes(value[_HEAD_END : _HEAD_END + key_bytes])


def is_deleted(value: memoryview) -> bool:
    """Whether a value says that its page is gone, without reading or checking the rest."""
    return len(value) >= _HEAD_END and value[_HEAD_END - 5] == _DELETED
