"""Push notifications: each user is one hand-off, each of the user's devices one call.

| what became of the devices                 | the hand-off is |
|--------------------------------------------|-----------------|
| any took it                                | SENT            |
| none did, and of some it is not known      | AMBIGUOUS       |
| none did, and some may be tried again      | NOT_SENT        |
| all refused it for good                    | FAILED          |

Whatever it is, tokens that are nobody's any more are told of, and leave the profile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from muster.v1 import message_pb2

from channels.provider import Batch, Device, Notification, Outcome, Recipient, Result, as_settled
from channels.retry import Attempt, RetryPolicy, attempt_until_settled

ANDROID: Final = int(message_pb2.PLATFORM_ANDROID)
IOS: Final = int(message_pb2.PLATFORM_IOS)
_NAMES: Final = {ANDROID: "Android", IOS: "Apple"}
_FROM_BEST: Final = (Outcome.SENT, Outcome.AMBIGUOUS, Outcome.NOT_SENT, Outcome.FAILED)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A notification on its way. `key` is the hand-off's idempotency key, the same for all devices."""

    message_key: str
    key: str
    notification: Notification


class DeviceCarrier(Protocol):
    """Speaks with the provider of one platform."""

    async def attempt(self, token: str, outgoing: Outgoing) -> Attempt:
        """Hand a notification over for one device, once. Raises nothing for what it or the network did."""

    async def close(self) -> None:
        """Close connections."""


class PushProvider:
    """A `channels.provider.Provider` over the carriers of some platforms.

    Arguments:
        carriers: by `muster.v1.Platform`. Devices of another platform are NOT_SENT.
        connections: most calls at once.
        retry: of calls that ask for another.
    """

    def __init__(self, carriers: Mapping[int, DeviceCarrier], *, connections: int, retry: RetryPolicy) -> None:
        self._carriers = dict(carriers)
        self._connections = connections
        self._retry = retry
        self._calls = asyncio.Semaphore(connections)
        self._stopping = asyncio.Event()

    @property
    def concurrency(self) -> int:
        """Calls side by side."""
        return self._connections

    def send(self, batch: Batch, recipients: Sequence[Recipient]) -> AsyncGenerator[Result, None]:
        """Send to all devices of each recipient; see `channels.provider.Provider`."""
        return as_settled([self._deliver(batch.message_key, recipient) for recipient in recipients])

    def stop(self) -> None:
        """Start no further call and no further attempt."""
        self._stopping.set()

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(carrier.close() for carrier in self._carriers.values()))

    async def _deliver(self, message_key: str, recipient: Recipient) -> Sequence[Result]:
        notification = recipient.rendered.push
        outgoing = Outgoing(message_key, recipient.idempotency_key, notification)
        devices = notification.devices
        attempts = await asyncio.gather(*(self._to_device(device, outgoing) for device in devices))
        removed = [device.token for device, attempt in zip(devices, attempts, strict=True) if attempt.gone]
        if not attempts:
            return [Result(outgoing.key, Outcome.FAILED, "the user has no device")]
        best = min(attempts, key=lambda attempt: _FROM_BEST.index(attempt.outcome))
        return [Result(outgoing.key, best.outcome, _words(attempts, best), best.provider_id, removed)]

    async def _to_device(self, device: Device, outgoing: Outgoing) -> Attempt:
        carrier = self._carriers.get(device.platform)
        if carrier is None:
            platform = _NAMES.get(device.platform, "unknown")
            return Attempt(Outcome.NOT_SENT, f"no provider for {platform} devices (see the worker's settings)")
        call = partial(self._attempt, carrier, device.token, outgoing)
        return await attempt_until_settled(call, self._retry, self._stopping)

    async def _attempt(self, carrier: DeviceCarrier, token: str, outgoing: Outgoing) -> Attempt:
        async with self._calls:
            if self._stopping.is_set():
                return Attempt(Outcome.NOT_SENT, "the worker is stopping")
            return await carrier.attempt(token, outgoing)


def _words(attempts: Sequence[Attempt], best: Attempt) -> str:
    """What became of all devices, for people; of what went wrong the first."""
    if len(attempts) == 1:
        return best.detail
    sent = sum(attempt.outcome is Outcome.SENT for attempt in attempts)
    trouble = next((attempt.detail for attempt in attempts if attempt.outcome is not Outcome.SENT), "")
    return f"{sent} of {len(attempts)} devices" + (f"; {trouble}" if trouble else "")
