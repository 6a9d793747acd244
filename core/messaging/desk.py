"""The delivery desk: volatile leases over the durable queue.

An offer is a lease: users of one message, rendered, that nobody else is offered until it ends. Leases are lost
with the process and that is harmless, since nothing may be sent before `begin` is durable.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pyroaring import BitMap

from core import commands
from core.messaging.compiled import Compiled, compile_message
from core.messaging.definitions import ChannelName, MessageDefinition, of_variant
from core.messaging.dividing import by_variant
from core.messaging.inbox_entry import inbox_entry
from core.messaging.pace import room
from core.messaging.render import HandOff, Obstacle, batch_size, is_allowed, render_users
from core.messaging.work import View
from core.render import WebhookContent

Named = tuple[str, int]
"""One attempt of a hand-off: its idempotency key and its number."""

Firing = tuple[str, int]
"""A message's key and the number of an occurrence."""

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
    """A batch on offer: one occurrence and variant of a message, its rendered recipients. `expires_in` is seconds from now."""

    batch_id: int
    message_key: str
    occurrence: int
    channel: ChannelName
    recipients: list[HandOff]
    batch_size: int
    expires_in: float
    variant: str = ""


@dataclass(slots=True)
class _Lease:
    """What the desk remembers of an offer. The rendered texts are not kept: they are the worker's.

    Arguments:
        places: of each recipient, in the offer's order, the ordinal and the hand-off that would begin.
        bases: what each ordinal's message was rendered from: leave is refused once it is another.
        unbegun: ordinals that leave may still be asked for.
        ends: monotonic seconds.
        asking: recipients whose leave to begin is being committed.
        begun: hand-offs that are neither acknowledged nor lost.
        abandoned: the worker is gone; leave that is granted from now on is taken back.
    """

    key: str
    occurrence: int
    places: list[tuple[int, Named]]
    bases: dict[int, bytes]
    unbegun: BitMap
    ends: float
    asking: int = 0
    begun: set[Named] = field(default_factory=set)
    abandoned: bool = False


