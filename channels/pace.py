"""How much may be begun at once, and when to try again: the window of begun recipients and the outage clock."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceConfig:
    """How fast a worker begins hand-offs.

    Arguments:
        slice_seconds: how long the sending of what has begun should last; the window of begun recipients is sized
            so, for a pause to take effect and a crash to leave ambiguous no more than that.
        largest_window: the most recipients begun and not yet settled.
        first_delay: upper bound in seconds of the first wait after the provider could not be reached; doubles.
        longest_delay: upper bound in seconds of every such wait.
    """

    slice_seconds: float = 0.8
    largest_window: int = 4_000
    first_delay: float = 0.5
    longest_delay: float = 30.0


class Window:
    """Counts recipients that have begun and are not settled, and adapts how many there may be.

    By Little's law W recipients under way that are worked off in t seconds are settled at the rate W/t. The window is
    what that rate settles in the wanted time, at most twice or half of what it was, and never below the provider's
    own concurrency: those calls run side by side, fewer would not be faster.
    """

    def __init__(self, concurrency: int, config: PaceConfig) -> None:
        self._least = max(1, concurrency)
        self._config = config
        self._freed = asyncio.Event()
        self._closed = False
        self.size = self._least
        self.used = 0

    async def reserve(self, wanted: int, unit: int = 1) -> int:
        """Wait for room and take it; 0 once the window is closed.

        Arguments:
            wanted: the most recipients of use to the caller, at least 1.
            unit: recipients that travel in one call; no less is taken unless `wanted` is less.
        """
        while not self._closed:
            taken = self._room(wanted, unit)
            if taken:
                self.used += taken
                return taken
            self._freed.clear()
            await self._freed.wait()
        return 0

    def _room(self, wanted: int, unit: int) -> int:
        call = min(wanted, unit)
        free = max(0, self.size - self.used)
        # Leave to begin costs the server a durable write: wait for half a window rather than ask for single users.
        if self.used and free < max(call, min(wanted, self.size // 2)):
            return 0
        return min(wanted, max(call, free - free % unit))

    def give_back(self, recipients: int) -> None:
        """Return the room of recipients that are settled or were not granted."""
        self.used -= recipients
        self._freed.set()

    def observe(self, seconds: float, begun: int) -> None:
        """Learn from a slice.

        Arguments:
            seconds: from the leave to begin until most of the slice was settled.
            begun: `used` when leave was given. A window that was mostly empty proves no need of a wider one.
        """
        # Of what was under way then, not of the window now: slices begun side by side would each double it anew.
        fitting = int(begun * self._config.slice_seconds / max(seconds, 1e-6))
        if fitting > self.size and begun * 2 < self.size:
            return
        fitting = min(self.size * 2, max(self.size // 2, fitting))
        self.size = min(self._config.largest_window, max(self._least, fitting))
        self._freed.set()

    def narrow(self) -> None:
        """Fall back to single recipients: the provider is away and the next call is a probe."""
        self.size = 1

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True
        self._freed.set()


class Outage:
    """Knows whether the provider can be reached and holds callers back, ever longer, while it cannot."""

    def __init__(self, config: PaceConfig, stopping: asyncio.Event) -> None:
        self._config = config
        self._stopping = stopping
        self._failures = 0
        self._until = 0.0

    @property
    def failures(self) -> int:
        """Waits imposed in a row; 0 while the provider answers."""
        return self._failures

    @property
    def in_force(self) -> bool:
        """Whether a wait is under way."""
        return asyncio.get_running_loop().time() < self._until

    def failed(self) -> None:
        """The provider could not be reached. Failures of calls made side by side count once."""
        if self.in_force:
            return
        bound = min(self._config.longest_delay, self._config.first_delay * 2.0 ** min(self._failures, 30))
        self._failures += 1
        self._until = asyncio.get_running_loop().time() + random.uniform(bound / 2, bound)

    def answered(self) -> None:
        """The provider answered, if only to refuse."""
        self._failures = 0
        self._until = 0.0

    async def over(self) -> None:
        """Return when a call may be tried: at once, after the wait, or when the worker stops."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set() and (left := self._until - loop.time()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._stopping.wait()
            except TimeoutError:
                continue  # look again: another failure may have set a later time
