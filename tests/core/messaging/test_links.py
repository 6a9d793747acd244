"""Promises: a link says what was signed and nothing else; of an email nothing changes but the places of links."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import commands
from core.errors import FailedPrecondition, InvalidInput
from core.messaging import reading
from core.messaging.link_places import with_clicks, with_marks_filled, with_pixel
from core.messaging.links import Link, Signer, new_key, read, tag_of
from core.messaging.translations import EmailTranslation
from core.settings import Links, Settings
from tests.core.project import FREE, Project, email

SETTINGS = Settings("shop", "5eed", links=Links("https://mail.example.com"), link_keys=["ab" * 32])
LINK = Link("click", "welcome", 3, 7, 2**63 + 5, "https://example.com/ä?a=1&b=2")
_LINKS = st.builds(
    Link,
    st.sampled_from(["unsubscribe", "preferences", "open", "click"]),
    st.from_regex(r"[a-z][a-z0-9_-]{0,62}", fullmatch=True),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(1, 2**64 - 1),
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.booleans(),
)


@settings(deadline=None)
@given(_LINKS)
def test_a_link_says_what_was_signed(link: Link) -> None:
    assert read(SETTINGS, Signer(SETTINGS).token(link)) == link
    assert Signer(SETTINGS).urls(replace(link, target="other"))(link.target) == Signer(SETTINGS).url(link)


@settings(deadline=None)
@given(st.data())
def test_what_is_not_signed_says_nothing(data: st.DataObject) -> None:
    token = Signer(SETTINGS).token(LINK)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=.ä\x00"))
    changed = token[:place] + other + token[place + 1 :]
    assert changed == token or read(SETTINGS, changed) is None
    assert read(SETTINGS, token[:place]) is None
    assert read(SETTINGS, data.draw(st.text(max_size=80))) is None


def test_a_link_is_of_its_project_and_outlives_one_change_of_the_key() -> None:
    token = Signer(SETTINGS).token(LINK)
    assert tag_of(token) == tag_of(Signer(replace(SETTINGS, name="renamed")).token(LINK))
    assert read(replace(SETTINGS, uid="0ther"), token) is None
    once = replace(SETTINGS, link_keys=[new_key(), *SETTINGS.link_keys])
    assert read(once, token) == LINK
    assert read(replace(once, link_keys=[new_key(), once.link_keys[0]]), token) is None
    assert Signer(SETTINGS).url(LINK) == f"https://mail.example.com/c/{token}"


class _Anchors(HTMLParser):
    """The naive twin: addresses of anchors, as a parser of the standard library finds them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str | None] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            hrefs = [value for name, value in attrs if name == "href"]
            self.found.append(hrefs[0] if hrefs else None)


_ATTRIBUTES = st.sampled_from(
    [
        'href="https://example.com/a?x=1&amp;y=2"',
        "HREF = 'http://example.com/ö'",
        "href=https://example.com/bare",
        'href="mailto:ann@example.com"',
        'href="#top"',
        'title="x href=https://example.com/no >"',
        "data-href='https://example.com/no'",
        "class=x",
        "href",
    ]
)
_PIECES = st.one_of(
    st.builds(lambda attributes: f"<a {' '.join(attributes)}>", st.lists(_ATTRIBUTES, max_size=3)),
    st.sampled_from(
        [
            "</a>",
            "<p>",
            "text & more",
            '<!--[if mso]><a href="https://example.com/mso"><![endif]-->',
            '<style>a[href="https://example.com/css"] { color: red }</style>',
            "<abbr href='https://example.com/no'>",
            "<A\nhref='https://example.com/line'\n>",
            "<img src='https://example.com/i.png'>",
        ]
    ),
)


@settings(deadline=None)
@given(st.lists(_PIECES, max_size=8))
def test_clicks_change_the_addresses_of_anchors_and_nothing_else(pieces: list[str]) -> None:
    html = "".join(pieces)
    made = with_clicks(html, lambda url: f"https://go/?{url.encode().hex()}")

    def back(found: re.Match[str]) -> str:
        return bytes.fromhex(found[1]).decode()

    before, after = _Anchors(html).found, _Anchors(made).found
    expected = [
        f"https://go/?{url.strip().encode().hex()}" if url is not None and url.strip().startswith("http") else url
        for url in before
    ]
    assert after == expected
    restored = re.sub(r"https://go/\?([0-9a-f]*)", lambda found: escape(back(found)), made)
    assert unescape(restored).replace('"', "").replace("'", "") == unescape(html).replace('"', "").replace("'", "")
    assert made.count("<") == html.count("<")


