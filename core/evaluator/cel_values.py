"""CEL values as Python values, and CEL errors as exceptions.

null is None; bool, int, double, string, bytes, timestamp, duration, list and map are bool, int, float, str, bytes, aware
datetime, timedelta, list and dict. What Python lacks is here: `Uint` and `CelType`. Values are told apart by their exact
type, so that True is no int and a Uint is no int.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

CelValue = Any  # None | bool | int | Uint | float | str | bytes | datetime | timedelta | CelType | list | dict
ErrorKind = Literal["missing", "type", "overflow", "other"]
"""missing: no such property or key; type: no overload for these types; overflow: out of a type's range; other."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1


class Uint(int):
    """A CEL uint, 0 to 2**64 - 1."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{int(self)}u"


@dataclass(frozen=True, slots=True)
class CelType:
    """A type as a value, such as `int` in `type(x) == int`."""

    name: str


class CelError(Exception):
    """An expression erred. `position` is the code point offset of the innermost construct that did, -1 until known."""

    def __init__(self, kind: ErrorKind, message: str, position: int = -1) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.position = position


TYPE_NAMES: Final[dict[type, str]] = {
    type(None): "null_type",
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    datetime: "google.protobuf.Timestamp",
    timedelta: "google.protobuf.Duration",
    list: "list",
    dict: "map",
    CelType: "type",
}
TYPES_BY_NAME: Final[dict[str, CelType]] = {name: CelType(name) for name in TYPE_NAMES.values()}
_PLAIN_NAMES: Final = {
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
    "null_type": "null",
}


def type_of(value: CelValue) -> CelType:
    """The CEL type of a value."""
    return TYPES_BY_NAME[TYPE_NAMES[type(value)]]


def plain_type(value: CelValue) -> str:
    """The name of a value's type as one says it: `string`, `timestamp`, `null`."""
    name = TYPE_NAMES[type(value)]
    return _PLAIN_NAMES.get(name, name)


def no_overload(name: str, *args: CelValue) -> CelError:
    """The error of a function or operator that does not take such types."""
    kinds = ", ".join(map(plain_type, args))
    return CelError("type", f"{name} does not take ({kinds})")
