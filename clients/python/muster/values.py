"""Property values: Python to the protocol's `Value` and back.

| Python                             | Value                                                     |
|------------------------------------|-----------------------------------------------------------|
| None, bool, int, float, str        | null, bool, int (64 bit), double, string                  |
| datetime with a time zone          | timestamp, kept to the microsecond, read back as UTC      |
| list, tuple                        | list                                                      |
| mapping with str keys              | map                                                       |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, overload

from google.protobuf import duration_pb2, timestamp_pb2

from muster.errors import InvalidInput
from muster.v1 import value_pb2

# Well over what the server takes (16): it only keeps a structure that holds itself from running off the stack.
_DEEPEST: Final = 64
_INT64: Final = range(-(2**63), 2**63)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NULL: Final = value_pb2.Value(null_value="NULL_VALUE")


@overload
def to_python(value: value_pb2.Value) -> Any: ...
@overload
def to_python(value: Mapping[str, value_pb2.Value]) -> dict[str, Any]: ...
def to_python(value: value_pb2.Value | Mapping[str, value_pb2.Value]) -> Any:
    """The Python value of a `Value`, or the dict of a map of them (a profile's or an event's properties).

    Example::

        >>> from muster.v1 import profile_pb2
        >>> profile = profile_pb2.Profile(properties=from_python({"plan": "free", "seats": [1, 2.5]}))
        >>> to_python(profile.properties) == {"plan": "free", "seats": [1, 2.5]}
        True
    """
    if isinstance(value, value_pb2.Value):
        return _read(value)
    return {name: _read(item) for name, item in value.items()}


def from_python(properties: Mapping[str, Any]) -> dict[str, value_pb2.Value]:
    """The protocol's map of properties.

    Raises:
        InvalidInput: for what no property can hold, with its path in `field`.

    Example::

        >>> from_python({"seats": 3})["seats"].int_value
        3
    """
    return {name: make(item, str(name)) for name, item in properties.items()}


def make(value: Any, field: str = "value") -> value_pb2.Value:
    """One `Value`. `field` is its path in errors.

    Raises:
        InvalidInput: VALUE_TYPE, INT_OUT_OF_RANGE, TIME_WITHOUT_ZONE, VALUE_TOO_DEEP, NOT_UTF8.
    """
    message = value_pb2.Value()
    write(value, message, field)
    return message


def write(value: Any, message: value_pb2.Value, field: str, depth: int = 0) -> None:
    """Lay a Python value into an empty message; see `make`."""
    kind = type(value)
    if kind is str:
        message.string_value = _checked_text(value, field)
    elif kind is bool:
        message.bool_value = value
    elif kind is int:
        if value not in _INT64:
            raise InvalidInput("an int of over 64 bits", field=field, mend="-2^63 to 2^63-1", code="INT_OUT_OF_RANGE")
        message.int_value = value
    elif kind is float:
        message.double_value = value
    elif value is None:
        message.CopyFrom(_NULL)
    elif isinstance(value, datetime):
        message.time_value.CopyFrom(timestamp(value, field))
    elif depth >= _DEEPEST:
        raise InvalidInput("nested far too deep", field=field[:200], mend="at most 16 levels", code="VALUE_TOO_DEEP")
    elif isinstance(value, list | tuple):
        message.list_value.SetInParent()
        for index, item in enumerate(value):
            write(item, message.list_value.values.add(), f"{field}[{index}]", depth + 1)
    elif isinstance(value, Mapping):
        message.map_value.SetInParent()
        fields = message.map_value.fields
        for name, item in value.items():
            write(item, fields[_checked_name(name, field)], f"{field}.{name}", depth + 1)
    elif isinstance(value, str | int | float):  # subclasses, such as enums
        base = next(base for base in (str, int, float) if isinstance(value, base))
        write(base(value), message, field, depth)
    else:
        raise InvalidInput(
            f"a {kind.__name__} is no property value",
            field=field,
            mend="None, bool, int, float, str, datetime, list or dict",
            code="VALUE_TYPE",
        )


def write_properties(
    properties: Mapping[str, Any], messages: Mapping[str, value_pb2.Value], field: str = "properties"
) -> None:
    """Lay properties into a message's empty map.

    Raises:
        InvalidInput: as `make`.
    """
    for name, item in properties.items():
        write(item, messages[_checked_name(name, field)], f"{field}.{name}")


def timestamp(moment: datetime, field: str = "time") -> timestamp_pb2.Timestamp:
    """The protocol's timestamp of an aware datetime.

    Raises:
        InvalidInput: TIME_WITHOUT_ZONE.
    """
    if moment.tzinfo is None:
        raise InvalidInput(
            "a datetime without a time zone",
            field=field,
            mend="datetime.now(UTC), or .replace(tzinfo=…)",
            code="TIME_WITHOUT_ZONE",
        )
    seconds, micros = divmod((moment - _EPOCH) // _MICROSECOND, 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=micros * 1_000)


def to_datetime(stamp: timestamp_pb2.Timestamp) -> datetime:
    """The aware datetime, UTC, of a timestamp, to the microsecond.

    Example::

        >>> to_datetime(timestamp(datetime(1998, 7, 1, tzinfo=UTC))).isoformat()
        '1998-07-01T00:00:00+00:00'
    """
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1_000)


def duration(length: timedelta) -> duration_pb2.Duration:
    """The protocol's duration."""
    seconds, micros = divmod(length // _MICROSECOND, 1_000_000)
    return duration_pb2.Duration(seconds=seconds, nanos=micros * 1_000)


def _read(message: value_pb2.Value) -> Any:
    kind = message.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "time_value":
        return to_datetime(message.time_value)
    if kind == "list_value":
        return [_read(item) for item in message.list_value.values]
    if kind == "map_value":
        return {name: _read(item) for name, item in message.map_value.fields.items()}
    return getattr(message, kind)


def _checked_name(name: Any, field: str) -> str:
    if not isinstance(name, str):
        raise InvalidInput(
            f"the name {name!r} is no str", field=field, mend="name properties by str", code="VALUE_TYPE"
        )
    return _checked_text(name, field)


def _checked_text(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("text that is no Unicode", field=field, mend="no lone surrogates", code="NOT_UTF8") from None
    return text
