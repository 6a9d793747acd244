"""The webhook provider: signed HTTP POSTs, repeated under one key until they are settled.

| what happened                                                        | outcome                               |
|----------------------------------------------------------------------|---------------------------------------|
| 2xx                                                                  | SENT                                  |
| 3xx (redirects are not followed) or 4xx                              | FAILED                                |
| 408, 425, 429, 5xx                                                   | tried again, then FAILED              |
| a request that cannot be written (URL, headers)                      | FAILED, nothing on the wire           |
| no connection (refused, unknown host, TLS)                           | NOT_SENT                              |
| time-out or connection lost once the request was under way           | tried again, then AMBIGUOUS           |

Every attempt carries the same `webhook-id` and `Idempotency-Key`, so a receiver that honours one of them can be
tried again safely. Once one attempt may have been taken unseen, only a 2xx settles the matter: anything else
leaves AMBIGUOUS.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import httpx
from standardwebhooks import Webhook

from channels.provider import Batch, Outcome, Recipient, Result, as_settled
from channels.retry import Attempt, RetryPolicy, attempt_until_settled
from channels.retry_after import retry_after_seconds
from channels.webhook_requests import RESERVED_HEADERS, WebhookRequest, requests_of

_AGAIN: Final = frozenset({408, 425, 429})
_NEVER_LEFT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_CANNOT_BE_WRITTEN: Final = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookConfig:
    """How webhooks are called. Times are in seconds.

    Arguments:
        secrets: Standard Webhooks secrets, `whsec_` and base64; the first is the current one. Each signs every
            request, so that receivers can move from an old one to a new one.
        connections: most requests at once.
        connect_timeout: for connecting, TLS included.
        timeout: for one whole attempt, connecting excluded.
        longest_answer: bytes of a response body that are read; what comes after is not.
        retry: of time-outs, lost connections, 408, 425, 429 and 5xx. A Retry-After is honoured up to its
            `longest_wait`.
        proxy: URL of a proxy; empty: none. The environment's proxies are not used.
    """

    secrets: tuple[str, ...] = field(repr=False)
    connections: int = 32
    connect_timeout: float = 10.0
    timeout: float = 30.0
    longest_answer: int = 4_096
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    proxy: str = ""

    def __post_init__(self) -> None:
        if not self.secrets or not all(self.secrets):
            raise ValueError("secrets: at least one, none empty")
        if self.connections < 1:
            raise ValueError("connections: at least 1")


class WebhookProvider:
    """Calls webhooks; see the module's table for outcomes.

    Arguments:
        config: how.
        transport: replaces httpx's own, for tests.

    Raises:
        ValueError: if a secret is no base64.
    """

    def __init__(self, config: WebhookConfig, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._config = config
        self._signers = [Webhook(secret) for secret in config.secrets]
        self._stopping = asyncio.Event()
        self._calls = asyncio.Semaphore(config.connections)
        limits = httpx.Limits(max_connections=config.connections, max_keepalive_connections=config.connections)
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(config.timeout, connect=config.connect_timeout),
            limits=limits,
            follow_redirects=False,
            trust_env=False,
            proxy=config.proxy or None,
            transport=transport,
        )

    @property
    def concurrency(self) -> int:
        """Requests on the wire at once."""
        return self._config.connections

    def send(self, batch: Batch, recipients: Sequence[Recipient]) -> AsyncGenerator[Result, None]:
        """Send to each recipient; see `channels.provider.Provider`."""
        return as_settled([self._handle(item) for item in requests_of(batch, recipients)])

    def stop(self) -> None:
        """Start no further request and no further attempt."""
        self._stopping.set()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _handle(self, item: WebhookRequest | Result) -> Sequence[Result]:
        if isinstance(item, Result):
            return [item]
        attempt = await attempt_until_settled(partial(self._attempt, item), self._config.retry, self._stopping)
        return [Result(key, attempt.outcome, attempt.detail, attempt.provider_id) for key in item.recipient_keys]

    async def _attempt(self, request: WebhookRequest) -> Attempt:
        async with self._calls:
            if self._stopping.is_set():
                return Attempt(Outcome.NOT_SENT, "the worker is stopping")
            try:
                signed = self._signed(request)
            except (*_CANNOT_BE_WRITTEN, ValueError, TypeError) as error:
                return Attempt(Outcome.FAILED, _words(error))
            try:
                return await self._answer(signed)
            except _CANNOT_BE_WRITTEN as error:
                return Attempt(Outcome.FAILED, _words(error))
            except _NEVER_LEFT as error:
                return Attempt(Outcome.NOT_SENT, _words(error))
            except (httpx.TransportError, TimeoutError) as error:
                return Attempt(Outcome.AMBIGUOUS, _words(error), again=True)

    def _signed(self, request: WebhookRequest) -> httpx.Request:
        """The request with its signature, made anew for each attempt: receivers refuse old timestamps.

        Raises:
            ValueError, TypeError, httpx.InvalidURL: what cannot be written as a request.
        """
        for name in request.headers:
            if name.strip().lower() in RESERVED_HEADERS:
                raise ValueError(f"the header {name} is not for a message to set")
        if not urlsplit(request.url).hostname:  # httpx escapes half a bracket and then looks the host up
            raise ValueError(f"{request.url!r} names no host")
        now = datetime.now(UTC)
        headers = httpx.Headers({"content-type": "application/json", "user-agent": "muster"})
        headers.update(dict(request.headers))
        headers["idempotency-key"] = request.key
        headers["webhook-id"] = request.key
        headers["webhook-timestamp"] = str(int(now.timestamp()))
        headers["webhook-signature"] = " ".join(
            signer.sign(msg_id=request.key, timestamp=now, data=request.body) for signer in self._signers
        )
        return self._client.build_request("POST", request.url, headers=headers, content=request.body.encode())

    async def _answer(self, request: httpx.Request) -> Attempt:
        async with asyncio.timeout(self._config.connect_timeout + self._config.timeout):
            response = await self._client.send(request, stream=True)
        try:
            words = await self._first_words(response)
        finally:
            await response.aclose()
        detail = f"{response.status_code} {words}".strip()
        if response.is_success:
            return Attempt(Outcome.SENT, detail, response.headers.get("x-request-id", ""))
        if response.is_redirect:
            return Attempt(Outcome.FAILED, f"{detail} (redirects are not followed: set the final URL)")
        if response.is_server_error or response.status_code in _AGAIN:
            wait = retry_after_seconds(response.headers.get("retry-after"))
            return Attempt(Outcome.FAILED, detail, again=True, least_wait=wait)
        return Attempt(Outcome.FAILED, detail)

    async def _first_words(self, response: httpx.Response) -> str:
        """The beginning of the response's body, for people. The status has settled the outcome already."""
        read = bytearray()
        try:
            async with asyncio.timeout(self._config.timeout):
                async for chunk in response.aiter_raw():  # raw: a small compressed body may be a huge one
                    read += chunk
                    if len(read) >= self._config.longest_answer:
                        break
        except (httpx.TransportError, TimeoutError) as error:
            return f"(body: {_words(error)})"
        if "content-encoding" in response.headers:
            return ""
        return " ".join(bytes(read[: self._config.longest_answer]).decode("utf-8", "replace").split())


def _words(error: Exception) -> str:
    """An error for people, in one line."""
    name, text = type(error).__name__, " ".join(str(error).split())
    return f"{name}: {text}" if text else name
