"""Tells the event loop which projects changed: the engines' writer threads in, listeners on the loop out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from server.projects import Project, Projects

Listener = Callable[[str], None]


class Commits:
    """Calls listeners on the event loop with the name of each project that changed, once for many commits.

    A group in which only a real clock went on and nothing was decided is no change.

    Arguments:
        projects: the registry.
        loop: where listeners run.
    """

    def __init__(self, projects: Projects, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._changed: dict[str, None] = {}
        self._listeners: list[Listener] = []
        self._stop = projects.on_commit(self._committed)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(name)` on the loop from now on.

        Returns:
            What ends it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def touch(self, name: str) -> None:
        """Tell of a project whose queue is open again without a commit: leases ended. From the loop only."""
        for listener in list(self._listeners):
            listener(name)

    def close(self) -> None:
        """Hear no more commits."""
        self._stop()

    def _committed(self, project: Project) -> None:
        position = project.engine.version.position
        with self._lock:
            if self._seen.get(project.name) == position:
                return
            self._seen[project.name] = position
            first = not self._changed
            self._changed[project.name] = None
        if first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        with self._lock:
            changed, self._changed = self._changed, {}
        for name in changed:
            self.touch(name)
