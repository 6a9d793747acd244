"""The HTTP listener of a worker: takes providers' callbacks and tells the server what they say.

| what came                                              | answer                                                    |
|--------------------------------------------------------|-----------------------------------------------------------|
| a call whose feedback is on the server's disk          | 200, in the provider's own form                           |
| the server, or AWS, cannot be reached                  | 503: the provider calls again                             |
| more calls at once than are served                     | 503                                                       |
| a wrong signature, name or secret                      | 403                                                       |
| what the provider never sends                          | 400                                                       |
| a body that is too large, or too slow                  | 413, 408                                                  |
| another path, another method                           | 404, 405                                                  |
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final
from urllib.parse import urlsplit

import muster
import uvicorn
from muster.outage import Outage
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from channels.callbacks.ses import NotNow
from channels.callbacks.source import Call, Refused, Said, Source, Unreadable

logger = logging.getLogger(__name__)

Tell = Callable[[Said], Awaitable[muster.Reported]]
"""Tells the server; raises muster.MusterError where it cannot be told."""

_AGAIN: Final = {"retry-after": "30"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerConfig:
    """How the listener listens. Times are in seconds.

    Arguments:
        host, port: where; port 0 takes a free one.
        url: how providers reach it, without a slash at the end; "": `http://host:port`. A path in it may be there in
            what the listener is asked for, or be taken off by a proxy before it.
        calls: most at once; of connections there may be sixteen times as many.
        most_bytes: of a call's body.
        patience: for the whole of a body.
        grace: that calls may take to end at the stop.
    """

    host: str = "127.0.0.1"
    port: int = 0
    url: str = ""
    calls: int = 64
    most_bytes: int = 4 << 20
    patience: float = 10.0
    grace: float = 5.0


@dataclass(slots=True)
class Heard:
    """What came so far: calls taken, feedback by what the server said of it, and calls refused."""

    calls: int = 0
    accepted: int = 0
    duplicates: int = 0
    unknown: int = 0
    rejected: int = 0
    refused: int = 0
    failed: int = 0


@dataclass(slots=True)
class Listener:
    """Serves sources over HTTP; `async with` starts and stops it.

    Arguments:
        sources: each at its own path.
        tell: where feedback goes.
        config: how.
    """

    sources: Sequence[Source]
    tell: Tell
    config: ListenerConfig = field(default_factory=ListenerConfig)
    heard: Heard = field(default_factory=Heard)
    _url: str = field(default="", init=False)
    _server: uvicorn.Server | None = field(default=None, init=False)
    _socket: socket.socket | None = field(default=None, init=False)
    _loop: asyncio.Task[None] | None = field(default=None, init=False)
    _under_way: int = field(default=0, init=False)
    # Each at most once a minute: the counts tell the rest.
    _away: Outage = field(default_factory=lambda: Outage(logger), init=False)
    _wrong: Outage = field(default_factory=lambda: Outage(logger), init=False)

    @property
    def url(self) -> str:
        """How providers reach it."""
        return self._url

    @property
    def address(self) -> tuple[str, int]:
        """Host and port in use."""
        assert self._socket is not None
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    async def __aenter__(self) -> Listener:
        await self.start()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: where the address cannot be listened on.
        """
        config = self.config
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        self._socket = socket.create_server((config.host, config.port), family=family, backlog=128)
        host, port = self.address
        self._url = config.url.rstrip("/") or f"http://{f'[{host}]' if ':' in host else host}:{port}"
        settings = uvicorn.Config(
            self._application(),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=16 * config.calls,
            timeout_graceful_shutdown=max(1, round(config.grace)),
        )
        settings.load()
        # The steps of `uvicorn.Server.serve`, without its signal handlers: signals are the worker's matter.
        self._server = uvicorn.Server(settings)
        self._server.lifespan = settings.lifespan_class(settings)
        await self._server.startup(sockets=[self._socket])
        self._loop = asyncio.create_task(self._server.main_loop())
        logger.info("callbacks come to %s: %s", self._url, ", ".join(one.path for one in self.sources))

    async def stop(self) -> None:
        """Take no more calls, wait for those under way, close the socket."""
        if self._server is None or self._loop is None or self._socket is None:
            return
        self._server.should_exit = True
        await self._loop
        await self._server.shutdown(sockets=[self._socket])
        told = [f"{count} {name}" for name, count in asdict(self.heard).items() if count]
        logger.info("callbacks so far: %s", ", ".join(told) or "none")

    def _application(self) -> Starlette:
        base = urlsplit(self._url).path.rstrip("/")
        places = {f"{prefix}{one.path}": one for one in self.sources for prefix in ("", base)}
        return Starlette(
            routes=[Route(path, self._answer(path, one), methods=["POST"]) for path, one in places.items()]
        )

    def _answer(self, path: str, source: Source) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if self._under_way >= self.config.calls:
                return _failure(503, "too many calls at once")
            self._under_way += 1
            try:
                return await heard(request)
            finally:
                self._under_way -= 1

        async def heard(request: Request) -> Response:
            try:
                async with asyncio.timeout(self.config.patience):
                    body = await self._body(request)
            except TimeoutError:
                return _failure(408, "the body did not come in time")
            except ClientDisconnect:
                return _failure(400, "the caller has gone")
            if body is None:
                return _failure(413, f"at most {self.config.most_bytes:,} bytes")
            query = request.url.query
            url = f"{self._url}{source.path}" + (f"?{query}" if query else "")
            headers = {name.lower(): value for name, value in request.headers.items()}
            return await self._take(source, Call(url, dict(request.query_params), headers, body))

        return answer

    async def _body(self, request: Request) -> bytes | None:
        """The body; None for one that is too large."""
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > self.config.most_bytes:
                return None
        return bytes(body)

    async def _take(self, source: Source, call: Call) -> Response:
        try:
            said = await source.read(call)
        except Refused as error:
            self.heard.refused += 1
            self._wrong.say("a call to %s was refused: %s", source.path, error)
            return _failure(403, str(error))
        except Unreadable as error:
            self.heard.refused += 1
            self._wrong.say("a call to %s cannot be read: %s", source.path, error)
            return _failure(400, str(error))
        except NotNow as error:
            self.heard.failed += 1
            return _failure(503, str(error))
        if said:
            try:
                self._count(await self.tell(said))
            except muster.MusterError as error:
                self.heard.failed += 1
                self._away.say("feedback cannot be told to the server, and providers are to call again: %s", error)
                return _failure(503, "the server cannot be told now")
            self._away.over("the server takes feedback again")
        self.heard.calls += 1
        kind, content = source.answer
        return Response(content, media_type=kind)

    def _count(self, told: muster.Reported) -> None:
        self.heard.accepted += told.accepted
        self.heard.duplicates += told.duplicates
        self.heard.unknown += told.unknown
        self.heard.rejected += len(told.rejected)
        for one in told.rejected:
            self._wrong.say("feedback was refused by the server: %s", one.error)


def _failure(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status, headers=_AGAIN if status == 503 else None)
