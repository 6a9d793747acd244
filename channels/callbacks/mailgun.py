"""Mailgun's webhooks: one event a call, its time and token signed with HMAC-SHA256 inside the body.

The signature does not cover the event, so a call that is too old is refused: who has seen one cannot use it for long.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Final

import muster
from muster.reporting import FeedbackKind

from channels.callbacks.fields import inner, moment, object_of, one_line, text
from channels.callbacks.source import JSON_ANSWER, Call, Refused, Said
from channels.hand_off import MAILGUN_VARIABLE

_KINDS: Final[dict[str, FeedbackKind]] = {
    "delivered": "delivered",
    "opened": "opened",
    "clicked": "clicked",
    "failed": "bounced",
    "complained": "complained",
    "unsubscribed": "unsubscribed",
}
_OLDEST: Final = 12 * 3600
"""Seconds. Mailgun gives up calling again after eight hours."""
_GAVE_UP: Final = frozenset({"old", "espblock"})
"""Reasons of a permanent failure that say nothing of the address: tried for too long, or a provider's block."""


class Mailgun:
    """Reads Mailgun's events.

    Arguments:
        signing_key: the webhook signing key of its settings.
        clock: seconds since 1970.
    """

    path = "/mailgun"
    answer = JSON_ANSWER

    def __init__(self, signing_key: str, clock: Callable[[], float] = time.time) -> None:
        self._key = signing_key.encode()
        self._clock = clock

    async def read(self, call: Call) -> Said:
        """What happened to a mail."""
        found = object_of(call.body)
        stamp, token = text(found, "signature", "timestamp"), text(found, "signature", "token")
        right = hmac.new(self._key, (stamp + token).encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right.encode(), text(found, "signature", "signature").encode()):
            raise Refused("the signature is not Mailgun's")
        at = moment(stamp)
        if at is None or abs(self._clock() - at.timestamp()) > _OLDEST:
            raise Refused("the call was signed too long ago")
        event = inner(found, "event-data")
        kind, key = _KINDS.get(text(event, "event")), text(event, "user-variables", MAILGUN_VARIABLE)
        if kind is None or not key:
            return []
        reason = text(event, "reason")
        if kind == "bounced" and reason.startswith("suppress-"):
            kind = "suppressed"
        return [
            muster.feedback(
                kind,
                key,
                event_id=text(event, "id"),
                time=moment(text(event, "timestamp")),
                channel="email",
                address=text(event, "recipient"),
                permanent=kind == "bounced" and text(event, "severity") == "permanent" and reason not in _GAVE_UP,
                detail=one_line(
                    text(event, "delivery-status", "code"), text(event, "delivery-status", "message") or reason
                ),
                url=text(event, "url"),
            )
        ]
