"""An HTTP server that records webhooks, verifies their signatures, and misbehaves on request."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import h11
from standardwebhooks import Webhook, WebhookVerificationError

from channels.doubles.faults import Faults
from channels.doubles.records import Records

STAGES: Final = ("HEAD", "BODY", "TAKEN")
"""Where a fault can strike: once the head is read; once the body is read, the request not taken; the request taken."""

_READ_BYTES: Final = 65_536

Reply = tuple[int, dict[str, Any]]
"""A status, and the JSON object that goes with it."""


class HttpDouble:
    """A webhook receiver on loopback; `async with` starts and stops it.

    Arguments:
        port: 0 for any.
        record: NDJSON file for the requests; see `Records`. Each has `path`, `headers`, `idempotency_key` and `body`.
        faults: how it misbehaves; may be changed while it runs. A fault's reply is a status code.
        secret: verifies Standard Webhooks signatures where not empty; a request that fails is answered 401 and
            counted in `unverified`.
    """

    host: Final = "127.0.0.1"

    def __init__(
        self, port: int = 0, record: Path | None = None, faults: Faults | None = None, *, secret: str = ""
    ) -> None:
        self.port = port
        self.records = Records(record)
        self.faults = faults or Faults()
        self.unverified = 0
        self.requests = 0
        """Requests whose head was read, whatever became of them."""
        self._verifier = Webhook(secret) if secret else None
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where to send, without a path."""
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
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

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.create_task(self._session(reader, writer))
        self._sessions.add(session)
        session.add_done_callback(self._sessions.discard)

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: request after request until either side has had enough."""
        wire = h11.Connection(h11.SERVER)
        try:
            while await self._exchange(wire, reader, writer):
                wire.start_next_cycle()
        except (ConnectionError, h11.RemoteProtocolError):
            return  # the client left, or speaks something else: nothing to answer
        finally:
            writer.transport.abort()

    async def _exchange(self, wire: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read and answer one request; whether another may follow."""
        head = await _next_event(wire, reader)
        if not isinstance(head, h11.Request):
            return False
        self.requests += 1
        path = head.target.decode("ascii")
        fault = self.faults.strike("HEAD", path)
        if fault is not None and not fault.reply:
            return False
        body = bytearray()
        while isinstance(event := await _next_event(wire, reader), h11.Data):
            body += event.data
        if not isinstance(event, h11.EndOfMessage):
            return False
        await self.faults.dawdle()
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        fault = fault or self.faults.strike("BODY", path)
        answered: Reply = (200, {})
        if fault is None:
            answered = self._answer(path, headers, bytes(body))
            fault = self.faults.strike("TAKEN", path) if answered[0] < 300 else None
        if fault is not None and not fault.reply:
            return False
        if fault is None or fault.body is None:
            status, content = self._refusal(fault.reply) if fault else answered
            answer = json.dumps(content).encode()
        else:
            status, answer = int(fault.reply), fault.body
        fields = [("content-type", "application/json"), ("content-length", str(len(answer)))]
        fields += fault.headers if fault else ()
        for event in (h11.Response(status_code=status, headers=fields), h11.Data(data=answer), h11.EndOfMessage()):
            writer.write(wire.send(event) or b"")
        await writer.drain()
        return wire.our_state is h11.DONE and wire.their_state is h11.DONE

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """Take one request, or refuse it."""
        if not self._verified(body, headers):
            self.unverified += 1
            return self._refusal("401")
        key = headers.get("idempotency-key", "")
        keys = _keys_of(body) or [key]
        self.records.take(keys, path=path, headers=headers, idempotency_key=key, body=body.decode("utf-8", "replace"))
        return 200, {"status": 200}

    def _refusal(self, reply: str) -> Reply:
        """What a fault's reply, or a refusal of the receiver's own, is on the wire."""
        return int(reply), {"status": int(reply)}

    def _verified(self, body: bytes, headers: dict[str, str]) -> bool:
        if self._verifier is None:
            return True
        try:
            self._verifier.verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):
            return False
        return True


async def _next_event(wire: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while (event := wire.next_event()) is h11.NEED_DATA:
        wire.receive_data(await reader.read(_READ_BYTES))
    return event


def _keys_of(body: bytes) -> list[str]:
    """The users' keys of a batch; empty for a request about a single user."""
    try:
        users = json.loads(body)["users"]
        return [user["idempotency_key"] for user in users]
    except (ValueError, KeyError, TypeError):
        return []
