"""Protobuf's timestamps and durations to micros and back."""

from __future__ import annotations

from typing import Final

from google.protobuf import duration_pb2, timestamp_pb2

from core.errors import InvalidInput
from core.values import MAX_MICROS, MICROS_PER_SECOND, MIN_MICROS

_NANOS_PER_MICRO: Final = 1_000
_NANOS_PER_SECOND: Final = 1_000_000_000


def micros(stamp: timestamp_pb2.Timestamp, field: str) -> int:
    """Micros UTC of a timestamp; parts of a microsecond are cut off.

    Raises:
        InvalidInput: TIME_OUT_OF_RANGE, outside years 1 to 9999 or with impossible nanos.
    """
    value = stamp.seconds * MICROS_PER_SECOND + stamp.nanos // _NANOS_PER_MICRO
    if not (MIN_MICROS <= value <= MAX_MICROS and 0 <= stamp.nanos < _NANOS_PER_SECOND):
        raise InvalidInput(
            "the time is out of range",
            field=field,
            mend="years 0001 to 9999, UTC, nanos 0 to 999,999,999",
            code="TIME_OUT_OF_RANGE",
        )
    return value


def timestamp(value: int) -> timestamp_pb2.Timestamp:
    """The timestamp of micros UTC."""
    seconds, rest = divmod(value, MICROS_PER_SECOND)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * _NANOS_PER_MICRO)


def duration_micros(length: duration_pb2.Duration, field: str) -> int:
    """Micros of a duration that may not be negative.

    Raises:
        InvalidInput: DURATION_OUT_OF_RANGE.
    """
    value = length.seconds * MICROS_PER_SECOND + length.nanos // _NANOS_PER_MICRO
    if not 0 <= value <= MAX_MICROS - MIN_MICROS or abs(length.nanos) >= _NANOS_PER_SECOND:
        raise InvalidInput(
            "the duration is out of range",
            field=field,
            mend="zero or more, such as 259200s",
            code="DURATION_OUT_OF_RANGE",
        )
    return value


def duration(value: int) -> duration_pb2.Duration:
    """The duration of so many micros."""
    seconds, rest = divmod(value, MICROS_PER_SECOND)
    return duration_pb2.Duration(seconds=seconds, nanos=rest * _NANOS_PER_MICRO)
