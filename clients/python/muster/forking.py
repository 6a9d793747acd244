"""Keeps gRPC calls and forks apart.

gRPC makes itself usable in a forked child only if no other thread is inside it at that moment. So a fork waits a
little for calls under way, and cuts off those that take longer, by closing their channels: they are tried again, as
after any broken connection. Nothing of this concerns `subprocess`, which does not fork in this sense.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

_PATIENCE: Final = 0.25  # seconds for calls to end by themselves
_LIMIT: Final = 2.0  # seconds for calls to end once their channels are closed
_AFTERMATH: Final = 0.05  # seconds for gRPC's own threads to let go of streams that were cut off


class Inherited(Protocol):
    """What has threads, locks or channels that do not survive a fork. Registered by `register`."""

    def cut_off(self) -> None:
        """In the parent, before a fork: end calls and streams under way."""

    def start_over(self) -> None:
        """In the child: let go, without closing it, of everything that belongs to the parent."""


class Gate:
    """Who is inside gRPC, and whether somebody may enter. Reentrant, for signal handlers."""

    def __init__(self) -> None:
        self.forks = 0
        """Forks so far, which tell whether one came between."""
        self.start_over()

    def start_over(self) -> None:
        """Nobody is inside. In a child, the old lock may be held by a thread that is not here."""
        self._changed = threading.Condition(threading.RLock())
        self._inside = 0
        self._shut = False
        self._streams: set[int] = set()

    @contextmanager
    def inside(self, wait: bool = True) -> Iterator[None]:
        """Be inside gRPC: where `wait`, once no fork is under way."""
        changed = self._changed
        with changed:
            if wait:
                changed.wait_for(lambda: not self._shut)
            self._inside += 1
        try:
            yield
        finally:
            with changed:
                self._inside -= 1
                changed.notify_all()

    def stream_opened(self, stream: object) -> None:
        """A stream has threads inside gRPC, whether or not somebody reads it."""
        self._streams.add(id(stream))

    def stream_ended(self, stream: object) -> None:
        """It has no more."""
        self._streams.discard(id(stream))

    def shut(self) -> None:
        """Let nobody in, and wait until nobody is."""
        with self._changed:
            self._shut = True
            self.forks += 1
            idle = self._changed.wait_for(lambda: not self._inside, _PATIENCE)
        if idle and not self._streams:
            return
        for one in list(_REGISTERED):
            one.cut_off()
        with self._changed:
            self._changed.wait_for(lambda: not self._inside, _LIMIT)
        time.sleep(_AFTERMATH)

    def open(self) -> None:
        """Let them in again."""
        with self._changed:
            self._shut = False
            self._changed.notify_all()


_REGISTERED: Final[weakref.WeakSet[Inherited]] = weakref.WeakSet()

GATE: Final = Gate()
"""The process's only gate."""


def register(one: Inherited) -> None:
    """Have it told of forks, for as long as it lives."""
    _REGISTERED.add(one)


def _after_in_child() -> None:
    GATE.start_over()
    for one in list(_REGISTERED):
        one.start_over()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=GATE.shut, after_in_parent=GATE.open, after_in_child=_after_in_child)
