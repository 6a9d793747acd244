"""Which version of a project a question is asked of: the present one, or the one of its `at`."""

from __future__ import annotations

from typing import Any

from core.version import Version
from server.blocking import Pool
from server.convert.times import micros
from server.projects import Projects


class Versions:
    """Pins versions.

    Arguments:
        projects: the registry.
        pool: where past versions are made; of few threads, so that the present is never waited for.
    """

    def __init__(self, projects: Projects, pool: Pool) -> None:
        self._projects = projects
        self._pool = pool

    async def of(self, request: Any) -> Version:
        """The version that a request with `project` and `at` means.

        Raises:
            InvalidInput: TIME_IN_FUTURE, TIME_OUT_OF_RANGE; FailedPrecondition: HISTORY_GONE.
        """
        engine = self._projects.get(request.project).engine
        if not request.HasField("at"):
            return engine.version
        return await self._pool.run(engine.at, micros(request.at, "at"))
