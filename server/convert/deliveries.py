"""Offers and hand-offs as messages."""

from __future__ import annotations

from typing import Any, Final

from muster.v1 import delivery_pb2, message_pb2

from core.messaging.definitions import ChannelName
from core.messaging.desk import Offer
from core.messaging.render import HandOff
from core.render.sms_length import SmsLength
from server.convert import in_app
from server.convert.pushes import notification
from server.convert.times import timestamp

CHANNELS: Final[dict[ChannelName, Any]] = {
    "email": delivery_pb2.CHANNEL_EMAIL,
    "webhook": delivery_pb2.CHANNEL_WEBHOOK,
    "sms": delivery_pb2.CHANNEL_SMS,
    "push": delivery_pb2.CHANNEL_PUSH,
    "in_app": delivery_pb2.CHANNEL_IN_APP,
}
"""A channel in core's words."""

_ENCODINGS: Final = {"gsm7": message_pb2.SMS_ENCODING_GSM7, "ucs2": message_pb2.SMS_ENCODING_UCS2}


def rendered(found: HandOff) -> message_pb2.Rendered:
    """A message ready for a provider."""
    made = message_pb2.Rendered(
        to=found.to,
        subject=found.subject,
        reply_to=found.reply_to,
        preheader=found.preheader,
        html=found.html,
        text=found.text,
        url=found.url,
        headers=found.headers,
        body=found.body,
        unsubscribe_url=found.unsubscribe_url,
    )
    setattr(made, "from", found.from_)  # a word that Python keeps for itself
    if found.sms is not None:
        made.sms.CopyFrom(_sms(found.sms))
    if found.push is not None:
        made.push.CopyFrom(notification(found.push, found.devices))
    if found.in_app is not None:
        made.in_app.CopyFrom(in_app.rendered(found.in_app))
    return made


def _sms(found: SmsLength) -> message_pb2.SmsLength:
    return message_pb2.SmsLength(encoding=_ENCODINGS[found.encoding], units=found.units, segments=found.segments)


def batch(project: str, offer: Offer, lease_ends: int) -> delivery_pb2.Batch:
    """An offer. Where users share requests, URL and headers stand once, on the batch.

    Arguments:
        lease_ends: micros UTC.
    """
    made = delivery_pb2.Batch(
        batch_id=offer.batch_id,
        project=project,
        message_key=offer.message_key,
        occurrence=offer.occurrence,
        channel=CHANNELS[offer.channel],
        lease_expire_time=timestamp(lease_ends),
        batch_size=offer.batch_size,
        variant=offer.variant,
    )
    shared = offer.batch_size > 0
    if shared:
        made.url = offer.recipients[0].url
        made.headers.update(offer.recipients[0].headers)
    for found in offer.recipients:
        recipient = made.recipients.add(
            distinct_id=found.distinct_id,
            idempotency_key=found.idempotency_key,
            attempt=found.attempt,
            rendered=rendered(found),
        )
        if shared:
            recipient.rendered.ClearField("url")
            recipient.rendered.ClearField("headers")
    return made
