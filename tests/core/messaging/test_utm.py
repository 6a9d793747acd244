"""Promise: links get the parameters that they lack, once, and nothing else of an email changes."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.messaging.utm import MAX_VALUE, Utm, check_utm, in_html, in_text

UTM = Utm(source="news", medium="e mail")
PAIRS = UTM.pairs("welcome")
ADDED = "utm_source=news&utm_medium=e%20mail&utm_campaign=welcome"


@pytest.mark.parametrize(
    ("url", "tagged"),
    [
        ("https://a.example", f"https://a.example?{ADDED}"),
        ("https://a.example/x?y&", f"https://a.example/x?y&{ADDED}"),
        ("https://a.example/x&", f"https://a.example/x&?{ADDED}"),
        ("https://a.example/x?y=1", f"https://a.example/x?y=1&{ADDED}"),
        ("https://a.example/x#part", f"https://a.example/x?{ADDED}#part"),
        (
            "https://a.example/?UTM_Source=mine&utm_campaign=",
            "https://a.example/?UTM_Source=mine&utm_campaign=&utm_medium=e%20mail",
        ),
        ("https://own.example/u/abc", "https://own.example/u/abc"),
        ("mailto:a@a.example", "mailto:a@a.example"),
    ],
)
def test_a_link_gets_what_it_lacks(url: str, tagged: str) -> None:
    own = "https://own.example/"
    assert in_text(f"See {url}.\nBye", PAIRS, own) == f"See {tagged}.\nBye"
    html = f'<p>{url}</p><a class="b" href="{url}">x</a><img src="{url}">'
    made = tagged.replace("&", "&amp;")
    assert in_html(html, PAIRS, own) == f'<p>{url}</p><a class="b" href="{made}">x</a><img src="{url}">'


def test_an_address_in_html_is_read_unescaped() -> None:
    html = '<a href="https://a.example/?x=1&amp;utm_source=b&amp;utm_medium=c&amp;utm_campaign=d">x</a>'
    assert in_html(html, PAIRS, "") == html


def test_the_campaign_is_the_messages_key_unless_it_is_said() -> None:
    assert Utm().pairs("welcome") == (("utm_campaign", "welcome"),)
    assert dict(Utm(campaign="spring").pairs("welcome")) == {"utm_campaign": "spring"}


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("abc/?&=#%.;"), max_size=20), st.text(min_size=1, max_size=8).filter(str.isprintable))
def test_twice_changes_nothing_and_the_values_read_back(rest: str, value: str) -> None:
    pairs = Utm(source=value).pairs("k")
    url = f"https://a.example/{rest}x"
    once = in_text(url, pairs, "")
    assert in_text(once, pairs, "") == once
    names = [name.lower() for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    if "utm_source" not in names:
        assert dict(parse_qsl(urlsplit(once).query))["utm_source"] == value


@pytest.mark.parametrize(
    ("utm", "channel", "field"),
    [
        (Utm(source="a\nb"), "email", "message.utm.source"),
        (Utm(term="x" * (MAX_VALUE + 1)), "email", "message.utm.term"),
        (Utm(source="a"), "sms", "message.utm"),
    ],
)
def test_what_no_link_can_have_is_refused(utm: Utm, channel: str, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_utm(utm, channel, "message.utm")
    assert (caught.value.code, caught.value.field) == ("UTM_INVALID", field)
