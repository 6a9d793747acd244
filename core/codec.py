"""The log's encoding: core's own records, sets and arrays, on top of `core.values`.

A registered dataclass is written as msgpack extension 2 holding `[name, field, field, …]` in the order of
declaration. A later release may append fields that have defaults: shorter records still decode. Names are part
of the store's format and never change. Extension 3 is a portable Roaring bitmap, 4 a one-dimensional numpy
array (one byte of dtype character, then its little-endian bytes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, TypeVar

import msgpack
import numpy as np
from pyroaring import BitMap

from core.errors import StoreError
from core.values import from_micros, to_micros

T = TypeVar("T")

_TIMESTAMP: Final = 1
_RECORD: Final = 2
_BITMAP: Final = 3
_ARRAY: Final = 4

_by_name: dict[str, type] = {}
_by_class: dict[type, tuple[str, tuple[str, ...]]] = {}


def record(name: str) -> Callable[[type[T]], type[T]]:
    """Register a dataclass for the log under a name that never changes.

    Raises:
        ValueError: where the name is taken.
    """

    def register(cls: type[T]) -> type[T]:
        if name in _by_name:
            raise ValueError(f"the record name {name!r} is taken")
        _by_name[name] = cls
        _by_class[cls] = (name, tuple(field.name for field in fields(cls)))  # type: ignore[arg-type]
        return cls

    return register


def _default(value: object) -> Any:
    entry = _by_class.get(type(value))
    if entry is not None:
        name, names = entry
        return msgpack.ExtType(_RECORD, encode([name, *[getattr(value, field) for field in names]]))
    if isinstance(value, datetime):
        return msgpack.ExtType(_TIMESTAMP, to_micros(value).to_bytes(8, "big", signed=True))
    if isinstance(value, BitMap):
        return msgpack.ExtType(_BITMAP, value.serialize())
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(_ARRAY, value.dtype.char.encode() + np.ascontiguousarray(value).tobytes())
    raise TypeError(f"a {type(value).__name__} has no place in the log")


def _ext(code: int, data: bytes) -> Any:
    if code == _TIMESTAMP:
        return from_micros(int.from_bytes(data, "big", signed=True))
    if code == _RECORD:
        name, *values = decode(data)
        cls = _by_name.get(name)
        if cls is None:
            raise StoreError(
                f"the log holds a record {name!r} that this release does not know",
                mend="open the store with the release that wrote it, or a newer one",
                code="STORE_FORMAT_NEWER",
            )
        return cls(*values)
    if code == _BITMAP:
        return BitMap.deserialize(data)
    if code == _ARRAY:
        return np.frombuffer(data[1:], dtype=np.dtype(chr(data[0])))
    return msgpack.ExtType(code, data)


def encode(value: object) -> bytes:
    """The bytes of a value, a registered record, a BitMap, an array, or lists and maps of them."""
    packed: bytes = msgpack.packb(value, default=_default, use_bin_type=True)
    return packed


def decode(data: bytes) -> Any:
    """What `encode` was given.

    Raises:
        StoreError: for a record of a newer release.
    """
    return msgpack.unpackb(data, ext_hook=_ext, raw=False, strict_map_key=False)
