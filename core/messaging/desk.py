"""The delivery desk: volatile leases over the durable queue.

An offer is a lease: users of one message, rendered, that nobody else is offered until it ends. Leases are lost
with the process and that is harmless, since nothing may be sent before `begin` is durable.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pyroaring import BitMap

from core import commands
from core.messaging.compiled import compile_message
from core.messaging.definitions import ChannelName, MessageDefinition
from core.messaging.effects import InboxEntry
from core.messaging.render import HandOff, Obstacle, batch_size, is_allowed, render_users
from core.messaging.work import View

_INBOX_SLICE: Final = 2_000


class Submitting(Protocol):
    """What the desk needs of an engine."""

    @property
    def version(self) -> View:
        """The newest durable version."""

    def submit(self, command: commands.Command, request_id: str = "") -> Future[Any]:
        """Ask for a command."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A batch on offer: one message, its rendered recipients. `expires_in` is seconds from now."""

    batch_id: int
    message_key: str
    channel: ChannelName
    recipients: list[HandOff]
    batch_size: int
    expires_in: float


@dataclass(slots=True)
class _Lease:
    key: str
    recipients: list[HandOff]
    unbegun: BitMap
    ends: float
    begun: set[str] = field(default_factory=set)


class Desk:
    """Offers what is queued to workers and takes their word. Thread-safe; `offer` and `drain_sandbox` render.

    Arguments:
        engine: whose queue it is.
        lease_seconds: how long an offer stands.
        clock: monotonic seconds.
        numbers: gives batch ids that are unique over all desks of a server.
    """

    def __init__(
        self,
        engine: Submitting,
        *,
        lease_seconds: float = 60.0,
        clock: Callable[[], float],
        numbers: Iterable[int] | None = None,
    ) -> None:
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._numbers = iter(numbers if numbers is not None else itertools.count(1))
        self._lock = threading.Lock()
        self._leases: dict[int, _Lease] = {}
        self._leased: dict[str, BitMap] = {}
        self._turn = 0

    def offer(self, channel: ChannelName, limit: int) -> Offer | None:
        """Lease and render up to `limit` queued users of one live message of a channel; None: nothing waits.

        In a sandbox only what goes to allowed addresses is offered.
        """
        view = self._engine.version
        for definition, ordinals in self._waiting(view, channel, limit):
            hand_offs = self._render(view, definition, ordinals)
            if view.settings.sandbox:
                diverted = BitMap(h.ordinal for h in hand_offs if not is_allowed(view, h))
                hand_offs = [h for h in hand_offs if h.ordinal not in diverted]
                self._unlease(definition.key, diverted)
            if not hand_offs:
                continue
            lease = _Lease(
                definition.key, hand_offs, BitMap(h.ordinal for h in hand_offs), self._clock() + self._lease_seconds
            )
            with self._lock:
                number = next(self._numbers)
                self._leases[number] = lease
            return Offer(number, definition.key, channel, hand_offs, batch_size(definition), self._lease_seconds)
        return None

    def _waiting(self, view: View, channel: ChannelName, limit: int) -> list[tuple[MessageDefinition, list[int]]]:
        """Take leases on queued users: each message of the channel has its turn to be the first."""
        self._expire()
        messages = [m for m in view.messages.live() if m.channel == channel]
        found = []
        with self._lock:
            self._turn += 1
            for place in range(len(messages)):
                definition = messages[(self._turn + place) % len(messages)]
                leased = self._leased.setdefault(definition.key, BitMap())
                free = view.messages.ledger(definition.key).state("queued") - leased
                ordinals = list(itertools.islice(free, limit))
                if ordinals:
                    leased.update(ordinals)
                    found.append((definition, ordinals))
                    break
        return found

    def _render(self, view: View, definition: MessageDefinition, ordinals: Sequence[int]) -> list[HandOff]:
        """Render leased users; who cannot be rendered is skipped, durably, with the reason."""
        try:
            rendered = render_users(view, definition, compile_message(view, definition), ordinals)
        except BaseException:
            self._unlease(definition.key, BitMap(ordinals))
            raise
        reasons: dict[str, list[int]] = {}
        hand_offs = []
        for result in rendered:
            if isinstance(result, Obstacle):
                reasons.setdefault(result.reason, []).append(result.ordinal)
            else:
                hand_offs.append(result)
        if reasons:
            self._engine.submit(commands.Skip(definition.key, reasons)).result()
            self._unlease(definition.key, BitMap(o for group in reasons.values() for o in group))
        return hand_offs

    def begin(self, batch_id: int, indexes: Sequence[int]) -> Future[list[int]]:
        """Ask leave for recipients of an offer.

        Arguments:
            indexes: places in the offer's recipients.

        Returns:
            A future of the indexes that may be sent now, empty where the lease has ended. Durable before it resolves.
        """
        answer: Future[list[int]] = Future()
        with self._lock:
            lease = self._leases.get(batch_id)
            wanted: dict[int, int] = {}
            if lease is not None and lease.ends > self._clock():
                for index in indexes:
                    if 0 <= index < len(lease.recipients) and lease.recipients[index].ordinal in lease.unbegun:
                        wanted[lease.recipients[index].ordinal] = index
                        lease.unbegun.discard(lease.recipients[index].ordinal)
        if lease is None or not wanted:
            answer.set_result([])
            return answer

        def granted(done: Future[Any]) -> None:
            error = done.exception()
            given = [] if error is not None else [wanted[ordinal] for ordinal in done.result()]
            with self._lock:
                lease.begun.update(lease.recipients[index].idempotency_key for index in given)
            self._unlease(lease.key, BitMap(wanted))
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(sorted(given))

        self._engine.submit(commands.Begin(lease.key, sorted(wanted))).add_done_callback(granted)
        return answer

    def acknowledge(self, acks: Sequence[commands.Ack]) -> Future[int]:
        """Record outcomes; durable when the future resolves. Repetitions change nothing."""
        with self._lock:
            for lease in self._leases.values():
                lease.begun.difference_update(ack.idempotency_key for ack in acks)
        return self._engine.submit(commands.Acknowledge(list(acks)))

    def release(self, batch_id: int) -> None:
        """Give an offer back; what began stays begun until it is acknowledged or abandoned."""
        with self._lock:
            lease = self._leases.get(batch_id)
            if lease is None:
                return
            free, lease.unbegun = lease.unbegun, BitMap()
            if not lease.begun:
                del self._leases[batch_id]
        self._unlease(lease.key, free)

    def abandon(self, batch_ids: Sequence[int]) -> Future[int]:
        """The worker of these offers is gone: what is unbegun goes back, what began is ambiguous from now on."""
        lost: list[str] = []
        for batch_id in batch_ids:
            self.release(batch_id)
            with self._lock:
                lease = self._leases.pop(batch_id, None)
                if lease is not None:
                    lost += sorted(lease.begun)
        if not lost:
            nothing: Future[int] = Future()
            nothing.set_result(0)
            return nothing
        return self._engine.submit(commands.Lose(lost))

    def drain_sandbox(self) -> int:
        """Lay in the inbox what a sandbox has queued for addresses it may not send to.

        Returns:
            How many messages.
        """
        count = 0
        view = self._engine.version
        if not view.settings.sandbox:
            return 0
        for channel in ("email", "webhook"):
            for definition in [m for m in view.messages.live() if m.channel == channel]:
                with self._lock:
                    leased = self._leased.setdefault(definition.key, BitMap())
                    free = list(view.messages.ledger(definition.key).state("queued") - leased)
                    leased.update(free)
                for first in range(0, len(free), _INBOX_SLICE):
                    ordinals = free[first : first + _INBOX_SLICE]
                    try:
                        count += self._divert(view, definition, ordinals)
                    finally:
                        self._unlease(definition.key, BitMap(ordinals))
        return count

    def _divert(self, view: View, definition: MessageDefinition, ordinals: list[int]) -> int:
        hand_offs = [h for h in self._render(view, definition, ordinals) if not is_allowed(view, h)]
        if not hand_offs:
            return 0
        entries: list[object] = [
            InboxEntry(
                definition.key,
                h.distinct_id,
                definition.channel,
                view.now,
                h.to,
                h.subject,
                h.html,
                h.text,
                h.url,
                h.body,
                h.idempotency_key,
            )
            for h in hand_offs
        ]
        command = commands.Divert(definition.key, [h.ordinal for h in hand_offs], entries)
        return int(self._engine.submit(command).result())

    def waiting(self, channel: ChannelName) -> bool:
        """Whether any live message of a channel has users queued that nobody is offered."""
        view = self._engine.version
        with self._lock:
            return any(
                view.messages.ledger(m.key).state("queued") - self._leased.get(m.key, BitMap())
                for m in view.messages.live()
                if m.channel == channel
            )

    def _unlease(self, key: str, users: BitMap) -> None:
        with self._lock:
            self._leased.setdefault(key, BitMap()).difference_update(users)

    def _expire(self) -> None:
        now = self._clock()
        with self._lock:
            ended = [number for number, lease in self._leases.items() if lease.ends <= now and lease.unbegun]
        for number in ended:
            self.release(number)
