"""Promise: every rendered email becomes a correct, parseable mail, and nothing in a profile can add a header."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.hand_off import KEY_HEADER, postmark_key
from channels.mime import MailConfig, Unsendable, compose, message_id, with_preheader
from tests.channels.offers import email

ORG = MailConfig(message_id_domain="example.org")


def parsed(key: str = "k1", **changes: str) -> EmailMessage:
    wire = compose(email(1, **changes).rendered, key, ORG).wire()
    assert wire.endswith(b"\r\n") and b"\n" not in wire.replace(b"\r\n", b"")
    unstuffed = b"\r\n".join(line[1:] if line.startswith(b"..") else line for line in wire.split(b"\r\n"))
    return cast(EmailMessage, cast(Any, message_from_bytes)(unstuffed, policy=default))


def part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content())


def test_text_and_html_are_alternatives_text_first() -> None:
    mail = parsed()
    assert mail.get_content_type() == "multipart/alternative"
    assert [item.get_content_type() for item in mail.iter_parts()] == ["text/plain", "text/html"]
    assert part(mail, "plain").strip() == "Hello 1"
    assert part(mail, "html").strip() == "<p>Hello 1</p>"


@pytest.mark.parametrize(("gone", "kind"), [("text", "text/html"), ("html", "text/plain")])
def test_a_single_body_stands_alone(gone: str, kind: str) -> None:
    assert parsed(**{gone: ""}).get_content_type() == kind


def test_headers_carry_the_key() -> None:
    mail = parsed("winback.0.u7")
    assert mail["Message-ID"] == "<winback.0.u7@example.org>"
    assert mail[KEY_HEADER] == "winback.0.u7"
    assert mail["Date"].datetime.tzinfo is not None
    assert mail["MIME-Version"] == "1.0"


@pytest.mark.parametrize("key", ["a b", "a@b", "a..b", ".a", "x" * 300, "win:back/1", "a<b>"])
def test_a_key_that_fits_no_message_id_is_hashed_and_the_header_keeps_it(key: str) -> None:
    made = message_id(key, "example.org")
    assert made == message_id(key, "example.org") and len(made) < 110
    assert parsed(key)[KEY_HEADER] == key
    assert parsed(key)["Message-ID"] == made


def test_long_keys_are_neither_folded_nor_encoded() -> None:
    key = "f" * 128
    raw = compose(email(1).rendered, key, MailConfig(message_id_domain="a-rather-long-domain-name.example.org")).wire()
    assert f"{KEY_HEADER}: {key}\r\n".encode() in raw
    assert f"Message-ID: <{key}@a-rather-long-domain-name.example.org>\r\n".encode() in raw


@pytest.mark.parametrize("key", ["", "a\r\nBcc: x@y.z", "ключ", "x" * 600])
def test_a_key_that_no_header_holds_is_refused(key: str) -> None:
    with pytest.raises(Unsendable):
        compose(email(1).rendered, key, ORG)


def test_non_ascii_headers_and_bodies_survive() -> None:
    subject = "Überraschung für Åsa — 你好 " + "sehr " * 40 + "lang"
    mail = parsed(
        subject=subject,
        text="naïve ☃",
        html="<p>☃</p>",
        **{"from": "Jürgen Ö <j@example.org>", "reply_to": "Zoë <z@example.org>"},
    )
    assert mail["Subject"] == subject
    assert mail["From"].addresses[0].display_name == "Jürgen Ö"
    assert mail["Reply-To"].addresses[0].display_name == "Zoë"
    assert part(mail, "plain").strip() == "naïve ☃"
    assert part(mail, "html").strip() == "<p>☃</p>"


def test_everything_on_the_wire_is_seven_bit_with_short_lines() -> None:
    wire = compose(email(1, subject="Ü" * 300, text="ü" * 5000, html="<p>" + "x" * 5000).rendered, "k", ORG).wire()
    assert wire.isascii()
    assert max(len(line) for line in wire.split(b"\r\n")) <= 998


def test_without_a_domain_the_message_id_has_the_senders() -> None:
    assert compose(email(1).rendered, "key.1").message_id == "<key.1@example.org>"


def test_an_international_domain_travels_as_idna() -> None:
    mail = compose(email(1, to="Åsa <asa@bücher.example>").rendered, "k", ORG)
    assert mail.recipient == "asa@xn--bcher-kva.example"
    assert not mail.needs_utf8


def test_an_international_local_part_asks_for_smtputf8() -> None:
    mail = compose(email(1, to="åsa@bücher.example").rendered, "k", ORG)
    assert mail.needs_utf8 and mail.recipient == "åsa@xn--bcher-kva.example"
    assert "To: åsa@xn--bcher-kva.example\r\n".encode() in mail.wire()


def test_a_quoted_name_with_a_comma_is_one_address() -> None:
    mail = compose(email(1, to='"Smith, Jo" <jo@example.com>').rendered, "k", ORG)
    assert mail.recipient == "jo@example.com"
    assert b'To: "Smith, Jo" <jo@example.com>\r\n' in mail.wire()


@pytest.mark.parametrize(
    "to",
    [
        "",
        "nobody",
        "a@b.c, d@e.f",
        "a@b.c\r\nBcc: d@e.f",
        "a@b.c> SIZE=1",
        "<>",
        "a b@c.d",
        "a@",
        "@b.c",
        "a@b@c",
        "group: a@b.c;",
    ],
)
def test_what_is_not_one_address_is_refused_before_anything_is_sent(to: str) -> None:
    with pytest.raises(Unsendable, match="to"):
        compose(email(1, to=to).rendered, "k", ORG)


def test_a_mail_without_a_body_is_refused() -> None:
    with pytest.raises(Unsendable, match="body"):
        compose(email(1, text="", html="").rendered, "k", ORG)


@given(subject=st.text(max_size=120), text=st.text(min_size=1, max_size=300))
def test_no_subject_or_text_adds_a_header(subject: str, text: str) -> None:
    mail = parsed(subject=subject.encode("utf-8", "replace").decode(), text=text.encode("utf-8", "replace").decode())
    assert sorted(mail.keys()) == sorted(
        ["Message-ID", KEY_HEADER, "From", "To", "Subject", "Date", "MIME-Version", "Content-Type"]
    )


@given(st.lists(st.sampled_from([".", "..", "a", "\n", "\r\n", "\r", ".\n", "x" * 80, "ü"]), min_size=1, max_size=30))
def test_a_lone_dot_never_ends_a_mail_early(pieces: list[str]) -> None:
    wire = compose(email(1, text="".join(pieces), html="").rendered, "k", ORG).wire()
    assert b"\r\n.\r\n" not in wire


def test_the_preheader_is_the_hidden_first_element_of_the_body() -> None:
    page = with_preheader('<html><BODY class="x"><p>Hi</p></BODY></html>', "Only <today> & for you")
    assert page.startswith('<html><BODY class="x"><div style="display:none')
    assert "Only &lt;today&gt; &amp; for you</div><p>Hi</p>" in page


def test_a_page_without_a_body_tag_gets_the_preheader_at_its_start() -> None:
    assert with_preheader("<p>Hi</p>", "Psst").startswith("<div style=")
    assert with_preheader("<p>Hi</p>", "") == "<p>Hi</p>"


def test_a_preheader_put_there_by_the_rendering_is_not_repeated() -> None:
    once = with_preheader("<body><p>Hi</p></body>", "It's on")
    assert with_preheader(once, "It's on") == once


def test_a_return_path_names_its_hand_off_where_that_fits() -> None:
    verp = MailConfig(return_path="bounces@example.org", verp=True)
    assert compose(email(1).rendered, "5eed.hi.0.7", verp).sender == "bounces+5eed.hi.0.7@example.org"
    assert compose(email(1).rendered, "5eed." + "a" * 60 + ".0.7", verp).sender == "bounces@example.org"
    assert compose(email(1).rendered, "k", MailConfig(return_path="b@example.org")).sender == "b@example.org"
    assert compose(email(1).rendered, "k").sender == "news@example.org"
    for wrong in ({"return_path": "Me <a@b.example>"}, {"return_path": "nobody"}, {"verp": True}):
        with pytest.raises(ValueError):
            MailConfig(**wrong)  # type: ignore[arg-type]


def test_each_provider_is_told_the_hand_off_in_its_own_header() -> None:
    long = "f" * 200
    for key in ("5eed.hi.0.7", long):
        for provider, name in (("sendgrid", "X-SMTPAPI"), ("mailgun", "X-Mailgun-Variables")):
            wire = compose(email(1).rendered, key, MailConfig(provider=provider)).wire()  # type: ignore[arg-type]
            assert key in str(cast(Any, message_from_bytes)(wire, policy=default)[name])
        wire = compose(email(1).rendered, key, MailConfig(provider="postmark")).wire()
        mail = cast(Any, message_from_bytes)(wire, policy=default)
        prefix = "x-pm-metadata-"
        metadata = {n.lower().removeprefix(prefix): str(v) for n, v in mail.items() if n.lower().startswith(prefix)}
        assert postmark_key(metadata) == key and max(map(len, metadata.values())) <= 80
