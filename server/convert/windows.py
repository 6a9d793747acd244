"""Send windows and quiet hours between protobuf and core."""

from __future__ import annotations

from typing import Final

from muster.v1 import message_pb2

from core.messaging.definitions import MessageDefinition
from core.messaging.windows import QuietHours, SendWindow, minute_of, text_of

_DAYS: Final = tuple(message_pb2.DayOfWeek.keys())
"""The names of the enum, by number: days of the week as core counts them."""


def send_window(message: message_pb2.Message) -> SendWindow | None:
    """The window of a message, None where it has none.

    Raises:
        InvalidInput: WALL_CLOCK.
    """
    if not message.HasField("send_window"):
        return None
    window = message.send_window
    return SendWindow(
        minute_of(getattr(window, "from"), "message.send_window.from"),
        minute_of(window.to, "message.send_window.to"),
        sorted(set(window.days)),
    )


def quiet_hours(message: message_pb2.Message) -> QuietHours | None:
    """The quiet hours of a message, None where it has none.

    Raises:
        InvalidInput: WALL_CLOCK.
    """
    if not message.HasField("quiet_hours"):
        return None
    quiet = message.quiet_hours
    return QuietHours(
        minute_of(getattr(quiet, "from"), "message.quiet_hours.from"), minute_of(quiet.to, "message.quiet_hours.to")
    )


def lay_windows(found: MessageDefinition, message: message_pb2.Message) -> None:
    """Lay a definition's window and quiet hours into the message that clients see."""
    window, quiet = found.send_window, found.quiet_hours
    if window is not None:
        ends = {"from": text_of(window.opens), "to": text_of(window.closes)}
        message.send_window.CopyFrom(message_pb2.SendWindow(days=[_DAYS[day] for day in window.days], **ends))
    if quiet is not None:
        ends = {"from": text_of(quiet.starts), "to": text_of(quiet.ends)}
        message.quiet_hours.CopyFrom(message_pb2.QuietHours(**ends))
