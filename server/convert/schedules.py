"""Schedules of messages between protobuf and core."""

from __future__ import annotations

from typing import Final

from muster.v1 import message_pb2

from core.errors import InvalidInput
from core.messaging.schedules import Asap, Once, OnSend, Past, Recurring, Schedule, WhenMet
from server.convert.times import duration, duration_micros, micros, timestamp

KINDS: Final = ("asap", "once", "recurring", "when_met", "on_send")
"""The fields of a message that are its schedule."""
_PASTS: Final[dict[message_pb2.Past, Past]] = {
    message_pb2.PAST_UNSPECIFIED: "",
    message_pb2.PAST_SEND: "send",
    message_pb2.PAST_SKIP: "skip",
}
_PAST_OF: Final[dict[Past, message_pb2.Past]] = {past: number for number, past in _PASTS.items()}


def schedule(message: message_pb2.Message) -> Schedule:
    """What a client asks for.

    Raises:
        InvalidInput: NO_SCHEDULE, TIME_OUT_OF_RANGE, DURATION_OUT_OF_RANGE, UNKNOWN_ENUM_VALUE.
    """
    kind = message.WhichOneof("schedule")
    if kind == "asap":
        return Asap()
    if kind == "once":
        return _once(message.once)
    if kind == "recurring":
        sent = message.recurring
        return Recurring(sent.start, sent.rule, sent.time_zone)
    if kind == "when_met":
        met = message.when_met
        gap = duration_micros(met.least_gap, "message.when_met.least_gap") if met.HasField("least_gap") else 0
        return WhenMet(gap, micros(met.end_time, "message.when_met.end_time") if met.HasField("end_time") else 0)
    if kind == "on_send":
        return OnSend()
    raise InvalidInput(
        "there is no schedule", field="message.schedule", mend=f"set one of {', '.join(KINDS)}", code="NO_SCHEDULE"
    )


def _once(sent: message_pb2.OnceSchedule) -> Once:
    if sent.past not in _PASTS:
        raise InvalidInput(
            f"no value of Past: {sent.past}",
            field="message.once.past",
            mend="one of Past",
            code="UNKNOWN_ENUM_VALUE",
        )
    zone, past = sent.time_zone, _PASTS[sent.past]
    when = sent.WhichOneof("when")
    if when == "time":
        return Once(at=micros(sent.time, "message.once.time"), zone=zone, past=past)
    if when == "local_time":
        return Once(wall=sent.local_time, zone=zone, past=past)
    if when == "next":
        return Once(next=sent.next, zone=zone, past=past)
    if when == "after":
        return Once(after=duration_micros(sent.after, "message.once.after"), zone=zone, past=past)
    raise InvalidInput(
        "there is no time",
        field="message.once.time",
        mend="set time, local_time, next or after",
        code="NO_SCHEDULE",
    )


def fill(made: message_pb2.Message, found: Schedule) -> None:
    """Put a schedule into a message as clients see it."""
    if isinstance(found, Asap):
        made.asap.SetInParent()
    elif isinstance(found, WhenMet):
        made.when_met.SetInParent()
        if found.gap:
            made.when_met.least_gap.CopyFrom(duration(found.gap))
        if found.end:
            made.when_met.end_time.CopyFrom(timestamp(found.end))
    elif isinstance(found, OnSend):
        made.on_send.SetInParent()
    elif isinstance(found, Recurring):
        made.recurring.CopyFrom(message_pb2.RecurringSchedule(start=found.start, rule=found.rule, time_zone=found.zone))
    else:
        once = message_pb2.OnceSchedule(time_zone=found.zone, past=_PAST_OF[found.past])
        if found.wall:
            once.local_time = found.wall
        elif found.next:
            once.next = found.next
        elif found.after:
            once.after.CopyFrom(duration(found.after))
        else:
            once.time.CopyFrom(timestamp(found.at))
        made.once.CopyFrom(once)
