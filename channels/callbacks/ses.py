"""Amazon SES by SNS: event publishing of a configuration set, or the notifications of an identity.

A mail names its hand-off in a header of its own, which SES repeats where "include original headers" is on (event
publishing always does).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
import muster
from muster.reporting import FeedbackKind
from muster.v1 import feedback_pb2

from channels.callbacks.fields import inner, moment, object_of, objects, one_line, text
from channels.callbacks.sns import Sns
from channels.callbacks.source import JSON_ANSWER, Call, Said, Unreadable
from channels.hand_off import KEY_HEADER

_KINDS: Final[dict[str, FeedbackKind]] = {
    "Delivery": "delivered",
    "Bounce": "bounced",
    "Complaint": "complained",
    "Open": "opened",
    "Click": "clicked",
    "Subscription": "unsubscribed",
    "Reject": "suppressed",
}
_OF_LISTS: Final = frozenset({"Suppressed", "OnAccountSuppressionList", "OnTenantSuppressionList"})
"""Subtypes of bounces and complaints that SES makes of lists of its own, without trying."""


class NotNow(Exception):
    """AWS could not be reached for what a message needs: SNS is to call again."""


class Ses:
    """Reads what SES publishes to topics of SNS.

    Arguments:
        sns: verifies the topics' messages.
    """

    path = "/ses"
    answer = JSON_ANSWER

    def __init__(self, sns: Sns) -> None:
        self._sns = sns

    async def read(self, call: Call) -> Said:
        """What happened to a mail; a subscription that is to be confirmed is.

        Raises:
            NotNow: beside what every source raises.
        """
        message = object_of(call.body)
        try:
            await self._sns.verify(message)
            if text(message, "Type") == "SubscriptionConfirmation":
                await self._sns.confirm(message)
        except httpx.HTTPError as error:
            raise NotNow("AWS cannot be reached") from error
        if text(message, "Type") != "Notification":
            return []
        try:
            event = object_of(text(message, "Message").encode())
        except Unreadable:
            return []  # SNS tells in plain words that a topic is in use
        return list(_said(event, text(message, "MessageId")))


def _said(event: Mapping[str, Any], message_id: str) -> Iterator[feedback_pb2.Feedback]:
    name = text(event, "eventType") or text(event, "notificationType")
    kind, mail = _KINDS.get(name), inner(event, "mail")
    headers = {text(one, "name").lower(): text(one, "value") for one in objects(mail, "headers")}
    key = headers.get(KEY_HEADER.lower(), "")
    if kind is None or not key:
        return
    about = inner(event, name.lower())
    permanent = kind == "bounced" and text(about, "bounceType") == "Permanent"
    if text(about, f"{name.lower()}SubType") in _OF_LISTS:
        kind, permanent = "suppressed", False
    if kind == "complained" and text(about, "complaintFeedbackType") == "not-spam":
        return
    if kind == "unsubscribed" and not _wants_no_more(about):
        return
    recipients = objects(about, "bouncedRecipients") or objects(about, "complainedRecipients") or [{}]
    for recipient in recipients:
        yield muster.feedback(
            kind,
            key,
            event_id=message_id,
            time=moment(text(about, "timestamp")),
            channel="email",
            address=text(recipient, "emailAddress"),
            permanent=permanent,
            detail=one_line(
                text(recipient, "status"),
                text(recipient, "diagnosticCode")
                or text(about, "smtpResponse")
                or text(about, "complaintFeedbackType")
                or text(about, "reason"),
            ),
            url=text(about, "link"),
        )


def _wants_no_more(subscription: Mapping[str, Any]) -> bool:
    """Whether a change of preferences left nothing subscribed."""
    now = inner(subscription, "newTopicPreferences")
    if now.get("unsubscribeAll") is True:
        return True
    topics = objects(now, "topicSubscriptionStatus")
    return bool(topics) and all(text(one, "subscriptionStatus") == "OptOut" for one in topics)
