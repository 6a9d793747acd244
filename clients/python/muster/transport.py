"""The two ways to carry out a flow: by blocking the calling thread, and by awaiting on the event loop."""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from muster.connection import Connection
from muster.errors import MusterError, Unavailable, from_status
from muster.flow import Ask, Emit, Flow, Open, Receive, Send, Step, Take, Wait
from muster.forking import GATE, register

T = TypeVar("T")
_END: Final = object()
STREAM_BROKEN: Final = "STREAM_BROKEN"
"""Code of a stream that ended for a reason which gRPC keeps to itself: a failed write of grpc.aio replaces the status
that the server sent. Whoever needs it opens another stream and writes nothing until the first answer."""
_MASKED: Final = "Internal error from Core"
_PARENTS: Final[list[object]] = []
"""Channels and streams of the process this one was forked from: kept, since giving them up would call into them."""
END_OF_STREAM: Final[Any] = getattr(grpc.aio, "EOF")  # noqa: B009 - its stubs lack the name


class Blocking:
    """Carries out flows by blocking. May be used from several threads and after a fork; connects at the first call.

    Arguments:
        connection: where to.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._opening = threading.Lock()
        self._channel: grpc.Channel | None = None
        register(self)

    def run(self, flow: Flow[T]) -> T:
        """Carry a flow out; its return value.

        Raises:
            MusterError: what the flow raises.
        """
        steps = self._steps(flow)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                answer: T = end.value
                return answer

    def iterate(self, flow: Flow[Any]) -> Iterator[Any]:
        """Carry a flow out as its items are asked for."""
        for emitted in self._steps(flow):
            yield from emitted.items

    def channel(self) -> grpc.Channel:
        """The channel in use."""
        with self._opening:
            if self._channel is None:
                self._channel = self.connection.open()
            return self._channel

    def close(self) -> None:
        """Close the channel, ending what is under way on it. A later call opens a new one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def cut_off(self) -> None:
        """Before a fork: end calls and streams under way. They are tried again, on a new channel."""
        self.close()

    def start_over(self) -> None:
        """In a forked child: let go of the parent's channel, and of a lock that one of its threads may hold."""
        _PARENTS.append(self._channel)
        self._opening = threading.Lock()
        self._channel = None

    def _steps(self, flow: Flow[T]) -> Generator[Emit, None, T]:
        """Carry a flow out, yielding what it emits."""
        link = _BlockingLink(self)
        answer: Any = None
        error: MusterError | None = None
        try:
            while True:
                try:
                    step = flow.send(answer) if error is None else flow.throw(error)
                except StopIteration as end:
                    value: T = end.value
                    return value
                answer, error = None, None
                if isinstance(step, Emit):
                    yield step
                    continue
                try:
                    answer = link.carry_out(step)
                except MusterError as failure:
                    error = failure
        finally:
            link.end()
            flow.close()


class _BlockingLink:
    """The calls of one flow: at most one open stream at a time."""

    def __init__(self, transport: Blocking) -> None:
        self.forks = GATE.forks
        self._transport = transport
        self._metadata = transport.connection.metadata
        self._stream: Any = None
        self._requests: queue.SimpleQueue[Message | None] | None = None
        self._process = 0

    def carry_out(self, step: Step) -> Any:
        """Do what the step says.

        Raises:
            MusterError: where a call failed.
        """
        match step:
            case Wait(seconds):
                time.sleep(seconds)
            case Send(request):
                assert self._requests is not None
                self._requests.put(request)
            case Take(source, count):
                if isinstance(source, AsyncIterator):
                    raise TypeError("an async iterable of records: use AsyncClient")
                return list(itertools.islice(source, count))
            case Open():
                self.end()
                self._call(step)
            case _:
                return self._call(step)
        return None

    def _call(self, step: Step) -> Any:
        """Enter gRPC; also what a failed call leaves behind in it is given up before this thread is outside again."""
        with GATE.inside():
            try:
                if isinstance(step, Receive):
                    return next(self._stream, None)
                self.forks = GATE.forks
                channel = self._transport.channel()
                try:
                    return self._begin(channel, step)
                except ValueError as failure:
                    if channel is self._transport.channel():
                        raise
                    error: MusterError = Unavailable(str(failure))  # closed since it was looked up
            except grpc.RpcError as failure:
                error = typed_error(failure, forked=self.forks != GATE.forks)
                failure.__traceback__ = None  # its frames hold the call
        raise error

    def _begin(self, channel: grpc.Channel, step: Step) -> Any:
        match step:
            case Ask(rpc, request, timeout):
                call = channel.unary_unary(rpc.path, _serialize, rpc.answer.FromString)
                return call(request, timeout=timeout, metadata=self._metadata)
            case Open(rpc, None, timeout):
                requests: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
                both = channel.stream_stream(rpc.path, _serialize, rpc.answer.FromString)
                self._stream = both(iter(requests.get, None), timeout=timeout, metadata=self._metadata)
                self._requests = requests
            case Open(rpc, request, timeout):
                one = channel.unary_stream(rpc.path, _serialize, rpc.answer.FromString)
                self._stream = one(request, timeout=timeout, metadata=self._metadata)
        self._process = os.getpid()
        GATE.stream_opened(self)
        return None

    def end(self) -> None:
        """End the open stream, if any."""
        stream, requests = self._stream, self._requests
        self._stream = self._requests = None
        if stream is None:
            return
        if self._process != os.getpid():
            _PARENTS.append(stream)  # its threads are the parent's
            return
        if requests is not None:
            requests.put(None)  # lets the thread go that feeds the stream
        with GATE.inside(wait=False):  # perhaps called by the garbage collection of a thread that forks
            stream.cancel()
            GATE.stream_ended(self)
            del stream


