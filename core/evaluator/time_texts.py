"""Timestamps and durations from text and back, as CEL writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from core.evaluator.cel_values import CelError
from core.values import EPOCH, MICROS_PER_SECOND

_TIMESTAMP: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))"
)
_DURATION: Final = re.compile(r"([+-]?)(0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:h|ms|us|ns|m|s))+)")
_PART: Final = re.compile(r"([0-9]*)\.?([0-9]*)(h|ms|us|ns|m|s)")
_NANOS: Final = {
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
_NANOS_PER_MICRO: Final = 1_000
MAX_DURATION_MICROS: Final = 315_576_000_000 * MICROS_PER_SECOND + 999_999
"""About 10,000 years, the range of google.protobuf.Duration."""
DURATION_EXAMPLE: Final = '"336h", "1h30m", "90s", "1.5s"; the units are h, m, s, ms, us, ns'


def parse_timestamp(text: str) -> datetime:
    """The instant that an RFC 3339 text names, digits below a microsecond cut off.

    Raises:
        CelError: `other` where it is no such text; `overflow` outside years 1 to 9999.
    """
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise CelError("other", f"{text[:40]!r} is no RFC 3339 timestamp")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if year == 0:
        raise CelError("overflow", "a timestamp before the year 1")
    micros = int((found[7] or "0")[:6].ljust(6, "0"))
    offset = timedelta()
    if found[9]:
        hours, minutes = int(found[10]), int(found[11])
        if hours > 23 or minutes > 59:
            raise CelError("other", f"{text[:40]!r} has an offset that does not exist")
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if found[9] == "-" else 1)
    try:
        # RFC 3339 allows second 60, a leap second, which is the next minute's first.
        moment = datetime(year, month, day, hour, minute, min(second, 59), micros, tzinfo=UTC)
    except ValueError:
        raise CelError("other", f"{text[:40]!r} is no moment of the calendar") from None
    if second > 60:
        raise CelError("other", f"{text[:40]!r} is no moment of the calendar")
    return shift(moment, timedelta(seconds=second - min(second, 59)) - offset)


def shift(moment: datetime, by: timedelta) -> datetime:
    """`moment + by`.

    Raises:
        CelError: `overflow` outside years 1 to 9999.
    """
    try:
        return moment + by
    except OverflowError:
        raise CelError("overflow", "a timestamp outside the years 1 to 9999") from None


def parse_duration(text: str) -> timedelta:
    """The length of time that a text such as `1h30m` or `-1.5s` names, digits below a microsecond cut off.

    Raises:
        CelError: `other` where it is no such text or is longer than 10,000 years.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise CelError("other", f"{text[:40]!r} is no duration")
    nanos = 0
    for whole, fraction, unit in _PART.findall(found[2]):
        nanos += int(whole or "0") * _NANOS[unit]
        nanos += int(fraction or "0") * _NANOS[unit] // 10 ** len(fraction)
    micros = nanos // _NANOS_PER_MICRO
    if micros > MAX_DURATION_MICROS:
        raise CelError("other", f"{text[:40]!r} is longer than 10,000 years")
    return timedelta(microseconds=-micros if found[1] == "-" else micros)


def seconds_of(moment: datetime) -> int:
    """Whole seconds since the epoch, rounded down."""
    return (moment - EPOCH) // timedelta(seconds=1)


def write_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with no, three or six digits of fraction, as few as are exact."""
    plain = moment.astimezone(UTC).replace(tzinfo=None)
    return plain.replace(microsecond=0).isoformat() + _fraction(plain.microsecond) + "Z"


def write_duration(length: timedelta) -> str:
    """Seconds with no, three or six digits of fraction, as few as are exact, and an `s`."""
    micros = length // timedelta(microseconds=1)
    seconds, rest = divmod(abs(micros), MICROS_PER_SECOND)
    return f"{'-' if micros < 0 else ''}{seconds}{_fraction(rest)}s"


def _fraction(micros: int) -> str:
    if not micros:
        return ""
    return f".{micros // 1000:03d}" if micros % 1000 == 0 else f".{micros:06d}"
