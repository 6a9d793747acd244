"""Timestamps as people read them: `{{ user.created | date("%d %B %Y", "Europe/Madrid") }}`.

Directives are written out here rather than left to the C library, so that a message reads the same on every
system and under every locale: names are English.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.render.printing import refuse_type
from core.render.results import RenderError
from core.values import Value

_DIRECTIVE: Final = re.compile(r"%(-?.|$)", re.DOTALL)
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MAX_FORMAT: Final = 200
"""Characters of a date's format."""


def _offset(moment: datetime) -> str:
    minutes = int(moment.utcoffset().total_seconds() // 60)  # type: ignore[union-attr]
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"


DIRECTIVES: Final[dict[str, Callable[[datetime], str]]] = {
    "Y": lambda m: f"{m.year:04}",
    "y": lambda m: f"{m.year % 100:02}",
    "m": lambda m: f"{m.month:02}",
    "-m": lambda m: str(m.month),
    "d": lambda m: f"{m.day:02}",
    "-d": lambda m: str(m.day),
    "e": lambda m: str(m.day),
    "j": lambda m: f"{m.timetuple().tm_yday:03}",
    "B": lambda m: _MONTHS[m.month - 1],
    "b": lambda m: _MONTHS[m.month - 1][:3],
    "A": lambda m: _WEEKDAYS[m.weekday()],
    "a": lambda m: _WEEKDAYS[m.weekday()][:3],
    "u": lambda m: str(m.isoweekday()),
    "H": lambda m: f"{m.hour:02}",
    "-H": lambda m: str(m.hour),
    "I": lambda m: f"{(m.hour + 11) % 12 + 1:02}",
    "-I": lambda m: str((m.hour + 11) % 12 + 1),
    "M": lambda m: f"{m.minute:02}",
    "S": lambda m: f"{m.second:02}",
    "p": lambda m: "AM" if m.hour < 12 else "PM",
    "F": lambda m: f"{m.year:04}-{m.month:02}-{m.day:02}",
    "T": lambda m: f"{m.hour:02}:{m.minute:02}:{m.second:02}",
    "R": lambda m: f"{m.hour:02}:{m.minute:02}",
    "z": _offset,
    "Z": lambda m: m.tzname() or "",
    "%": lambda m: "%",
}
"""What follows the `%` of a format, and what it writes; as in strftime, `-` leaves the leading zero out."""


def format_problem(text: str) -> str:
    """What is wrong with a date's format, or ""."""
    if len(text) > MAX_FORMAT:
        return f"a format of more than {MAX_FORMAT} characters"
    unknown = [match.group() for match in _DIRECTIVE.finditer(text) if match.group(1) not in DIRECTIVES]
    return f"{unknown[0]!r} is no part of a date" if unknown else ""


@lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo | None:
    """The time zone of an IANA name, or None where there is none of that name."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the name of a folder is an OSError, `../x` a ValueError
        return None


def moment_of(value: Value) -> datetime:
    """A timestamp, or a string in ISO 8601 read as one (UTC where it names no zone)."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise RenderError(
                "a string that is no ISO 8601 time, where a timestamp is needed", code="PROPERTY_TYPE"
            ) from None
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    refuse_type(value, "a timestamp")


def local_moment(value: Value, zone: str) -> datetime:
    """A timestamp in a time zone.

    Raises:
        RenderError: PROPERTY_TYPE for a value that is no time, UNKNOWN_ZONE, NUMBER_OUT_OF_RANGE.
    """
    if type(zone) is not str:
        refuse_type(zone, "the name of a time zone")
    found = zone_of(zone)
    if found is None:
        raise RenderError("a time zone that does not exist", code="UNKNOWN_ZONE")
    try:
        return moment_of(value).astimezone(found)
    except OverflowError:
        raise RenderError("a time outside the years 1 to 9999", code="NUMBER_OUT_OF_RANGE") from None


def date(value: Value, format: str = "%F", zone: str = "UTC") -> str:
    """A timestamp by a strftime-like format in a time zone; see DIRECTIVES.

    Raises:
        RenderError: DATE_FORMAT, and what `local_moment` raises.
    """
    if type(format) is not str:
        refuse_type(format, "a date's format")
    problem = format_problem(format)
    if problem:
        raise RenderError(problem, code="DATE_FORMAT")
    local = local_moment(value, zone)
    return _DIRECTIVE.sub(lambda match: DIRECTIVES[match.group(1)](local), format)
