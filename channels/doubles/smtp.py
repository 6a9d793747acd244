"""An SMTP server that records mails: aiosmtpd, with faults at every step of a transaction."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from channels.doubles.bounces import deliver, delivery_status
from channels.doubles.faults import Fault, Faults
from channels.doubles.records import Records
from channels.hand_off import KEY_HEADER

STAGES: Final = ("MAIL", "RCPT", "DATA", "CONTENT", "DOT", "TAKEN")
"""Where a fault can strike: at a command; in the middle of the body; after the final dot, the mail not taken; after
it, the mail taken."""


class SmtpDouble:
    """A mail server on loopback; `async with` starts and stops it.

    Arguments:
        port: 0 for any.
        record: NDJSON file for the mails; see `Records`. Each has `to`, `subject`, `message_id`,
            `idempotency_key` and `raw`.
        faults: how it misbehaves; may be changed while it runs.
        tls: certificate for `starttls` or, with `tls_at_once`, for the first byte.
        tls_at_once: no STARTTLS but TLS from the start.
        login: user name and password that are required.
        bounces: what it takes and cannot deliver: part of an address to the status that it tells the return path, such
            as `5.1.1`.
        maildir: where those notifications are laid.
    """

    host: Final = "127.0.0.1"

    def __init__(
        self,
        port: int = 0,
        record: Path | None = None,
        faults: Faults | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        tls_at_once: bool = False,
        login: tuple[str, str] | None = None,
        bounces: Mapping[str, str] | None = None,
        maildir: Path | None = None,
    ) -> None:
        self.port = port
        self.records = Records(record)
        self.faults = faults or Faults()
        self.connections = 0
        """Connections accepted so far."""
        self._tls = tls
        self._tls_at_once = tls_at_once
        self._login = login
        self._bounces = bounces or {}
        self._maildir = maildir
        self._open: set[_Session] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        at_once = self._tls if self._tls_at_once else None
        self._server = await loop.create_server(self._session, self.host, self.port, ssl=at_once)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for session in list(self._open):
            session.hang_up()
        await self._server.wait_closed()
        self.records.close()

    def _session(self) -> _Session:
        return _Session(self, None if self._tls_at_once else self._tls, self._login)

    def opened(self, session: _Session) -> None:
        """A client has connected."""
        self._open.add(session)
        self.connections += 1

    def closed(self, session: _Session) -> None:
        """A client is gone."""
        self._open.discard(session)

    def take(self, envelope: Envelope) -> None:
        """Record a mail."""
        raw = envelope.original_content or b""
        headers = BytesParser(policy=default).parsebytes(raw, headersonly=True)
        key = str(headers.get(KEY_HEADER, ""))
        self.records.take(
            [key],
            to=envelope.rcpt_tos[0],
            subject=str(headers.get("Subject", "")),
            message_id=str(headers.get("Message-ID", "")),
            idempotency_key=key,
            raw=raw.decode("utf-8", "replace"),
            return_path=envelope.mail_from,
        )
        to = envelope.rcpt_tos[0]
        for part, status in self._bounces.items():
            if part in to and self._maildir is not None:
                told = delivery_status(
                    raw,
                    return_path=envelope.mail_from or "",
                    recipient=to,
                    status=status,
                    words=f"550 {status} refused",
                )
                deliver(self._maildir, told)


class _Session(SMTP):  # type: ignore[misc]  # aiosmtpd is imported untyped
    """One connection."""

    def __init__(self, double: SmtpDouble, tls: ssl.SSLContext | None, login: tuple[str, str] | None) -> None:
        self._double = double
        self._known = False
        super().__init__(
            _Handler(double),
            hostname="localhost",
            enable_SMTPUTF8=True,
            tls_context=tls,
            require_starttls=tls is not None,
            auth_required=login is not None,
            auth_require_tls=tls is not None,
            authenticator=None if login is None else _authenticator(login),
            loop=asyncio.get_running_loop(),
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._known:  # called again when STARTTLS has been negotiated
            self._known = True
            self._double.opened(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._double.closed(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        """Drop the connection without a word."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd finds commands by these names
        """DATA, with the faults that strike before its end."""
        about = ",".join(self.envelope.rcpt_tos) if self.envelope else ""
        fault = self._double.faults.strike("DATA", about)
        if fault is not None:
            await self.push(await _reply_of(fault, self))
            return
        if self._double.faults.strike("CONTENT", about) is not None:
            await self.push("354 go ahead")
            await self._reader.readline()
            await _gone(self)
        await super().smtp_DATA(arg)


class _Handler:
    """The hooks that aiosmtpd calls, by these names."""

    def __init__(self, double: SmtpDouble) -> None:
        self._double = double

    async def handle_MAIL(  # noqa: N802
        self, server: _Session, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fault = self._double.faults.strike("MAIL", address)
        if fault is not None:
            return await _reply_of(fault, server)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 sender ok"

    async def handle_RCPT(  # noqa: N802
        self, server: _Session, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fault = self._double.faults.strike("RCPT", address)
        if fault is not None:
            return await _reply_of(fault, server)
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 recipient ok"

    async def handle_DATA(self, server: _Session, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await self._double.faults.dawdle()
        fault = self._double.faults.strike("DOT", envelope.rcpt_tos[0])
        if fault is not None:
            return await _reply_of(fault, server)
        self._double.take(envelope)
        fault = self._double.faults.strike("TAKEN", envelope.rcpt_tos[0])
        if fault is not None:
            return await _reply_of(fault, server)
        return f"250 2.0.0 taken as {len(self._double.records.items)}"


async def _reply_of(fault: Fault, session: _Session) -> str:
    return fault.reply or await _gone(session)


async def _gone(session: _Session) -> str:
    """Drop the connection; aiosmtpd cancels the session's task when it notices."""
    session.hang_up()
    await asyncio.Event().wait()
    return ""


def _authenticator(login: tuple[str, str]) -> Any:
    expected = LoginPassword(login[0].encode(), login[1].encode())

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        return AuthResult(success=given == expected, handled=False)

    return authenticate
