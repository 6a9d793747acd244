"""Promise: on one machine the server itself carries what it decides, over real protocols, and by the SDK alone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import muster
import pytest
from muster.messages import Email
from muster.v1 import message_pb2

from channels.doubles.faults import Fault, Faults
from channels.doubles.http import HttpDouble
from channels.doubles.smtp import SmtpDouble
from channels.email import EmailProvider, SmtpConfig
from channels.mime import MailConfig
from channels.retry import RetryPolicy
from channels.webhook import WebhookConfig
from core.errors import InvalidInput
from server import providers
from server.config import Config
from server.main import Server
from tests.server.conftest import Stubs
from tests.server.test_tls import make

SECRET = "whsec_bXVzdGVyLXRlc3Qtc2VjcmV0LW11c3Rlci10ZXN0"
NEW_SECRET = "whsec_bmV3LXNlY3JldC1uZXctc2VjcmV0LW5ldy1zZWNyZXQ="


def once(count: int) -> dict[str, int]:
    """What a receiver counts where everybody was sent to once."""
    return {"received": count, "distinct": count, "duplicates": 0}


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what the embedded workers bring about."""
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.01)


async def sent(stubs: Stubs, key: str, count: int) -> None:
    """Wait until so many of a message are sent."""

    async def enough() -> bool:
        return (await stubs.counts(key)).sent == count

    await until(enough)


async def test_mails_go_out_by_smtp_and_webhooks_by_http_once_each(config: Config) -> None:
    async with SmtpDouble() as mail, HttpDouble(secret=SECRET) as web:
        embedded = replace(
            config,
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            smtp_security="plain",
            webhook=True,
            webhook_secret=SECRET,
        )
        async with Server(embedded) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            await stubs.create()
            await stubs.add_users(40)
            await stubs.launch("welcome")
            hook = message_pb2.WebhookContent(url=f"{web.url}/hook", properties=["name"], batch_size=15)
            await stubs.launch("hook", asap=message_pb2.AsapSchedule(), webhook=hook)
            await sent(stubs, "welcome", 40)
            await sent(stubs, "hook", 40)
        assert mail.records.tally == once(40)
        assert web.records.tally == once(40)
        assert web.unverified == 0


async def test_what_the_provider_said_of_a_refusal_can_be_read(config: Config) -> None:
    refusal = Fault("RCPT", "550 5.1.1 no such user", times=None, about="u3@")
    async with SmtpDouble(faults=Faults([refusal])) as mail:
        embedded = replace(config, smtp_host="127.0.0.1", smtp_port=mail.port, smtp_security="plain")
        async with Server(embedded) as server, muster.AsyncClient(server.grpc_address, project="shop") as client:
            await client.projects.create("shop", live=True)
            people = [muster.update(f"u{n}", set={"$email": f"u{n}@example.com"}) for n in range(5)]
            await client.update_many([record for person in people for record in person])
            content: Email = {"from": "shop@example.com", "subject": "Hello", "text": "Hello"}
            await client.messages.create("hi", targeting="true", email=content)
            await client.messages.launch("hi", existing="send")

            async def settled() -> bool:
                counts = (await client.messages.report("hi")).counts
                return bool(counts.sent == 4 and counts.failed == 1)

            await until(settled)
            counts = (await client.messages.report("hi")).counts
            assert [(one.reason, one.users) for one in counts.failures] == [("provider_refused", 1)]
            said = {one.distinct_id: one.detail async for one in client.messages.deliveries("hi")}
            assert "550 5.1.1 no such user" in said.pop("u3")
            assert set(said.values()) == {""}
            assert "no such user" in (await client.messages.explain("hi", "u3")).detail
            assert (await client.messages.explain("hi", "u1")).detail == ""


