"""Blocking work beside the event loop: a bounded pool of threads, and futures of the engine awaited safely."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from core.errors import Exhausted, Unavailable

P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """Runs blocking calls in threads and refuses them once too many wait.

    Arguments:
        threads: how many run at once.
        max_waiting: how many more may wait for a thread.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._executor = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="muster")
        self._most = threads + max_waiting
        self._busy = 0
        self._closed = False

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, computed in a thread. A cancelled caller does not stop a running thread.

        Raises:
            Exhausted: SERVER_BUSY, where too many calls wait already.
            Unavailable: SERVER_STOPPING, after `close`.
        """
        if self._busy >= self._most:
            raise Exhausted("too many calls wait for the server", mend="try again in a moment", code="SERVER_BUSY")
        if self._closed:
            raise Unavailable("the server is stopping", mend="try again when it is back", code="SERVER_STOPPING")
        context = contextvars.copy_context()
        future = self._executor.submit(lambda: context.run(function, *args, **kwargs))
        self._busy += 1
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _call_in(loop, self._done))
        return await settled(future)

    def _done(self) -> None:
        self._busy -= 1

    def close(self) -> None:
        """Wait for what runs and drop what waits."""
        self._closed = True
        self._executor.shutdown(wait=True, cancel_futures=True)


def _call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:  # the loop ended before the thread did: nobody counts any more
        return


async def settled(future: concurrent.futures.Future[T]) -> T:
    """The result of a thread's or the engine's future.

    A plain `wrap_future` would cancel the engine's future when a client goes away in the middle; the engine
    would then trip over it while it commits. Here the waiting ends and the work goes on.
    """
    inner = asyncio.wrap_future(future)
    inner.add_done_callback(_retrieve)
    return await asyncio.shield(inner)


def _retrieve(future: asyncio.Future[T]) -> None:
    """Read the outcome nobody waits for any more, so that asyncio does not report it as forgotten."""
    if not future.cancelled():
        future.exception()
