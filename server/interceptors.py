"""What every call passes: token, request parsing, limits, error mapping, metrics, one log line.

The interceptor takes the generated handlers' place on the wire: requests arrive as bytes and are parsed here, so
that one which is too large, malformed or of a newer protocol gets a clear status like any other bad input. A call
without a known token is refused before its request is read.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.message import DecodeError, Message

from core.errors import InvalidInput, MusterError
from core.values import MAX_DEPTH
from server.auth import CALLER, HEADER, Caller, Tokens
from server.errors import DETAILS_KEY, sentence, status_details, status_of
from server.metrics import CallMetrics

log = logging.getLogger("muster.calls")

_OURS: Final = "/muster."
_OPEN: Final = "/grpc.health."
_DEEP: Final = "MaxDepth"
Context = grpc.aio.ServicerContext[Any, Any]
Reader = Callable[[bytes, Callable[[bytes], Message]], Any]


@dataclass(slots=True)
class _Call:
    """One call on its way: what the log line and the metrics need."""

    method: str
    started: float
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str = ""


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps each handler; see the module's docstring.

    Arguments:
        tokens: who may call.
        metrics: where calls are counted.
        max_message_bytes: the largest request taken.
        readers: by method, what reads its requests in the message's place; given the bytes and what parses a message.
    """

    def __init__(
        self, tokens: Tokens, metrics: CallMetrics, max_message_bytes: int, readers: Mapping[str, Reader] | None = None
    ) -> None:
        self._readers = readers or {}
        self._tokens = tokens
        self._metrics = metrics
        self._most = max_message_bytes

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler to use for a call: the service's own, wrapped."""
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_OPEN):
            return handler  # type: ignore[no-any-return]
        try:
            caller = self._tokens.caller(_authorization(handler_call_details))
        except MusterError as error:
            # As a stream, whatever the method is: for one, gRPC reads no request before its handler runs.
            return grpc.stream_stream_rpc_method_handler(self._refusing(method, error))
        parse: Callable[[Any], Any] = lambda raw: raw  # noqa: E731
        deserializer = handler.request_deserializer
        if method.startswith(_OURS):
            parse, deserializer = self._parser(handler.request_deserializer, method), None
        if handler.response_streaming:
            behavior, make = handler.stream_stream or handler.unary_stream, grpc.unary_stream_rpc_method_handler
            if handler.request_streaming:
                make = grpc.stream_stream_rpc_method_handler
            wrapped: Any = self._streaming(method, caller, behavior, parse, handler.request_streaming)
        else:
            behavior, make = handler.stream_unary or handler.unary_unary, grpc.unary_unary_rpc_method_handler
            if handler.request_streaming:
                make = grpc.stream_unary_rpc_method_handler
            wrapped = self._single(method, caller, behavior, parse, handler.request_streaming)
        made: grpc.RpcMethodHandler[Any, Any] = make(wrapped, deserializer, handler.response_serializer)
        return made

    def _parser(self, deserialize: Callable[[bytes], Message], method: str) -> Callable[[bytes], Any]:
        read = self._readers.get(method)

        def parse(raw: bytes) -> Any:
            if len(raw) > self._most:
                raise InvalidInput(
                    f"the request has {len(raw):,} bytes",
                    mend=f"send at most {self._most:,} bytes at once (option max_message_bytes)",
                    code="REQUEST_TOO_LARGE",
                )
            return message_of(raw) if read is None else read(raw, message_of)

        def message_of(raw: bytes) -> Message:
            try:
                message = deserialize(raw)
            except DecodeError as error:
                raise _unreadable(error) from error
            size = message.ByteSize()
            message.DiscardUnknownFields()
            if message.ByteSize() != size:
                raise InvalidInput(
                    "the request has fields that this server does not know",
                    mend="update the server, or leave out what is newer than it",
                    code="UNKNOWN_FIELDS",
                )
            return message

        return parse

    def _refusing(self, method: str, refusal: MusterError) -> Any:
        async def call(request: Any, context: Context) -> None:
            record = _Call(method, time.perf_counter())
            try:
                await self._fail(record, refusal, context)
            finally:
                self._finish(record)

        return call

    def _single(
        self, method: str, caller: Caller, behavior: Any, parse: Callable[[Any], Any], request_stream: bool
    ) -> Any:
        async def call(request: Any, context: Context) -> Any:
            record = _Call(method, time.perf_counter())
            CALLER.set(caller)
            try:
                given = _parsed(request, parse) if request_stream else parse(request)
                return await behavior(given, context)
            except Exception as error:  # noqa: BLE001 - the one place that maps every error
                await self._fail(record, error, context)
            except asyncio.CancelledError:
                record.code = grpc.StatusCode.CANCELLED
                raise
            finally:
                self._finish(record)

        return call

    def _streaming(
        self, method: str, caller: Caller, behavior: Any, parse: Callable[[Any], Any], request_stream: bool
    ) -> Any:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            record = _Call(method, time.perf_counter())
            CALLER.set(caller)
            try:
                given = _parsed(request, parse) if request_stream else parse(request)
                answers = behavior(given, context)
                if hasattr(answers, "__aiter__"):
                    async for answer in answers:
                        yield answer
                else:
                    await answers  # reflection and health write to the context themselves
            except Exception as error:  # noqa: BLE001 - the one place that maps every error
                await self._fail(record, error, context)
            except (asyncio.CancelledError, GeneratorExit):
                record.code = grpc.StatusCode.CANCELLED
                raise
            finally:
                self._finish(record)

        return call

    async def _fail(self, record: _Call, error: Exception, context: Context) -> NoReturn:
        if isinstance(error, grpc.aio.AbortError):
            record.code = context.code() or grpc.StatusCode.UNKNOWN
            raise error
        known = error if isinstance(error, MusterError) else _unknown(record.method, error)
        record.code, record.reason = status_of(known), known.code
        await context.abort(record.code, sentence(known), ((DETAILS_KEY, status_details(known)),))
        raise AssertionError("abort raises")

    def _finish(self, record: _Call) -> None:
        seconds = time.perf_counter() - record.started
        self._metrics.observe(record.method, record.code, seconds)
        level = logging.WARNING if record.code is grpc.StatusCode.INTERNAL else logging.DEBUG
        log.log(
            level,
            "%s %s",
            record.method,
            record.code.name,
            extra={"caller": CALLER.get().name, "seconds": round(seconds, 6), "reason": record.reason},
        )


