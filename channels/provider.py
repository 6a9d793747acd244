"""What the worker loop and a provider agree on: batches and recipients in, one result per recipient out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from muster.v1 import delivery_pb2


class Outcome(IntEnum):
    """What became of one recipient; the numbers are the protocol's `muster.v1.Outcome`."""

    SENT = delivery_pb2.OUTCOME_SENT
    """The provider took it."""
    FAILED = delivery_pb2.OUTCOME_FAILED
    """The provider refused it for good."""
    AMBIGUOUS = delivery_pb2.OUTCOME_AMBIGUOUS
    """The provider was called and it is not known whether it took it."""
    NOT_SENT = delivery_pb2.OUTCOME_NOT_SENT
    """The provider surely did not take it: it may be offered again."""


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one recipient.

    Arguments:
        idempotency_key: the recipient's.
        outcome: what became of it.
        detail: for people: a reply code and its text.
        provider_id: the name under which the provider knows it, such as a Message-ID; "" if none.
        removed_tokens: device tokens that the provider says are nobody's any more.
    """

    idempotency_key: str
    outcome: Outcome
    detail: str = ""
    provider_id: str = ""
    removed_tokens: Sequence[str] = ()


class Button(Protocol):
    """The fields of `muster.v1.Button`."""

    @property
    def text(self) -> str: ...
    @property
    def link(self) -> str: ...


class Device(Protocol):
    """One installed app; the fields of `muster.v1.Device`."""

    @property
    def platform(self) -> int: ...
    @property
    def token(self) -> str: ...


class Notification(Protocol):
    """A push notification; the fields of `muster.v1.PushNotification`."""

    @property
    def title(self) -> str: ...
    @property
    def body(self) -> str: ...
    @property
    def image(self) -> str: ...
    @property
    def buttons(self) -> Sequence[Button]: ...
    @property
    def deep_link(self) -> str: ...
    @property
    def silent(self) -> bool: ...
    @property
    def ttl(self) -> Seconds: ...
    @property
    def collapse_key(self) -> str: ...
    @property
    def data(self) -> Mapping[str, str]: ...
    @property
    def badge(self) -> int: ...
    @property
    def sound(self) -> str: ...
    @property
    def devices(self) -> Sequence[Device]: ...

    def HasField(self, name: str) -> bool:  # noqa: N802
        """Whether an optional field, such as `badge` or `ttl`, is set."""


class Seconds(Protocol):
    """The field of `google.protobuf.Duration` that is used."""

    @property
    def seconds(self) -> int: ...


class Rendered(Protocol):
    """A message ready for a provider; the fields of `muster.v1.Rendered`."""

    @property
    def to(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def reply_to(self) -> str: ...
    @property
    def preheader(self) -> str: ...
    @property
    def html(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> str: ...
    @property
    def push(self) -> Notification: ...
    @property
    def unsubscribe_url(self) -> str: ...


def sender_of(rendered: Rendered) -> str:
    """The `from` field, whose name Python keeps for itself."""
    sender: str = getattr(rendered, "from")
    return sender


class Recipient(Protocol):
    """One user of a batch; the fields of `muster.v1.Recipient`."""

    @property
    def distinct_id(self) -> str: ...
    @property
    def idempotency_key(self) -> str: ...
    @property
    def rendered(self) -> Rendered: ...


class Batch(Protocol):
    """Recipients of one message and occurrence; what a provider reads of `muster.v1.Batch`."""

    @property
    def message_key(self) -> str: ...
    @property
    def recipients(self) -> Sequence[Recipient]: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def url(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Provider(Protocol):
    """Sends to recipients whose hand-off has durably begun.

    `send` gives exactly one result for each recipient it is given, in any order, and never raises for what one
    recipient or the network did: those are outcomes. It may be called many times at once; the provider bounds its
    own connections.
    """

    @property
    def concurrency(self) -> int:
        """How many calls the provider makes side by side."""

    def send(self, batch: Batch, recipients: Sequence[Recipient]) -> AsyncGenerator[Result, None]:
        """Send to `recipients`, a part of `batch.recipients`, and tell of each as soon as it is settled."""

    def stop(self) -> None:
        """Make no further call: waits between attempts end, and whoever was not yet called is NOT_SENT."""

    async def close(self) -> None:
        """Close connections. Call after every `send` has ended."""


async def as_settled(calls: Iterable[Awaitable[Sequence[Result]]]) -> AsyncGenerator[Result, None]:
    """The results of calls that run side by side, in order of completion.

    Leaving the iteration early cancels the calls still under way.
    """
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        for finished in asyncio.as_completed(tasks):
            for result in await finished:
                yield result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
