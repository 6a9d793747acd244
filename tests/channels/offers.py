"""A delivery stream played from a list: real protobuf batches, leave to begin as the test says, results remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from muster.v1 import delivery_pb2, message_pb2

from channels.provider import Outcome

Grant = Callable[[Sequence[int]], Sequence[int]]


class Offer:
    """One batch on offer. `grant` decides about leave to begin; all of it by default."""

    def __init__(self, batch: delivery_pb2.Batch, grant: Grant = lambda indexes: indexes) -> None:
        self._batch = batch
        self._grant = grant
        self.begun: list[list[int]] = []
        self.granted: list[int] = []
        self.released = 0
        self.acknowledged: list[tuple[str, Outcome, str, str]] = []
        self.removed_tokens: list[str] = []

    @property
    def message_key(self) -> str:
        return self._batch.message_key

    @property
    def recipients(self) -> Sequence[delivery_pb2.Recipient]:
        return self._batch.recipients

    @property
    def batch_size(self) -> int:
        return self._batch.batch_size

    @property
    def url(self) -> str:
        return self._batch.url

    @property
    def headers(self) -> dict[str, str]:
        return dict(self._batch.headers)

    async def begin(self, indexes: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0)
        self.begun.append(list(indexes))
        granted = list(self._grant(indexes))
        self.granted += granted
        return granted

    async def acknowledge(
        self,
        idempotency_key: str,
        outcome: int,
        detail: str = "",
        provider_id: str = "",
        removed_tokens: Sequence[str] = (),
    ) -> None:
        self.removed_tokens += removed_tokens
        self.acknowledged.append((idempotency_key, Outcome(outcome), detail, provider_id))

    async def release(self) -> None:
        self.released += 1

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """By idempotency key. Fails if anybody was acknowledged twice."""
        keys = [key for key, *_ in self.acknowledged]
        assert len(keys) == len(set(keys)), "acknowledged twice"
        return {key: outcome for key, outcome, *_ in self.acknowledged}

    @property
    def granted_keys(self) -> set[str]:
        return {self.recipients[index].idempotency_key for index in self.granted}


class Stream:
    """A worker that offers some batches and then, if told so, waits like a real one."""

    def __init__(self, *offers: Offer, then_wait: bool = False) -> None:
        self._offers = offers
        self._then_wait = then_wait

    async def batches(self) -> AsyncGenerator[Offer, None]:
        for offer in self._offers:
            yield offer
        if self._then_wait:
            await asyncio.Event().wait()


def email(number: int, **changes: str) -> delivery_pb2.Recipient:
    """A recipient of a small mail; `changes` are fields of Rendered."""
    rendered = {
        "to": f"user{number}@example.com",
        "subject": f"Hello {number}",
        "from": "Muster <news@example.org>",
        "html": f"<p>Hello {number}</p>",
        "text": f"Hello {number}",
    }
    return delivery_pb2.Recipient(
        distinct_id=f"u{number}",
        idempotency_key=f"winback.0.u{number}",
        rendered=message_pb2.Rendered(**(rendered | changes)),
    )


def hook(number: int, url: str = "", body: str = "") -> delivery_pb2.Recipient:
    """A recipient of a webhook."""
    rendered = message_pb2.Rendered(url=url, headers={"x-team": "growth"}, body=body or f'{{"n":{number}}}')
    return delivery_pb2.Recipient(distinct_id=f"u{number}", idempotency_key=f"hook.0.u{number}", rendered=rendered)


def offer(
    recipients: Sequence[delivery_pb2.Recipient], grant: Grant = lambda indexes: indexes, **fields: object
) -> Offer:
    """An offer of a batch of these recipients; `fields` are fields of Batch."""
    return Offer(delivery_pb2.Batch(batch_id=1, message_key="winback", recipients=recipients, **fields), grant)
