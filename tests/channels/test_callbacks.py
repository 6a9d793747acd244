"""Promises: each provider's callbacks are believed only with its own proof, say what they say of the hand-off that its
mail or text message named, and are answered with success only once the server has them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import muster
import pytest
from muster.v1 import feedback_pb2

from channels.callbacks.listener import Listener, ListenerConfig
from channels.callbacks.mailgun import Mailgun
from channels.callbacks.plain import Plain
from channels.callbacks.postmark import Postmark
from channels.callbacks.sendgrid import SendGrid
from channels.callbacks.ses import Ses
from channels.callbacks.sns import Sns
from channels.callbacks.source import Source
from channels.callbacks.twilio import TwilioInbound, TwilioStatus, kind_of_answer
from channels.doubles.callbacks import MailgunDouble, PostmarkDouble, SendGridDouble, SesDouble, post
from channels.doubles.twilio import TwilioDouble
from channels.mime import MailConfig, compose
from tests.channels.offers import email

KEY = "5eed." + "welcome-to-our-shop-" * 4 + "x.0.7"
TOKEN = "twilio-token"


def mail(provider: Any) -> bytes:
    """A mail as a provider takes it in."""
    return compose(email(1).rendered, KEY, MailConfig(provider=provider)).wire()


def kind_of(one: feedback_pb2.Feedback) -> str:
    return feedback_pb2.FeedbackKind.Name(one.kind).removeprefix("FEEDBACK_KIND_").lower()


class Told:
    """Stands in for the server."""

    def __init__(self) -> None:
        self.feedback: list[feedback_pb2.Feedback] = []
        self.fails: muster.MusterError | None = None
        self.delay = 0.0

    async def __call__(self, said: Sequence[feedback_pb2.Feedback]) -> muster.Reported:
        await asyncio.sleep(self.delay)
        if self.fails is not None:
            raise self.fails
        self.feedback += said
        return muster.Reported(accepted=len(said))

    def take(self) -> list[tuple[str, str, bool, str]]:
        """Kind, key, permanence and detail of what came since the last call."""
        found = [(kind_of(one), one.idempotency_key, one.permanent, one.detail) for one in self.feedback]
        self.feedback.clear()
        return found

    def kinds(self) -> list[str]:
        """Kinds of what came since the last call, which must all be of the hand-off."""
        found = self.take()
        assert all(key == KEY for _, key, _, _ in found)
        return [kind for kind, _, _, _ in found]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def sendgrid() -> SendGridDouble:
    return SendGridDouble()


@pytest.fixture
def mailgun() -> MailgunDouble:
    return MailgunDouble()


@pytest.fixture
def postmark() -> PostmarkDouble:
    return PostmarkDouble()


@pytest.fixture(scope="module")
def ses() -> SesDouble:
    return SesDouble()


@pytest.fixture
async def listener(
    told: Told, sendgrid: SendGridDouble, mailgun: MailgunDouble, postmark: PostmarkDouble, ses: SesDouble
) -> AsyncIterator[Listener]:
    """A listener with every source."""
    sources: list[Source] = [
        SendGrid(sendgrid.public_key),
        Mailgun(mailgun.signing_key),
        Postmark(postmark.login),
        Ses(Sns([ses.topic], fetch=ses.fetch)),
        TwilioStatus(TOKEN),
        TwilioInbound(TOKEN),
        Plain("secret"),
    ]
    async with Listener(sources, told, ListenerConfig(most_bytes=100_000, patience=0.3)) as running:
        yield running


async def test_sendgrid(listener: Listener, told: Told, sendgrid: SendGridDouble) -> None:
    raw, url = mail("sendgrid"), f"{listener.url}/sendgrid"
    events = [
        sendgrid.event(raw, "processed"),
        sendgrid.event(raw, "deferred"),
        sendgrid.event(raw, "delivered", response="250 OK"),
        sendgrid.event(raw, "open"),
        sendgrid.event(raw, "click", url="https://example.com/sale"),
        sendgrid.event(raw, "bounce", type="bounce", status="5.1.1", reason="550 no such user"),
        sendgrid.event(raw, "bounce", type="blocked", status="4.0.0", reason="451 greylisted"),
        sendgrid.event(raw, "dropped", reason="Bounced Address"),
        sendgrid.event(raw, "spamreport"),
        sendgrid.event(raw, "unsubscribe"),
        sendgrid.event(raw, "group_resubscribe", asm_group_id=7),
        sendgrid.event(mail(""), "open"),  # of somebody else's mail
    ]
    assert await sendgrid.call(url, *events) == 200
    clicked = told.feedback[2]
    assert (clicked.url, clicked.address) == ("https://example.com/sale", "user1@example.com")
    assert clicked.event_id == events[4]["sg_event_id"] and clicked.time.seconds == events[4]["timestamp"]
    assert told.take() == [
        ("delivered", KEY, False, "250 OK"),
        ("opened", KEY, False, ""),
        ("clicked", KEY, False, ""),
        ("bounced", KEY, True, "5.1.1 550 no such user"),
        ("bounced", KEY, False, "4.0.0 451 greylisted"),
        ("suppressed", KEY, False, "Bounced Address"),
        ("complained", KEY, False, ""),
        ("unsubscribed", KEY, False, ""),
        ("resubscribed", KEY, False, ""),
    ]
    body, headers = sendgrid.signed(events)
    assert await post(url, body.replace(b"bounce", b"spamre"), headers) == 403
    assert await post(url, body, {**headers, "x-twilio-email-event-webhook-timestamp": "0"}) == 403
    assert await post(url, body, {}) == 403
    assert await SendGridDouble().call(url, *events) == 403
    assert told.feedback == [] and listener.heard.refused == 4


async def test_mailgun(listener: Listener, told: Told, mailgun: MailgunDouble) -> None:
    raw, url = mail("mailgun"), f"{listener.url}/mailgun"
    failed = {"delivery-status": {"code": 550, "message": "5.1.1 no such user"}, "severity": "permanent"}
    for event in (
        mailgun.event(raw, "accepted"),
        mailgun.event(raw, "delivered"),
        mailgun.event(raw, "opened"),
        mailgun.event(raw, "clicked", url="https://example.com/"),
        mailgun.event(raw, "failed", reason="bounce", **failed),
        mailgun.event(raw, "failed", reason="old", severity="permanent"),
        mailgun.event(raw, "failed", reason="generic", severity="temporary"),
        mailgun.event(raw, "failed", reason="suppress-bounce", severity="permanent"),
        mailgun.event(raw, "complained"),
        mailgun.event(raw, "unsubscribed"),
        mailgun.event(mail(""), "opened"),
    ):
        assert await mailgun.call(url, event) == 200
    assert [(kind, permanent) for kind, key, permanent, _ in told.take() if key == KEY] == [
        ("delivered", False),
        ("opened", False),
        ("clicked", False),
        ("bounced", True),
        ("bounced", False),
        ("bounced", False),
        ("suppressed", False),
        ("complained", False),
        ("unsubscribed", False),
    ]
    assert await MailgunDouble("another").call(url, mailgun.event(raw, "opened")) == 403
    assert await post(url, mailgun.signed(mailgun.event(raw, "opened"), at=1e9), {}) == 403
    assert await post(url, b'{"event-data": {"event": "opened"}}', {}) == 403
    assert told.feedback == []


async def test_postmark(listener: Listener, told: Told, postmark: PostmarkDouble) -> None:
    raw, url = mail("postmark"), f"{listener.url}/postmark"
    stamp = "2026-03-09T10:53:34.4160710Z"
    opened = postmark.record(raw, "Open", ReceivedAt=stamp)
    change = {"SuppressSending": True, "SuppressionReason": "ManualSuppression", "Origin": "Recipient"}
    for record in (
        postmark.record(raw, "Delivery", DeliveredAt=stamp, Details="OK"),
        opened,
        postmark.record(raw, "Click", ReceivedAt=stamp, OriginalLink="https://example.com/"),
        postmark.record(raw, "Bounce", ID=42, Type="HardBounce", BouncedAt=stamp, Details="no such user"),
        postmark.record(raw, "Bounce", ID=43, Type="Transient", BouncedAt=stamp),
        postmark.record(raw, "Bounce", ID=44, Type="AutoResponder", BouncedAt=stamp),
        postmark.record(raw, "Bounce", ID=45, Type="ManuallyDeactivated", BouncedAt=stamp),
        postmark.record(raw, "SpamComplaint", ID=46, BouncedAt=stamp),
        postmark.record(raw, "SubscriptionChange", ChangedAt=stamp, **change),
        postmark.record(raw, "SubscriptionChange", ChangedAt=stamp, **{**change, "SuppressionReason": "HardBounce"}),
        postmark.record(raw, "SubscriptionChange", ChangedAt=stamp, SuppressSending=False),
        postmark.record(raw, "Inbound"),
        postmark.record(mail(""), "Open", ReceivedAt=stamp),
    ):
        assert await postmark.call(url, record) == 200
    first = told.feedback[1]
    assert first.event_id and first.time.nanos == 416_071_000
    assert [(kind, permanent) for kind, key, permanent, _ in told.take() if key == KEY] == [
        ("delivered", False),
        ("opened", False),
        ("clicked", False),
        ("bounced", True),
        ("bounced", False),
        ("suppressed", False),
        ("complained", False),
        ("unsubscribed", False),
    ]
    assert await postmark.call(url, opened) == 200
    assert told.feedback[0].event_id == first.event_id, "a record that is sent again has the same id"
    told.take()
    assert await PostmarkDouble("postmark:wrong").call(url, opened) == 403
    assert await post(url, json.dumps(opened).encode(), {}) == 403
    assert told.feedback == []


@pytest.mark.parametrize("version", ["1", "2"])
async def test_ses(listener: Listener, told: Told, version: str, ses: SesDouble) -> None:
    ses.version = version
    raw, url = mail("ses"), f"{listener.url}/ses"
    bounced = [{"emailAddress": "user1@example.com", "status": "5.1.1", "diagnosticCode": "smtp; 550 no such user"}]
    for event in (
        ses.event(raw, "Send"),
        ses.event(raw, "Delivery", smtpResponse="250 ok"),
        ses.event(raw, "Open"),
        ses.event(raw, "Click", link="https://example.com/"),
        ses.event(raw, "Bounce", bounceType="Permanent", bounceSubType="General", bouncedRecipients=bounced),
        ses.event(raw, "Bounce", bounceType="Transient", bounceSubType="MailboxFull", bouncedRecipients=bounced),
        ses.event(raw, "Bounce", bounceType="Permanent", bounceSubType="OnAccountSuppressionList"),
        ses.event(raw, "Complaint", complaintFeedbackType="abuse"),
        ses.event(raw, "Complaint", complaintFeedbackType="not-spam"),
        ses.event(raw, "Subscription", newTopicPreferences={"unsubscribeAll": True}),
        ses.event(raw, "Subscription", newTopicPreferences={"unsubscribeAll": False}),
        ses.event(b"From: a@example.com\r\nTo: b@example.com\r\n\r\n", "Open"),
        "Successfully validated SNS topic for Amazon SES event publishing.",
    ):
        assert await ses.call(url, ses.notification(event)) == 200
    assert told.take() == [
        ("delivered", KEY, False, "250 ok"),
        ("opened", KEY, False, ""),
        ("clicked", KEY, False, ""),
        ("bounced", KEY, True, "5.1.1 smtp; 550 no such user"),
        ("bounced", KEY, False, "5.1.1 smtp; 550 no such user"),
        ("suppressed", KEY, False, ""),
        ("complained", KEY, False, "abuse"),
        ("unsubscribed", KEY, False, ""),
    ]
    good = ses.notification(ses.event(raw, "Open"), Subject="Amazon SES")
    assert await ses.call(url, good) == 200
    for changed in (
        {"Message": json.dumps(ses.event(raw, "Complaint"))},
        {"Subject": "other"},
        {"SignatureVersion": "3"},
        {"Signature": "nonsense"},
        {"Type": "Other"},
        {"TopicArn": "arn:aws:sns:eu-central-1:999999999999:muster"},
    ):
        assert await ses.call(url, {**good, **changed}) == 403
    assert told.kinds() == ["opened"]


async def test_sns_is_asked_only_for_what_is_its_own(told: Told) -> None:
    ses = SesDouble()
    sources = [Ses(Sns([ses.topic], fetch=ses.fetch))]
    async with Listener(sources, told) as listener:
        url = f"{listener.url}/ses"
        good = ses.notification("hello")
        for wrong in (
            "http://sns.eu-central-1.amazonaws.com/x.pem",
            "https://sns.eu-central-1.amazonaws.com.evil.example/x.pem",
            "https://evil.example/sns.eu-central-1.amazonaws.com/x.pem",
            "https://sns.eu-central-1.amazonaws.com@evil.example/x.pem",
            "https://sns.eu-central-1.amazonaws.com:8443/x.pem",
            "https://sns.eu-central-1.amazonaws.com/x.exe",
            "file:///etc/passwd",
            "",
        ):
            assert await ses.call(url, ses.signed({**good, "SigningCertURL": wrong})) == 403
        for wrong in ("https://evil.example/?Action=ConfirmSubscription", "https://sns.eu-central-1.amazonaws.com/"):
            assert await ses.call(url, ses.confirmation(SubscribeURL=wrong)) == 403
        other = SesDouble("arn:aws:sns:eu-central-1:1:other")
        assert await other.call(url, other.confirmation()) == 403
        assert ses.fetched == [ses.certificate_url] and other.fetched == []
        assert await ses.call(url, ses.confirmation()) == 200
        assert [httpx.URL(one).params.get("Action") for one in ses.fetched] == [None, "ConfirmSubscription"]


async def test_a_pinned_certificate_needs_no_network_and_an_unreachable_aws_is_tried_again(told: Told) -> None:
    ses = SesDouble()

    async def unreachable(url: str) -> bytes:
        raise httpx.ConnectError("no route")

    async with Listener([Ses(Sns([ses.topic], ses.certificate, unreachable))], told) as listener:
        assert await ses.call(f"{listener.url}/ses", ses.notification(ses.event(mail("ses"), "Open"))) == 200
    async with Listener([Ses(Sns([ses.topic], fetch=unreachable))], told) as listener:
        assert await ses.call(f"{listener.url}/ses", ses.notification("hello")) == 503
    with pytest.raises(ValueError):
        Sns([ses.topic], b"nonsense")


async def test_twilio(listener: Listener, told: Told) -> None:
    double = TwilioDouble(token=TOKEN)
    url = f"{listener.url}/twilio/status?{httpx.QueryParams({'key': KEY})}"
    for status, code, expected in (
        ("sent", "", []),
        ("delivered", "", [("delivered", KEY, False, "delivered")]),
        ("undelivered", "30003", [("bounced", KEY, False, "undelivered 30003")]),
        ("undelivered", "30006", [("bounced", KEY, True, "undelivered 30006")]),
        ("failed", "21610", [("unsubscribed", KEY, False, "failed 21610")]),
    ):
        form = {"MessageSid": "SM1", "MessageStatus": status, "To": "+14155550101"}
        assert await double.call_back(url, {**form, **({"ErrorCode": code} if code else {})}) == 200
        assert all((one.event_id, one.address) == ("SM1", "+14155550101") for one in told.feedback)
        assert told.take() == expected
    form = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+14155550101"}
    assert await double.call_back(url, form, signature="nonsense") == 403
    assert await TwilioDouble(token="other").call_back(url, form) == 403
    assert await double.call_back(f"{listener.url}/twilio/status?key=other", form) == 200
    assert [one.idempotency_key for one in told.feedback] == ["other"]
    told.take()
    inbound = f"{listener.url}/twilio/inbound"
    for text, kind in (("Stop.", "unsubscribed"), ("START", "resubscribed"), ("help", "replied"), ("No!", "replied")):
        assert await double.reply(inbound, "+14155550101", text) == 200
        (one,) = told.feedback
        assert (kind_of(one), one.address, one.detail, one.idempotency_key) == (kind, "+14155550101", text, "")
        assert one.event_id and one.channel == feedback_pb2.Feedback(channel=3).channel
        told.take()


@pytest.mark.parametrize(
    ("text", "opt_out_type", "kind"),
    [
        (" stop ", "", "unsubscribed"),
        ("Opt  Out", "", "unsubscribed"),
        ('"STOPALL"', "", "unsubscribed"),
        ("please stop", "", "replied"),
        ("Ja bitte", "START", "resubscribed"),
        ("ARRET", "STOP", "unsubscribed"),
        ("HELP", "HELP", "replied"),
        ("yes", "", "resubscribed"),
        ("", "", "replied"),
    ],
)
def test_what_an_answer_means(text: str, opt_out_type: str, kind: str) -> None:
    assert kind_of_answer(text, opt_out_type) == kind


async def test_muster_own_words(listener: Listener, told: Told) -> None:
    url, login = f"{listener.url}/feedback", {"authorization": "Bearer secret"}
    one = {"kind": "bounced", "idempotency_key": KEY, "permanent": True, "time": "2026-03-09T09:00:00Z"}
    two = {"kind": "replied", "channel": "sms", "address": "+14155550101", "event_id": "7", "detail": "Hi"}
    assert await post(url, json.dumps([one, two]).encode(), login) == 200
    assert [kind_of(one) for one in told.feedback] == ["bounced", "replied"]
    assert await post(url, json.dumps(one).encode(), login) == 200
    told.take()
    for wrong in ({"kind": "read"}, {"kind": 7}, {**one, "time": "soon"}, {**one, "colour": "red"}, 7, {}, None):
        assert await post(url, json.dumps(wrong).encode(), login) == 400
    assert await post(url, json.dumps(one).encode(), {"authorization": "Bearer wrong"}) == 403
    assert told.feedback == []


async def test_nothing_is_acknowledged_that_the_server_does_not_have(
    listener: Listener, told: Told, sendgrid: SendGridDouble
) -> None:
    event = sendgrid.event(mail("sendgrid"), "open")
    told.fails = muster.Unavailable("gone", mend="later")
    async with httpx.AsyncClient(trust_env=False) as client:
        body, headers = sendgrid.signed([event])
        answer = await client.post(f"{listener.url}/sendgrid", content=body, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    told.fails = None
    assert await sendgrid.call(f"{listener.url}/sendgrid", event) == 200
    assert told.kinds() == ["opened"] and listener.heard.failed == 1


@pytest.mark.parametrize("path", ["/sendgrid", "/mailgun", "/postmark", "/ses", "/twilio/status", "/feedback"])
@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 50_000, b"null", b'{"signature": 7}', b"a=b&" * 9_999])
async def test_garbage_is_refused_and_changes_nothing(listener: Listener, told: Told, path: str, body: bytes) -> None:
    assert await post(listener.url + path, body, {}) in (400, 403)
    assert told.feedback == []


async def test_what_is_too_large_too_slow_or_elsewhere_is_refused(listener: Listener) -> None:
    host, port = listener.address
    assert await post(f"{listener.url}/feedback", b"x" * 200_000, {}) == 413
    assert await post(f"{listener.url}/elsewhere", b"{}", {}) == 404
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{listener.url}/feedback")).status_code == 405
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"POST /feedback HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
    assert b"408" in await reader.readline()
    writer.close()
    _, writer = await asyncio.open_connection(host, port)
    writer.write(b"POST /feedback HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
    await writer.drain()
    writer.close()  # gone in the middle: nothing to answer
    assert await post(f"{listener.url}/feedback", b"{}", {}) == 403


async def test_more_calls_than_are_served_are_told_to_come_again(told: Told) -> None:
    told.delay = 0.5
    async with Listener([Plain("secret")], told, ListenerConfig(calls=2)) as listener:
        body = json.dumps({"kind": "opened", "idempotency_key": KEY}).encode()
        calls = [post(f"{listener.url}/feedback", body, {"authorization": "Bearer secret"}) for _ in range(8)]
        found = await asyncio.gather(*calls)
    assert {200, 503} == set(found)


async def test_a_proxy_may_keep_the_path_of_the_public_url_or_take_it_off(told: Told) -> None:
    public = "https://hooks.example.com/muster"
    double = TwilioDouble(token=TOKEN)
    form = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+14155550101"}
    from channels.doubles.twilio import signature_of

    async with Listener([TwilioStatus(TOKEN)], told, ListenerConfig(url=public + "/")) as listener:
        assert listener.url == public
        signature = signature_of(f"{public}/twilio/status?key=k", form, TOKEN)
        inner = "http://{}:{}".format(*listener.address)
        for path in ("/twilio/status?key=k", "/muster/twilio/status?key=k"):
            assert await double.call_back(inner + path, form, signature=signature) == 200
        assert await double.call_back(inner + "/twilio/status?key=k", form) == 403
    assert len(told.feedback) == 2


def test_what_cannot_verify_is_refused_at_the_start() -> None:
    for make in (
        lambda: SendGrid("nonsense"),
        lambda: SendGrid(""),
        lambda: Postmark("no-password"),
        lambda: Plain(""),
    ):
        with pytest.raises(ValueError):
            make()
