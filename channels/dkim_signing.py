"""DKIM signatures of mails (RFC 6376), by dkimpy, with an RSA key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import dkim

_SIGNED: Final = (
    "from",
    "reply-to",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "list-unsubscribe-post",
)
"""What is signed of a mail's headers. RFC 8058 wants both of the last two in the signature."""
_REWRITTEN: Final = frozenset({"date", "message-id"})
"""Headers that relays of providers write anew."""
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimKey:
    """What mails are signed with; `SELECTOR._domainkey.DOMAIN` in the DNS has the public half.

    Arguments:
        domain, selector: in ASCII. The domain is that of the senders, or one above it, for DMARC to count it.
        private_key: RSA, in PEM.
        rewritten: the relay writes Date and Message-ID anew, so that they are not signed.

    Raises:
        ValueError: where nothing can be signed with it.
    """

    domain: str
    selector: str
    private_key: bytes = field(repr=False)
    rewritten: bool = False

    def __post_init__(self) -> None:
        for name, value in (("domain", self.domain), ("selector", self.selector)):
            if not _NAME.match(value):
                raise ValueError(f"{name}: {value!r} is none")
        try:
            self.signature_of(b"From: a@example.com\r\n\r\n\r\n")
        except dkim.DKIMException as error:
            raise ValueError("private_key: no RSA key in PEM") from error

    def signature_of(self, mail: bytes) -> bytes:
        """The header that signs a mail, ending in CRLF.

        Arguments:
            mail: headers and body with CRLF, dots not stuffed.
        """
        head = mail.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
        present = {line.partition(b":")[0].decode("ascii", "replace") for line in head if line[:1] not in (b" ", b"\t")}
        left_out: frozenset[str] = _REWRITTEN if self.rewritten else frozenset()
        signed: Sequence[bytes] = [name.encode() for name in _SIGNED if name in present and name not in left_out]
        found: bytes = dkim.sign(
            mail,
            self.selector.encode(),
            self.domain.encode(),
            self.private_key,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=[*signed, b"from"],  # once more: nobody can add a second sender
        )
        return found
