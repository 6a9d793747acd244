"""Property values: protobuf's `Value` to core's Python values and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from google.protobuf import struct_pb2
from muster.v1 import value_pb2

from core.errors import InvalidInput
from core.values import Value, ValueType, check_value, from_micros, to_micros
from server.convert.times import micros, timestamp

KINDS: Final[dict[ValueType, value_pb2.ValueKind]] = {
    ValueType.NULL: value_pb2.VALUE_KIND_NULL,
    ValueType.BOOL: value_pb2.VALUE_KIND_BOOL,
    ValueType.INT: value_pb2.VALUE_KIND_INT,
    ValueType.DOUBLE: value_pb2.VALUE_KIND_DOUBLE,
    ValueType.STRING: value_pb2.VALUE_KIND_STRING,
    ValueType.TIMESTAMP: value_pb2.VALUE_KIND_TIMESTAMP,
    ValueType.LIST: value_pb2.VALUE_KIND_LIST,
    ValueType.MAP: value_pb2.VALUE_KIND_MAP,
}
"""The schema's name of each value type."""

_PLAIN: Final = frozenset({"bool_value", "int_value", "double_value", "string_value"})


def value(message: value_pb2.Value, field: str) -> Value:
    """The Python value.

    What no property may hold but Python can (NaN, too deep nesting) is let through: core refuses it.

    Raises:
        InvalidInput: VALUE_UNSET, TIME_OUT_OF_RANGE.
    """
    kind = message.WhichOneof("kind")
    if kind in _PLAIN:
        return getattr(message, kind)
    if kind == "time_value":
        return from_micros(micros(message.time_value, field))
    if kind == "list_value":
        return [value(item, f"{field}[{index}]") for index, item in enumerate(message.list_value.values)]
    if kind == "map_value":
        return {name: value(item, f"{field}.{name}") for name, item in message.map_value.fields.items()}
    if kind == "null_value":
        return None
    raise InvalidInput("a value of no kind", field=field, mend="send null_value for a null", code="VALUE_UNSET")


def properties(messages: Mapping[str, value_pb2.Value], field: str = "properties") -> dict[str, Value]:
    """A map of properties.

    Raises:
        InvalidInput: as `value`.
    """
    found: dict[str, Value] = {}
    for name, message in messages.items():
        kind = message.WhichOneof("kind")
        found[name] = getattr(message, kind) if kind in _PLAIN else value(message, f"{field}.{name}")
    return found


def parameters(messages: Mapping[str, value_pb2.Value]) -> dict[str, Value]:
    """Named parameters of an expression, held to what a property may be.

    Raises:
        InvalidInput: as `value`; VALUE_NOT_FINITE, VALUE_TOO_DEEP and what else `check_value` raises.
    """
    found = properties(messages, "params")
    for name, item in found.items():
        check_value(item, f"params.{name}")
    return found


def write(found: Value, message: value_pb2.Value) -> None:
    """Lay a core value into an empty message."""
    kind = type(found)
    if kind is str:
        message.string_value = found
    elif kind is bool:
        message.bool_value = found
    elif kind is int:
        message.int_value = found
    elif kind is float:
        message.double_value = found
    elif found is None:
        message.null_value = struct_pb2.NullValue.NULL_VALUE  # type: ignore[assignment]  # two spellings of one enum in stubs
    elif isinstance(found, datetime):
        message.time_value.CopyFrom(timestamp(to_micros(found)))
    elif kind is list:
        message.list_value.SetInParent()
        for item in found:
            write(item, message.list_value.values.add())
    elif kind is dict:
        message.map_value.SetInParent()
        for name, item in found.items():
            write(item, message.map_value.fields[name])
    else:
        raise TypeError(f"a {kind.__name__} is no property value")


def write_properties(found: Mapping[str, Value], messages: Mapping[str, value_pb2.Value]) -> None:
    """Lay core's properties into a message's empty map."""
    for name, item in found.items():
        write(item, messages[name])