async def test_mails_go_through_a_server_with_a_private_certificate(config: Config, tmp_path: Path) -> None:
    make(tmp_path, "post")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    async with SmtpDouble(tls=tls) as mail:
        embedded = replace(
            config,
            smtp_host="localhost",
            smtp_port=mail.port,
            smtp_ca_file=tmp_path / "chain.pem",
            smtp_message_id_domain="mail.example.com",
            smtp_connections=1,
        )
        async with Server(embedded) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            await stubs.create()
            await stubs.add_users(5)
            await stubs.launch("welcome")
            await sent(stubs, "welcome", 5)
        assert mail.records.tally == once(5)
        assert mail.connections == 1
        assert all(one["message_id"].endswith("@mail.example.com>") for one in mail.records.items)


async def test_a_receiver_may_know_the_old_secret_or_the_new_one(config: Config) -> None:
    async with HttpDouble(secret=SECRET) as old, HttpDouble(secret=NEW_SECRET) as new:
        embedded = replace(config, webhook=True, webhook_secret=f"{NEW_SECRET}, {SECRET}")
        async with Server(embedded) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            await stubs.create()
            await stubs.add_users(3)
            for key, web in (("old", old), ("new", new)):
                hook = message_pb2.WebhookContent(url=f"{web.url}/hook", properties=["name"])
                await stubs.launch(key, asap=message_pb2.AsapSchedule(), webhook=hook)
                await sent(stubs, key, 3)
        assert (old.unverified, new.unverified) == (0, 0)


def test_every_option_of_a_provider_reaches_it() -> None:
    secrets = (NEW_SECRET, SECRET)
    given = Config(
        smtp_host="mail.example.com",
        smtp_port=25,
        smtp_security="plain",
        smtp_verify_certificate=False,
        smtp_local_hostname="worker.example.com",
        smtp_message_id_domain="example.com",
        smtp_connections=3,
        smtp_connect_timeout_seconds=1.0,
        smtp_command_timeout_seconds=2.0,
        smtp_final_timeout_seconds=3.0,
        webhook_secret=",".join(secrets),
        webhook_connections=4,
        webhook_connect_timeout_seconds=5.0,
        webhook_timeout_seconds=6.0,
        webhook_proxy="http://proxy:3128",
    )
    assert MailConfig(**providers.mail(given)) == MailConfig(message_id_domain="example.com")
    assert SmtpConfig(**providers.smtp(given)) == SmtpConfig(
        host="mail.example.com",
        port=25,
        security="none",
        verify_certificate=False,
        local_hostname="worker.example.com",
        connections=3,
        connect_timeout=1.0,
        command_timeout=2.0,
        final_timeout=3.0,
    )
    assert WebhookConfig(**providers.webhook(given)) == WebhookConfig(
        secrets=secrets, connections=4, connect_timeout=5.0, timeout=6.0, proxy="http://proxy:3128"
    )
    # What is told nothing is as it is there.
    assert SmtpConfig(**providers.smtp(Config(smtp_host="h"))) == SmtpConfig(host="h", port=587, security="starttls")
    assert WebhookConfig(**providers.webhook(Config(webhook_secret=SECRET))) == WebhookConfig(secrets=(SECRET,))
    usual = RetryPolicy()
    assert (Config().smtp_attempts, Config().smtp_longest_wait_seconds) == (usual.attempts, usual.longest_wait)
    assert (Config().webhook_attempts, Config().webhook_longest_wait_seconds) == (usual.attempts, usual.longest_wait)


