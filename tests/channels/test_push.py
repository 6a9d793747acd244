"""Promise: a push notification is handed over at most once a device, and a token is removed only if it is nobody's.

Played against an FCM that grants access tokens and an APNs that speaks HTTP/2 over TLS, both on loopback.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import duration_pb2
from muster.v1 import delivery_pb2, message_pb2

from channels.apns import Apns, ApnsConfig
from channels.doubles.apns import ApnsDouble
from channels.doubles.faults import Fault, Faults
from channels.doubles.fcm import FcmDouble
from channels.fcm import Fcm, FcmConfig
from channels.google_access import read_service_account
from channels.http_calls import HttpConfig
from channels.loop import WorkerLoop
from channels.provider import Outcome, Result
from channels.push import ANDROID, IOS, DeviceCarrier, PushProvider
from channels.retry import RetryPolicy
from tests.channels.offers import Stream, offer

A, B = "aaaaaaaa", "bbbbbbbb"
I, J = "11111111", "22222222"  # noqa: E741


def push(
    number: int = 1, android: Sequence[str] = (), ios: Sequence[str] = (), **fields: Any
) -> delivery_pb2.Recipient:
    """A recipient of a push notification to some devices."""
    devices = [message_pb2.Device(platform=message_pb2.PLATFORM_ANDROID, token=token) for token in android]
    devices += [message_pb2.Device(platform=message_pb2.PLATFORM_IOS, token=token) for token in ios]
    given = {"title": "Hi", "body": "It is here."} | fields
    notification = message_pb2.PushNotification(devices=devices, **given)
    rendered = message_pb2.Rendered(push=notification)
    return delivery_pb2.Recipient(distinct_id=f"u{number}", idempotency_key=f"push.0.u{number}", rendered=rendered)


WHOLE: dict[str, Any] = {
    "image": "https://example.com/a.png",
    "buttons": [message_pb2.Button(text="Ja", link="shop://ja"), message_pb2.Button(text="Nö")],
    "deep_link": "shop://here",
    "ttl": duration_pb2.Duration(seconds=3_600),
    "collapse_key": "here",
    "data": {"screen": "ж"},
    "badge": 0,
    "sound": "default",
}


def fcm(double: FcmDouble, folder: Path, clock: Callable[[], float] = lambda: 1e9, **changes: Any) -> Fcm:
    account = read_service_account(double.write_account(folder))
    return Fcm(FcmConfig(**{"account": account, "url": double.url} | changes), clock)


def apns(double: ApnsDouble, clock: Callable[[], float] = lambda: 1e9, **changes: Any) -> Apns:
    given = {
        "key": double.key,
        "key_id": double.key_id,
        "team_id": double.team_id,
        "topic": double.topic,
        "url": double.url,
        "http": HttpConfig(ca_file=double.ca_file),
    }
    return Apns(ApnsConfig(**given | changes), clock)


def apns_double(**given: Any) -> ApnsDouble:
    """One whose clock stands where the carriers' does."""
    return ApnsDouble(**{"clock": lambda: 1e9} | given)


async def sent_by(
    carriers: dict[int, DeviceCarrier], recipients: Sequence[delivery_pb2.Recipient], retry: RetryPolicy
) -> dict[str, Result]:
    provider = PushProvider(carriers, connections=8, retry=retry)
    try:
        results = [result async for result in provider.send(offer(recipients), recipients)]
    finally:
        await provider.close()
    assert len({result.idempotency_key for result in results}) == len(results) == len(recipients)
    return {result.idempotency_key: result for result in results}


async def one(carriers: dict[int, DeviceCarrier], recipient: delivery_pb2.Recipient, retry: RetryPolicy) -> Result:
    return next(iter((await sent_by(carriers, [recipient], retry)).values()))


# What devices get


