"""Promises: a link does what it says for whoever holds it, once more is no more; a look changes nothing; a click leads to
where it was signed to, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest
from muster.v1 import consent_pb2, message_pb2, profile_pb2, project_pb2

from server.main import Server
from tests.server.conftest import PROJECT, Stubs
from tests.server.services.test_delivery import Stream

BASE = "https://mail.example.com"
HTML = '<body><a href="https://shop.example.com/sale?a=1&amp;b=2">Sale</a> <a href="<< preferences >>">What you get</a></body>'


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running gateway that follows no redirect."""
    async with httpx.AsyncClient(base_url=f"http://{server.http_address}", trust_env=False) as client:
        yield client


@dataclass(frozen=True)
class Sent:
    """What one user was sent, and its links' paths."""

    rendered: message_pb2.Rendered
    unsubscribe: str

    def path(self, kind: str) -> str:
        """The path of the one link of a kind."""
        start = self.rendered.html.index(f"{BASE}/{kind}/") + len(BASE)
        return self.rendered.html[start : self.rendered.html.index('"', start)]


async def sent(stubs: Stubs, *, topic: str = "") -> Sent:
    """Send one email with links to the one user."""
    await stubs.create()
    await stubs.add_users(1)
    links = project_pb2.Links(base_url=BASE, opens=True, clicks=True)
    await stubs.projects.UpdateProject(project_pb2.UpdateProjectRequest(project=PROJECT, links=links))
    for key, title in (("news", "News & offers"), ("tips", "")):
        saved = consent_pb2.Topic(key=key, title=title)
        await stubs.consent.SaveTopic(consent_pb2.SaveTopicRequest(project=PROJECT, topic=saved))
    email = message_pb2.EmailContent(subject="Hi", html=HTML, **{"from": "Shop <hi@example.com>"})
    made = message_pb2.Message(key="hi", targeting="true", topic=topic, asap=message_pb2.AsapSchedule(), email=email)
    await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project=PROJECT, message=made))
    await stubs.messages.LaunchMessage(
        message_pb2.LaunchMessageRequest(project=PROJECT, key="hi", existing=message_pb2.EXISTING_SEND)
    )
    stream = await Stream.open(stubs, project=PROJECT, credit=1)
    batch = await stream.next()
    assert await stream.begin(batch) == [0]
    stream.cut()
    rendered = batch.recipients[0].rendered
    return Sent(rendered, urlsplit(rendered.unsubscribe_url).path)


async def stops(stubs: Stubs) -> list[str]:
    """The topics that the user is unsubscribed from, "" being everything."""
    found = await stubs.consent.GetConsent(consent_pb2.GetConsentRequest(project=PROJECT, distinct_id="u0"))
    return sorted(one.topic for address in found.addresses for one in address.suppressions)


async def events(stubs: Stubs, name: str) -> list[profile_pb2.UserEvent]:
    answer = await stubs.profiles.ListEvents(profile_pb2.ListEventsRequest(project=PROJECT, distinct_id="u0"))
    return [event for event in answer.events if event.name == name]


async def test_one_click_unsubscribes_and_a_look_does_not(http: httpx.AsyncClient, stubs: Stubs) -> None:
    mail = await sent(stubs)
    page = await http.get(mail.unsubscribe)
    assert page.status_code == 200 and "u0@example.com" in page.text and page.headers["cache-control"] == "no-store"
    assert await stops(stubs) == []
    for _ in range(2):
        done = await http.post(mail.unsubscribe, data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 200 and "You are unsubscribed" in done.text
    assert await stops(stubs) == [""]
    (event,) = await events(stubs, "$unsubscribe")
    assert event.properties["message_id"].string_value == "hi"


async def test_one_click_as_a_form_of_several_parts_counts_too(http: httpx.AsyncClient, stubs: Stubs) -> None:
    mail = await sent(stubs, topic="news")
    done = await http.post(mail.unsubscribe, files={"List-Unsubscribe": (None, "One-Click")})
    assert done.status_code == 200
    assert await stops(stubs) == ["news"]


async def test_the_page_offers_the_topic_and_everything(http: httpx.AsyncClient, stubs: Stubs) -> None:
    mail = await sent(stubs, topic="news")
    assert "Unsubscribe from News &amp; offers" in (await http.get(mail.unsubscribe)).text
    await http.post(mail.unsubscribe, data={"scope": "topic"})
    assert await stops(stubs) == ["news"]
    await http.post(mail.unsubscribe, data={"scope": "everything"})
    assert await stops(stubs) == ["", "news"]


async def test_preferences_are_shown_and_kept(http: httpx.AsyncClient, stubs: Stubs) -> None:
    mail = await sent(stubs)
    path = mail.path("p")
    shown = await http.get(path)
    assert shown.text.count(" checked") == 2 and "News &amp; offers" in shown.text
    saved = await http.post(path, data={"choice": "some", "topic:tips": "on"})
    assert "saved" in saved.text and saved.text.count(" checked") == 1
    assert await stops(stubs) == ["news"]
    await http.post(path, data={"choice": "nothing"})
    assert await stops(stubs) == ["", "news"]
    await http.post(path, data={"choice": "some", "topic:tips": "on", "topic:news": "on"})
    assert await stops(stubs) == []
    assert (await http.get(mail.unsubscribe.replace("/u/", "/p/"))).status_code == 200


async def test_opens_and_clicks_are_events_and_lead_where_they_were_signed_to(
    http: httpx.AsyncClient, stubs: Stubs
) -> None:
    mail = await sent(stubs)
    await http.head(mail.path("c"))
    for _ in range(2):
        picture = await http.get(mail.path("o"))
        assert picture.headers["content-type"] == "image/gif" and picture.content.startswith(b"GIF89a")
        followed = await http.get(mail.path("c"))
        assert (followed.status_code, followed.headers["location"]) == (302, "https://shop.example.com/sale?a=1&b=2")
    assert len(await events(stubs, "$campaign_open")) == 1
    (click,) = await events(stubs, "$campaign_click")
    assert click.properties["url"].string_value == "https://shop.example.com/sale?a=1&b=2"


@pytest.mark.parametrize("kind", ["u", "p", "c"])
async def test_what_is_no_link_is_told_politely(http: httpx.AsyncClient, stubs: Stubs, kind: str) -> None:
    mail = await sent(stubs)
    token = mail.unsubscribe.rpartition("/")[2]
    for path in (f"/{kind}/nonsense", f"/{kind}/{token[:-1]}", f"/{kind}/" + "A" * 5000, "/c/" + token):
        answer = await http.get(path)
        assert answer.status_code == 404 and "This link does not work" in answer.text
    if kind != "c":
        assert (await http.post(f"/{kind}/nonsense", data={"scope": "everything"})).status_code == 404
    assert await stops(stubs) == []
    assert (await http.get("/o/nonsense")).status_code == 200


async def test_a_link_of_a_preview_shows_its_page_and_changes_nothing(http: httpx.AsyncClient, stubs: Stubs) -> None:
    await sent(stubs)
    request = message_pb2.PreviewMessageRequest(project=PROJECT, key="hi", distinct_id="u0")
    rendered = (await stubs.messages.PreviewMessage(request)).rendered
    path = urlsplit(rendered.unsubscribe_url).path
    assert "preview" in (await http.get(path)).text
    await http.post(path, data={"List-Unsubscribe": "One-Click"})
    assert await stops(stubs) == []
