"""The HTTP gateway: health, metrics and the OpenAPI document, as pages that later parts add theirs to."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import grpc
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.errors import FailedPrecondition, MusterError
from server.auth import CALLER, HEADER, Tokens
from server.blocking import Pool
from server.config import split_address
from server.errors import sentence, status_of
from server.names import nearest
from server.projects import Projects
from server.tls import Certificate

log = logging.getLogger("muster.gateway")

Handler = Callable[[Request], Awaitable[Response]]

HTTP_STATUS: Final[dict[grpc.StatusCode, HTTPStatus]] = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""What a gRPC status is in HTTP, after google/rpc/code.proto."""


@dataclass(frozen=True, slots=True)
class Page:
    """One path of the gateway.

    Arguments:
        path: as Starlette writes it, such as `/v1/things/{name}`.
        handler: answers; a MusterError it raises becomes a JSON error.
        operation: the OpenAPI operation object.
        method: the HTTP method.
        public: whether it may be asked without a token.
    """

    path: str
    handler: Handler
    operation: Mapping[str, Any]
    method: str = "GET"
    public: bool = False


@dataclass(slots=True)
class Readiness:
    """Whether the server takes calls; the gRPC health service says the same."""

    serving: bool = False


def standard_pages(readiness: Readiness, projects: Projects, registry: CollectorRegistry, pool: Pool) -> list[Page]:
    """The pages of every server: health, readiness, metrics."""

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        stopped = {one.name: one.engine.health() for one in projects.all() if one.engine.health()}
        stopped |= {name: str(error) for name, error in projects.damaged().items()}
        state = {"serving": readiness.serving, "projects": len(projects.all()), "stopped": len(stopped)}
        return JSONResponse(state, HTTPStatus.OK if readiness.serving else HTTPStatus.SERVICE_UNAVAILABLE)

    async def metrics(request: Request) -> Response:
        CALLER.get().require_all()
        return Response(await pool.run(generate_latest, registry), media_type=CONTENT_TYPE_LATEST)

    def operation(summary: str, media: str, **others: str) -> dict[str, Any]:
        found: dict[str, Any] = {"200": {"description": "OK", "content": {media: {"schema": {}}}}}
        return {"summary": summary, "responses": found | {code: {"description": text} for code, text in others.items()}}

    alive = operation("Whether the process answers", "application/json")
    ready = operation("Whether the server takes calls", "application/json", **{"503": "starting or stopping"})
    read = operation("Metrics in Prometheus' text format", "text/plain", **{"401": "no token", "403": "not this one"})
    return [
        Page("/healthz", healthz, alive, public=True),
        Page("/readyz", readyz, ready, public=True),
        Page("/metrics", metrics, read),
    ]


def openapi(pages: Iterable[Page]) -> dict[str, Any]:
    """The OpenAPI document of pages."""
    paths: dict[str, dict[str, Any]] = {}
    for page in pages:
        security: dict[str, Any] = {"security": []} if page.public else {}
        paths.setdefault(page.path, {})[page.method.lower()] = {**page.operation, **security}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Muster", "version": _release()},
        "paths": paths,
        "security": [{"token": []}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def application(pages: Sequence[Page], tokens: Tokens) -> Starlette:
    """The application of pages, with `/openapi.json` that tells of all of them.

    Arguments:
        tokens: who may ask for what is not public.
    """

    async def document(request: Request) -> Response:
        return JSONResponse(described)

    about = {"summary": "This document", "responses": {"200": {"description": "OK"}}}
    everything = [*pages, Page("/openapi.json", document, about, public=True)]
    described = openapi(everything)

    def guarded(page: Page) -> Handler:
        async def answer(request: Request) -> Response:
            if not page.public:
                CALLER.set(tokens.caller(request.headers.get(HEADER)))
            try:
                return await page.handler(request)
            except MusterError:
                raise
            except Exception as error:
                identifier = uuid.uuid4().hex[:12]
                log.error("unexpected error %s in %s", identifier, page.path, exc_info=error)
                raise MusterError(
                    f"an unexpected error; the server's log has it as {identifier}", mend="report it with that id"
                ) from error

        return answer

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, MusterError)
        return _failure(error, HTTP_STATUS[status_of(error)])

    async def not_served(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        near = nearest(request.url.path, [page.path for page in everything])
        mend = f"did you mean {near}?" if near else "see /openapi.json"
        code = HTTPStatus(error.status_code)
        return _failure(MusterError(code.phrase, field=request.url.path, mend=mend, code=code.name), code)

    return Starlette(
        routes=[Route(page.path, guarded(page), methods=[page.method]) for page in everything],
        exception_handlers={MusterError: failed, HTTPException: not_served},
    )


def _failure(error: MusterError, status: HTTPStatus) -> Response:
    body = {"code": error.code, "message": sentence(error), "field": error.field, "mend": error.mend}
    return JSONResponse({"error": {name: text for name, text in body.items() if text}}, status)


def _release() -> str:
    try:
        return version("muster-server")
    except PackageNotFoundError:  # run from a tree that was not installed
        return "0"


@dataclass(slots=True)
class Gateway:
    """The application on its socket, in the running event loop.

    Arguments:
        app: what answers.
        address: `host:port`; port 0 takes a free one.
        certificate: for HTTPS.
        grace: seconds that running requests may take to end at the stop.
    """

    app: Starlette
    address: str
    certificate: Certificate | None = None
    grace: float = 10.0
    _server: uvicorn.Server | None = field(default=None, init=False)
    _socket: socket.socket | None = field(default=None, init=False)
    _loop: asyncio.Task[None] | None = field(default=None, init=False)

    async def start(self) -> str:
        """Listen.

        Returns:
            The address in use, `host:port`.

        Raises:
            FailedPrecondition: ADDRESS_UNUSABLE.
        """
        host, port = split_address(self.address, "http_listen")
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            raise FailedPrecondition(
                f"{self.address} cannot be listened on: {error.strerror}",
                field="http_listen",
                mend="take another port, or 0 for a free one",
                code="ADDRESS_UNUSABLE",
            ) from error
        config = uvicorn.Config(
            self.app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=max(1, round(self.grace)),
            ssl_context_factory=self._context if self.certificate is not None else None,
        )
        config.load()
        # The steps of `uvicorn.Server.serve`, without its signal handlers: signals are the whole server's matter.
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[self._socket])
        self._loop = asyncio.create_task(self._server.main_loop())
        bound = self._socket.getsockname()
        return f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    async def stop(self) -> None:
        """Take no more requests, wait for those under way, close the socket."""
        if self._server is None or self._loop is None or self._socket is None:
            return
        self._server.should_exit = True
        await self._loop
        await self._server.shutdown(sockets=[self._socket])

    def _context(self, config: uvicorn.Config, default: Callable[[], Any]) -> Any:
        assert self.certificate is not None
        return self.certificate.http_context()