class Awaiting:
    """Carries out flows by awaiting. Belongs to the event loop that uses it first; connects at the first call.

    Arguments:
        connection: where to.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._channel: grpc.aio.Channel | None = None

    async def run(self, flow: Flow[T]) -> T:
        """Carry a flow out; its return value.

        Raises:
            MusterError: what the flow raises.
        """
        values: list[T] = []
        async with aclosing(self._steps(flow, values.append)) as steps:
            async for _ in steps:
                pass
        return values[0]

    async def iterate(self, flow: Flow[Any]) -> AsyncGenerator[Any, None]:
        """Carry a flow out as its items are asked for."""
        async with aclosing(self._steps(flow, lambda value: None)) as steps:
            async for emitted in steps:
                for item in emitted.items:
                    yield item

    async def _steps(self, flow: Flow[T], end: Callable[[T], object]) -> AsyncGenerator[Emit, None]:
        """Carry a flow out, yielding what it emits; `end` is given its return value."""
        link = _AwaitingLink(self)
        answer: Any = None
        error: MusterError | None = None
        try:
            while True:
                try:
                    step = flow.send(answer) if error is None else flow.throw(error)
                except StopIteration as stop:
                    end(stop.value)
                    return
                answer, error = None, None
                if isinstance(step, Emit):
                    yield step
                    continue
                try:
                    answer = await link.carry_out(step)
                except (grpc.RpcError, MusterError) as failure:
                    error = typed_error(failure)
        finally:
            link.end()
            flow.close()

    async def close(self) -> None:
        """Close the channel. A later call opens a new one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close(None)

    def channel(self) -> grpc.aio.Channel:
        """The channel in use."""
        if self._channel is None:
            self._channel = self.connection.open_async()
        return self._channel


class _AwaitingLink:
    """The calls of one flow: at most one open stream at a time."""

    def __init__(self, transport: Awaiting) -> None:
        self._transport = transport
        self._stream: Any = None

    async def carry_out(self, step: Step) -> Any:
        match step:
            case Ask(rpc, request, timeout):
                call: Any = self._transport.channel().unary_unary(rpc.path, _serialize, rpc.answer.FromString)
                return await call(request, timeout=timeout, metadata=self._transport.connection.metadata)
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Open(rpc, request, timeout):
                self.end()
                channel: Any = self._transport.channel()
                metadata = self._transport.connection.metadata
                if request is not None:
                    one = channel.unary_stream(rpc.path, _serialize, rpc.answer.FromString)
                    self._stream = one(request, timeout=timeout, metadata=metadata)
                else:
                    both = channel.stream_stream(rpc.path, _serialize, rpc.answer.FromString)
                    self._stream = both(timeout=timeout, metadata=metadata)
            case Send(request):
                await write(self._stream, request)
            case Receive():
                answer = await self._stream.read()
                return None if answer is END_OF_STREAM else answer
            case Take(source, count):
                if not isinstance(source, AsyncIterator):
                    return list(itertools.islice(source, count))
                items: list[Any] = []
                while len(items) < count and (item := await anext(source, _END)) is not _END:
                    items.append(item)
                return items
        return None

    def end(self) -> None:
        """End the open stream, if any."""
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def open_stream(channel: grpc.aio.Channel, path: str, answer: type[Message], connection: Connection) -> Any:
    """A new stream of requests and answers on a channel."""
    both: Any = channel.stream_stream(path, _serialize, answer.FromString)
    return both(metadata=connection.metadata)


async def write(stream: Any, request: Message) -> None:
    """Send one request on a stream of grpc.aio.

    Raises:
        MusterError: what ended the stream; Unavailable with the code STREAM_BROKEN where gRPC does not tell.
    """
    try:
        await stream.write(request)
    except asyncio.InvalidStateError as failure:
        status = await stream.code()
        if status is grpc.StatusCode.OK:
            raise Unavailable("the server ended the stream") from failure
        raise from_status(status, await stream.details(), await stream.trailing_metadata()) from failure
    except grpc.RpcError as failure:
        raise typed_error(failure) from failure


def typed_error(failure: grpc.RpcError | MusterError, forked: bool = False) -> MusterError:
    """The typed error of a call that failed, its cause kept.

    Arguments:
        failure: an RpcError; a MusterError is returned as it is.
        forked: whether the process forked during the call.
    """
    if isinstance(failure, MusterError):
        return failure
    call: Any = failure  # grpc raises a class that is an error and a call at once
    error = from_status(call.code(), call.details(), call.trailing_metadata())
    if call.details() == _MASKED:
        error = Unavailable("the stream broke while a request was written", code=STREAM_BROKEN)
    if forked and call.code() is grpc.StatusCode.CANCELLED:
        error = Unavailable("the process forked, which ended the call")
    error.__cause__ = failure
    return error
