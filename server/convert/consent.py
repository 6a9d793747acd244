"""Consent, protobuf's to core's and back."""

from __future__ import annotations

from typing import Any, Final

from muster.v1 import consent_pb2, delivery_pb2

from core.commands import Resubscribe, SuppressAnswer, Unsubscribe
from core.errors import InvalidInput
from core.messaging.address_index import PROPERTY_OF, AddressKind
from core.messaging.consent_book import Topic
from core.messaging.consent_reading import Suppression, UserConsent
from core.messaging.suppressions import WHYS, Place, Why
from server.convert.deliveries import CHANNELS
from server.convert.times import timestamp

REASONS: Final[dict[Why, Any]] = {
    why: consent_pb2.SuppressionReason.Value(f"SUPPRESSION_REASON_{why.upper()}") for why in WHYS
}
"""Why an address is not sent to, in core's words."""

_WHY_OF: Final = {number: why for why, number in REASONS.items()}
_CHANNEL_OF: Final = {CHANNELS[kind]: kind for kind in PROPERTY_OF}


def channel(number: int) -> AddressKind | None:
    """A channel whose users have addresses; None where it is not said.

    Raises:
        InvalidInput: CHANNEL_REQUIRED, for any other.
    """
    if number == delivery_pb2.CHANNEL_UNSPECIFIED:
        return None
    if number not in _CHANNEL_OF:
        raise InvalidInput(
            "users have no address on this channel",
            field="channel",
            mend="CHANNEL_EMAIL or CHANNEL_SMS",
            code="CHANNEL_REQUIRED",
        )
    return _CHANNEL_OF[number]


def needed_channel(number: int) -> AddressKind:
    """`channel`, where it must be said. Raises InvalidInput CHANNEL_REQUIRED."""
    found = channel(number)
    if found is None:
        raise InvalidInput(
            "the channel is not said",
            field="channel",
            mend="CHANNEL_EMAIL or CHANNEL_SMS",
            code="CHANNEL_REQUIRED",
        )
    return found


def why(number: int) -> Why | None:
    """A reason; None where it is not said.

    Raises:
        InvalidInput: WHY_UNKNOWN.
    """
    if number == consent_pb2.SUPPRESSION_REASON_UNSPECIFIED:
        return None
    if number not in _WHY_OF:
        raise InvalidInput("no such reason", field="reason", mend="one of SuppressionReason", code="WHY_UNKNOWN")
    return _WHY_OF[number]


def unsubscribe(request: consent_pb2.UnsubscribeRequest) -> Unsubscribe:
    """What a request asks for. Raises InvalidInput CHANNEL_REQUIRED."""
    return Unsubscribe(request.distinct_id, channel(request.channel), request.address, request.topic)


def resubscribe(request: consent_pb2.ResubscribeRequest) -> Resubscribe:
    """What a request asks for. Raises InvalidInput CHANNEL_REQUIRED."""
    return Resubscribe(request.distinct_id, channel(request.channel), request.address, request.topic)


def suppressed(answer: SuppressAnswer) -> consent_pb2.SuppressResponse:
    """What became of addresses."""
    refused = [consent_pb2.RefusedAddress(index=one.index, message=one.message) for one in answer.refused]
    return consent_pb2.SuppressResponse(added=answer.added, known=answer.known, refused=refused)


def suppression(found: Suppression) -> consent_pb2.Suppression:
    """Why an address is not sent to."""
    return consent_pb2.Suppression(reason=REASONS[found.why], topic=found.topic, since=timestamp(found.since))


def suppression_count(place: Place, addresses: int) -> consent_pb2.SuppressionCount:
    """How many addresses are not sent to for one reason."""
    of, reason, topic = place
    return consent_pb2.SuppressionCount(channel=CHANNELS[of], reason=REASONS[reason], topic=topic, addresses=addresses)


def consent(found: UserConsent) -> consent_pb2.GetConsentResponse:
    """What keeps a user from being sent to."""
    return consent_pb2.GetConsentResponse(
        opted_out=found.opted_out,
        addresses=[
            consent_pb2.AddressConsent(
                channel=CHANNELS[of], address=address, suppressions=[suppression(one) for one in suppressions]
            )
            for of, address, suppressions in found.addresses
        ],
    )


def topic(found: Topic) -> consent_pb2.Topic:
    """A topic."""
    return consent_pb2.Topic(key=found.key, title=found.title, create_time=timestamp(found.created_at))
