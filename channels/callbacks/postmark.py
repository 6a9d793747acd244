"""Postmark's webhooks: one record a call, under HTTP basic authentication with a name and password of ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import muster
from muster.reporting import FeedbackKind

from channels.callbacks.fields import inner, moment, object_of, one_line, text
from channels.callbacks.source import JSON_ANSWER, Call, Refused, Said
from channels.hand_off import postmark_key

_KINDS: Final[dict[str, tuple[FeedbackKind, str, str]]] = {
    "Delivery": ("delivered", "DeliveredAt", "Recipient"),
    "Bounce": ("bounced", "BouncedAt", "Email"),
    "SpamComplaint": ("complained", "BouncedAt", "Email"),
    "Open": ("opened", "ReceivedAt", "Recipient"),
    "Click": ("clicked", "ReceivedAt", "Recipient"),
    "SubscriptionChange": ("unsubscribed", "ChangedAt", "Recipient"),
}
"""By record type: the kind, and the fields of its time and its address."""

_OF_THE_ADDRESS: Final = frozenset({"HardBounce", "BadEmailAddress"})
_NO_BOUNCE: Final = frozenset({"AutoResponder", "AddressChange", "ChallengeVerification", "Subscribe", "OpenRelayTest"})
"""Types of a Bounce record that say nothing of a delivery."""


class Postmark:
    """Reads Postmark's records.

    Arguments:
        login: `name:password`, which stand in the webhook's URL or settings.
    """

    path = "/postmark"
    answer = JSON_ANSWER

    def __init__(self, login: str) -> None:
        if ":" not in login:
            raise ValueError("name:password")
        self._authorization = b"Basic " + base64.b64encode(login.encode())

    async def read(self, call: Call) -> Said:
        """What happened to a mail."""
        if not hmac.compare_digest(self._authorization, call.headers.get("authorization", "").encode()):
            raise Refused("the name or the password is wrong")
        record = object_of(call.body)
        known, key = _KINDS.get(text(record, "RecordType")), postmark_key(inner(record, "Metadata"))
        if known is None or not key:
            return []
        kind, time_field, address_field = known
        bounce = text(record, "Type")
        if kind == "unsubscribed" and not _is_own_wish(record):
            return []
        if kind == "bounced":
            if bounce in _NO_BOUNCE:
                return []
            kind = {"Unsubscribe": "unsubscribed", "ManuallyDeactivated": "suppressed"}.get(bounce, "bounced")  # type: ignore[assignment]
        at, url = text(record, time_field), text(record, "OriginalLink")
        return [
            muster.feedback(
                kind,
                key,
                event_id=text(record, "ID") or (_digest(at, url) if kind in ("opened", "clicked") else ""),
                time=moment(at),
                channel="email",
                address=text(record, address_field),
                permanent=kind == "bounced" and bounce in _OF_THE_ADDRESS,
                detail=one_line(bounce, text(record, "Details") or text(record, "Description")),
                url=url,
            )
        ]


def _is_own_wish(record: Mapping[str, Any]) -> bool:
    """Whether the recipient unsubscribed; what follows from bounces and complaints comes as those."""
    return (
        record.get("SuppressSending") is True
        and text(record, "Origin") == "Recipient"
        and text(record, "SuppressionReason") == "ManualSuppression"
    )


def _digest(*parts: str) -> str:
    """An id of what has none: the same for a record that is sent again."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()
