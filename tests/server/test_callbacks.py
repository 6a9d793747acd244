"""Promise: what a provider calls back with goes the whole way: a mail or text message by its real protocol, the
provider's signed call to the worker's listener, and an event of the user that targeting can use."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from muster.v1 import message_pb2, profile_pb2

from channels.doubles.callbacks import MailgunDouble, PostmarkDouble, SendGridDouble, SesDouble
from channels.doubles.smtp import SmtpDouble
from channels.doubles.twilio import TwilioDouble
from core.errors import FailedPrecondition, InvalidInput
from server import callbacks, providers
from server.config import Config
from server.main import Server
from tests.server.conftest import PROJECT, Stubs, email
from tests.server.test_embedded import sent, until
from tests.server.test_sms import add_people, sms


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def file(folder: Path, name: str, text: str) -> Path:
    made = folder / name
    made.write_text(text)
    return made


@asynccontextmanager
async def served(config: Config) -> AsyncIterator[Stubs]:
    async with Server(config) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        yield Stubs(channel)


async def names_of_events(stubs: Stubs, user: str) -> list[str]:
    answer = await stubs.profiles.ListEvents(profile_pb2.ListEventsRequest(project=PROJECT, distinct_id=user))
    return sorted(event.name for event in answer.events)


@pytest.mark.parametrize("provider", ["sendgrid", "mailgun", "postmark", "ses"])
async def test_what_becomes_of_a_mail(config: Config, tmp_path: Path, provider: str) -> None:
    sendgrid, mailgun, postmark, ses = SendGridDouble(), MailgunDouble(), PostmarkDouble(), SesDouble()
    address = f"127.0.0.1:{free_port()}"
    given = {
        "sendgrid": {"callbacks_sendgrid_key": sendgrid.public_key},
        "mailgun": {"callbacks_mailgun_file": file(tmp_path, "key", mailgun.signing_key)},
        "postmark": {"callbacks_postmark_file": file(tmp_path, "login", postmark.login)},
        "ses": {
            "callbacks_ses_topics": ses.topic,
            "callbacks_sns_certificate": file(tmp_path, "sns.pem", ses.certificate.decode()),
        },
    }[provider]
    async with SmtpDouble() as relay:
        embedded = replace(
            config,
            smtp_host="127.0.0.1",
            smtp_port=relay.port,
            smtp_security="plain",
            smtp_provider=provider,
            callbacks_listen=address,
            **given,  # type: ignore[arg-type]
        )
        async with served(embedded) as stubs:
            await stubs.create()
            await stubs.add_users(2)
            clicked = 'events["$campaign_click"].exists(e, e.message_id == "welcome")'
            await stubs.launch("welcome")
            await sent(stubs, "welcome", 2)
            thanks = email("thanks", targeting=clicked)
            await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project=PROJECT, message=thanks))
            launch = message_pb2.LaunchMessageRequest(project=PROJECT, key="thanks", existing=message_pb2.EXISTING_SEND)
            await stubs.messages.LaunchMessage(launch)
            raw = next(one["raw"] for one in relay.records.items if one["to"] == "u1@example.com")
            url = f"http://{address}/{provider}"
            for _ in range(2):  # providers repeat themselves
                if provider == "sendgrid":
                    click = sendgrid.event(raw, "click", url="https://example.com/", sg_event_id="1")
                    assert await sendgrid.call(url, sendgrid.event(raw, "delivered", sg_event_id="2"), click) == 200
                elif provider == "mailgun":
                    assert await mailgun.call(url, mailgun.event(raw, "delivered", id="1")) == 200
                    assert await mailgun.call(url, mailgun.event(raw, "clicked", id="2")) == 200
                elif provider == "postmark":
                    stamp = "2026-03-09T10:53:34Z"
                    assert await postmark.call(url, postmark.record(raw, "Delivery", DeliveredAt=stamp)) == 200
                    assert await postmark.call(url, postmark.record(raw, "Click", ReceivedAt=stamp)) == 200
                else:
                    for kind in ("Delivery", "Click"):
                        told = ses.notification(ses.event(raw, kind), MessageId=kind)
                        assert await ses.call(url, told) == 200
            await sent(stubs, "thanks", 1)
            assert await names_of_events(stubs, "u1") == [
                "$campaign_click",
                "$campaign_delivered",
                "$campaign_delivery",
                "$campaign_delivery",
            ]
            assert await names_of_events(stubs, "u0") == ["$campaign_delivery"]


async def test_what_becomes_of_a_text_message_and_what_is_answered(config: Config, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    async with TwilioDouble() as double:
        embedded = replace(
            config,
            sms_provider="twilio",
            sms_account=double.account,
            sms_secret_file=file(tmp_path, "token", double.token),
            sms_url=double.url,
            callbacks_listen=address,
        )
        async with served(embedded) as stubs:
            await stubs.create()
            await add_people(stubs)
            await stubs.launch("shipped", sms=sms().sms)
            await sent(stubs, "shipped", 3)
            by_number = {item["form"]["To"]: item for item in double.records.items}
            taken = by_number["+4915112345678"]
            assert taken["callback"].startswith(f"http://{address}/twilio/status?key=")
            assert await double.report(taken["sid"], "sent") == 200
            assert await double.report(taken["sid"], "delivered") == 200
            assert await double.report(taken["sid"], "delivered") == 200
            assert await names_of_events(stubs, "bob") == ["$campaign_delivered", "$campaign_delivery"]
            # Ada's profile spells the number otherwise: the answer finds her by the number that it is.
            assert await double.reply(f"http://{address}/twilio/inbound", "+14155550109", "Stop") == 200
            assert await names_of_events(stubs, "out") == ["$campaign_delivery", "$unsubscribe"]


async def test_calls_wait_for_a_server_that_is_away(config: Config, tmp_path: Path) -> None:
    """A worker in a process of its own, whose server is stopped and comes back."""
    import json
    import sys

    from channels.doubles.callbacks import post

    address = f"127.0.0.1:{free_port()}"
    secret = file(tmp_path, "secret", "hush")
    login = {"authorization": "Bearer hush"}

    async def started(store: Config) -> tuple[Server, Stubs, grpc.aio.Channel]:
        server = Server(store)
        await server.start()
        channel = grpc.aio.insecure_channel(server.grpc_address)
        return server, Stubs(channel), channel

    config = replace(config, listen=f"127.0.0.1:{free_port()}")
    async with SmtpDouble() as relay:
        server, stubs, channel = await started(config)
        await stubs.create()
        await stubs.add_users(1)
        await stubs.launch("welcome")
        words = ["--smtp-host", "127.0.0.1", "--smtp-port", str(relay.port), "--smtp-security", "plain"]
        words += ["--callbacks-listen", address, "--callbacks-secret-file", str(secret)]
        command = [sys.executable, "-m", "server.cli", "channel", "email", "--server", server.grpc_address, *words]
        worker = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        try:
            await sent(stubs, "welcome", 1)
            key = relay.records.items[0]["idempotency_key"]
            body = json.dumps({"kind": "opened", "idempotency_key": key, "event_id": "1"}).encode()
            await channel.close()
            await server.stop()
            assert await post(f"http://{address}/feedback", body, login) == 503
            server, stubs, channel = await started(config)

            async def taken() -> bool:
                return await post(f"http://{address}/feedback", body, login) == 200

            await until(taken)
            assert await names_of_events(stubs, "u0") == ["$campaign_delivery", "$campaign_open"]
        finally:
            worker.terminate()
            await worker.wait()
            await channel.close()
            await server.stop()


async def test_an_address_in_use_is_named(config: Config, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = replace(
            config,
            smtp_host="127.0.0.1",
            callbacks_listen=f"127.0.0.1:{taken.getsockname()[1]}",
            callbacks_secret_file=file(tmp_path, "secret", "hush"),
        )
        with pytest.raises(FailedPrecondition) as caught:
            async with Server(wanted):
                raise AssertionError("it must not start")
    assert (caught.value.field, caught.value.code) == ("callbacks_listen", "ADDRESS_UNUSABLE")


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"callbacks_listen": "nowhere"}, "callbacks_listen"),
        ({}, "callbacks_listen"),
        ({"callbacks_url": "hooks.example.com", "callbacks_sendgrid_key": "x"}, "callbacks_url"),
        ({"callbacks_sendgrid_key": "nonsense"}, "callbacks_sendgrid_key"),
        ({"callbacks_ses_topics": "mail"}, "callbacks_ses_topics"),
        ({"callbacks_ses_topics": "arn:aws:sns:x", "callbacks_sns_certificate": Path(__file__)}, "callbacks_sns_certificate"),
        ({"callbacks_postmark_file": Path("/nowhere")}, "callbacks_postmark_file"),
        ({"callbacks_postmark_file": "word"}, "callbacks_postmark_file"),
        ({"callbacks_mailgun_file": Path("/nowhere")}, "callbacks_mailgun_file"),
        ({"callbacks_secret_file": Path("/nowhere")}, "callbacks_secret_file"),
        ({"sms_provider": "twilio", "sms_account": "AC1", "sms_user": "SK1", "sms_secret_file": "word"}, "callbacks_twilio_file"),
        ({"sms_provider": "twilio", "sms_account": "AC1", "sms_secret_file": "word", "callbacks_listen": "127.0.0.1:0"}, "callbacks_url"),
    ],
)  # fmt: skip
async def test_a_wrong_option_is_named(config: Config, tmp_path: Path, changes: dict[str, Any], option: str) -> None:
    given = {name: file(tmp_path, "word", "word") if value == "word" else value for name, value in changes.items()}
    wanted = replace(config, **{"smtp_host": "127.0.0.1", "callbacks_listen": "127.0.0.1:7180", **given})
    with pytest.raises(InvalidInput) as caught:
        async with Server(wanted):
            raise AssertionError("it must not start")
    assert (caught.value.field, caught.value.code) == (option, "OPTION_VALUE")
    assert caught.value.mend


def test_the_status_url_is_the_public_one() -> None:
    twilio = replace(Config(), sms_provider="twilio", callbacks_listen="127.0.0.1:7180")
    assert callbacks.status_url(twilio) == "http://127.0.0.1:7180/twilio/status"
    public = replace(twilio, callbacks_url="https://hooks.example.com/muster/")
    assert callbacks.status_url(public) == "https://hooks.example.com/muster/twilio/status"
    assert callbacks.status_url(replace(public, callbacks_listen="")) == ""


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"smtp_verp": True}, "smtp_return_path"),
        ({"smtp_dkim_domain": "example.com"}, "smtp_dkim_selector"),
        ({"smtp_dkim_domain": "example.com", "smtp_dkim_selector": "m"}, "smtp_dkim_key_file"),
        ({"smtp_message_id_domain": "bücher.example"}, "smtp_message_id_domain"),
    ],
)
def test_what_mails_cannot_say_is_named(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        wanted = replace(Config(), **changes)
        providers.mail(wanted)
        providers.dkim(wanted)
    assert caught.value.field == option
