"""Messages of Amazon SNS: their signatures, and the confirmation of a subscription.

A message names the certificate that signed it by URL. Only URLs of SNS itself are fetched, over HTTPS, and only for
topics that are configured: a forged message leads nowhere.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from channels.callbacks.fields import text
from channels.callbacks.source import Refused

logger = logging.getLogger(__name__)

_HOST: Final = re.compile(r"sns\.[a-z0-9-]{3,30}\.amazonaws\.com(\.cn)?\Z")
_SIGNED: Final = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_HASHES: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {"1": hashes.SHA1, "2": hashes.SHA256}
_MOST_BYTES: Final = 65_536
_MOST_CERTIFICATES: Final = 16

Fetch = Callable[[str], Awaitable[bytes]]
"""GETs a URL of SNS; raises httpx.HTTPError where that fails."""


async def fetch_from_aws(url: str) -> bytes:
    """GET a URL that was found to be of SNS.

    Raises:
        httpx.HTTPError.
    """
    async with (
        httpx.AsyncClient(timeout=10.0, follow_redirects=False, trust_env=False) as client,
        client.stream("GET", url) as answer,
    ):
        answer.raise_for_status()
        body = bytearray()
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > _MOST_BYTES:
                break
    return bytes(body[:_MOST_BYTES])


def signed_text(message: Mapping[str, Any]) -> bytes:
    """The bytes that SNS signs: names and values, line by line."""
    names = _SIGNED.get(text(message, "Type"), ())
    return "".join(f"{name}\n{message[name]}\n" for name in names if isinstance(message.get(name), str)).encode()


class Sns:
    """Verifies messages of some topics.

    Arguments:
        topics: their ARNs.
        certificate: PEM of the certificate that signs; None: the one that a message names, fetched from SNS.
        fetch: replaces the network, for tests.

    Raises:
        ValueError: where the certificate is none.
    """

    def __init__(self, topics: Sequence[str], certificate: bytes | None = None, fetch: Fetch = fetch_from_aws) -> None:
        self._topics = frozenset(topics)
        self._pinned = None if certificate is None else _key_of(certificate)
        self._fetch = fetch
        self._keys: dict[str, rsa.RSAPublicKey] = {}

    async def verify(self, message: Mapping[str, Any]) -> None:
        """Make sure that a message is of SNS, and of one of the topics.

        Raises:
            Refused.
        """
        topic, kind = text(message, "TopicArn"), text(message, "Type")
        if topic not in self._topics:
            raise Refused(f"the topic {topic!r} is not configured")
        algorithm = _HASHES.get(text(message, "SignatureVersion"))
        if kind not in _SIGNED or algorithm is None:
            raise Refused("no message of SNS")
        key = self._pinned or await self._key(text(message, "SigningCertURL"))
        try:
            signature = base64.b64decode(text(message, "Signature"), validate=True)
            key.verify(signature, signed_text(message), padding.PKCS1v15(), algorithm())
        except (InvalidSignature, ValueError) as error:
            raise Refused("the signature is not SNS's") from error

    async def confirm(self, message: Mapping[str, Any]) -> None:
        """Confirm a subscription that a verified message asks for.

        Raises:
            Refused: for a URL that confirms nothing of this topic at SNS; httpx.HTTPError.
        """
        url = text(message, "SubscribeURL")
        asked = parse_qs(urlsplit(url).query) if _is_of_sns(url) else {}
        if asked.get("Action") != ["ConfirmSubscription"] or asked.get("TopicArn") != [text(message, "TopicArn")]:
            raise Refused("the URL confirms nothing of this topic")
        await self._fetch(url)
        logger.info("the subscription to %s is confirmed", text(message, "TopicArn"))

    async def _key(self, url: str) -> rsa.RSAPublicKey:
        if not (_is_of_sns(url) and urlsplit(url).path.endswith(".pem")):
            raise Refused("the certificate is not one of SNS's")
        found = self._keys.get(url)
        if found is None:
            try:
                found = _key_of(await self._fetch(url))
            except ValueError as error:
                raise Refused("what SNS has there is no certificate") from error
            if len(self._keys) >= _MOST_CERTIFICATES:
                self._keys.clear()
            self._keys[url] = found
        return found


def _is_of_sns(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme == "https"
            and _HOST.match(parts.hostname or "") is not None
            and parts.port in (None, 443)
            and parts.username is None
        )
    except ValueError:
        return False


def _key_of(certificate: bytes) -> rsa.RSAPublicKey:
    key = x509.load_pem_x509_certificate(certificate).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("no RSA key")
    return key