async def test_fcm_gets_every_part(quick: RetryPolicy, tmp_path: Path) -> None:
    async with FcmDouble() as double:
        result = await one({ANDROID: fcm(double, tmp_path)}, push(1, [A], **WHOLE), quick)
    assert (result.outcome, result.provider_id) == (Outcome.SENT, double.records.items[0]["name"])
    buttons = [{"text": "Ja", "link": "shop://ja"}, {"text": "Nö", "link": ""}]
    message = double.records.items[0]["message"]
    assert json.loads(message["data"].pop("muster_buttons")) == buttons
    assert message == {
        "token": A,
        "notification": {"title": "Hi", "body": "It is here.", "image": "https://example.com/a.png"},
        "data": {
            "screen": "ж",
            "muster_message": "winback",
            "muster_key": "push.0.u1",
            "muster_link": "shop://here",
        },
        "android": {
            "priority": "HIGH",
            "ttl": "3600s",
            "collapse_key": "here",
            "notification": {"tag": "here", "sound": "default", "notification_count": 0},
        },
    }


async def test_apns_gets_every_part(quick: RetryPolicy) -> None:
    async with apns_double() as double:
        result = await one({IOS: apns(double)}, push(1, ios=[I], **WHOLE), quick)
    (record,) = double.records.items
    assert (result.outcome, result.provider_id) == (Outcome.SENT, record["headers"]["apns-id"])
    assert record["payload"] == {
        "aps": {
            "alert": {"title": "Hi", "body": "It is here."},
            "mutable-content": 1,
            "badge": 0,
            "sound": "default",
        },
        "muster": {
            "message": "winback",
            "key": "push.0.u1",
            "link": "shop://here",
            "image": "https://example.com/a.png",
            "buttons": [{"text": "Ja", "link": "shop://ja"}, {"text": "Nö", "link": ""}],
        },
        "screen": "ж",
    }
    headers = record["headers"]
    assert headers["apns-expiration"] == str(int(1e9) + 3_600)
    assert (headers["apns-collapse-id"], headers["apns-priority"], headers["apns-push-type"]) == ("here", "10", "alert")


async def test_a_silent_one_shows_nothing(quick: RetryPolicy, tmp_path: Path) -> None:
    quiet = push(1, [A], [I], title="", body="", silent=True, data={"sync": "1"})
    async with FcmDouble() as google, apns_double() as apple:
        result = await one({ANDROID: fcm(google, tmp_path), IOS: apns(apple)}, quiet, quick)
    assert result.outcome is Outcome.SENT
    message = google.records.items[0]["message"]
    assert "notification" not in message and message["android"] == {"priority": "NORMAL"}
    assert message["data"]["sync"] == "1"
    (record,) = apple.records.items
    assert record["payload"]["aps"] == {"content-available": 1} and record["payload"]["sync"] == "1"
    assert (record["headers"]["apns-push-type"], record["headers"]["apns-priority"]) == ("background", "5")
    assert "apns-expiration" not in record["headers"]


async def test_many_users_share_connections_and_tokens(quick: RetryPolicy, tmp_path: Path) -> None:
    people = [push(number, [f"a{number}"], [f"{number:08}"]) for number in range(40)]
    async with FcmDouble() as google, apns_double() as apple:
        results = await sent_by({ANDROID: fcm(google, tmp_path), IOS: apns(apple)}, people, quick)
    assert {result.outcome for result in results.values()} == {Outcome.SENT}
    assert google.records.tally == apple.records.tally == {"received": 40, "distinct": 40, "duplicates": 0}
    assert google.grants == 1
    assert len(apple.provider_tokens) == 1 and apple.connections == 1


# What becomes of a user with several devices


async def test_a_user_is_sent_to_if_any_device_took_it(quick: RetryPolicy, tmp_path: Path) -> None:
    async with FcmDouble(refused={A: "UNREGISTERED"}) as google, apns_double(refused={I: "Unregistered"}) as apple:
        carriers: dict[int, DeviceCarrier] = {ANDROID: fcm(google, tmp_path), IOS: apns(apple)}
        people = [push(1, [A, B], [I]), push(2, [A], [I, J]), push(3, [A], [I])]
        results = await sent_by(carriers, people, quick)
    assert [results[f"push.0.u{number}"].outcome for number in (1, 2, 3)] == [
        Outcome.SENT,
        Outcome.SENT,
        Outcome.FAILED,
    ]
    assert all(set(result.removed_tokens) == {A, I} for result in results.values())
    assert results["push.0.u1"].detail == "1 of 3 devices; UNREGISTERED Requested entity was not found."
    assert results["push.0.u3"].detail.startswith("0 of 2 devices; ")


