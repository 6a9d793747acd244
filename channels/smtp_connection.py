"""SMTP connections: made, secured, authenticated, reused, and a mail transaction that knows how far it got.

The step that matters is the final dot (RFC 5321 section 4.1.1.4): before it has been written the server has
surely taken nothing; after it, until the reply, nobody can know. So the body goes out first and the dot on its
own, once the body has left this process.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast

import aiosmtplib
from aiosmtplib import SMTPException, SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.protocol import SMTPProtocol

from channels.mime import MailConfig
from channels.retry import RetryPolicy

logger = logging.getLogger(__name__)

_CLOSING: Final = 421
_START_INPUT: Final = 354
# The server wants a login or more security: the worker's settings are wrong, not the mail (RFC 4954, RFC 3207).
_LOGIN_WANTED: Final = frozenset({530, 534, 535, 538})
_FLUSH_POLL: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpConfig:
    """How to reach a mail server. Times are in seconds.

    Arguments:
        host: name or address of the server.
        port: usually 587 (STARTTLS), 465 (TLS) or 25.
        security: `none`, `starttls` (required, never skipped) or `tls` from the first byte.
        username: logs in where not empty.
        password: of `username`.
        ca_file: PEM certificates to trust instead of the system's.
        verify_certificate: False trusts any certificate.
        local_hostname: name given in EHLO; empty: this machine's.
        mail: what mails say beside what is rendered.
        connections: most connections at once.
        mails_per_connection: a connection is replaced after as many.
        idle: an unused connection is closed after this long.
        connect_timeout: for connecting, and for the greeting, the TLS handshake and each step of logging in.
        command_timeout: for each reply before the final dot, and for writing the body.
        final_timeout: for the reply after the final dot. RFC 5321 advises ten minutes; giving up earlier makes
            the mail ambiguous.
        retry: of 4xx replies and of connections lost before the final dot.
    """

    host: str
    port: int
    security: Literal["none", "starttls", "tls"] = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    verify_certificate: bool = True
    local_hostname: str = ""
    mail: MailConfig = field(default_factory=MailConfig)
    connections: int = 8
    mails_per_connection: int = 100
    idle: float = 20.0
    connect_timeout: float = 10.0
    command_timeout: float = 30.0
    final_timeout: float = 300.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        if self.security not in ("none", "starttls", "tls"):
            raise ValueError("security: one of none, starttls, tls")
        if not self.host:
            raise ValueError("host: the name of the mail server")
        if not 0 < self.port < 65_536:
            raise ValueError("port: from 1 to 65535")
        if self.connections < 1 or self.mails_per_connection < 1:
            raise ValueError("connections, mails_per_connection: at least 1")


class Unreachable(Exception):
    """No usable connection: refused, timed out, untrusted, login refused. Surely nothing was sent."""


class NothingSent(Exception):
    """The connection was lost, or closed by the server, before the final dot was written."""


class Uncertain(Exception):
    """The final dot was written and no intelligible reply came."""


class Refused(Exception):
    """The server answered and did not take the mail.

    Arguments:
        code: three digits; 4xx may be tried again, 5xx may not.
        text: the server's words.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