def test_marks_and_the_picture_stand_where_they_should() -> None:
    assert with_marks_filled("a << unsub >> b <<preferences>> c << else >>", "U", "P") == "a U b P c << else >>"
    assert with_pixel("<body>x</BODY></html>", "o").startswith("<body>x<img ")
    assert with_pixel("<p>x", "o").endswith('style="display:none">')


def _open(project: Project, **wishes: bool) -> None:
    project.ask(commands.UpdateSettings(links_url="https://mail.example.com/", new_link_key=new_key(), **wishes))


HTML = '<body><a href="https://example.com/sale">Sale</a> <a href="<< unsub >>">No more</a></body>'


def test_an_email_has_its_links(project: Project) -> None:
    _open(project, link_opens=True, link_clicks=True)
    project.reach("ann")
    project.set("ann", plan="free")
    project.message("hi", FREE, content=email(html=HTML, text="No more: << unsub >>"))
    offer = project.desk.offer("email", 1)
    assert offer is not None
    (given_,) = offer.recipients
    settings = project.version.settings
    targets = _Anchors(given_.html).found
    assert targets[1] == given_.unsubscribe_url and given_.text == f"No more: {given_.unsubscribe_url}"
    click = read(settings, str(targets[0]).rpartition("/")[2])
    assert click is not None and (click.kind, click.target) == ("click", "https://example.com/sale")
    unsubscribe = read(settings, given_.unsubscribe_url.rpartition("/")[2])
    assert unsubscribe is not None and (unsubscribe.message_key, unsubscribe.preview) == ("hi", False)
    assert "/o/" in given_.html and given_.unsubscribe_url.startswith("https://mail.example.com/u/")
    assert project.ask(commands.Unsubscribe(channel="email", address_key=unsubscribe.address)) == 1
    assert project.desk.begin(offer.batch_id, [0]).result() == []
    assert project.places("hi") == {"ann": "skipped:unsubscribed"}


def test_links_of_a_preview_change_nothing(project: Project) -> None:
    _open(project)
    project.reach("ann")
    project.message("hi", "true", content=email(html=HTML), launch=None)
    found = reading.preview(project.version, "hi", "ann").rendered
    assert found is not None
    link = read(project.version.settings, found.unsubscribe_url.rpartition("/")[2])
    assert link is not None and link.preview


def test_a_mark_without_links_is_refused_at_the_launch(project: Project) -> None:
    project.message("hi", "true", content=email(html=HTML), launch=None)
    with pytest.raises(FailedPrecondition) as refused:
        project.ask(commands.LaunchMessage("hi", "send"))
    assert refused.value.code == "LINKS_NOT_SET"
    _open(project)
    project.ask(commands.LaunchMessage("hi", "send"))


def test_a_mark_in_a_translation_is_one_too(project: Project) -> None:
    german = EmailTranslation(html=HTML)
    project.message("hi", "true", content=replace(email(html="<p>"), translations={"de": german}), launch=None)
    with pytest.raises(FailedPrecondition) as refused:
        project.ask(commands.LaunchMessage("hi", "send"))
    assert refused.value.code == "LINKS_NOT_SET"


def test_a_mark_in_a_layout_is_one_too_and_is_filled(project: Project) -> None:
    project.ask(commands.SaveSnippet("frame", '<body>{{ content }}<a href="<< unsub >>">No more</a></body>'))
    project.reach("ann")
    project.message("hi", "true", content=replace(email(html="<p>Hello"), layout="frame"), launch=None)
    with pytest.raises(FailedPrecondition) as refused:
        project.ask(commands.LaunchMessage("hi", "send"))
    assert refused.value.code == "LINKS_NOT_SET"
    _open(project)
    project.ask(commands.LaunchMessage("hi", "send"))
    offer = project.desk.offer("email", 1)
    assert offer is not None
    assert f'<a href="{offer.recipients[0].unsubscribe_url}">No more</a></body>' in offer.recipients[0].html


@pytest.mark.parametrize(
    "url", ["mail.example.com", "ftp://x.example", "https://", "https://a.example/?q", 'https://a"b']
)
def test_a_place_that_links_cannot_lead_to_is_refused(project: Project, url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        project.ask(commands.UpdateSettings(links_url=url))
    assert (refused.value.code, refused.value.field) == ("INVALID_URL", "links.base_url")


def test_a_key_is_taken_once_and_changed_when_asked(project: Project) -> None:
    project.ask(commands.UpdateSettings(new_link_key="aa"))
    project.ask(commands.UpdateSettings(new_link_key="bb"))
    assert project.version.settings.link_keys == ["aa"]
    for key in ("cc", "dd"):
        project.ask(commands.UpdateSettings(new_link_key=key, rotate_link_key=True))
    assert project.version.settings.link_keys == ["dd", "cc"]
