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

import httpx
from standardwebhooks import Webhook

from channels.http_calls import Answer, HttpCalls, HttpConfig, NeverLeft, Uncertain, Unwritable
from channels.provider import Batch, Outcome, Recipient, Result, as_settled
from channels.retry import Attempt, RetryPolicy, attempt_until_settled
from channels.webhook_requests import RESERVED_HEADERS, WebhookRequest, requests_of

_AGAIN: Final = frozenset({408, 425, 429})


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
        self._http = HttpCalls(
            HttpConfig(
                connections=config.connections,
                connect_timeout=config.connect_timeout,
                timeout=config.timeout,
                longest_answer=config.longest_answer,
                proxy=config.proxy,
            ),
            transport,
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
        await self._http.close()

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
                headers = self._headers(request)
                return _settled(await self._http.post(request.url, headers, request.body.encode()))
            except Unwritable as error:
                return Attempt(Outcome.FAILED, str(error))
            except NeverLeft as error:
                return Attempt(Outcome.NOT_SENT, str(error))
            except Uncertain as error:
                return Attempt(Outcome.AMBIGUOUS, str(error), again=True)

    def _headers(self, request: WebhookRequest) -> dict[str, str]:
        """The request's headers with its signature, made anew for each attempt: receivers refuse old timestamps.

        Raises:
            Unwritable: for what cannot be written as a request.
        """
        for name in request.headers:
            if name.strip().lower() in RESERVED_HEADERS:
                raise Unwritable(f"the header {name} is not for a message to set")
        now = datetime.now(UTC)
        signatures = " ".join(
            signer.sign(msg_id=request.key, timestamp=now, data=request.body) for signer in self._signers
        )
        return {
            **{"content-type": "application/json", "user-agent": "muster"},
            **{name.lower(): value for name, value in request.headers.items()},
            **{"idempotency-key": request.key, "webhook-id": request.key},
            **{"webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signatures},
        }


def _settled(answer: Answer) -> Attempt:
    """What a receiver's answer comes to."""
    if answer.is_success:
        return Attempt(Outcome.SENT, answer.words, answer.headers.get("x-request-id", ""))
    if 300 <= answer.status < 400:
        return Attempt(Outcome.FAILED, f"{answer.words} (redirects are not followed: set the final URL)")
    if answer.status >= 500 or answer.status in _AGAIN:
        return Attempt(Outcome.FAILED, answer.words, again=True, least_wait=answer.wait)
    return Attempt(Outcome.FAILED, answer.words)
