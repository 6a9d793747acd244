"""HTTP calls that know how far they got: never left, surely answered, or uncertain.

What webhooks, text messages and push notifications share: one client with bounded connections, bounded reading of
answers, and an exception for each way in which a call can end without an answer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from channels.retry_after import retry_after_seconds

_NEVER_LEFT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_CANNOT_BE_WRITTEN: Final = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)
MOST_JSON: Final = 65_536
"""Bytes of an answer that is read as JSON."""
_TAKES_BACK: Final = frozenset({408, 425, 429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """How HTTP is spoken. Times are in seconds.

    Arguments:
        connections: most requests at once.
        connect_timeout: for connecting, TLS included.
        timeout: for one whole attempt, connecting excluded.
        longest_answer: bytes of a response body that are read; what comes after is not.
        proxy: URL of a proxy; empty: none. The environment's proxies are not used.
        http2: speak HTTP/2 and nothing else.
        ca_file: PEM certificates to trust instead of the system's.
    """

    connections: int = 32
    connect_timeout: float = 10.0
    timeout: float = 30.0
    longest_answer: int = 4_096
    proxy: str = ""
    http2: bool = False
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        if self.connections < 1:
            raise ValueError("connections: at least 1")


class NeverLeft(Exception):
    """No connection: refused, unknown host, TLS. The receiver surely took nothing."""


class Unwritable(Exception):
    """No such request can be written: a URL without a host, a header beyond ASCII. Nothing was on the wire."""


class Uncertain(Exception):
    """The connection was lost, or time ran out, once the request was under way."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered. `body` is its beginning; empty where it is compressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @property
    def takes_back(self) -> bool:
        """Whether the status says that the request was not processed and may be made again later."""
        return self.status in _TAKES_BACK

    @property
    def words(self) -> str:
        """Status and body for people, in one line."""
        return f"{self.status} {' '.join(self.body.decode('utf-8', 'replace').split())}".strip()

    @property
    def wait(self) -> float:
        """Seconds that the receiver asks to be left alone."""
        return retry_after_seconds(self.headers.get("retry-after"))


class HttpCalls:
    """Makes calls over pooled connections.

    Arguments:
        config: how.
        transport: replaces httpx's own, for tests.
    """

    def __init__(self, config: HttpConfig, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._config = config
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(config.timeout, connect=config.connect_timeout),
            limits=httpx.Limits(max_connections=config.connections, max_keepalive_connections=config.connections),
            follow_redirects=False,
            trust_env=False,
            proxy=config.proxy or None,
            http1=not config.http2,
            http2=config.http2,
            verify=ssl.create_default_context(cafile=config.ca_file) if config.ca_file is not None else True,
            transport=transport,
        )

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """POST once.

        Raises:
            NeverLeft, Unwritable, Uncertain.
        """
        try:
            if not urlsplit(url).hostname:  # httpx escapes half a bracket and then looks the host up
                raise Unwritable(f"{url!r} names no host")
            uncompressed = {"accept-encoding": "identity", **headers}  # answers are read as they are, and only begun
            request = self._client.build_request("POST", url, headers=uncompressed, content=content)
        except (*_CANNOT_BE_WRITTEN, ValueError, TypeError) as error:
            raise Unwritable(words_of(error)) from error
        try:
            async with asyncio.timeout(self._config.connect_timeout + self._config.timeout):
                response = await self._client.send(request, stream=True)
        except httpx.LocalProtocolError as error:
            # In HTTP/1.1 a request that cannot be written; in HTTP/2 also a stream that ended under our hands.
            raise (Uncertain if self._config.http2 else Unwritable)(words_of(error)) from error
        except _CANNOT_BE_WRITTEN as error:
            raise Unwritable(words_of(error)) from error
        except _NEVER_LEFT as error:
            raise NeverLeft(words_of(error)) from error
        except (httpx.TransportError, TimeoutError) as error:
            raise Uncertain(words_of(error)) from error
        try:
            body = await self._beginning(response)
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, body)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _beginning(self, response: httpx.Response) -> bytes:
        """The beginning of the response's body. The status has come already: what cuts the body short only does that."""
        read = bytearray()
        try:
            async with asyncio.timeout(self._config.timeout):
                async for chunk in response.aiter_raw():  # raw: a small compressed body may be a huge one
                    read += chunk
                    if len(read) >= self._config.longest_answer:
                        break
        except (httpx.TransportError, TimeoutError) as error:
            read += f" (body: {words_of(error)})".encode()
        if "content-encoding" in response.headers:
            return b""
        return bytes(read[: self._config.longest_answer])


def words_of(error: Exception) -> str:
    """An error for people, in one line."""
    name, text = type(error).__name__, " ".join(str(error).split())
    return f"{name}: {text}" if text else name