@pytest.mark.parametrize(
    ("google_says", "apple_says", "outcome"),
    [
        ("UNREGISTERED", "InternalServerError", Outcome.AMBIGUOUS),
        ("UNAVAILABLE", "Unregistered", Outcome.NOT_SENT),
        ("UNAVAILABLE", "InternalServerError", Outcome.AMBIGUOUS),
        ("INTERNAL", "ServiceUnavailable", Outcome.AMBIGUOUS),
        ("SENDER_ID_MISMATCH", "BadDeviceToken", Outcome.FAILED),
    ],
)
async def test_what_is_not_known_outweighs_what_was_refused(
    quick: RetryPolicy, tmp_path: Path, google_says: str, apple_says: str, outcome: Outcome
) -> None:
    async with FcmDouble(refused={A: google_says}) as google, apns_double(refused={I: apple_says}) as apple:
        result = await one({ANDROID: fcm(google, tmp_path), IOS: apns(apple)}, push(1, [A], [I]), quick)
    assert result.outcome is outcome


async def test_a_platform_without_provider_is_not_the_messages_fault(quick: RetryPolicy, tmp_path: Path) -> None:
    async with FcmDouble() as google:
        carriers: dict[int, DeviceCarrier] = {ANDROID: fcm(google, tmp_path)}
        results = await sent_by(carriers, [push(1, ios=[I]), push(2, [A], [I]), push(3)], quick)
    assert results["push.0.u1"].outcome is Outcome.NOT_SENT and "Apple" in results["push.0.u1"].detail
    assert results["push.0.u2"].outcome is Outcome.SENT
    assert results["push.0.u3"].outcome is Outcome.FAILED


async def test_the_worker_tells_of_removed_tokens(quick: RetryPolicy, tmp_path: Path) -> None:
    async with FcmDouble(refused={A: "UNREGISTERED"}) as google:
        batch = offer([push(1, [A, B])])
        await WorkerLoop(
            Stream(batch), PushProvider({ANDROID: fcm(google, tmp_path)}, connections=2, retry=quick)
        ).run()
    assert batch.outcomes == {"push.0.u1": Outcome.SENT} and batch.removed_tokens == [A]


# What FCM says


@pytest.mark.parametrize(
    ("token", "says", "gone"),
    [
        (A, "UNREGISTERED", True),
        (A, "SENDER_ID_MISMATCH", True),
        (":", "INVALID_ARGUMENT", True),  # malformed
        (A, "INVALID_ARGUMENT", False),  # something else in the message
    ],
)
async def test_fcm_refuses_for_good(quick: RetryPolicy, tmp_path: Path, token: str, says: str, gone: bool) -> None:
    async with FcmDouble(refused={A: says}) as double:
        result = await one({ANDROID: fcm(double, tmp_path)}, push(1, [token]), quick)
        assert double.requests == 2  # one for the access token
    assert (result.outcome, result.removed_tokens) == (Outcome.FAILED, [token] if gone else [])
    assert result.detail.startswith(says)


async def test_a_message_too_long_for_fcm_costs_nobody_their_token(quick: RetryPolicy, tmp_path: Path) -> None:
    async with FcmDouble() as double:
        result = await one({ANDROID: fcm(double, tmp_path)}, push(1, [A], data={"a": "x" * 4_096}), quick)
    assert (result.outcome, result.removed_tokens) == (Outcome.FAILED, [])


