"""Promise: a text message is as long as the standard says, and one that would be too long is not sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidTemplate
from core.render import Missing, RenderedSms, RenderFailed, RenderRow, compile_sms
from core.render.sms_length import SmsLength, first_beyond_gsm, sms_length

# 3GPP TS 23.038, table 6.2.1, by code; 0x1B is the escape to the extension table.
TABLE = (
    "@£$¥èéùìòÇ\nØø\rÅå" "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ" " !\"#¤%&'()*+,-./" "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO" "PQRSTUVWXYZÄÖÑÜ§" "¿abcdefghijklmno" "pqrstuvwxyzäöñüà"
)  # fmt: skip
BASIC = set(TABLE) - {"\x1b"}
EXTENSION = set("\f^{}\\[~]|€")


def naive(text: str) -> SmsLength:
    """The length, by cutting the text character by character."""
    gsm = all(character in BASIC | EXTENSION for character in text)
    sizes = [
        (2 if character in EXTENSION else 1) if gsm else len(character.encode("utf-16-be")) // 2 for character in text
    ]
    alone, shared = (160, 153) if gsm else (70, 67)
    if sum(sizes) <= alone:
        segments = [sum(sizes)] if sizes else []
    else:
        segments = [0]
        for size in sizes:
            if segments[-1] + size > shared:
                segments.append(0)
            segments[-1] += size
    return SmsLength("gsm7" if gsm else "ucs2", sum(sizes), len(segments))


def test_the_table_has_128_codes() -> None:
    assert len(TABLE) == len(set(TABLE)) == 128


@given(
    st.one_of(
        st.text(st.sampled_from(sorted(BASIC | EXTENSION)), max_size=700),
        st.text(st.sampled_from("aé€ж漢😀"), max_size=400),
        st.text(max_size=400),
        st.builds(lambda n, tail: "a" * n + tail, st.integers(60, 320), st.sampled_from(["", "€", "😀", "€€", "ж"])),
    ).filter(lambda text: text.encode("utf-16-be", "ignore") == text.encode("utf-16-be", "surrogatepass"))
)
def test_the_length_is_that_of_the_naive_twin(text: str) -> None:
    assert sms_length(text) == naive(text)


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", "gsm7", 0, 0),
        ("a" * 160, "gsm7", 160, 1),
        ("a" * 161, "gsm7", 161, 2),
        ("a" * 306, "gsm7", 306, 2),
        ("a" * 307, "gsm7", 307, 3),
        ("a" * 152 + "€" + "a" * 152, "gsm7", 306, 3),  # the pair does not fit into the first segment's last septet
        ("ж" * 70, "ucs2", 70, 1),
        ("ж" * 71, "ucs2", 71, 2),
        ("ж" * 66 + "😀" + "ж" * 66, "ucs2", 134, 3),
    ],
)
def test_where_segments_end(text: str, encoding: str, units: int, segments: int) -> None:
    assert sms_length(text) == SmsLength(encoding, units, segments)  # type: ignore[arg-type]


def test_the_culprit_is_named() -> None:
    assert first_beyond_gsm("It’s fine") == "’"
    assert first_beyond_gsm("fine €") == ""


def rendered(row: RenderRow, **parts: Any) -> RenderedSms | Missing | RenderFailed:
    (found,) = compile_sms(**parts).render_many([row])
    return found


def test_a_text_with_its_length() -> None:
    found = rendered(RenderRow({"name": "Ann"}), text=" Hi {{ user.name }},\r\nwelcome ", from_="Shop")
    assert found == RenderedSms("Hi Ann,\nwelcome", "Shop", SmsLength("gsm7", 15, 1))


def test_who_lacks_a_property_is_missing() -> None:
    found = rendered(RenderRow({}), text="Hi {{ user.name }}")
    assert isinstance(found, Missing) and found.field == "sms.text"


@pytest.mark.parametrize(
    ("name", "limit", "code"),
    [("a" * 170, 1, "SMS_TOO_LONG"), ("ж" * 80, 1, "SMS_TOO_LONG"), ("a" * 1_600, 0, "SMS_TOO_LONG")],
)
def test_a_user_whose_text_is_too_long_fails_alone(name: str, limit: int, code: str) -> None:
    found = rendered(RenderRow({"name": name}), text="{{ user.name }}", max_segments=limit)
    assert isinstance(found, RenderFailed) and (found.code, found.field) == (code, "sms.text")


def test_nothing_is_left() -> None:
    found = rendered(RenderRow({"name": " "}), text="{{ user.name }}")
    assert isinstance(found, RenderFailed) and found.code == "SMS_EMPTY"


@pytest.mark.parametrize(
    ("parts", "field", "code"),
    [
        ({"text": " "}, "sms.text", "TEMPLATE_EMPTY"),
        ({"text": "{{ user. }}"}, "sms.text", "TEMPLATE_SYNTAX"),
        ({"text": "Hi", "from_": "+49"}, "sms.from", "SENDER_INVALID"),
        ({"text": "Hi", "from_": "A name that is long"}, "sms.from", "SENDER_INVALID"),
        ({"text": "Hi", "from_": "{{ user.agent }}"}, "sms.from", "SENDER_INVALID"),
        ({"text": "Hi", "max_segments": 11}, "sms.max_segments", "INVALID_LIMIT"),
        ({"text": "Hi", "max_segments": -1}, "sms.max_segments", "INVALID_LIMIT"),
        ({"text": "a" * 161, "max_segments": 1}, "sms.text", "SMS_TOO_LONG"),
    ],
)
def test_what_is_refused_names_field_and_mend(parts: dict[str, Any], field: str, code: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        compile_sms(**parts)
    assert (caught.value.field, caught.value.code) == (field, code)
    assert caught.value.mend


@pytest.mark.parametrize("sender", ["+14155550100", "12345", "Shop", "Shop 24", "MG" + "0a" * 16, ""])
def test_senders(sender: str) -> None:
    assert compile_sms(text="Hi", from_=sender).from_ == sender
