"""Twilio's calls: what became of a text message, and what a user answered; signed with HMAC-SHA1 over URL and form.

A message's status callback names its hand-off in the URL's query. An answer is word about a number: STOP and its like
unsubscribe it, START and its like take that back, anything else is a reply.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import muster
from muster.reporting import FeedbackKind

from channels.callbacks.fields import one_line
from channels.callbacks.source import Call, Refused, Said, Unreadable

SIGNATURE: Final = "x-twilio-signature"
STOP_WORDS: Final = frozenset(
    {"STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "OPT OUT", "REVOKE"}
)
START_WORDS: Final = frozenset({"START", "UNSTOP", "YES"})

_STATUSES: Final[dict[str, FeedbackKind]] = {
    "delivered": "delivered",
    "read": "opened",
    "undelivered": "bounced",
    "failed": "bounced",
}
_STOPPED: Final = "21610"
_NO_SUCH_NUMBER: Final = frozenset({"21211", "21614", "30005", "30006"})
"""Codes that say that the number takes no text messages: invalid, not mobile, unknown, a landline."""
_EMPTY_TWIML: Final = ("text/xml", b"<?xml version='1.0' encoding='UTF-8'?><Response/>")


def signature_of(url: str, form: Mapping[str, str], token: str) -> str:
    """X-Twilio-Signature of a call: base64 of HMAC-SHA1 over the URL and the sorted fields of the form."""
    words = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), words.encode(), hashlib.sha1).digest()).decode()


def kind_of_answer(body: str, opt_out_type: str = "") -> FeedbackKind:
    """What an answer means: by what Twilio made of it (`OptOutType`), else by its words."""
    word = opt_out_type.upper() or " ".join(body.split()).strip(".!\"'").upper()
    if word in STOP_WORDS:
        return "unsubscribed"
    return "resubscribed" if word in START_WORDS else "replied"


class _Signed:
    """Forms signed by an account.

    Arguments:
        token: the account's auth token (not an API key's secret).
    """

    answer = _EMPTY_TWIML

    def __init__(self, token: str) -> None:
        self._token = token

    def _form(self, call: Call) -> Mapping[str, str]:
        try:
            form = dict(parse_qsl(call.body.decode(), keep_blank_values=True, max_num_fields=200))
        except ValueError as error:
            raise Unreadable("the body is no form") from error
        right = signature_of(call.url, form, self._token)
        if not hmac.compare_digest(right.encode(), call.headers.get(SIGNATURE, "").encode()):
            raise Refused("the signature is not Twilio's for this URL")
        return form


class TwilioStatus(_Signed):
    """What became of messages: Twilio calls the URL that each was sent with."""

    path = "/twilio/status"

    async def read(self, call: Call) -> Said:
        """What became of a message."""
        form = self._form(call)
        kind, key = _STATUSES.get(form.get("MessageStatus", "")), call.query.get("key", "")
        if kind is None or not key:
            return []
        code = form.get("ErrorCode", "")
        if code == _STOPPED:
            kind = "unsubscribed"
        return [
            muster.feedback(
                kind,
                key,
                event_id=form.get("MessageSid", ""),
                channel="sms",
                address=form.get("To", ""),
                permanent=kind == "bounced" and code in _NO_SUCH_NUMBER,
                detail=one_line(form.get("MessageStatus", ""), code, form.get("ErrorMessage", "")),
            )
        ]


class TwilioInbound(_Signed):
    """What users answer: the URL to set for each number, or messaging service."""

    path = "/twilio/inbound"

    async def read(self, call: Call) -> Said:
        """What a user answered."""
        form = self._form(call)
        if not form.get("From") or not form.get("MessageSid"):
            return []
        return [
            muster.feedback(
                kind_of_answer(form.get("Body", ""), form.get("OptOutType", "")),
                event_id=form["MessageSid"],
                channel="sms",
                address=form["From"],
                detail=one_line(form.get("Body", "")),
            )
        ]
