"""Promise: a text message is handed to its provider at most once, and its outcome never claims too much.

Played against a Twilio on loopback that knows Twilio's codes, and against a plain HTTP receiver.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import pytest
from muster.v1 import delivery_pb2, message_pb2

from channels.carrier import SingleProvider
from channels.doubles.faults import Fault, Faults
from channels.doubles.http import HttpDouble
from channels.doubles.twilio import TwilioDouble
from channels.http_calls import HttpConfig
from channels.provider import Outcome, Result
from channels.retry import RetryPolicy
from channels.sms_http import FORM, SmsHttp, SmsHttpConfig
from channels.twilio import Twilio, TwilioConfig
from tests.channels.offers import offer


def sms(number: int = 1, **changes: str) -> delivery_pb2.Recipient:
    """A recipient of a text message."""
    rendered = message_pb2.Rendered(**({"to": f"+1415555{number:04}", "from": "+14155550100", "text": "Hi"} | changes))
    return delivery_pb2.Recipient(distinct_id=f"u{number}", idempotency_key=f"sms.0.u{number}", rendered=rendered)


async def sent_by(
    carrier: Twilio | SmsHttp, recipients: Sequence[delivery_pb2.Recipient], retry: RetryPolicy
) -> dict[str, Result]:
    provider = SingleProvider(carrier, connections=4, retry=retry)
    try:
        results = [result async for result in provider.send(offer(recipients), recipients)]
    finally:
        await provider.close()
    assert len({result.idempotency_key for result in results}) == len(results) == len(recipients)
    return {result.idempotency_key: result for result in results}


def config(double: TwilioDouble, **changes: Any) -> TwilioConfig:
    return TwilioConfig(**({"account_sid": double.account, "secret": double.token, "url": double.url} | changes))


async def one_by_twilio(
    double: TwilioDouble, retry: RetryPolicy, recipient: delivery_pb2.Recipient | None = None, **changes: Any
) -> Result:
    return next(iter((await sent_by(Twilio(config(double, **changes)), [recipient or sms()], retry)).values()))


async def test_text_messages_go_out_once_each(quick: RetryPolicy) -> None:
    async with TwilioDouble() as double:
        recipients = [sms(number, text=f"Grüße, ж & {number}") for number in range(20)]
        results = await sent_by(
            Twilio(config(double, status_callback="https://example.com/twilio?p=1")), recipients, quick
        )
    assert {result.outcome for result in results.values()} == {Outcome.SENT}
    assert double.records.tally == {"received": 20, "distinct": 20, "duplicates": 0}
    for record in double.records.items:
        number = int(record["form"]["To"][-4:])
        assert record["form"]["Body"] == f"Grüße, ж & {number}"
        assert record["form"]["From"] == "+14155550100"
        assert record["callback"] == f"https://example.com/twilio?p=1&key=sms.0.u{number}"
        assert results[f"sms.0.u{number}"].provider_id == record["sid"]


async def test_the_sender_is_the_messages_or_else_the_workers(quick: RetryPolicy) -> None:
    service = "MG" + "0" * 32
    async with TwilioDouble() as double:
        assert (await one_by_twilio(double, quick, sender=service)).outcome is Outcome.SENT
        assert (await one_by_twilio(double, quick, sms(2, **{"from": ""}), sender=service)).outcome is Outcome.SENT
        nobody = await one_by_twilio(double, quick, sms(3, **{"from": ""}))
    assert [item["form"].get("From") for item in double.records.items] == ["+14155550100", None]
    assert double.records.items[1]["form"]["MessagingServiceSid"] == service
    assert nobody.outcome is Outcome.NOT_SENT and "sender" in nobody.detail


async def test_what_twilio_refuses_failed_with_its_code(quick: RetryPolicy) -> None:
    async with TwilioDouble(stopped=frozenset({"+14155550002"})) as double:
        wrong = await one_by_twilio(double, quick, sms(1, to="12"))
        stopped = await one_by_twilio(double, quick, sms(2))
        long = await one_by_twilio(double, quick, sms(3, text="a" * 1_601))
        assert double.requests == 3
    assert [one.outcome for one in (wrong, stopped, long)] == [Outcome.FAILED] * 3
    assert wrong.detail.startswith("21211 ")
    assert stopped.detail.startswith("21610 ")
    assert long.detail.startswith("21617 ")


@pytest.mark.parametrize("code", ["20429", "20503"])
async def test_a_refusal_for_now_is_tried_again_and_then_not_sent(quick: RetryPolicy, code: str) -> None:
    async with TwilioDouble(faults=Faults([Fault("BODY", code, times=2)])) as double:
        assert (await one_by_twilio(double, quick)).outcome is Outcome.SENT
        assert double.requests == 3
    async with TwilioDouble(faults=Faults([Fault("BODY", code, times=None)])) as double:
        result = await one_by_twilio(double, quick)
        assert result.outcome is Outcome.NOT_SENT and result.detail.startswith(code)
        assert double.requests == 3


async def test_a_wrong_login_is_not_the_messages_fault(quick: RetryPolicy) -> None:
    async with TwilioDouble() as double:
        for wrong in ({"secret": "another"}, {"account_sid": "AC" + "1" * 32}):
            result = await one_by_twilio(double, quick, **wrong)
            assert result.outcome is Outcome.NOT_SENT
            assert result.detail.startswith("20003 ")
        assert double.unverified == 2 and not double.records.items


@pytest.mark.parametrize(
    "fault",
    [
        Fault("HEAD"),
        Fault("BODY"),
        Fault("TAKEN"),
        Fault("BODY", "20500"),
        Fault("TAKEN", "502", body=b"<html>Bad gateway</html>"),
        Fault("TAKEN", "201", body=b"<html>Welcome to the airport's wifi</html>"),
        Fault("TAKEN", "200", body=b'{"sid": 7}'),
    ],
    ids=lambda fault: f"{fault.stage}-{fault.reply}",
)
async def test_what_may_have_been_taken_is_ambiguous_and_not_repeated(quick: RetryPolicy, fault: Fault) -> None:
    async with TwilioDouble(faults=Faults([fault])) as double:
        fault.passed = 0
        assert (await one_by_twilio(double, quick)).outcome is Outcome.AMBIGUOUS
        assert double.requests == 1


async def test_a_slow_provider_is_ambiguous(quick: RetryPolicy) -> None:
    async with TwilioDouble(faults=Faults(delay=5)) as double:
        http = HttpConfig(timeout=0.05, connect_timeout=0.05)
        assert (await one_by_twilio(double, quick, http=http)).outcome is Outcome.AMBIGUOUS


async def test_an_answer_that_is_no_http_is_ambiguous(quick: RetryPolicy) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x00\xffSSH-2.0-nonsense\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    carrier = Twilio(TwilioConfig(account_sid="AC1", secret="x", url=f"http://{host}:{port}"))
    results = await sent_by(carrier, [sms()], quick)
    server.close()
    assert results["sms.0.u1"].outcome is Outcome.AMBIGUOUS


async def test_no_connection_is_not_sent(quick: RetryPolicy) -> None:
    async with TwilioDouble() as double:
        pass
    assert (await one_by_twilio(double, quick)).outcome is Outcome.NOT_SENT


def test_secrets_are_not_shown() -> None:
    assert "hush" not in repr(TwilioConfig(account_sid="AC1", secret="hush"))
    assert "hush" not in repr(SmsHttpConfig(url="http://localhost/", authorization="Bearer hush"))


# Any provider by HTTP


async def one_by_http(double: HttpDouble, retry: RetryPolicy, **changes: Any) -> Result:
    recipient = sms(1, text='Say "ж" & {to}')
    carrier = SmsHttp(SmsHttpConfig(**({"url": double.url + "/send"} | changes)))
    return (await sent_by(carrier, [recipient], retry))["sms.0.u1"]


async def test_json_as_it_was_written(quick: RetryPolicy) -> None:
    async with HttpDouble() as double:
        body = '{"recipient": {"msisdn": "{to}"}, "originator": "{from}", "body": "{text}", "ref": "{key}"}'
        assert (await one_by_http(double, quick, body=body, authorization="Bearer 1")).outcome is Outcome.SENT
    (record,) = double.records.items
    assert json.loads(record["body"]) == {
        "recipient": {"msisdn": "+14155550001"},
        "originator": "+14155550100",
        "body": 'Say "ж" & {to}',  # what stands in a text is no place to fill
        "ref": "sms.0.u1",
    }
    assert record["headers"]["authorization"] == "Bearer 1"
    assert record["idempotency_key"] == "sms.0.u1"


async def test_a_form_and_a_url_with_places(quick: RetryPolicy) -> None:
    async with HttpDouble() as double:
        url = double.url + "/send/{to}?ref={key}"
        assert (await one_by_http(double, quick, url=url, body="t={text}", content_type=FORM)).outcome is Outcome.SENT
    (record,) = double.records.items
    assert record["path"] == "/send/%2B14155550001?ref=sms.0.u1"
    assert dict(parse_qsl(record["body"])) == {"t": 'Say "ж" & {to}'}


@pytest.mark.parametrize("reply", ["", "500"])
async def test_only_a_provider_that_drops_repeats_is_asked_again(quick: RetryPolicy, reply: str) -> None:
    async with HttpDouble(faults=Faults([Fault("TAKEN", reply)])) as double:
        assert (await one_by_http(double, quick)).outcome is Outcome.AMBIGUOUS
        assert double.requests == 1
    async with HttpDouble(faults=Faults([Fault("TAKEN", reply)])) as double:
        assert (await one_by_http(double, quick, idempotent=True)).outcome is Outcome.SENT
        assert double.records.tally == {"received": 2, "distinct": 1, "duplicates": 1}


@pytest.mark.parametrize(
    ("status", "outcome"), [("400", Outcome.FAILED), ("401", Outcome.NOT_SENT), ("302", Outcome.NOT_SENT)]
)
async def test_refusals(quick: RetryPolicy, status: str, outcome: Outcome) -> None:
    async with HttpDouble(faults=Faults([Fault("BODY", status)])) as double:
        assert (await one_by_http(double, quick)).outcome is outcome
        assert double.requests == 1


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="body"):
        SmsHttpConfig(url="http://localhost/", body="{to}")
    with pytest.raises(ValueError, match="content_type"):
        SmsHttpConfig(url="http://localhost/", content_type="text/plain")
    with pytest.raises(ValueError, match="account_sid"):
        TwilioConfig(account_sid="", secret="x")
