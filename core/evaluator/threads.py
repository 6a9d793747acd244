"""Threads that help with the blocks of one question, while its own thread goes through them without waiting for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Final, TypeVar

T = TypeVar("T")
_HELPED_FROM: Final = 128
"""Blocks from which on a question is helped. A short one gains nothing where cores are busy, and may wait for a helper that the
system has put aside; a long one, such as counts of events over as many blocks, takes two thirds of the time where a core is idle.
See docs/performance.md."""
_MOST: Final = 8


class _Helpers:
    """The pool, made when it is first needed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None
        self.count = (
            min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _MOST) - 1
        )

    def pool(self) -> ThreadPoolExecutor:
        """The pool."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.count, "muster-blocks")
            return self._pool


_helpers: Final = _Helpers()


def together(blocks: int, work: Callable[[], T]) -> list[T]:
    """Do work in this thread and, where there is much of it, in helping threads; what each call gave.

    Arguments:
        blocks: how much there is to do.
        work: takes its share of what is not yet taken, until nothing is left; without the GIL for most of the time.
    """
    if blocks < _HELPED_FROM or not _helpers.count:
        return [work()]
    pool = _helpers.pool()
    helping = [pool.submit(work) for _ in range(_helpers.count)]
    done = [work()]
    # A helper that has not begun by now would find nothing.
    return done + [helper.result() for helper in helping if not helper.cancel()]
