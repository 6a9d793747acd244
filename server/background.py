"""What the server does unasked: it lets real clocks tick, lays in the inbox what sandboxes must not send, and indexes
addresses after its start."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from core.errors import MusterError
from core.messaging.once_per_address import make_ready
from server.blocking import Pool
from server.commits import Commits
from server.projects import Projects

log = logging.getLogger("muster.background")

TICK_SECONDS: Final = 1.0
"""How late what time alone decides may be decided in a project on real time."""

_RETRY_SECONDS: Final = 1.0


async def tick(projects: Projects) -> None:
    """Let every project on real time decide what time alone decides, again and again."""
    while True:
        await asyncio.sleep(TICK_SECONDS)
        for project in projects.all():
            project.engine.tick()


async def index_addresses(projects: Projects, pool: Pool) -> None:
    """Make, after a start, what live messages look addresses up in, so that no commit has to wait for it."""
    for project in projects.all():
        version = project.engine.version
        for message in version.messages.live():
            try:
                await pool.run(make_ready, version, message.key)
            except MusterError as error:  # the first commit that needs it makes it
                log.warning("the addresses of %s are not indexed yet: %s", project.name, error)


class Drainer:
    """Drains each sandbox into its inbox after each commit that may have queued something; idle otherwise.

    Arguments:
        projects: the registry.
        pool: where messages are rendered.
        commits: tells of commits.
    """

    def __init__(self, projects: Projects, pool: Pool, commits: Commits) -> None:
        self._projects = projects
        self._pool = pool
        self._wanted: set[str] = set()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._closed = False
        self._deaf = commits.listen(self._touched)
        for project in projects.all():
            self._touched(project.name)

    async def close(self) -> None:
        """Start no more; what is being rendered ends by itself."""
        self._closed = True
        self._deaf()
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _touched(self, name: str) -> None:
        self._wanted.add(name)
        if name not in self._running and not self._closed:
            self._running[name] = asyncio.create_task(self._drain(name))

    async def _drain(self, name: str) -> None:
        project = next(one for one in self._projects.all() if one.name == name)
        try:
            while name in self._wanted:
                self._wanted.discard(name)
                if project.engine.version.settings.sandbox:
                    try:
                        await self._pool.run(project.desk.drain_sandbox)
                    except MusterError as error:
                        log.warning("the sandbox %s cannot be drained for now: %s", name, error)
                        self._wanted.add(name)
                        await asyncio.sleep(_RETRY_SECONDS)
        finally:
            del self._running[name]
