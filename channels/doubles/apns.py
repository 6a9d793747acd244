"""APNs on loopback: HTTP/2 over TLS, provider tokens verified, notifications recorded, refusals in Apple's words."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from channels.doubles.faults import Faults
from channels.doubles.records import Records

REASONS: Final = {
    "BadDeviceToken": 400,
    "BadTopic": 400,
    "DeviceTokenNotForTopic": 400,
    "IdleTimeout": 400,
    "InvalidPushType": 400,
    "BadPriority": 400,
    "BadCollapseId": 400,
    "PayloadEmpty": 400,
    "TopicDisallowed": 400,
    "ExpiredProviderToken": 403,
    "InvalidProviderToken": 403,
    "BadPath": 404,
    "MethodNotAllowed": 405,
    "ExpiredToken": 410,
    "Unregistered": 410,
    "PayloadTooLarge": 413,
    "TooManyProviderTokenUpdates": 429,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
}
"""The status of each reason."""

_TOKEN: Final = re.compile(r"[0-9a-f]{8,}")
_MOST_BYTES: Final = 4_096
_OLDEST_SECONDS: Final = 3_600
_READ_BYTES: Final = 65_536


class ApnsDouble:
    """APNs on loopback; `async with` starts and stops it. A device token is eight or more hexadecimal digits.

    Arguments:
        port: 0 for any.
        record: NDJSON file; see `Records`. Each has `token`, `headers`, `payload`, and the `key` of its hand-off.
        faults: how it misbehaves, at the stages of `channels.doubles.http`; a reply is a reason or a status.
        refused: by device token the reason for which it is refused, such as `Unregistered`.
        topic: the app's bundle id.
        clock: seconds since 1970, by which provider tokens expire.
    """

    host: Final = "127.0.0.1"
    key_id: Final = "KEY1234567"
    team_id: Final = "TEAM123456"

    def __init__(
        self,
        port: int = 0,
        record: Path | None = None,
        faults: Faults | None = None,
        *,
        refused: Mapping[str, str] | None = None,
        topic: str = "com.example.shop",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.port = port
        self.records = Records(record)
        self.faults = faults or Faults()
        self.refused = dict(refused or {})
        self.topic = topic
        self.clock = clock
        self.requests = 0
        """Requests whose head was read, whatever became of them."""
        self.connections = 0
        self.provider_tokens: list[str] = []
        """Different provider tokens seen, in order."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._folder = tempfile.TemporaryDirectory(prefix="muster-apns-")
        self._certificate = _certify(Path(self._folder.name), self.host)
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where to send, without a path."""
        return f"https://{self.host}:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The certificate to trust, PEM."""
        return self._certificate

    @property
    def key(self) -> str:
        """The auth key, as in a .p8 file."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def write_key(self, folder: Path) -> Path:
        """Write the auth key into a folder; its path."""
        path = folder / f"AuthKey_{self.key_id}.p8"
        path.write_text(self.key, "ascii")
        return path

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate)
        context.set_alpn_protocols(["h2"])
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        sessions = list(self._sessions)
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
        await self._server.wait_closed()
        self.records.close()
        self._folder.cleanup()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        session = asyncio.create_task(_Session(self, reader, writer).run())
        self._sessions.add(session)
        session.add_done_callback(self._sessions.discard)

    def answer(self, headers: Mapping[str, str], body: bytes) -> str:
        """Take one request; the reason of its refusal, "" for none."""
        path = headers.get(":path", "")
        if headers.get(":method") != "POST":
            return "MethodNotAllowed"
        if not path.startswith("/3/device/"):
            return "BadPath"
        if refusal := self._refuse_sender(headers.get("authorization", "")):
            return refusal
        silent = headers.get("apns-push-type") == "background"
        if headers.get("apns-topic") != self.topic:
            return "TopicDisallowed"
        if headers.get("apns-push-type") not in ("alert", "background"):
            return "InvalidPushType"
        if headers.get("apns-priority") not in ("5", "10") or (silent and headers["apns-priority"] == "10"):
            return "BadPriority"
        if len(headers.get("apns-collapse-id", "")) > 64:
            return "BadCollapseId"
        if len(body) > _MOST_BYTES:
            return "PayloadTooLarge"
        token = path.removeprefix("/3/device/")
        if token in self.refused:
            return self.refused[token]
        if not _TOKEN.fullmatch(token):
            return "BadDeviceToken"
        payload = json.loads(body)
        key = payload.get("muster", {}).get("key", "")
        self.records.take([f"{key}>{token}"], token=token, headers=dict(headers), payload=payload)
        return ""

    def _refuse_sender(self, authorization: str) -> str:
        scheme, _, token = authorization.partition(" ")
        try:
            claims = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["ES256"],
                options={"verify_iat": False, "require": ["iat", "iss"]},
            )
            named = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError:
            return "InvalidProviderToken"
        if scheme.lower() != "bearer" or named != self.key_id or claims["iss"] != self.team_id:
            return "InvalidProviderToken"
        if token not in self.provider_tokens:
            self.provider_tokens.append(token)
        return "" if abs(self.clock() - claims["iat"]) <= _OLDEST_SECONDS else "ExpiredProviderToken"


class _Dropped(Exception):
    """A fault drops the connection."""


class _Session:
    """One connection of HTTP/2."""

    def __init__(self, double: ApnsDouble, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._double = double
        self._reader = reader
        self._writer = writer
        self._wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._heads: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytearray] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._dropped = asyncio.Event()

    async def run(self) -> None:
        """Serve requests side by side until either side has had enough."""
        dropped = asyncio.ensure_future(self._dropped.wait())
        reading = asyncio.ensure_future(self._read())
        try:
            await asyncio.wait({dropped, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (dropped, reading, *self._answers):
                task.cancel()
            await asyncio.gather(dropped, reading, *self._answers, return_exceptions=True)
            self._writer.transport.abort()

    async def _read(self) -> None:
        self._wire.initiate_connection()
        self._flush()
        try:
            while data := await self._reader.read(_READ_BYTES):
                for event in self._wire.receive_data(data):
                    self._take(event)
                self._flush()
        except (ConnectionError, h2.exceptions.ProtocolError):
            return  # the client left, or speaks something else: nothing to answer

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived) and event.stream_id is not None:
            self._double.requests += 1
            headers: Any = event.headers or ()
            self._heads[event.stream_id] = dict(headers)
            self._bodies[event.stream_id] = bytearray()
        elif isinstance(event, h2.events.DataReceived) and event.stream_id is not None:
            self._bodies[event.stream_id] += event.data or b""
            self._wire.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
            answer = asyncio.create_task(self._answer(event.stream_id))
            self._answers.add(answer)
            answer.add_done_callback(self._answers.discard)

    async def _answer(self, stream: int) -> None:
        headers, body = self._heads.pop(stream), bytes(self._bodies.pop(stream))
        try:
            reason, more, raw = await self._decide(headers, body)
        except _Dropped:
            self._dropped.set()
            return
        status = REASONS.get(reason) or int(reason or 200)
        content = json.dumps({"reason": reason}).encode() if reason in REASONS else b""
        if raw is not None:
            content = raw
        fields = [(":status", str(status)), ("apns-id", headers.get("apns-id", "")), *more]
        try:
            self._wire.send_headers(stream, fields, end_stream=not content)
            if content:
                self._wire.send_data(stream, content, end_stream=True)
        except h2.exceptions.ProtocolError:
            return  # the client gave up waiting
        self._flush()

    async def _decide(
        self, headers: Mapping[str, str], body: bytes
    ) -> tuple[str, tuple[tuple[str, str], ...], bytes | None]:
        """The reason or status to answer with ("" for 200), further headers, and a body in place of the usual."""
        faults, path = self._double.faults, headers.get(":path", "")
        fault = faults.strike("HEAD", path)
        if fault is None:
            await faults.dawdle()
            fault = faults.strike("BODY", path)
        if fault is None:
            reason = self._double.answer(headers, body)
            fault = faults.strike("TAKEN", path) if not reason else None
            if fault is None:
                return reason, (), None
        if not fault.reply:
            raise _Dropped
        return fault.reply, fault.headers, fault.body

    def _flush(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(self._wire.data_to_send())


def _certify(folder: Path, host: str) -> Path:
    """Make a certificate for a host of loopback that signs itself, and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "APNs on loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "apns.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
