"""gRPC's health service for our services, whose watchers are let go when the server stops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from grpc_health.v1 import health, health_pb2

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class _LetGo(Exception):
    """The watcher was told of the stop."""


class _Telling:
    """A watcher's context that ends the watch once the stop was told."""

    def __init__(self, context: Any, health: Health) -> None:
        self._context = context
        self._health = health

    async def write(self, response: health_pb2.HealthCheckResponse) -> None:
        """Tell the watcher."""
        await self._context.write(response)
        if self._health.stopping and response.status == _NOT_SERVING:
            raise _LetGo


class Health(health.aio.HealthServicer):  # type: ignore[misc, name-defined]  # the stubs are older than the package
    """Says NOT_SERVING until `serve` and again from `stop` on.

    Arguments:
        services: full names; "" stands for the whole server and is added.
    """

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._services = ["", *services]
        self.stopping = False

    async def begin(self) -> None:
        """The services are known and do not serve yet."""
        for name in self._services:
            await self.set(name, _NOT_SERVING)

    async def serve(self) -> None:
        """Every service serves."""
        for name in self._services:
            await self.set(name, _SERVING)

    async def stop(self) -> None:
        """No service serves any more. Watchers are told, and their streams end: they would never by themselves."""
        self.stopping = True
        await self.enter_graceful_shutdown()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:  # noqa: N802
        """Tell of one service's state whenever it changes."""
        try:
            await super().Watch(request, _Telling(context, self))
        except _LetGo:
            return
