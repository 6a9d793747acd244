"""The email provider: sends rendered mails over SMTP and says exactly what became of each.

| what happened                                                    | outcome                                      |
|------------------------------------------------------------------|----------------------------------------------|
| 2xx after the final dot                                          | SENT                                         |
| 5xx to MAIL, RCPT, DATA or the final dot                         | FAILED                                       |
| 4xx to any of them                                               | tried again, then FAILED                     |
| a message that cannot be written as a mail, or needs SMTPUTF8    | FAILED, nothing on the wire                  |
| no connection, TLS or login refused (also 530, 534, 535, 538)    | NOT_SENT: it is not this mail's fault        |
| connection lost, time-out or 421 before the final dot            | tried again, then NOT_SENT                   |
| connection lost, time-out or nonsense after the final dot        | AMBIGUOUS, never tried again here            |
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial

from channels.mime import Mail, Unsendable, compose
from channels.provider import Batch, Outcome, Recipient, Result, as_settled
from channels.retry import Attempt, attempt_until_settled
from channels.smtp_connection import NothingSent, Refused, SmtpConfig, SmtpPool, Uncertain, Unreachable

__all__ = ["EmailProvider", "SmtpConfig"]


class EmailProvider:
    """Sends by SMTP, one mail a recipient, over at most `config.connections` connections.

    Example::

        provider = EmailProvider(SmtpConfig(host="smtp.example.com", port=587, security="starttls",
                                            username="muster", password=secret,
                                            mail=MailConfig(message_id_domain="example.com")))
    """

    def __init__(self, config: SmtpConfig) -> None:
        self._config = config
        self._pool = SmtpPool(config)
        self._calls = asyncio.Semaphore(config.connections)
        self._stopping = asyncio.Event()

    @property
    def concurrency(self) -> int:
        """Mails on the wire at once."""
        return self._config.connections

    @property
    def connections_made(self) -> int:
        """Connections opened so far."""
        return self._pool.connected

    def send(self, batch: Batch, recipients: Sequence[Recipient]) -> AsyncGenerator[Result, None]:
        """Send to each recipient; see `channels.provider.Provider`."""
        return as_settled([self._deliver(recipient) for recipient in recipients])

    def stop(self) -> None:
        """Start no further mail and no further attempt."""
        self._stopping.set()

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def _deliver(self, recipient: Recipient) -> Sequence[Result]:
        call = partial(self._attempt, recipient)
        attempt = await attempt_until_settled(call, self._config.retry, self._stopping)
        return [Result(recipient.idempotency_key, attempt.outcome, attempt.detail, attempt.provider_id)]

    async def _attempt(self, recipient: Recipient) -> Attempt:
        async with self._calls:
            if self._stopping.is_set():
                return Attempt(Outcome.NOT_SENT, "the worker is stopping")
            try:
                # Only now, when it is this mail's turn: composing a whole slice ahead would stall every connection.
                mail = compose(recipient.rendered, recipient.idempotency_key, self._config.mail)
            except Unsendable as error:
                return Attempt(Outcome.FAILED, str(error))
            try:
                return await self._transmit(mail)
            except NothingSent as error:
                return Attempt(Outcome.NOT_SENT, str(error), again=True)
            except Unreachable as error:
                return Attempt(Outcome.NOT_SENT, str(error))
            except Refused as error:
                return Attempt(Outcome.FAILED, str(error), again=error.code < 500)
            except Uncertain as error:
                return Attempt(Outcome.AMBIGUOUS, str(error), mail.message_id)

    async def _transmit(self, mail: Mail) -> Attempt:
        body = mail.wire()
        for fresh in (False, True):
            reused = False
            try:
                async with self._pool.lease(fresh=fresh) as connection:
                    reused = connection.mails > 0
                    if mail.needs_utf8 and not connection.takes_utf8:
                        return Attempt(Outcome.FAILED, "the mail server takes no addresses beyond ASCII (SMTPUTF8)")
                    reply = await connection.transmit(mail.sender, mail.recipient, body, utf8=mail.needs_utf8)
                return Attempt(Outcome.SENT, reply, mail.message_id)
            except NothingSent:
                # Servers close idle connections as they like: that is no failed attempt, a new connection tells.
                if not reused:
                    raise
        raise AssertionError("a fresh connection is never a reused one")
