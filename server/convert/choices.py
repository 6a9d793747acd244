"""Choices of an enum, in core's words."""

from __future__ import annotations

from typing import Final, Literal, TypeVar

from muster.v1 import message_pb2

from core.errors import InvalidInput
from core.messaging.definitions import State

T = TypeVar("T")
EXISTING: Final[dict[int, Literal["send", "skip"] | None]] = {
    message_pb2.EXISTING_UNSPECIFIED: None,
    message_pb2.EXISTING_SEND: "send",
    message_pb2.EXISTING_SKIP: "skip",
}
STATES: Final[dict[int, State | None]] = {
    message_pb2.MESSAGE_STATE_UNSPECIFIED: None,
    message_pb2.MESSAGE_STATE_DRAFT: "draft",
    message_pb2.MESSAGE_STATE_LIVE: "live",
    message_pb2.MESSAGE_STATE_PAUSED: "paused",
    message_pb2.MESSAGE_STATE_ENDED: "ended",
}


def chosen(known: dict[int, T], value: int, field: str, enum: str) -> T:
    """What a value of an enum stands for.

    Raises:
        InvalidInput: UNKNOWN_ENUM_VALUE.
    """
    if value not in known:
        raise InvalidInput(
            f"no value of {enum}: {value}", field=field, mend=f"one of {enum}", code="UNKNOWN_ENUM_VALUE"
        )
    return known[value]
