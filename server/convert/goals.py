"""Goals between protobuf and core."""

from __future__ import annotations

from muster.v1 import message_pb2

from core.messaging.goal import Goal
from server.convert.times import duration, duration_micros


def goal(sent: message_pb2.Goal, field: str) -> Goal:
    """What a client asks for.

    Raises:
        InvalidInput: DURATION_OUT_OF_RANGE.
    """
    window = duration_micros(sent.window, f"{field}.window") if sent.HasField("window") else 0
    return Goal(sent.event, sent.condition, window, sent.value)


def goal_message(found: Goal) -> message_pb2.Goal:
    """A goal as clients see it."""
    made = message_pb2.Goal(event=found.event, condition=found.condition, value=found.value)
    if found.window:
        made.window.CopyFrom(duration(found.window))
    return made
