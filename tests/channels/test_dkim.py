"""Promise: a signed mail verifies as it is on the wire, covers both headers of one-click unsubscription, and anything
that is changed or added to what it covers breaks it."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import default

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from channels.dkim_signing import DkimKey
from channels.mime import MailConfig, compose
from tests.channels.offers import email

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
PUBLIC = b"".join(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).splitlines()[1:-1])
LINK = "https://links.example.org/u/" + "a" * 300


def pem(style: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return KEY.private_bytes(Encoding.PEM, style, NoEncryption())


def dns(name: bytes, timeout: int = 5) -> bytes:
    assert name == b"m1._domainkey.example.org."
    return b"v=DKIM1; k=rsa; p=" + PUBLIC


def signed(text: str = "Hello\n.\n..two\n", **changes: object) -> bytes:
    """A mail as a server has it once dots are unstuffed."""
    key = DkimKey(domain="example.org", selector="m1", private_key=pem(), **changes)  # type: ignore[arg-type]
    rendered = email(1, subject="Grüße", text=text, unsubscribe_url=LINK).rendered
    wire = compose(rendered, "k1", MailConfig(dkim=key)).wire()
    return b"\r\n".join(line[1:] if line.startswith(b"..") else line for line in wire.split(b"\r\n"))


def verifies(mail: bytes) -> bool:
    return bool(dkim.verify(mail, dnsfunc=dns))


@pytest.mark.parametrize("style", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_signed_mail_verifies(style: PrivateFormat) -> None:
    key = DkimKey(domain="example.org", selector="m1", private_key=pem(style))
    wire = compose(email(1).rendered, "k1", MailConfig(dkim=key)).wire()
    assert wire.startswith(b"DKIM-Signature: ") and wire.count(b"DKIM-Signature") == 1
    assert verifies(wire) and verifies(signed())
    assert b"\n" not in wire.replace(b"\r\n", b"")


def test_both_unsubscribe_headers_are_there_and_signed() -> None:
    mail = BytesParser(policy=default).parsebytes(signed())
    assert mail["List-Unsubscribe"] == f"<{LINK}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    fields = {part.split("=", 1)[0].strip(): part.split("=", 1)[1] for part in mail["DKIM-Signature"].split(";")}
    covered = [name.strip() for name in fields["h"].split(":")]
    assert {"from", "to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post"} <= set(covered)
    assert covered.count("from") == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Hello", b"Hallo"),
        (b"links.example.org", b"links.example.com"),
        (b"One-Click", b"Two-Click"),
        (b"user1@example.com", b"user2@example.com"),
        (b"DKIM-Signature", b"From: x@example.com\r\nDKIM-Signature"),
    ],
)
def test_what_is_changed_or_added_breaks_it(old: bytes, new: bytes) -> None:
    mail = signed()
    assert old in mail
    assert not verifies(mail.replace(old, new, 1))


def test_what_relays_rewrite_is_left_out_for_them() -> None:
    mail = signed(rewritten=True)
    assert verifies(mail.replace(b"Message-ID: <k1", b"Message-ID: <k2"))
    assert not verifies(signed().replace(b"Message-ID: <k1", b"Message-ID: <k2"))


def test_no_link_no_headers() -> None:
    assert b"List-Unsubscribe" not in compose(email(1).rendered, "k1").wire()


def test_a_link_that_breaks_out_of_its_header_is_not_sent() -> None:
    from channels.mime import Unsendable

    for link in (
        "https://x/\r\nBcc: a@b.c",
        "https://x/>",
        "https://x/ y",
        "https://bücher/",
        "https://x/" + "a" * 999,
    ):
        with pytest.raises(Unsendable):
            compose(email(1, unsubscribe_url=link).rendered, "k1")


@pytest.mark.parametrize(
    "changes",
    [
        {"domain": ""},
        {"selector": "a b"},
        {"private_key": b""},
        {"private_key": b"nonsense"},
        {
            "private_key": ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
        },
    ],
)
def test_what_cannot_sign_is_refused_at_the_start(changes: dict[str, object]) -> None:
    given: dict[str, object] = {"domain": "example.org", "selector": "m1", "private_key": pem(), **changes}
    with pytest.raises(ValueError):
        DkimKey(**given)  # type: ignore[arg-type]
    assert "BEGIN" not in repr(DkimKey(domain="example.org", selector="m1", private_key=pem()))