async def test_embedded_workers_need_no_token_of_the_file_and_no_certificate(config: Config, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef-all operator\n")
    async with SmtpDouble() as mail:
        guarded = replace(config, token_file=tokens, smtp_host="127.0.0.1", smtp_port=mail.port, smtp_security="plain")
        async with Server(guarded) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            header = [("authorization", "Bearer 0123456789abcdef-all")]
            stubs = Stubs(_with_metadata(channel, server, header))
            await stubs.create()
            await stubs.add_users(2)
            await stubs.launch("welcome")
            await sent(stubs, "welcome", 2)


def _with_metadata(channel: grpc.aio.Channel, server: Server, header: list[tuple[str, str]]) -> grpc.aio.Channel:
    class Carry(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            return await continuation(details._replace(metadata=header), request)

    return grpc.aio.insecure_channel(server.grpc_address, interceptors=[Carry()])


async def test_a_worker_that_breaks_is_started_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    send = EmailProvider.send
    broken = 0

    def once_broken(self: EmailProvider, *arguments: Any) -> Any:
        nonlocal broken
        broken += 1
        if broken == 1:
            raise RuntimeError("an error of our own making")
        return send(self, *arguments)

    monkeypatch.setattr(EmailProvider, "send", once_broken)
    async with SmtpDouble() as mail:
        embedded = replace(config, smtp_host="127.0.0.1", smtp_port=mail.port, smtp_security="plain")
        async with Server(embedded) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            await stubs.create()
            await stubs.add_users(1)
            await stubs.launch("welcome")

            async def known() -> bool:
                return (await stubs.counts("welcome")).ambiguous == 1

            await until(known)
            await stubs.messages.ResolveAmbiguous(
                message_pb2.ResolveAmbiguousRequest(
                    project="shop", key="welcome", resolution=message_pb2.RESOLUTION_OFFER_AGAIN
                )
            )
            await sent(stubs, "welcome", 1)
        assert mail.records.tally == once(1)


async def test_a_stop_lets_what_has_begun_be_acknowledged(config: Config) -> None:
    slow = Faults(delay=0.02)
    async with SmtpDouble(faults=slow) as mail:
        embedded = replace(config, smtp_host="127.0.0.1", smtp_port=mail.port, smtp_security="plain")
        async with Server(embedded) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            await stubs.create()
            await stubs.add_users(60)
            await stubs.launch("welcome")

            async def begun() -> bool:
                return (await stubs.counts("welcome")).sent > 0

            await until(begun)
        taken = mail.records.tally["received"]
        assert mail.records.tally == once(taken)
    async with Server(config) as again, grpc.aio.insecure_channel(again.grpc_address) as channel:
        counts = await Stubs(channel).counts("welcome")
        assert (counts.sent, counts.begun, counts.ambiguous) == (taken, 0, 0)
        assert counts.queued == 60 - taken


async def test_a_mail_server_that_is_away_delays_and_loses_nothing(config: Config) -> None:
    away = Faults([Fault("MAIL", reply="421 4.3.2 away", times=2)])
    async with SmtpDouble(faults=away) as mail:
        embedded = replace(config, smtp_host="127.0.0.1", smtp_port=mail.port, smtp_security="plain")
        async with Server(embedded) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            await stubs.create()
            await stubs.add_users(3)
            await stubs.launch("welcome")
            await sent(stubs, "welcome", 3)
        assert mail.records.tally == once(3)


async def test_how_often_a_webhook_is_tried_is_an_option(config: Config) -> None:
    down = Faults([Fault("HEAD", reply="503", times=1_000)])
    async with HttpDouble(secret=SECRET, faults=down) as web:
        embedded = replace(
            config, webhook=True, webhook_secret=SECRET, webhook_attempts=2, webhook_longest_wait_seconds=0.5
        )
        async with Server(embedded) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            await stubs.create()
            await stubs.add_users(1)
            hook = message_pb2.WebhookContent(url=f"{web.url}/hook", properties=["name"])
            await stubs.launch("hook", asap=message_pb2.AsapSchedule(), webhook=hook)

            async def failed() -> bool:
                return (await stubs.counts("hook")).failed == 1

            await until(failed)
        assert web.requests == 2


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", "whsec_x"])
async def test_a_webhook_secret_that_is_none_is_refused_at_the_start(config: Config, secret: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await Server(replace(config, webhook=True, webhook_secret=secret)).start()
    assert (refusal.value.code, refusal.value.field) == ("OPTION_VALUE", "webhook_secret")
