"""Promise: a webhook is signed, repeated under one key until it is settled, and its outcome never claims too much.

Played with the real provider against a real HTTP server that verifies signatures.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from muster.v1 import delivery_pb2
from standardwebhooks import Webhook

from channels.doubles.faults import Fault, Faults
from channels.doubles.http import HttpDouble
from channels.provider import Outcome, Result
from channels.retry import RetryPolicy
from channels.retry_after import retry_after_seconds
from channels.webhook import WebhookConfig, WebhookProvider
from channels.webhook_requests import key_of
from tests.channels.offers import hook, offer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ="


async def sent_by(
    double: HttpDouble,
    recipients: Sequence[delivery_pb2.Recipient],
    retry: RetryPolicy,
    batch: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Result]:
    provider = WebhookProvider(WebhookConfig(**({"secrets": (SECRET,), "retry": retry} | changes)))
    try:
        results = [result async for result in provider.send(offer(recipients, **(batch or {})), recipients)]
    finally:
        await provider.close()
    assert len({result.idempotency_key for result in results}) == len(results) == len(recipients)
    return {result.idempotency_key: result for result in results}


async def sent_one(double: HttpDouble, retry: RetryPolicy, **changes: Any) -> Result:
    return (await sent_by(double, [hook(1, double.url + "/in")], retry, **changes))["hook.0.u1"]


async def test_one_signed_request_a_user(quick: RetryPolicy) -> None:
    async with HttpDouble(secret=SECRET) as double:
        recipients = [hook(number, f"{double.url}/in/{number}") for number in range(20)]
        results = await sent_by(double, recipients, quick)
    assert {result.outcome for result in results.values()} == {Outcome.SENT}
    assert double.records.tally == {"received": 20, "distinct": 20, "duplicates": 0}
    assert double.unverified == 0
    record = next(item for item in double.records.items if item["path"] == "/in/7")
    assert json.loads(record["body"]) == {"n": 7}
    assert record["idempotency_key"] == record["headers"]["webhook-id"] == "hook.0.u7"
    assert record["headers"]["x-team"] == "growth"
    assert record["headers"]["content-type"] == "application/json"


async def test_a_wrong_signature_would_be_noticed(quick: RetryPolicy) -> None:
    async with HttpDouble(secret=OLD_SECRET) as double:
        assert (await sent_one(double, quick)).outcome is Outcome.FAILED
        assert double.unverified == 1


async def test_every_secret_signs_so_that_they_can_be_rotated(quick: RetryPolicy) -> None:
    async with HttpDouble(secret=OLD_SECRET) as double:
        assert (await sent_one(double, quick, secrets=(SECRET, OLD_SECRET))).outcome is Outcome.SENT
    record = double.records.items[0]
    for secret in (SECRET, OLD_SECRET):
        Webhook(secret).verify(record["body"], record["headers"])


async def test_batches_of_users(quick: RetryPolicy) -> None:
    async with HttpDouble(secret=SECRET) as double:
        recipients = [hook(number, body=f'{{"city":"Bücher {number}"}}') for number in range(25)]
        batch = {"batch_size": 10, "url": double.url + "/batch", "headers": {"x-team": "growth"}}
        results = await sent_by(double, recipients, quick, batch)
    assert {result.outcome for result in results.values()} == {Outcome.SENT}
    assert double.records.tally == {"received": 25, "distinct": 25, "duplicates": 0}
    assert sorted(len(item["keys"]) for item in double.records.items) == [5, 10, 10]
    for record in double.records.items:
        body = json.loads(record["body"])
        assert body["message"] == "winback"
        assert record["idempotency_key"] == key_of(record["keys"])
        assert record["headers"]["x-team"] == "growth"
        for user in body["users"]:
            assert user["city"] == f"Bücher {user['distinct_id'][1:]}"


async def test_a_member_of_a_batch_whose_body_is_no_object_fails_alone(quick: RetryPolicy) -> None:
    async with HttpDouble(secret=SECRET) as double:
        recipients = [hook(1, body="[1]"), hook(2, body="{"), hook(3, body='{"distinct_id":"somebody else"}')]
        results = await sent_by(double, recipients, quick, {"batch_size": 10, "url": double.url})
    assert [results[f"hook.0.u{n}"].outcome for n in (1, 2, 3)] == [Outcome.FAILED, Outcome.FAILED, Outcome.SENT]
    assert json.loads(double.records.items[0]["body"])["users"] == [
        {"distinct_id": "u3", "idempotency_key": "hook.0.u3"}
    ]


def test_the_key_of_a_batch_is_the_same_in_any_order_and_for_no_other_set() -> None:
    assert key_of(["a", "b"]) == key_of(["b", "a"])
    assert len({key_of(["a", "b"]), key_of(["ab"]), key_of(["a"]), key_of(["a", "b", "c"])}) == 4


@pytest.mark.parametrize("status", ["500", "503", "429", "408", "425"])
async def test_a_passing_refusal_is_tried_again_under_the_same_key(quick: RetryPolicy, status: str) -> None:
    async with HttpDouble(secret=SECRET, faults=Faults([Fault("BODY", status, times=2)])) as double:
        assert (await sent_one(double, quick)).outcome is Outcome.SENT
        assert double.requests == 3
        assert double.records.tally == {"received": 1, "distinct": 1, "duplicates": 0}


@pytest.mark.parametrize("status", ["500", "429"])
async def test_a_lasting_refusal_fails_after_the_last_attempt(quick: RetryPolicy, status: str) -> None:
    async with HttpDouble(faults=Faults([Fault("BODY", status, times=None)])) as double:
        result = await sent_one(double, quick)
        assert result.outcome is Outcome.FAILED and result.detail.startswith(status)
        assert double.requests == 3


@pytest.mark.parametrize("status", ["400", "404", "410", "301", "307"])
async def test_a_final_refusal_is_not_tried_again(quick: RetryPolicy, status: str) -> None:
    fault = Fault("BODY", status, times=None, headers=(("location", "/elsewhere"),))
    async with HttpDouble(faults=Faults([fault])) as double:
        assert (await sent_one(double, quick)).outcome is Outcome.FAILED
        assert double.requests == 1


async def test_no_connection_is_not_sent(quick: RetryPolicy) -> None:
    async with HttpDouble() as double:
        pass
    assert (await sent_one(double, quick)).outcome is Outcome.NOT_SENT


@pytest.mark.parametrize(("stage", "taken"), [("HEAD", 0), ("BODY", 0), ("TAKEN", 3)])
async def test_lost_connections_end_ambiguous(quick: RetryPolicy, stage: str, taken: int) -> None:
    async with HttpDouble(secret=SECRET, faults=Faults([Fault(stage, times=None)])) as double:
        assert (await sent_one(double, quick)).outcome is Outcome.AMBIGUOUS
        assert double.requests == 3
        assert double.records.tally["received"] == taken
        assert double.records.tally["distinct"] <= 1


async def test_a_time_out_ends_ambiguous(quick: RetryPolicy) -> None:
    async with HttpDouble(faults=Faults(delay=5)) as double:
        assert (await sent_one(double, quick, timeout=0.05)).outcome is Outcome.AMBIGUOUS


async def test_a_lost_answer_is_cured_by_a_later_success(quick: RetryPolicy) -> None:
    async with HttpDouble(secret=SECRET, faults=Faults([Fault("TAKEN")])) as double:
        assert (await sent_one(double, quick)).outcome is Outcome.SENT
        assert double.records.tally == {"received": 2, "distinct": 1, "duplicates": 1}


@pytest.mark.parametrize("status", ["400", "500"])
async def test_a_refusal_after_a_lost_answer_stays_ambiguous(quick: RetryPolicy, status: str) -> None:
    async with HttpDouble(faults=Faults([Fault("TAKEN"), Fault("BODY", status, times=None)])) as double:
        double.faults.faults[1].passed = -1  # the first request gets as far as being taken
        double.faults.faults[1].every = 1
        double.faults.faults.reverse()
        double.faults.faults[0].about = "never"
        provider = WebhookProvider(WebhookConfig(secrets=(SECRET,), retry=quick))
        recipient = hook(1, double.url + "/in")

        async def refuse_from_now_on() -> None:
            while not double.records.items:
                await asyncio.sleep(0.001)
            double.faults.faults[0].about = ""

        refusing = asyncio.create_task(refuse_from_now_on())
        results = [result async for result in provider.send(offer([recipient]), [recipient])]
        await refusing
        await provider.close()
        assert [result.outcome for result in results] == [Outcome.AMBIGUOUS]


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_honoured(form: str) -> None:
    eager = RetryPolicy(attempts=2, first_wait=0.0, longest_wait=30.0)
    wish = "1" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    fault = Fault("BODY", "503", headers=(("retry-after", wish),))
    async with HttpDouble(faults=Faults([fault])) as double:
        clock = asyncio.get_running_loop().time
        start = clock()
        assert (await sent_one(double, eager)).outcome is Outcome.SENT
        assert clock() - start >= 0.9  # not a speed but the wish of the receiver


async def test_a_wish_beyond_the_longest_wait_is_capped(quick: RetryPolicy) -> None:
    fault = Fault("BODY", "429", headers=(("retry-after", "86400"),))
    async with HttpDouble(faults=Faults([fault])) as double, asyncio.timeout(60):
        assert (await sent_one(double, quick)).outcome is Outcome.SENT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("-3", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("9" * 400, 999_999_999_999.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 60.0),
        ("Wed, 21 Oct 2026 07:28:00 -0000", 60.0),
        ("Wed, 21 Oct 2020 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after_in_both_its_forms(value: str | None, seconds: float) -> None:
    assert retry_after_seconds(value, datetime(2026, 10, 21, 7, 27, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("", {}),
        ("ftp://localhost/", {}),
        ("http://[broken", {}),
        ("URL", {"webhook-signature": "v1,forged"}),
        ("URL", {"Content-Length": "3"}),
        ("URL", {"x-y": "a\r\nx-z: b"}),
        ("URL", {"x-y": "ключ"}),
    ],
)
async def test_a_request_that_cannot_be_written_fails_unsent(
    quick: RetryPolicy, url: str, headers: dict[str, str]
) -> None:
    async with HttpDouble() as double:
        recipient = hook(1, url.replace("URL", double.url))
        recipient.rendered.headers.update(headers)
        assert (await sent_by(double, [recipient], quick))["hook.0.u1"].outcome is Outcome.FAILED
        assert not double.requests


async def test_the_environments_proxy_is_not_used(quick: RetryPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with HttpDouble() as double:
        assert (await sent_one(double, quick)).outcome is Outcome.SENT


async def test_an_endless_answer_is_read_no_further_than_needed(quick: RetryPolicy) -> None:
    written = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                written += 1024
                await writer.drain()
        except ConnectionError:
            writer.transport.abort()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    recipient = hook(1, f"http://{host}:{port}/")
    provider = WebhookProvider(WebhookConfig(secrets=(SECRET,), retry=quick))
    async with asyncio.timeout(60):
        results = [result async for result in provider.send(offer([recipient]), [recipient])]
    await provider.close()
    server.close()
    assert results[0].outcome is Outcome.SENT
    assert len(results[0].detail) < 5_000


async def test_stopping_ends_waits_with_not_sent() -> None:
    patient = RetryPolicy(attempts=5, first_wait=60, longest_wait=60)
    async with HttpDouble(faults=Faults([Fault("BODY", "500", times=None)])) as double, asyncio.timeout(30):
        provider = WebhookProvider(WebhookConfig(secrets=(SECRET,), retry=patient))
        recipient = hook(1, double.url)
        asyncio.get_running_loop().call_later(0.2, provider.stop)
        results = [result async for result in provider.send(offer([recipient]), [recipient])]
        await provider.close()
        assert [result.outcome for result in results] == [Outcome.NOT_SENT]
        assert double.requests <= 2


@pytest.mark.parametrize("wrong", [{"secrets": ()}, {"secrets": ("",)}, {"connections": 0}])
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WebhookConfig(**({"secrets": (SECRET,)} | wrong))


def test_secrets_are_not_shown() -> None:
    assert SECRET not in repr(WebhookConfig(secrets=(SECRET,)))
