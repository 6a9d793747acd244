"""What providers say, protobuf's to core's, and what became of it back."""

from __future__ import annotations

from typing import Final

from muster.v1 import delivery_pb2, feedback_pb2

from core.commands import Feedback, FeedbackKind, FeedbackTaken
from core.errors import InvalidInput
from core.messaging.feedback import EVENTS
from core.profiles.records import RecordError
from server.convert.deliveries import CHANNELS
from server.convert.records import errors
from server.convert.times import micros

KINDS: Final[dict[int, FeedbackKind]] = {
    feedback_pb2.FeedbackKind.Value(f"FEEDBACK_KIND_{name.upper()}"): name for name in EVENTS
}
_CHANNELS: Final[dict[int, str]] = {
    delivery_pb2.CHANNEL_UNSPECIFIED: "",
    **{number: name for name, number in CHANNELS.items()},
}


def feedback(message: feedback_pb2.Feedback) -> Feedback | RecordError:
    """One feedback, or why it cannot be read."""
    if message.kind not in KINDS:
        return RecordError(0, "FEEDBACK_KIND", "kind", "no kind is given", "one of FeedbackKind")
    if message.channel not in _CHANNELS:
        return RecordError(0, "UNKNOWN_ENUM_VALUE", "channel", "no such channel", "one of Channel")
    try:
        return Feedback(
            KINDS[message.kind],
            message.idempotency_key,
            message.event_id,
            micros(message.time, "time") if message.HasField("time") else None,
            _CHANNELS[message.channel],
            message.address,
            message.permanent,
            message.detail,
            message.url,
        )
    except InvalidInput as error:
        return RecordError(0, error.code, error.field, error.message, error.mend)


def taken(found: FeedbackTaken) -> feedback_pb2.ReportFeedbackResponse:
    """What became of it."""
    return feedback_pb2.ReportFeedbackResponse(
        accepted=found.accepted, duplicates=found.duplicates, unknown=found.unknown, errors=errors(found.errors)
    )
