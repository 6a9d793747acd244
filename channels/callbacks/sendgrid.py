"""SendGrid's Event Webhook: a list of events, signed with ECDSA over the timestamp and the body.

Mails name their hand-off in a unique argument, which every event repeats. A bounce of type `blocked` was refused for
now, any other puts the address on SendGrid's own list.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final, get_args

import muster
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from muster.reporting import FeedbackKind
from muster.v1 import feedback_pb2

from channels.callbacks.fields import json_of, moment, one_line, text
from channels.callbacks.source import JSON_ANSWER, Call, Refused, Said, Unreadable
from channels.hand_off import SENDGRID_ARGUMENT

SIGNATURE: Final = "x-twilio-email-event-webhook-signature"
TIMESTAMP: Final = "x-twilio-email-event-webhook-timestamp"

_KINDS: Final[dict[str, FeedbackKind]] = {
    "delivered": "delivered",
    "open": "opened",
    "click": "clicked",
    "bounce": "bounced",
    "blocked": "bounced",
    "dropped": "suppressed",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
    "group_resubscribe": "resubscribed",
}
assert set(_KINDS.values()) <= set(get_args(FeedbackKind))


class SendGrid:
    """Reads SendGrid's events.

    Arguments:
        public_key: the verification key of its settings: an EC key, DER in base64.

    Raises:
        ValueError: where it is none.
    """

    path = "/sendgrid"
    answer = JSON_ANSWER

    def __init__(self, public_key: str) -> None:
        key = load_der_public_key(base64.b64decode(public_key, validate=True))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("no elliptic curve's key")
        self._key = key

    async def read(self, call: Call) -> Said:
        """What happened to mails."""
        try:
            signature = base64.b64decode(call.headers.get(SIGNATURE, ""), validate=True)
            signed = call.headers.get(TIMESTAMP, "").encode() + call.body
            self._key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError) as error:
            raise Refused("the signature is not SendGrid's") from error
        events = json_of(call.body)
        if not isinstance(events, list):
            raise Unreadable("the body is no list of events")
        return [said for event in events if isinstance(event, dict) and (said := _said(event)) is not None]


def _said(event: Mapping[str, Any]) -> feedback_pb2.Feedback | None:
    kind, key = _KINDS.get(text(event, "event")), text(event, SENDGRID_ARGUMENT)
    if kind is None or not key:
        return None
    return muster.feedback(
        kind,
        key,
        event_id=text(event, "sg_event_id"),
        time=moment(text(event, "timestamp")),
        channel="email",
        address=text(event, "email"),
        permanent=kind == "bounced" and "blocked" not in (text(event, "type"), text(event, "event")),
        detail=one_line(text(event, "status"), text(event, "reason") or text(event, "response")),
        url=text(event, "url"),
    )
