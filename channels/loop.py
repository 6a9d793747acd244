"""The worker loop: takes batches, asks leave to begin slices of them, has a provider send, acknowledges each user.

Whatever the provider and whatever goes wrong, these hold: nobody is sent to without leave to begin; everybody who
has begun is acknowledged exactly once, at the latest as AMBIGUOUS when the worker is torn down; what has begun is
worked off in about a second, so that a pause takes effect; a provider that cannot be reached is probed with single
recipients, ever more rarely.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from muster.outage import Outage as Trouble

from channels.pace import Outage, PaceConfig, Window
from channels.progress import Progress
from channels.provider import Batch, Outcome, Provider, Result

# Enough for a reply code and a sentence; what a provider says beyond is not for a ledger.
_LONGEST_DETAIL: Final = 200

logger = logging.getLogger(__name__)


class OfferedBatch(Batch, Protocol):
    """A batch on offer; what the loop needs of `muster.worker`'s batches."""

    async def begin(self, indexes: Sequence[int]) -> Sequence[int]:
        """Ask leave for some recipients; the indexes granted, which must be sent to now."""

    async def acknowledge(
        self,
        idempotency_key: str,
        outcome: int,
        detail: str = "",
        provider_id: str = "",
        removed_tokens: Sequence[str] = (),
    ) -> None:
        """Tell what became of one recipient, and which device tokens are nobody's any more."""

    async def release(self) -> None:
        """Give back what was not begun."""