def _authorization(details: grpc.HandlerCallDetails) -> str | None:
    """The call's `authorization` header, the last where there are several; None where there is none."""
    header = None
    for key, value in details.invocation_metadata or ():
        if key.lower() == HEADER:
            header = value if isinstance(value, str) else value.decode("utf-8", "replace")
    return header


async def _parsed(requests: AsyncIterator[Any], parse: Callable[[Any], Any]) -> AsyncIterator[Any]:
    async for raw in requests:
        yield parse(raw)


def _unreadable(error: DecodeError) -> InvalidInput:
    if _DEEP in str(error):
        return InvalidInput(
            "nested far too deep", mend=f"nest values at most {MAX_DEPTH} levels", code="VALUE_TOO_DEEP"
        )
    return InvalidInput(
        "the request is no message of this method, or holds text that is not UTF-8",
        mend="use the stubs of proto/muster/v1",
        code="MALFORMED_REQUEST",
    )


def _unknown(method: str, error: Exception) -> MusterError:
    """What a client sees of an error that nobody foresaw: an id to look for in the log."""
    identifier = uuid.uuid4().hex[:12]
    log.error("unexpected error %s in %s", identifier, method, exc_info=error)
    return MusterError(f"an unexpected error; the server's log has it as {identifier}", mend="report it with that id")
