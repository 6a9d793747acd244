"""Providers that call back: SES by SNS, SendGrid, Postmark and Mailgun, with real signatures by keys of their own.

Each is given what it would have taken in (a mail as it is on the wire) and tells what became of it, in the provider's
own format.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.parser import BytesParser
from email.policy import default
from typing import Any, Final

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

TOPIC: Final = "arn:aws:sns:eu-central-1:123456789012:muster"


def parsed(mail: bytes | str) -> Message:
    """A mail as a provider takes it in."""
    raw = mail.encode() if isinstance(mail, str) else mail
    return BytesParser(policy=default).parsebytes(raw)


def recipient_of(mail: Message) -> str:
    """The bare address that a mail goes to."""
    to: Any = mail["To"]
    return str(to.addresses[0].addr_spec)


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """POST as providers do; the answer's status."""
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
        answer = await client.post(url, content=body, headers=dict(headers))
    return answer.status_code


class SendGridDouble:
    """SendGrid's Event Webhook."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> str:
        """The verification key as its settings show it."""
        found = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(found).decode()

    def event(self, mail: bytes | str, name: str, **fields: Any) -> dict[str, Any]:
        """An event about a mail."""
        taken = parsed(mail)
        arguments = json.loads(str(taken["X-SMTPAPI"]))["unique_args"] if taken["X-SMTPAPI"] else {}
        to = recipient_of(taken)
        common = {"email": to, "event": name, "sg_event_id": secrets.token_urlsafe(16), "timestamp": int(time.time())}
        return {**common, "sg_message_id": "14c5d75ce93.dfd.64b469", **arguments, **fields}

    def signed(self, events: Sequence[Mapping[str, Any]]) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a call."""
        body, stamp = json.dumps(list(events)).encode(), str(int(time.time()))
        signature = self._key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return body, {
            "content-type": "application/json",
            "x-twilio-email-event-webhook-timestamp": stamp,
            "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
        }

    async def call(self, url: str, *events: Mapping[str, Any]) -> int:
        """Tell of events; the answer's status."""
        return await post(url, *self.signed(events))


class MailgunDouble:
    """Mailgun's webhooks."""

    def __init__(self, signing_key: str = "mailgun-signing-key") -> None:
        self.signing_key = signing_key

    def event(self, mail: bytes | str, name: str, **fields: Any) -> dict[str, Any]:
        """An event about a mail."""
        taken = parsed(mail)
        variables = json.loads(str(taken["X-Mailgun-Variables"])) if taken["X-Mailgun-Variables"] else {}
        return {
            "event": name,
            "id": secrets.token_urlsafe(16),
            "timestamp": time.time(),
            "recipient": recipient_of(taken),
            "user-variables": variables,
            **fields,
        }

    def signed(self, event: Mapping[str, Any], *, at: float | None = None) -> bytes:
        """The body of a call."""
        stamp, token = str(int(time.time() if at is None else at)), secrets.token_hex(25)
        signature = hmac.new(self.signing_key.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
        proof = {"timestamp": stamp, "token": token, "signature": signature}
        return json.dumps({"signature": proof, "event-data": event}).encode()

    async def call(self, url: str, event: Mapping[str, Any]) -> int:
        """Tell of an event; the answer's status."""
        return await post(url, self.signed(event), {"content-type": "application/json"})


class PostmarkDouble:
    """Postmark's webhooks."""

    def __init__(self, login: str = "postmark:secret") -> None:
        self.login = login

    def record(self, mail: bytes | str, record_type: str, **fields: Any) -> dict[str, Any]:
        """A record about a mail."""
        taken = parsed(mail)
        prefix = "x-pm-metadata-"
        metadata = {
            name.lower().removeprefix(prefix): str(value)
            for name, value in taken.items()
            if name.lower().startswith(prefix)
        }
        to = recipient_of(taken)
        common = {"RecordType": record_type, "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "Metadata": metadata}
        return {**common, "Recipient": to, "Email": to, **fields}

    async def call(self, url: str, record: Mapping[str, Any]) -> int:
        """Tell of a record; the answer's status."""
        login = base64.b64encode(self.login.encode()).decode()
        headers = {"content-type": "application/json", "authorization": f"Basic {login}"}
        return await post(url, json.dumps(record).encode(), headers)


class SesDouble:
    """SES, which publishes to a topic of SNS, which calls.

    Arguments:
        topic: its ARN.
        version: of the signature: "1" by SHA-1, "2" by SHA-256.
    """

    certificate_url: Final = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"

    def __init__(self, topic: str = TOPIC, version: str = "2") -> None:
        self.topic = topic
        self.version = version
        self.fetched: list[str] = []
        """URLs of SNS that were asked for."""
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self.certificate = _certificate(self._key)

    async def fetch(self, url: str) -> bytes:
        """Stands in for the network of `channels.callbacks.sns.Sns`."""
        self.fetched.append(url)
        return self.certificate if url == self.certificate_url else b"<ConfirmSubscriptionResponse/>"

    def event(self, mail: bytes | str, kind: str, **about: Any) -> dict[str, Any]:
        """An event of event publishing about a mail."""
        taken = parsed(mail)
        headers = [{"name": name, "value": str(value)} for name, value in taken.items()]
        to = recipient_of(taken)
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "eventType": kind,
            "mail": {"timestamp": stamp, "messageId": "0102", "destination": [to], "headers": headers},
            kind.lower(): {"timestamp": stamp, **about},
        }

    def notification(self, event: Mapping[str, Any] | str, **fields: Any) -> dict[str, Any]:
        """A signed notification that carries an event."""
        message = event if isinstance(event, str) else json.dumps(event)
        return self.signed({"Type": "Notification", "Message": message, **fields})

    def confirmation(self, **fields: Any) -> dict[str, Any]:
        """A signed request to confirm a subscription."""
        url = f"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={self.topic}&Token=2336"
        message = f"You have chosen to subscribe to the topic {self.topic}."
        given = {"Type": "SubscriptionConfirmation", "Message": message, "SubscribeURL": url, "Token": "2336"}
        return self.signed({**given, **fields})

    def signed(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message of the topic, signed."""
        found = {
            "MessageId": secrets.token_hex(16),
            "TopicArn": self.topic,
            "Timestamp": "2026-03-09T09:00:00.000Z",
            "SignatureVersion": self.version,
            "SigningCertURL": self.certificate_url,
            **message,
        }
        names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        text = "".join(f"{name}\n{found[name]}\n" for name in names if name in found).encode()
        algorithm = hashes.SHA1() if self.version == "1" else hashes.SHA256()
        signature = self._key.sign(text, padding.PKCS1v15(), algorithm)
        return {**found, "Signature": base64.b64encode(signature).decode()}

    async def call(self, url: str, message: Mapping[str, Any]) -> int:
        """Call with a message; the answer's status."""
        headers = {"content-type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": str(message.get("Type"))}
        return await post(url, json.dumps(message).encode(), headers)


def _certificate(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)