class Desk:
    """Offers what is queued to workers and takes their word. Thread-safe; `offer` and `drain_sandbox` render.

    Arguments:
        engine: whose queue it is.
        lease_seconds: how long an offer stands.
        clock: monotonic seconds.
        numbers: gives batch ids that are unique over all desks of a server.
        wall: micros UTC, of projects whose clock is real.
    """

    def __init__(
        self,
        engine: Submitting,
        *,
        lease_seconds: float = 60.0,
        clock: Callable[[], float],
        numbers: Iterable[int] | None = None,
        wall: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._wall = wall
        self._numbers = iter(numbers if numbers is not None else itertools.count(1))
        self._lock = threading.Lock()
        self._sandbox_turn = threading.Lock()  # an offer and a drain would each hide users from the other
        self._leases: dict[int, _Lease] = {}
        self._lease_of: dict[Named, int] = {}
        self._leased: dict[Firing, BitMap] = {}
        self._turn = 0
        self._paced: set[ChannelName] = set()

    def offer(self, channel: ChannelName, limit: int, most_characters: int | None = None) -> Offer | None:
        """Lease and render up to `limit` queued users of one live message of a channel; None: nothing to offer.

        In a sandbox only what goes to allowed addresses is offered.

        Arguments:
            most_characters: of all rendered texts together; one recipient is offered however long it is.
        """
        view = self._engine.version
        with self._sandbox_turn if view.settings.sandbox else nullcontext():
            return self._offer(view, channel, limit, most_characters)

    def _offer(self, view: View, channel: ChannelName, limit: int, most_characters: int | None) -> Offer | None:
        waiting = self._waiting(view, channel, limit)
        if waiting is None:
            return None
        definition, occurrence, ordinals, variant = waiting
        firing = definition.key, occurrence
        compiled, hand_offs = self._render(view, definition, occurrence, ordinals)
        back = BitMap()
        if view.settings.sandbox:
            back = BitMap(h.ordinal for h in hand_offs if not is_allowed(view, h))
            hand_offs = [h for h in hand_offs if h.ordinal not in back]
        if most_characters is not None:
            fitting = _fitting(hand_offs, most_characters)
            back.update(h.ordinal for h in hand_offs[fitting:])
            hand_offs = hand_offs[:fitting]
        self._unlease(firing, back)
        if not hand_offs:
            return None
        lease = _Lease(
            *firing,
            [(h.ordinal, (h.idempotency_key, h.attempt)) for h in hand_offs],
            {h.ordinal: h.basis for h in hand_offs},
            BitMap(h.ordinal for h in hand_offs),
            self._clock() + self._lease_seconds,
        )
        with self._lock:
            number = next(self._numbers)
            self._leases[number] = lease
        size = batch_size(definition) if _batchable(compiled) else 0
        return Offer(number, *firing, channel, hand_offs, size, self._lease_seconds, variant)

    def _waiting(
        self, view: View, channel: ChannelName, limit: int
    ) -> tuple[MessageDefinition, int, list[int], str] | None:
        """Take leases on queued users of one variant of an occurrence; each message of the channel has its turn to be the
        first. Gives the message as they get it, and the variant."""
        self._expire()
        messages = [m for m in view.messages.live() if m.channel == channel]
        now = max(view.now, self._wall()) if view.settings.clock == "real" else view.now
        with self._lock:
            self._paced.discard(channel)
            self._turn += 1
            for place in range(len(messages)):
                definition = messages[(self._turn + place) % len(messages)]
                for occurrence, ledger in view.messages.occurrences(definition.key).active():
                    leased = self._leased.setdefault((definition.key, occurrence), BitMap())
                    free = ledger.state("queued") - leased
                    most = room(view, definition, now, self._reserved(view)) if free else None
                    if most == 0:
                        self._paced.add(channel)
                        continue
                    for variant, users in by_variant(view, definition, occurrence, free):
                        ordinals = list(itertools.islice(users, limit if most is None else min(limit, most)))
                        leased.update(ordinals)
                        return of_variant(definition, variant), occurrence, ordinals, variant
        return None

    def _reserved(self, view: View) -> list[tuple[str, str, int]]:
        """Leases that may begin at any time: key and channel of the message, and how many. With the lock held."""
        return [
            (key, view.messages.get(key).channel, len(users))
            for (key, _), users in self._leased.items()
            if users and key in view.messages
        ]

    def is_paced(self, channel: ChannelName) -> bool:
        """Whether the last offer of a channel left somebody out who waits for nothing but the next second."""
        with self._lock:
            return channel in self._paced

    def _render(
        self, view: View, definition: MessageDefinition, occurrence: int, ordinals: Sequence[int]
    ) -> tuple[Compiled, list[HandOff]]:
        """Render leased users; who cannot be rendered is skipped, durably, with the reason."""
        try:
            compiled = compile_message(view, definition)
            rendered = render_users(view, definition, compiled, ordinals, occurrence=occurrence)
            hand_offs = [result for result in rendered if isinstance(result, HandOff)]
            obstacles = [result for result in rendered if isinstance(result, Obstacle)]
            if obstacles:
                reasons: dict[str, list[int]] = {}
                for one in obstacles:
                    reasons.setdefault(one.reason, []).append(one.ordinal)
                bases = {one.ordinal: one.basis for one in obstacles}
                self._engine.submit(commands.Skip(definition.key, reasons, bases, occurrence)).result()
                self._unlease((definition.key, occurrence), BitMap(one.ordinal for one in obstacles))
            return compiled, hand_offs
        except BaseException:
            self._unlease((definition.key, occurrence), BitMap(ordinals))
            raise

    def begin(self, batch_id: int, indexes: Sequence[int]) -> Future[list[int]]:
        """Ask leave for recipients of an offer.

        Arguments:
            indexes: places in the offer's recipients.

        Returns:
            A future of the indexes that may be sent now, empty where the lease has ended. Durable before it resolves.
        """
        answer: Future[list[int]] = Future()
        wanted: dict[int, int] = {}
        with self._lock:
            lease = self._leases.get(batch_id)
            if lease is not None and lease.ends > self._clock():
                for index in indexes:
                    if 0 <= index < len(lease.places) and lease.places[index][0] in lease.unbegun:
                        wanted[lease.places[index][0]] = index
                        lease.unbegun.discard(lease.places[index][0])
                lease.asking += len(wanted)
        if lease is None or not wanted:
            answer.set_result([])
            return answer
        bases = {ordinal: lease.bases[ordinal] for ordinal in wanted}
        asked: Future[list[int]] = self._engine.submit(
            commands.Begin(lease.key, sorted(wanted), bases, lease.occurrence)
        )
        asked.add_done_callback(lambda done: self._granted(batch_id, lease, wanted, done, answer))
        return answer

    def _granted(
        self, batch_id: int, lease: _Lease, wanted: dict[int, int], done: Future[list[int]], answer: Future[list[int]]
    ) -> None:
        error = done.exception()
        given = [] if error is not None else sorted(wanted[ordinal] for ordinal in done.result())
        begun = [lease.places[index][1] for index in given]
        with self._lock:
            lease.asking -= len(wanted)
            if not lease.abandoned:
                lease.begun.update(begun)
                self._lease_of.update(dict.fromkeys(begun, batch_id))
            self._forget_if_done(batch_id, lease)
        self._unlease((lease.key, lease.occurrence), BitMap(wanted))
        if error is not None:
            answer.set_exception(error)
        elif lease.abandoned and begun:
            # The worker went before it could be told yes: surely nobody was sent to.
            acks = [commands.Ack(key, "not_sent", attempt=attempt) for key, attempt in begun]
            self._engine.submit(commands.Acknowledge(acks))
            answer.set_result([])
        else:
            answer.set_result(given)

    def acknowledge(self, acks: Sequence[commands.Ack]) -> Future[int]:
        """Record outcomes; durable when the future resolves. Repetitions change nothing."""
        answer: Future[int] = self._engine.submit(commands.Acknowledge(list(acks)))
        answer.add_done_callback(lambda done: self._acknowledged(acks, done))
        return answer

    def _acknowledged(self, acks: Sequence[commands.Ack], done: Future[int]) -> None:
        if done.cancelled() or done.exception() is not None:
            return  # nothing was changed: what began is still owed
        with self._lock:
            for ack in acks:
                named = (ack.idempotency_key, ack.attempt)
                batch_id = self._lease_of.pop(named, None)
                if batch_id is not None:
                    lease = self._leases[batch_id]
                    lease.begun.discard(named)
                    self._forget_if_done(batch_id, lease)

    def release(self, batch_id: int) -> None:
        """Give an offer back; what began stays begun until it is acknowledged or abandoned."""
        with self._lock:
            lease = self._leases.get(batch_id)
            if lease is None:
                return
            free, lease.unbegun = lease.unbegun, BitMap()
            self._forget_if_done(batch_id, lease)
        self._unlease((lease.key, lease.occurrence), free)

    def abandon(self, batch_ids: Sequence[int]) -> Future[int]:
        """The worker of these offers is gone: what is unbegun goes back, what began is ambiguous from now on."""
        lost: list[Named] = []
        for batch_id in batch_ids:
            self.release(batch_id)
            with self._lock:
                lease = self._leases.pop(batch_id, None)
                if lease is not None:
                    lease.abandoned = True
                    lost += sorted(lease.begun)
                    for named in lease.begun:
                        del self._lease_of[named]
        if not lost:
            nothing: Future[int] = Future()
            nothing.set_result(0)
            return nothing
        return self._engine.submit(commands.Lose(lost))

    def holds(self, batch_id: int) -> bool:
        """Whether anything of an offer is still open: to be begun, or begun and not settled."""
        with self._lock:
            return batch_id in self._leases

    def owed(self, batch_ids: Iterable[int]) -> int:
        """How many acknowledgements are still owed for these offers, counting leave that is being committed."""
        with self._lock:
            leases = [self._leases[batch_id] for batch_id in batch_ids if batch_id in self._leases]
            return sum(len(lease.begun) + lease.asking for lease in leases)

    def _forget_if_done(self, batch_id: int, lease: _Lease) -> None:
        if not lease.unbegun and not lease.begun and not lease.asking:
            self._leases.pop(batch_id, None)

    def drain_sandbox(self) -> int:
        """Lay in the inbox what a sandbox has queued for addresses it may not send to.

        Returns:
            How many messages.
        """
        with self._sandbox_turn:
            view = self._engine.version
            return self._drain(view) if view.settings.sandbox else 0

    def _drain(self, view: View) -> int:
        count = 0
        for definition, occurrence, ordinals in self._undeliverable(view):
            try:
                count += self._divert(view, definition, occurrence, ordinals)
            finally:
                self._unlease((definition.key, occurrence), BitMap(ordinals))
        return count

    def _undeliverable(self, view: View) -> Iterator[tuple[MessageDefinition, int, list[int]]]:
        """Each occurrence's queued users whom nobody is offered, some at a time; they are leased to the caller."""
        for definition in view.messages.live():
            for occurrence, ledger in view.messages.occurrences(definition.key).active():
                firing = definition.key, occurrence
                with self._lock:
                    free = list(ledger.state("queued") - self._leased.get(firing, BitMap()))
                for first in range(0, len(free), _INBOX_SLICE):
                    ordinals = free[first : first + _INBOX_SLICE]
                    with self._lock:
                        self._leased.setdefault(firing, BitMap()).update(ordinals)
                    yield definition, occurrence, ordinals

    def _divert(self, view: View, definition: MessageDefinition, occurrence: int, ordinals: list[int]) -> int:
        _, rendered = self._render(view, definition, occurrence, ordinals)
        hand_offs = [h for h in rendered if not is_allowed(view, h)]
        if not hand_offs:
            return 0
        entries: list[object] = [inbox_entry(definition, h, view.now) for h in hand_offs]
        bases = {h.ordinal: h.basis for h in hand_offs}
        command = commands.Divert(definition.key, [h.ordinal for h in hand_offs], entries, bases, occurrence)
        return int(self._engine.submit(command).result())

    def waiting(self, channel: ChannelName) -> bool:
        """Whether any live message of a channel has users queued that nobody is offered."""
        view = self._engine.version
        with self._lock:
            return any(
                ledger.state("queued") - self._leased.get((m.key, occurrence), BitMap())
                for m in view.messages.live()
                if m.channel == channel
                for occurrence, ledger in view.messages.occurrences(m.key).active()
            )

    def _unlease(self, firing: Firing, users: BitMap) -> None:
        with self._lock:
            self._leased.setdefault(firing, BitMap()).difference_update(users)

    def _expire(self) -> None:
        now = self._clock()
        with self._lock:
            ended = [number for number, lease in self._leases.items() if lease.ends <= now and lease.unbegun]
        for number in ended:
            self.release(number)


def _batchable(compiled: Compiled) -> bool:
    """Whether one request may carry many users: its URL and headers are the same for all of them."""
    return isinstance(compiled.content, WebhookContent) and compiled.content.batchable


def _fitting(hand_offs: Sequence[HandOff], most_characters: int) -> int:
    """How many of the first fit into so many characters; at least one."""
    total = 0
    for place, h in enumerate(hand_offs):
        total += h.characters
        if total > most_characters and place:
            return place
    return len(hand_offs)