class Connection:
    """One connection to the server, ready for mail transactions, one at a time."""

    def __init__(self, client: aiosmtplib.SMTP, config: SmtpConfig) -> None:
        self._client = client
        self._config = config
        self.mails = 0
        self.used_at = asyncio.get_running_loop().time()

    @property
    def usable(self) -> bool:
        """Whether another mail may be sent over it."""
        idle = asyncio.get_running_loop().time() - self.used_at
        return self._client.is_connected and self.mails < self._config.mails_per_connection and idle < self._config.idle

    @property
    def takes_utf8(self) -> bool:
        """Whether the server takes addresses that are not ASCII (SMTPUTF8, RFC 6531)."""
        return self._client.supports_extension("smtputf8")

    async def transmit(self, sender: str, recipient: str, body: bytes, *, utf8: bool = False) -> str:
        """Hand one mail to the server.

        Arguments:
            sender, recipient: bare addresses.
            body: as `channels.mime.Mail.wire` makes it.
            utf8: ask for SMTPUTF8.

        Returns:
            The server's reply, such as `250 2.0.0 queued as 4F2`.

        Raises:
            Refused: the connection may be used again if it is still `usable`.
            NothingSent, Uncertain, Unreachable: the connection must be dropped.
        """
        try:
            await self._upload(sender, recipient, body, utf8)
            self._protocol().write(b".\r\n")
        except SMTPResponseException as error:
            if error.code == _CLOSING or error.code < 400:
                raise NothingSent(_words(error)) from error
            if error.code in _LOGIN_WANTED:
                raise Unreachable(_words(error)) from error
            await self._reset()
            raise Refused(error.code, error.message) from error
        except (SMTPException, OSError) as error:  # time-outs are OSErrors
            raise NothingSent(_words(error)) from error
        return await self._final_reply()

    def drop(self) -> None:
        """Close without ceremony."""
        self._client.close()

    async def quit(self) -> None:
        """Close politely."""
        try:
            await self._client.quit(timeout=self._config.connect_timeout)
        except (SMTPException, OSError) as error:
            logger.debug("QUIT: %s", _words(error))
        finally:
            self._client.close()

    async def _upload(self, sender: str, recipient: str, body: bytes, utf8: bool) -> None:
        """Everything before the final dot; when it returns the body has left this process."""
        options = [f"SIZE={len(body)}"] if self._client.supports_extension("size") else []
        if utf8:
            options.append("SMTPUTF8")
        encoding = "utf-8" if utf8 else "ascii"
        await self._client.mail(sender, options=options, encoding=encoding)
        await self._client.rcpt(recipient, encoding=encoding)
        reply = await self._client.execute_command(b"DATA")
        if reply.code != _START_INPUT:
            raise SMTPResponseException(reply.code, reply.message)
        self._protocol().write(body)
        transport = cast(asyncio.WriteTransport, self._protocol().transport)
        async with asyncio.timeout(self._config.command_timeout):
            await asyncio.sleep(0)  # lets a close by the server be noticed
            # Polled: what drains a transport by event is private to asyncio's and aiosmtplib's own classes.
            while self._client.is_connected and transport.get_write_buffer_size():  # noqa: ASYNC110
                await asyncio.sleep(_FLUSH_POLL)

    async def _final_reply(self) -> str:
        try:
            reply = await self._protocol().read_response(timeout=self._config.final_timeout)
        except (SMTPException, OSError) as error:
            raise Uncertain(f"after the final dot: {_words(error)}") from error
        self.used_at = asyncio.get_running_loop().time()
        self.mails += 1
        words = f"{reply.code} {reply.message}"
        if 200 <= reply.code < 300:
            return words
        if reply.code < 400:
            raise Uncertain(f"after the final dot: {words}")
        if reply.code == _CLOSING:
            self._client.close()
        else:
            await self._reset()
        raise Refused(reply.code, reply.message)

    async def _reset(self) -> None:
        """Clear the transaction after a refusal; a connection on which that fails is closed."""
        try:
            await self._client.rset()
        except (SMTPException, OSError) as error:
            logger.debug("RSET: %s", _words(error))
            self._client.close()

    def _protocol(self) -> SMTPProtocol:
        protocol = self._client.protocol
        if protocol is None:
            raise SMTPServerDisconnected("the connection was lost")
        return protocol


class SmtpPool:
    """Connections to one server, kept open between mails. It does not bound their number: its user does."""

    def __init__(self, config: SmtpConfig) -> None:
        self._config = config
        self._idle: list[Connection] = []
        self._tls: ssl.SSLContext | None = None
        self._pruning: asyncio.TimerHandle | None = None
        self.connected = 0
        """Connections made so far."""

    @asynccontextmanager
    async def lease(self, *, fresh: bool = False) -> AsyncIterator[Connection]:
        """A connection for one transaction; it is kept afterwards if it is still good.

        Arguments:
            fresh: take a new one, not one that has been idle.

        Raises:
            Unreachable: if none can be made.
        """
        connection = (None if fresh else self._reuse()) or await self._connect()
        keep = False
        try:
            yield connection
            keep = True
        except Refused:
            keep = True
            raise
        finally:
            if keep and connection.usable:
                self._idle.append(connection)
                self._prune_later()
            else:
                connection.drop()

    async def close(self) -> None:
        """Say goodbye on every idle connection."""
        if self._pruning is not None:
            self._pruning.cancel()
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for connection in idle))

    def _reuse(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.drop()
        return None

    def _prune_later(self) -> None:
        if self._pruning is None:
            self._pruning = asyncio.get_running_loop().call_later(self._config.idle, self._prune)

    def _prune(self) -> None:
        self._pruning = None
        usable = [connection for connection in self._idle if connection.usable]
        for connection in self._idle:
            if connection not in usable:
                connection.drop()
        self._idle = usable
        if usable:
            self._prune_later()

    async def _connect(self) -> Connection:
        config = self._config
        place = f"{config.host}:{config.port}"
        try:
            context = None if config.security == "none" else self._tls_context()
        except OSError as error:
            raise Unreachable(f"{place}: {config.ca_file}: {_words(error)}") from error
        client = aiosmtplib.SMTP(
            hostname=config.host,
            port=config.port,
            username=config.username or None,
            password=config.password if config.username else None,
            local_hostname=config.local_hostname or None,
            timeout=config.connect_timeout,
            use_tls=config.security == "tls",
            start_tls=config.security == "starttls",
            tls_context=context,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except (SMTPException, OSError) as error:
            client.close()
            raise Unreachable(f"{place}: {_words(error)}") from error
        client.timeout = config.command_timeout
        self.connected += 1
        return Connection(client, config)

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:  # reading the system's certificates takes a while: once
            context = ssl.create_default_context(cafile=self._config.ca_file)
            if not self._config.verify_certificate:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._tls = context
        return self._tls


def _words(error: Exception) -> str:
    """An error for people, in one line."""
    if isinstance(error, SMTPResponseException):
        return f"{error.code} {error.message}"
    return " ".join(str(error).split()) or type(error).__name__