class Worker(Protocol):
    """The delivery stream; what the loop needs of `muster.worker.Worker`."""

    def batches(self) -> AsyncIterator[OfferedBatch]:
        """Batches as the server offers them; ends when the stream is closed for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """Settings of a worker loop.

    Arguments:
        pace: how fast hand-offs begin.
        grace: seconds that `stop` leaves to calls under way before they are cut off.
    """

    pace: PaceConfig = field(default_factory=PaceConfig)
    grace: float = 30.0


class WorkerLoop:
    """Drives one provider from one delivery stream.

    Example::

        async with Worker(target, channel="email") as worker:
            loop = WorkerLoop(worker, EmailProvider(SmtpConfig(host="localhost", port=25)))
            await loop.run()  # until loop.stop() or the end of the stream
    """

    def __init__(
        self, worker: Worker, provider: Provider, config: LoopConfig | None = None, progress: Progress | None = None
    ) -> None:
        self._worker = worker
        self._provider = provider
        self._config = config or LoopConfig()
        self.progress = progress or Progress()
        self._stopping = asyncio.Event()
        self._window = Window(provider.concurrency, self._config.pace)
        self._outage = Outage(self._config.pace, self._stopping)
        self._batches: set[asyncio.Task[None]] = set()
        self._slices: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None
        # Of those without an answer and of those refused, each at most once a minute: the counts tell the rest.
        self._away = Trouble(logger)
        self._refused = Trouble(logger)

    def stop(self) -> None:
        """Begin nothing more and let `run` return once what has begun is settled. May be called twice."""
        self._stopping.set()
        self._window.close()
        self._provider.stop()

    async def run(self) -> None:
        """Work until `stop` is called or the stream ends; then settle what has begun and close the provider.

        The worker itself stays open: whoever made it closes it, which sends the last acknowledgements.

        Raises:
            Exception: what broke the stream, or an error in the provider's own code. Everybody who has begun is
                acknowledged before it is raised.
        """
        try:
            await self._take_batches()
            await self._finish(self._batches)
            await self._finish(self._slices)
        finally:
            self.stop()
            await self._cut_off(self._batches)
            await self._cut_off(self._slices)
            await self._provider.close()
        if self._fault is not None:
            raise self._fault

    async def _take_batches(self) -> None:
        offers = aiter(self._worker.batches())
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                offer = asyncio.ensure_future(_next_or_none(offers))
                try:
                    await asyncio.wait({offer, stopped}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not offer.done():
                        offer.cancel()
                        await asyncio.gather(offer, return_exceptions=True)
                if offer.cancelled():
                    return
                batch = offer.result()
                if batch is None:
                    return
                self.progress.offered += len(batch.recipients)
                self._spawn(self._batches, self._deliver(batch))
        finally:
            stopped.cancel()

    async def _deliver(self, batch: OfferedBatch) -> None:
        """Begin the batch slice by slice. Slices are not waited for: the window alone bounds what is under way."""
        waiting = deque(range(len(batch.recipients)))
        try:
            while waiting:
                await self._outage.over()
                room = await self._window.reserve(len(waiting), max(1, batch.batch_size))
                if not room:
                    break
                if self._outage.in_force:  # it began while we waited for room
                    self._window.give_back(room)
                    continue
                await self._begin(batch, [waiting.popleft() for _ in range(room)])
        finally:
            if waiting:
                self.progress.released += len(waiting)
                await batch.release()

    async def _begin(self, batch: OfferedBatch, indexes: list[int]) -> None:
        granted: Sequence[int] = ()
        try:
            granted = await batch.begin(indexes)
        finally:
            self._window.give_back(len(indexes) - len(granted))
            self.progress.dropped += len(indexes) - len(granted)
        self.progress.begun += len(granted)
        if granted:
            self._spawn(self._slices, self._send(batch, granted))

    async def _send(self, batch: OfferedBatch, granted: Sequence[int]) -> None:
        recipients = [batch.recipients[index] for index in granted]
        owed = dict.fromkeys(recipient.idempotency_key for recipient in recipients)
        # Stragglers that are being retried must not narrow the window for everybody: three quarters tell the speed.
        telling = len(recipients) // 4
        clock = asyncio.get_running_loop().time
        start, begun = clock(), self._window.used
        try:
            async with aclosing(self._provider.send(batch, recipients)) as results:
                async for result in results:
                    del owed[result.idempotency_key]
                    await self._settle(batch, result)
                    if len(owed) == telling and result.outcome is not Outcome.NOT_SENT:
                        self._window.observe(clock() - start, begun)
                        self.progress.window = self._window.size
        finally:
            for key in owed:
                await self._settle(
                    batch, Result(key, Outcome.AMBIGUOUS, "the worker ended before the provider answered")
                )

    async def _settle(self, batch: OfferedBatch, result: Result) -> None:
        self._window.give_back(1)
        self.progress.count(result.outcome)
        detail = " ".join(result.detail.split())[:_LONGEST_DETAIL]
        if result.outcome is Outcome.NOT_SENT and not self._stopping.is_set():
            self._outage.failed()
            self._window.narrow()
            self._away.say("the provider cannot be reached, and is tried again: %s", detail)
        elif result.outcome is Outcome.AMBIGUOUS and not self._stopping.is_set():
            self._away.say("the provider was called and gave no clear answer, so a hand-off is ambiguous: %s", detail)
        elif result.outcome in (Outcome.SENT, Outcome.FAILED):
            self._outage.answered()
            self._away.over("the provider answers")
        if result.outcome is Outcome.FAILED:
            self._refused.say("the provider refused %d so far; the last: %s", self.progress.failed, detail)
        self.progress.outages = self._outage.failures
        if result.outcome is not Outcome.SENT:
            self.progress.trouble = detail
        await batch.acknowledge(
            result.idempotency_key, result.outcome, detail, result.provider_id, result.removed_tokens
        )

    def _spawn(self, among: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        among.add(task)
        task.add_done_callback(lambda done: self._ended(among, done))

    def _ended(self, among: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
        among.discard(task)
        if task.cancelled() or (fault := task.exception()) is None:
            return
        logger.error("the worker stops: %s", fault, exc_info=fault)
        # An error of our own making would repeat itself: begin nothing more, settle the rest, then raise it.
        self._fault = self._fault or fault
        self.stop()

    async def _finish(self, tasks: set[asyncio.Task[None]]) -> None:
        """Wait for tasks; once the worker is stopping, no longer than the grace."""
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            while tasks and not self._stopping.is_set():
                await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._config.grace)

    async def _cut_off(self, tasks: set[asyncio.Task[None]]) -> None:
        await asyncio.sleep(0)  # a task cancelled before its first step would never reach its own clean-up
        remaining = list(tasks)
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)


async def _next_or_none(offers: AsyncIterator[OfferedBatch]) -> OfferedBatch | None:
    return await anext(offers, None)
