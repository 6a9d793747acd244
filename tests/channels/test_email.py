"""Promise: after every way an SMTP transaction can end, the outcome says whether the server may have the mail.

SENT only with the server's word, NOT_SENT only where it surely has nothing, AMBIGUOUS for the rest. Played with the
real provider against a real SMTP server.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from muster.v1 import delivery_pb2

from channels.doubles.faults import Fault, Faults
from channels.doubles.smtp import SmtpDouble
from channels.email import EmailProvider, SmtpConfig
from channels.hand_off import KEY_HEADER
from channels.mime import MailConfig
from channels.provider import Outcome, Result
from channels.retry import RetryPolicy
from tests.channels.offers import email, offer


def config(double: SmtpDouble, retry: RetryPolicy, **changes: Any) -> SmtpConfig:
    settings: dict[str, Any] = {
        "host": double.host,
        "port": double.port,
        "local_hostname": "localhost",
        "mail": MailConfig(message_id_domain="example.org"),
        "command_timeout": 5.0,
        "final_timeout": 5.0,
        "retry": retry,
    }
    return SmtpConfig(**(settings | changes))


async def sent_by(settings: SmtpConfig, recipients: Sequence[delivery_pb2.Recipient]) -> dict[str, Result]:
    provider = EmailProvider(settings)
    try:
        return {result.idempotency_key: result async for result in provider.send(offer(recipients), recipients)}
    finally:
        await provider.close()


async def sent_one(settings: SmtpConfig, recipient: delivery_pb2.Recipient | None = None) -> Result:
    recipient = recipient or email(1)
    return (await sent_by(settings, [recipient]))[recipient.idempotency_key]


async def test_every_recipient_gets_one_mail_over_few_connections(quick: RetryPolicy) -> None:
    async with SmtpDouble() as double:
        recipients = [email(number) for number in range(60)]
        results = await sent_by(config(double, quick, connections=4), recipients)
        assert {result.outcome for result in results.values()} == {Outcome.SENT}
        assert double.records.tally == {"received": 60, "distinct": 60, "duplicates": 0}
        assert double.connections <= 4
    mail = next(item for item in double.records.items if item["to"] == "user7@example.com")
    assert mail["subject"] == "Hello 7"
    assert mail["message_id"] == "<winback.0.u7@example.org>"
    assert f"{KEY_HEADER}: winback.0.u7" in mail["raw"]
    assert results["winback.0.u7"].detail.startswith("250")
    assert results["winback.0.u7"].provider_id == "<winback.0.u7@example.org>"


async def test_a_connection_is_replaced_after_its_share_of_mails(quick: RetryPolicy) -> None:
    async with SmtpDouble() as double:
        await sent_by(config(double, quick, connections=1, mails_per_connection=5), [email(n) for n in range(15)])
        assert double.connections == 3
        assert double.records.tally["distinct"] == 15


async def test_starttls_and_login(quick: RetryPolicy, server_tls: ssl.SSLContext, certificate: Path) -> None:
    async with SmtpDouble(tls=server_tls, login=("muster", "pässword")) as double:
        settings = config(
            double, quick, security="starttls", ca_file=certificate, username="muster", password="pässword"
        )
        assert (await sent_one(settings)).outcome is Outcome.SENT


async def test_tls_from_the_first_byte(quick: RetryPolicy, server_tls: ssl.SSLContext, certificate: Path) -> None:
    async with SmtpDouble(tls=server_tls, tls_at_once=True) as double:
        assert (await sent_one(config(double, quick, security="tls", ca_file=certificate))).outcome is Outcome.SENT
        assert (await sent_one(config(double, quick, security="tls", verify_certificate=False))).outcome is Outcome.SENT


async def test_an_untrusted_certificate_sends_nothing(quick: RetryPolicy, server_tls: ssl.SSLContext) -> None:
    async with SmtpDouble(tls=server_tls) as double:
        result = await sent_one(config(double, quick, security="starttls"))
        assert result.outcome is Outcome.NOT_SENT and "CERTIFICATE_VERIFY_FAILED" in result.detail
        assert not double.records.items


async def test_starttls_is_never_skipped(quick: RetryPolicy) -> None:
    async with SmtpDouble() as double:
        assert (await sent_one(config(double, quick, security="starttls"))).outcome is Outcome.NOT_SENT
        assert not double.records.items


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
@pytest.mark.parametrize("login", [{"username": "muster", "password": "wrong"}, {}])
async def test_a_refused_login_fails_nobody(quick: RetryPolicy, login: dict[str, str]) -> None:
    async with SmtpDouble(login=("muster", "right")) as double:
        result = await sent_one(config(double, quick, **login))
        assert result.outcome is Outcome.NOT_SENT and result.detail
        assert not double.records.items


async def test_a_refused_connection_sends_nothing(quick: RetryPolicy) -> None:
    async with SmtpDouble() as double:
        pass
    assert (await sent_one(config(double, quick))).outcome is Outcome.NOT_SENT


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_5xx_is_final_and_leaves_the_connection_usable(quick: RetryPolicy, stage: str) -> None:
    async with SmtpDouble(faults=Faults([Fault(stage, "550 5.1.1 no such user")])) as double:
        recipients = [email(1), email(2)]
        results = await sent_by(config(double, quick, connections=1), recipients)
        assert results["winback.0.u1"].outcome is Outcome.FAILED
        assert "550" in results["winback.0.u1"].detail
        assert results["winback.0.u2"].outcome is Outcome.SENT
        assert double.connections == 1
        assert double.records.tally["received"] == 1


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_4xx_is_tried_again(quick: RetryPolicy, stage: str) -> None:
    async with SmtpDouble(faults=Faults([Fault(stage, "451 4.3.0 try later", times=2)])) as double:
        assert (await sent_one(config(double, quick))).outcome is Outcome.SENT
        assert double.records.tally == {"received": 1, "distinct": 1, "duplicates": 0}


async def test_4xx_that_stays_fails(quick: RetryPolicy) -> None:
    faults = Faults([Fault("RCPT", "452 4.2.2 full", times=None)])
    async with SmtpDouble(faults=faults) as double:
        result = await sent_one(config(double, quick))
        assert result.outcome is Outcome.FAILED and "452" in result.detail
        assert faults.faults[0].passed == 3


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "CONTENT"])
async def test_a_connection_lost_once_before_the_final_dot_is_tried_again(quick: RetryPolicy, stage: str) -> None:
    # In the middle of the content the mail is large, so that its body cannot have left when the server hangs up.
    text = "a line of a long letter\n" * (1_000_000 if stage == "CONTENT" else 1)
    async with SmtpDouble(faults=Faults([Fault(stage)])) as double:
        patient = config(double, quick, command_timeout=60.0)
        assert (await sent_one(patient, email(1, text=text, html=""))).outcome is Outcome.SENT
        assert double.connections == 2
        assert double.records.tally == {"received": 1, "distinct": 1, "duplicates": 0}


async def test_a_mail_larger_than_the_server_takes_fails(quick: RetryPolicy) -> None:
    async with SmtpDouble() as double:
        result = await sent_one(config(double, quick), email(1, text="a line of a long letter\n" * 1_500_000, html=""))
        assert result.outcome is Outcome.FAILED and "552" in result.detail


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
async def test_a_connection_lost_again_and_again_before_the_dot_is_not_sent(quick: RetryPolicy, stage: str) -> None:
    async with SmtpDouble(faults=Faults([Fault(stage, times=None)])) as double:
        assert (await sent_one(config(double, quick))).outcome is Outcome.NOT_SENT
        assert not double.records.items


async def test_421_before_the_dot_is_not_this_mails_fault(quick: RetryPolicy) -> None:
    async with SmtpDouble(faults=Faults([Fault("RCPT", "421 4.3.2 going down", times=None)])) as double:
        assert (await sent_one(config(double, quick))).outcome is Outcome.NOT_SENT


@pytest.mark.parametrize(("stage", "taken"), [("DOT", 0), ("TAKEN", 1)])
async def test_a_connection_lost_after_the_dot_is_ambiguous_and_never_tried_again(
    quick: RetryPolicy, stage: str, taken: int
) -> None:
    async with SmtpDouble(faults=Faults([Fault(stage, times=None)])) as double:
        result = await sent_one(config(double, quick))
        assert result.outcome is Outcome.AMBIGUOUS
        assert result.provider_id == "<winback.0.u1@example.org>"
        assert double.records.tally["received"] == taken
        assert double.connections == 1


async def test_silence_after_the_dot_is_ambiguous(quick: RetryPolicy) -> None:
    async with SmtpDouble(faults=Faults(delay=5.0)) as double:
        assert (await sent_one(config(double, quick, final_timeout=0.1))).outcome is Outcome.AMBIGUOUS


async def test_a_connection_that_the_server_closed_while_idle_costs_no_attempt(quick: RetryPolicy) -> None:
    once = RetryPolicy(attempts=1)
    async with SmtpDouble() as double:
        provider = EmailProvider(config(double, once, connections=1))
        first = [result async for result in provider.send(offer([email(1)]), [email(1)])]
        double.faults.faults.append(Fault("MAIL"))  # the pooled connection dies at its next use
        second = [result async for result in provider.send(offer([email(2)]), [email(2)])]
        assert [result.outcome for result in first + second] == [Outcome.SENT, Outcome.SENT]
        assert provider.connections_made == 2
        await provider.close()


async def test_a_mail_that_cannot_be_written_fails_alone(quick: RetryPolicy) -> None:
    async with SmtpDouble() as double:
        results = await sent_by(config(double, quick), [email(1, to="nobody"), email(2)])
        assert results["winback.0.u1"].outcome is Outcome.FAILED
        assert results["winback.0.u2"].outcome is Outcome.SENT


async def test_addresses_beyond_ascii_are_delivered_by_smtputf8(quick: RetryPolicy) -> None:
    async with SmtpDouble() as double:
        assert (await sent_one(config(double, quick), email(1, to="åsa@bücher.example"))).outcome is Outcome.SENT
        assert double.records.items[0]["to"] == "åsa@xn--bcher-kva.example"


async def test_stopping_ends_waits_and_leaves_the_rest_not_sent() -> None:
    patient = RetryPolicy(attempts=10, first_wait=60, longest_wait=60)
    async with SmtpDouble(
        faults=Faults([Fault("RCPT", "450 4.2.0 later", times=None, about="user0@")], delay=0.02)
    ) as double:
        provider = EmailProvider(config(double, patient, connections=1))
        recipients = [email(number) for number in range(50)]
        results: list[Result] = []
        async with asyncio.timeout(30):
            async for result in provider.send(offer(recipients), recipients):
                results.append(result)
                provider.stop()
        await provider.close()
    outcomes = {result.idempotency_key: result.outcome for result in results}
    assert len(outcomes) == len(results) == 50
    assert outcomes["winback.0.u0"] is Outcome.NOT_SENT
    sent = {key for key, outcome in outcomes.items() if outcome is Outcome.SENT}
    assert sent == set(double.records.keys)
    assert set(outcomes.values()) == {Outcome.SENT, Outcome.NOT_SENT}


@pytest.mark.parametrize(
    "wrong",
    [{"host": ""}, {"port": 0}, {"security": "ssl"}, {"connections": 0}],
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SmtpConfig(**({"host": "localhost", "port": 25} | wrong))


def test_the_password_is_not_shown() -> None:
    assert "s3cret" not in repr(SmtpConfig(host="localhost", port=25, username="u", password="s3cret"))
