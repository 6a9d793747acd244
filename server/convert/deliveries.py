"""Offers and hand-offs as messages."""

from __future__ import annotations

from muster.v1 import delivery_pb2, message_pb2

from core.messaging.desk import Offer
from core.messaging.render import HandOff
from server.convert.times import timestamp

CHANNELS = {"email": delivery_pb2.CHANNEL_EMAIL, "webhook": delivery_pb2.CHANNEL_WEBHOOK}
"""A channel in core's words."""


def rendered(found: HandOff) -> message_pb2.Rendered:
    """A message ready for a provider."""
    return message_pb2.Rendered(
        to=found.to,
        subject=found.subject,
        reply_to=found.reply_to,
        preheader=found.preheader,
        html=found.html,
        text=found.text,
        url=found.url,
        headers=found.headers,
        body=found.body,
        **{"from": found.from_},
    )


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