@pytest.mark.parametrize("code", ["QUOTA_EXCEEDED", "UNAVAILABLE", "INTERNAL"])
async def test_fcm_is_tried_again_where_it_asks_for_that(quick: RetryPolicy, tmp_path: Path, code: str) -> None:
    headers = (("retry-after", "0"),)
    async with FcmDouble(faults=Faults([Fault("BODY", code, times=2, about="/v1/", headers=headers)])) as double:
        assert (await one({ANDROID: fcm(double, tmp_path)}, push(1, [A]), quick)).outcome is Outcome.SENT
        assert double.records.tally == {"received": 1, "distinct": 1, "duplicates": 0}
    async with FcmDouble(faults=Faults([Fault("BODY", code, times=None, about="/v1/")])) as double:
        result = await one({ANDROID: fcm(double, tmp_path)}, push(1, [A]), quick)
        assert result.outcome is (Outcome.AMBIGUOUS if code == "INTERNAL" else Outcome.NOT_SENT)
        assert double.requests == 4 and not result.removed_tokens


@pytest.mark.parametrize(
    "fault",
    [
        Fault("HEAD", about="/v1/"),
        Fault("BODY", about="/v1/"),
        Fault("TAKEN", about="/v1/"),
        Fault("TAKEN", "502", about="/v1/", body=b"<html>Bad gateway</html>"),
        Fault("TAKEN", "200", about="/v1/", body=b"<html>Welcome to the airport's wifi</html>"),
        Fault("TAKEN", "200", about="/v1/", body=b'{"name": 7}'),
        Fault("TAKEN", "500", about="/v1/", body=b'{"error": [7]}'),
        Fault("TAKEN", "500", about="/v1/", body=b'{"error": {"details": [7, {"@type": 7}]}}'),
    ],
    ids=lambda fault: f"{fault.stage}-{fault.reply}",
)
async def test_what_fcm_may_have_taken_is_ambiguous_and_not_repeated(
    quick: RetryPolicy, tmp_path: Path, fault: Fault
) -> None:
    fault = Fault(fault.stage, fault.reply, about=fault.about, body=fault.body)
    async with FcmDouble(faults=Faults([fault])) as double:
        assert (await one({ANDROID: fcm(double, tmp_path)}, push(1, [A]), quick)).outcome is Outcome.AMBIGUOUS
        assert double.requests == 2


async def test_a_slow_fcm_is_ambiguous_and_a_slow_grant_is_not(quick: RetryPolicy, tmp_path: Path) -> None:
    http = HttpConfig(timeout=0.2, connect_timeout=0.2)
    async with FcmDouble() as double:
        carrier = fcm(double, tmp_path, http=http)
        assert (await one({ANDROID: carrier}, push(1, [A]), quick)).outcome is Outcome.SENT
        again = fcm(double, tmp_path, http=http)
        double.faults.delay = 5
        assert (await one({ANDROID: again}, push(1, [A]), quick)).outcome is Outcome.NOT_SENT
    async with FcmDouble() as double:
        carrier = fcm(double, tmp_path, http=http)
        provider = PushProvider({ANDROID: carrier}, connections=1, retry=quick)
        await anext(provider.send(offer([push(1, [A])]), [push(1, [A])]))
        double.faults.delay = 5
        result = await anext(provider.send(offer([push(2, [A])]), [push(2, [A])]))
        assert result.outcome is Outcome.AMBIGUOUS
        await provider.close()


async def test_an_access_token_is_renewed_before_it_ends_and_when_it_is_taken_back(
    quick: RetryPolicy, tmp_path: Path
) -> None:
    now = 1e9
    async with FcmDouble() as double:
        provider = PushProvider({ANDROID: fcm(double, tmp_path, lambda: now)}, connections=4, retry=quick)

        async def outcome() -> Outcome:
            recipients = [push(1, [A])]
            return (await anext(provider.send(offer(recipients), recipients))).outcome

        assert await outcome() is Outcome.SENT
        now += 3_299
        assert await outcome() is Outcome.SENT
        assert double.grants == 1
        now += 1
        assert await outcome() is Outcome.SENT
        assert double.grants == 2
        now += 100
        double.revoke()
        assert await outcome() is Outcome.SENT
        assert (double.grants, double.unverified) == (4, 1)
        double.revoke()  # so soon after it was granted: another would do no better
        assert await outcome() is Outcome.NOT_SENT
        assert double.unverified == 2
        await provider.close()


