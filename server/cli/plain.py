"""The protocol's messages as plain Python, for JSON and for tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.protobuf.message import Message
from muster import values
from muster.v1 import value_pb2

from server.cli.files.kinds import iso

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP: Final = "google.protobuf.Timestamp"
_DURATION: Final = "google.protobuf.Duration"


def instant(stamp: Any) -> datetime | None:
    """The instant of a protobuf timestamp, to the microsecond; None where it is unset."""
    if not stamp.seconds and not stamp.nanos:
        return None
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1_000)


def plain(message: Message) -> dict[str, Any]:
    """A message as JSON would hold it: every field by its name, instants as ISO texts, enums as words in small letters.

    Of a oneof, and of fields that are messages, what is unset is left out. Whole numbers stay numbers, which the
    protocol's own JSON mapping would make texts.
    """
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        found[field.name] = _field(field, getattr(message, field.name))
    return found


def _field(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        kind = field.message_type.fields_by_name["value"]
        return {key: _one(kind, value[key]) for key in sorted(value)}
    return [_one(field, item) for item in value] if field.is_repeated else _one(field, value)


def _one(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        return word(field.enum_type, value)
    if not isinstance(value, Message):
        return value.hex() if isinstance(value, bytes) else value
    if isinstance(value, value_pb2.Value):
        return json_value(values.to_python(value))
    name = value.DESCRIPTOR.full_name
    if name == _TIMESTAMP:
        moment = instant(value)
        return iso(moment if moment is not None else _EPOCH)
    if name == _DURATION:
        return value.ToTimedelta().total_seconds()  # type: ignore[attr-defined]  # a well-known type
    return plain(value)


def word(enum: Any, number: int) -> str:
    """An enum's value as a word: `MESSAGE_STATE_LIVE` of `MessageState` is `live`; an unknown number stays one."""
    entry = enum.values_by_number.get(number)
    if entry is None:
        return str(number)
    first: str = enum.values_by_number[0].name
    return str(entry.name.removeprefix(first.removesuffix("UNSPECIFIED")).lower())


def properties(found: Mapping[str, value_pb2.Value]) -> dict[str, Any]:
    """A map of properties in Python, by name in order."""
    read = values.to_python(found)
    return {name: read[name] for name in sorted(read)}


def json_value(value: Any) -> Any:
    """A property's value as JSON holds it."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, list):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return {name: json_value(item) for name, item in value.items()}
    return value
