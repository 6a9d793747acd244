"""Providers that make one call a recipient: what carries a single message, driven side by side with retries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Final, Protocol

from channels.http_calls import Answer
from channels.provider import Batch, Outcome, Recipient, Result, as_settled
from channels.retry import Attempt, RetryPolicy, attempt_until_settled

_OURS: Final = frozenset({401, 403, 404, 407})


class Carrier(Protocol):
    """Speaks with one kind of provider."""

    async def attempt(self, recipient: Recipient) -> Attempt:
        """Hand one message over, once. Raises nothing for what the message or the network did."""

    async def close(self) -> None:
        """Close connections."""


class SingleProvider:
    """A `channels.provider.Provider` of a carrier.

    Arguments:
        carrier: what makes each call.
        connections: most calls at once.
        retry: of calls that ask for another.
    """

    def __init__(self, carrier: Carrier, *, connections: int, retry: RetryPolicy) -> None:
        self._carrier = carrier
        self._connections = connections
        self._retry = retry
        self._calls = asyncio.Semaphore(connections)
        self._stopping = asyncio.Event()

    @property
    def concurrency(self) -> int:
        """Calls side by side."""
        return self._connections

    def send(self, batch: Batch, recipients: Sequence[Recipient]) -> AsyncGenerator[Result, None]:
        """Send to each recipient; see `channels.provider.Provider`."""
        return as_settled([self._deliver(recipient) for recipient in recipients])

    def stop(self) -> None:
        """Start no further call and no further attempt."""
        self._stopping.set()

    async def close(self) -> None:
        """Close the connections."""
        await self._carrier.close()

    async def _deliver(self, recipient: Recipient) -> Sequence[Result]:
        attempt = await attempt_until_settled(partial(self._attempt, recipient), self._retry, self._stopping)
        return [Result(recipient.idempotency_key, attempt.outcome, attempt.detail, attempt.provider_id)]

    async def _attempt(self, recipient: Recipient) -> Attempt:
        async with self._calls:
            if self._stopping.is_set():
                return Attempt(Outcome.NOT_SENT, "the worker is stopping")
            return await self._carrier.attempt(recipient)


def refusal_of(answer: Answer, words: str, *, idempotent: bool) -> Attempt:
    """What an answer other than the expected success comes to.

    | answer                                             | outcome                                                |
    |----------------------------------------------------|--------------------------------------------------------|
    | 408, 425, 429, 503                                 | tried again, then NOT_SENT: it was not processed       |
    | 401, 403, 404, 407, 3xx                            | NOT_SENT: the worker's settings are wrong              |
    | other 4xx                                          | FAILED                                                 |
    | other 5xx, or a 2xx that is not the provider's own | AMBIGUOUS; tried again where the provider drops repeats|

    Arguments:
        words: what the provider said, for people.
        idempotent: whether the provider drops a repeated key.
    """
    if answer.takes_back:
        return Attempt(Outcome.NOT_SENT, words, again=True, least_wait=answer.wait)
    if answer.status in _OURS or 300 <= answer.status < 400:
        return Attempt(Outcome.NOT_SENT, f"{words} (see the worker's settings)")
    if 400 <= answer.status < 500:
        return Attempt(Outcome.FAILED, words)
    return Attempt(Outcome.AMBIGUOUS, words, again=idempotent, least_wait=answer.wait)