async def test_a_service_account_that_is_refused_is_not_the_messages_fault(quick: RetryPolicy, tmp_path: Path) -> None:
    async with FcmDouble() as double, FcmDouble() as other:
        account = read_service_account(other.write_account(tmp_path))
        stranger = {"account": account, "url": double.url}
        refused = await one({ANDROID: Fcm(FcmConfig(**stranger), lambda: 1e9)}, push(1, [A]), quick)
        assert refused.outcome is Outcome.NOT_SENT and double.unverified >= 1
        other.faults = Faults([Fault("BODY", "400", about="/token", times=None)])
        result = await one({ANDROID: Fcm(FcmConfig(**stranger), lambda: 1e9)}, push(1, [A]), quick)
        assert result.outcome is Outcome.NOT_SENT and "settings" in result.detail
    result = await one({ANDROID: Fcm(FcmConfig(**stranger), lambda: 1e9)}, push(1, [A]), quick)
    assert result.outcome is Outcome.NOT_SENT and result.detail.startswith("no access token: ConnectError")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"project_id": "p"}', None])
def test_a_file_that_is_no_service_account_is_refused(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    if text is None:
        found = FcmDouble().account | {"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}
        text = json.dumps(found)
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match="no key file of a service account"):
        read_service_account(path)


# What APNs says


@pytest.mark.parametrize(
    ("token", "says", "gone"),
    [
        (I, "Unregistered", True),
        (I, "DeviceTokenNotForTopic", True),
        ("malformed", "BadDeviceToken", True),
        (I, "ExpiredToken", False),
        (I, "PayloadTooLarge", False),
        (I, "BadCollapseId", False),
    ],
)
async def test_apns_refuses_for_good(quick: RetryPolicy, token: str, says: str, gone: bool) -> None:
    async with apns_double(refused={I: says}) as double:
        result = await one({IOS: apns(double)}, push(1, ios=[token]), quick)
        assert double.requests == 1
    assert (result.outcome, result.removed_tokens) == (Outcome.FAILED, [token] if gone else [])
    assert says in result.detail


@pytest.mark.parametrize("says", ["TooManyRequests", "ServiceUnavailable", "IdleTimeout", "InternalServerError"])
async def test_apns_is_tried_again_where_that_may_help(quick: RetryPolicy, says: str) -> None:
    async with apns_double(faults=Faults([Fault("BODY", says, times=2)])) as double:
        assert (await one({IOS: apns(double)}, push(1, ios=[I]), quick)).outcome is Outcome.SENT
        assert double.requests == 3 and double.connections == 1
    async with apns_double(faults=Faults([Fault("BODY", says, times=None)])) as double:
        result = await one({IOS: apns(double)}, push(1, ios=[I]), quick)
        assert result.outcome is (Outcome.AMBIGUOUS if says == "InternalServerError" else Outcome.NOT_SENT)
        assert double.requests == 3 and not result.removed_tokens


@pytest.mark.parametrize(
    "changes", [{"topic": "com.example.other"}, {"key_id": "OTHER12345"}, {"team_id": "OTHER12345"}]
)
async def test_wrong_settings_of_apns_are_not_the_messages_fault(quick: RetryPolicy, changes: dict[str, str]) -> None:
    async with apns_double() as double:
        result = await one({IOS: apns(double, **changes)}, push(1, ios=[I]), quick)
        assert double.requests == 1
    assert result.outcome is Outcome.NOT_SENT and "settings" in result.detail and not result.removed_tokens


@pytest.mark.parametrize(
    "fault",
    [
        Fault("HEAD"),
        Fault("BODY"),
        Fault("TAKEN"),
        Fault("TAKEN", "502", body=b"<html>Bad gateway</html>"),
        Fault("TAKEN", "500", body=b"[]"),
        Fault("TAKEN", "201", body=b"{}"),
    ],
    ids=lambda fault: f"{fault.stage}-{fault.reply}",
)
async def test_what_apns_may_have_taken_is_ambiguous_and_not_repeated(quick: RetryPolicy, fault: Fault) -> None:
    fault = Fault(fault.stage, fault.reply, body=fault.body)
    async with apns_double(faults=Faults([fault])) as double:
        assert (await one({IOS: apns(double)}, push(1, ios=[I]), quick)).outcome is Outcome.AMBIGUOUS
        assert double.requests == 1


async def test_a_connection_that_was_lost_is_made_anew(quick: RetryPolicy) -> None:
    async with apns_double(faults=Faults([Fault("HEAD")])) as double:
        provider = PushProvider({IOS: apns(double)}, connections=4, retry=quick)
        outcomes = []
        for number in (1, 2):
            recipients = [push(number, ios=[I])]
            outcomes.append((await anext(provider.send(offer(recipients), recipients))).outcome)
        await provider.close()
    assert outcomes == [Outcome.AMBIGUOUS, Outcome.SENT] and double.connections == 2


async def test_a_slow_apns_is_ambiguous(quick: RetryPolicy) -> None:
    async with apns_double(faults=Faults(delay=5)) as double:
        http = HttpConfig(timeout=0.3, connect_timeout=2, ca_file=double.ca_file)
        assert (await one({IOS: apns(double, http=http)}, push(1, ios=[I]), quick)).outcome is Outcome.AMBIGUOUS


async def test_nobody_there_or_a_stranger_is_not_sent(quick: RetryPolicy) -> None:
    async with apns_double() as double:
        stranger = apns(double, http=HttpConfig())  # whose certificate is not trusted
        assert (await one({IOS: stranger}, push(1, ios=[I]), quick)).outcome is Outcome.NOT_SENT
        gone = apns(double)
    assert (await one({IOS: gone}, push(1, ios=[I]), quick)).outcome is Outcome.NOT_SENT
    assert double.requests == 0


async def test_a_server_that_speaks_something_else_is_ambiguous(quick: RetryPolicy, tmp_path: Path) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    double = apns_double()
    carrier = apns(double, url=f"http://{host}:{port}", http=HttpConfig())
    assert (await one({IOS: carrier}, push(1, ios=[I]), quick)).outcome is Outcome.AMBIGUOUS
    server.close()


async def test_a_provider_token_is_renewed_every_forty_minutes_and_when_apple_calls_it_expired(
    quick: RetryPolicy,
) -> None:
    now, apples = 1e9, 0.0
    async with ApnsDouble(clock=lambda: now + apples) as double:
        provider = PushProvider({IOS: apns(double, lambda: now)}, connections=4, retry=quick)

        async def outcome() -> Outcome:
            recipients = [push(1, ios=[I])]
            return (await anext(provider.send(offer(recipients), recipients))).outcome

        assert await outcome() is Outcome.SENT
        now += 39 * 60
        assert await outcome() is Outcome.SENT
        assert len(double.provider_tokens) == 1
        now += 60
        assert await outcome() is Outcome.SENT
        assert len(double.provider_tokens) == 2
        now, apples = now + 25 * 60, 40 * 60.0
        assert await outcome() is Outcome.SENT
        assert len(double.provider_tokens) == 3
        apples = 90 * 60.0  # this machine's clock is wrong: no new token would be any better, nor be taken so soon
        assert await outcome() is Outcome.NOT_SENT
        assert len(double.provider_tokens) == 3
        await provider.close()


def test_secrets_are_not_shown_and_wrong_settings_are_named(tmp_path: Path) -> None:
    double = apns_double()
    given = {"key": double.key, "key_id": "K", "team_id": "T", "topic": "t"}
    assert "PRIVATE" not in repr(ApnsConfig(**given))
    assert "PRIVATE" not in repr(read_service_account(FcmDouble().write_account(tmp_path)))
    with pytest.raises(ValueError, match="topic"):
        ApnsConfig(**given | {"topic": ""})
    with pytest.raises(ValueError, match="key"):
        ApnsConfig(**given | {"key": "none"})
