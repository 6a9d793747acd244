"""SimulationService: what messages would do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from muster.v1 import simulation_pb2, simulation_pb2_grpc

from core.simulation import Simulated, Stopped
from server.blocking import Pool
from server.convert import simulations as convert
from server.projects import Projects

_TOLD_EVERY: Final = 0.2
"""Seconds between two words on how far it got."""


class SimulationService(simulation_pb2_grpc.SimulationServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/simulation.proto.

    Arguments:
        projects: the registry.
        pool: where simulations run; of few threads, as each may take long.
    """

    def __init__(self, projects: Projects, pool: Pool) -> None:
        self._projects = projects
        self._pool = pool

    async def Simulate(  # noqa: N802
        self, request: simulation_pb2.SimulateRequest, context: Any
    ) -> AsyncIterator[simulation_pb2.SimulateResponse]:
        """Decide messages over a span of time; ends with its call."""
        engine = self._projects.get(request.project).engine
        asked = convert.question(request, engine.version.now)
        reached, wanted = asked.start, True

        def going(instant: int) -> bool:
            nonlocal reached
            reached = instant
            return wanted

        def run() -> Simulated:
            try:
                return engine.simulate(asked, going)
            except Stopped:
                return Simulated()  # whoever asked is gone

        work = asyncio.ensure_future(self._pool.run(run))
        try:
            told = asked.start
            while not (await asyncio.wait([work], timeout=_TOLD_EVERY))[0]:
                if reached != told:
                    told = reached
                    yield convert.progress(asked, told)
            yield convert.result(asked, work.result())
        finally:
            wanted = False
