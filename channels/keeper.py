"""Keeps a worker at work in a process that is there for something else, too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from muster.worker import Worker

from channels.loop import LoopConfig, WorkerLoop
from channels.provider import Provider

logger = logging.getLogger(__name__)

_FIRST_BACKOFF: Final = 0.5
_LONGEST_BACKOFF: Final = 30.0


class Keeper:
    """Keeps one embedded worker at work: one that breaks is started again, after ever longer waits.

    Arguments:
        channel: for the log.
        connect: makes the worker's end of the stream.
        make: makes the provider.
        grace: seconds that calls under way may take to end at the stop.
    """

    def __init__(self, channel: str, connect: Callable[[], Worker], make: Callable[[], Provider], grace: float) -> None:
        self._channel = channel
        self._connect = connect
        self._make = make
        self._config = LoopConfig(grace=grace)
        self._stopping = asyncio.Event()
        self._loop: WorkerLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Begin nothing more, settle what has begun, and end."""
        self._stopping.set()
        if self._loop is not None:
            self._loop.stop()
        if self._task is not None:
            await self._task

    async def _keep(self) -> None:
        wait = _FIRST_BACKOFF
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            begun = clock()
            try:
                async with self._connect() as worker:
                    self._loop = WorkerLoop(worker, self._make(), self._config)
                    if self._stopping.is_set():
                        self._loop.stop()
                    await self._loop.run()
            except Exception:
                logger.exception("the embedded %s worker broke and is started again", self._channel)
            wait = _FIRST_BACKOFF if clock() - begun > _LONGEST_BACKOFF else min(2 * wait, _LONGEST_BACKOFF)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)
