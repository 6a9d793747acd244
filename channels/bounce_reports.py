"""Mails that tell what became of mails: delivery status notifications (RFC 3464) and feedback reports (RFC 5965).

Whose hand-off one is about is read, in this order, from the address that it went to (VERP), from the key's header in the
mail that it carries back, and from that mail's Message-ID. A report that names none is about nothing of Muster's: anybody
can write one about any address, but only who had the mail knows its key.
"""

from __future__ import annotations

import email
import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.message import Message
from email.utils import getaddresses, parseaddr, parsedate_to_datetime
from typing import Any, Final

import muster
from muster.reporting import FeedbackKind
from muster.v1 import feedback_pb2

from channels.callbacks.fields import one_line
from channels.hand_off import KEY_HEADER

MOST_BYTES: Final = 10 << 20
"""Of a report that are read; what is beyond is mail that was carried back."""

_KEY: Final = r"[0-9a-f]+\.[a-z][a-z0-9_-]*\.\d+\.\d+"
_TAGGED: Final = re.compile(rf"[^+@]+\+({_KEY})@", re.IGNORECASE)
_MESSAGE_ID: Final = re.compile(rf"<({_KEY})@[^>]*>", re.IGNORECASE)
_STATUS: Final = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})\b")
_WENT_TO: Final = ("Delivered-To", "X-Original-To", "Envelope-To", "To")
_KIND_OF_ACTION: Final[dict[str, FeedbackKind]] = {"failed": "bounced", "delivered": "delivered"}
_KIND_OF_REPORT: Final[dict[str, FeedbackKind]] = {
    "abuse": "complained",
    "fraud": "complained",
    "virus": "complained",
    "other": "complained",
    "opt-out": "unsubscribed",
    "opt-out-list": "unsubscribed",
}


def said_in(raw: bytes) -> list[feedback_pb2.Feedback] | None:
    """What a mail says of hand-offs: empty where it says nothing that counts, None where it is no report.

    Arguments:
        raw: the mail, with any line ends.
    """
    try:
        mail = email.message_from_bytes(raw[:MOST_BYTES])
        parts = list(_parts(mail))
    except RecursionError:  # parts in parts without end: nobody's report
        return None
    status = [
        part
        for part in parts
        if part.get_content_type() in ("message/delivery-status", "message/global-delivery-status")
    ]
    report = [part for part in parts if part.get_content_type() == "message/feedback-report"]
    if not status and not report:
        return None
    returned = _returned(parts)
    key = _key(mail, returned)
    if not key:
        return []
    told = _Told(mail, returned, key, _id_of(mail, raw))
    return [
        *(one for part in status for one in told.by_status(part)),
        *(one for part in report for one in told.by_report(part)),
    ]


def is_of_the_address(status: str) -> bool:
    """Whether a status code (RFC 3463) says for good that the address takes no mail.

    A code of class 5 that is about the message (too large, its content), the sender (policy), the receiver's system or
    its present state (a full mailbox, tried for too long) says nothing of whether the next mail would be taken.
    """
    found = _STATUS.match(status.strip())
    if found is None or found[1] != "5":
        return False
    subject, detail = int(found[2]), int(found[3])
    if subject == 2:
        return detail not in (2, 3)
    if subject == 4:
        return detail in (0, 1, 4)
    return subject in (0, 1)


class _Told:
    """Makes feedback of the parts of one report."""

    def __init__(self, mail: Message, returned: Message | None, key: str, event_id: str) -> None:
        self._key = key
        self._event_id = event_id
        self._time = _date(mail)
        self._sent_to = "" if returned is None else parseaddr(_text(returned, "To"))[1]

    def by_status(self, part: Message) -> Iterator[feedback_pb2.Feedback]:
        """What a delivery status says, recipient by recipient."""
        for fields in _fields(part):
            kind = _KIND_OF_ACTION.get(_text(fields, "Action").lower())
            if kind is None:
                continue
            status, words = _text(fields, "Status"), _typed(_text(fields, "Diagnostic-Code"))
            # The final recipient may be where the address forwards to: what was sent to goes before.
            address = (
                _typed(_text(fields, "Original-Recipient")) or self._sent_to or _typed(_text(fields, "Final-Recipient"))
            )
            yield self._feedback(
                kind, address, one_line(status, words), kind == "bounced" and is_of_the_address(status)
            )

    def by_report(self, part: Message) -> Iterator[feedback_pb2.Feedback]:
        """What a feedback report says."""
        for fields in _fields(part):
            kind = _KIND_OF_REPORT.get(_text(fields, "Feedback-Type").lower())
            if kind is not None:
                address = parseaddr(_text(fields, "Original-Rcpt-To"))[1] or self._sent_to
                yield self._feedback(kind, address, _text(fields, "Feedback-Type"), False)

    def _feedback(self, kind: FeedbackKind, address: str, detail: str, permanent: bool) -> feedback_pb2.Feedback:
        return muster.feedback(
            kind,
            self._key,
            event_id=self._event_id,
            time=self._time,
            channel="email",
            address=address,
            permanent=permanent,
            detail=detail,
        )


def _parts(mail: Message) -> Iterator[Message]:
    """The parts of a report, but not those of the mail it carries back."""
    if mail.get_content_maintype() == "multipart":
        payload = mail.get_payload()
        for part in payload if isinstance(payload, list) else ():
            if isinstance(part, Message):
                yield from _parts(part)
    else:
        yield mail


def _fields(part: Message) -> Sequence[Message]:
    """The groups of fields of a report's part, which the email package parses as messages."""
    payload: Any = part.get_payload()
    if isinstance(payload, list):
        return [one for one in payload if isinstance(one, Message)]
    return [email.message_from_string(payload)] if isinstance(payload, str) else []


def _returned(parts: Sequence[Message]) -> Message | None:
    """The mail that is carried back, or its headers."""
    for part in parts:
        kind, payload = part.get_content_type(), part.get_payload()
        if kind in ("message/rfc822", "message/global") and isinstance(payload, list) and payload:
            first: Any = payload[0]
            return first if isinstance(first, Message) else None
        if kind in ("text/rfc822-headers", "message/global-headers", "message/rfc822-headers"):
            data = part.get_payload(decode=True)
            if isinstance(payload, list) and payload and isinstance(payload[0], Message):
                return payload[0]
            return email.message_from_bytes(data) if isinstance(data, bytes) else None
    return None


def _key(mail: Message, returned: Message | None) -> str:
    for name in _WENT_TO:
        for value in mail.get_all(name, []):
            for _, address in getaddresses([str(value)]):
                if (found := _TAGGED.match(address)) is not None:
                    return found[1].lower()
    if returned is None:
        return ""
    if key := _text(returned, KEY_HEADER):
        return key
    found = _MESSAGE_ID.search(_text(returned, "Message-ID"))
    return found[1].lower() if found is not None else ""


def _id_of(mail: Message, raw: bytes) -> str:
    """The report's id: the same for one that is read again."""
    named = _text(mail, "Message-ID")
    return hashlib.blake2b(named.encode() or raw, digest_size=16).hexdigest()


def _date(mail: Message) -> datetime | None:
    try:
        found = parsedate_to_datetime(_text(mail, "Date"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else None


def _text(fields: Message, name: str) -> str:
    return " ".join(str(fields.get(name, "")).encode("utf-8", "replace").decode().split())


def _typed(value: str) -> str:
    """A value without its type, such as `rfc822;` before an address or `smtp;` before a reply."""
    _, mark, rest = value.partition(";")
    return rest.strip() if mark else value
