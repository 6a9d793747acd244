"""When a message may go out and who is held out: as tables of its file, and shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

WINDOW: Final[dict[str, type]] = {"from": str, "to": str, "days": list}
"""The fields of a file's table `send_window`."""
QUIET: Final[dict[str, type]] = {"from": str, "to": str}
"""The fields of a file's table `quiet_hours`."""


RAMP: Final[dict[str, type]] = {"start": int, "factor": float}
"""The fields of a file's table `ramp`."""


def timing(found: Any) -> Mapping[str, Any]:
    """What a message says about time and groups, as facts; what it leaves open is left out."""
    facts: dict[str, Any] = {}
    if found.HasField("send_window"):
        window = found.send_window
        facts["send window"] = " ".join([_stretch(window), ", ".join(_day(one) for one in window.days)]).strip()
    if found.HasField("quiet_hours"):
        facts["quiet hours"] = _stretch(found.quiet_hours)
    if found.throughput_per_second:
        facts["throughput"] = rate_words(found.throughput_per_second, found)
    if found.control_percent:
        facts["control group"] = f"{found.control_percent:g}%"
    return facts


def rate_words(per_second: int, found: Any) -> str:
    """A throughput, and the ramp that it has, in words."""
    ramp = f", from {found.ramp.start} times {found.ramp.factor:g} a day" if found.HasField("ramp") else ""
    return f"{per_second:,} a second{ramp}"


def _stretch(found: Any) -> str:
    return f"{getattr(found, 'from')} to {found.to}"


def _day(number: int) -> str:
    from muster.v1 import message_pb2

    return str(message_pb2.DayOfWeek.Name(number)).removeprefix("DAY_OF_WEEK_").lower()
