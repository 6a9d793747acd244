"""Methods that are described once and serve the blocking and the asyncio client alike.

A method written under `@answered` or `@listed` describes a call as a flow (`muster.flow`). Looked up on a service
over a `Blocking` transport it is a function that answers; over an `Awaiting` one, a coroutine function. Type checkers
see the one or the other.
"""

from __future__ import annotations

import functools
import inspect
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from google.protobuf.message import Message

from muster import flow as flows
from muster.flow import Flow, Rpc
from muster.transport import Awaiting, Blocking

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=Message)
Way = TypeVar("Way", bound=Blocking | Awaiting)
"""How a service's methods are carried out."""


class Service(Generic[Way]):
    """Methods on one project of one server.

    Arguments:
        transport: how they are carried out.
        project: the project that a method means where it is given none.
    """

    def __init__(self, transport: Way, project: str = "") -> None:
        self._transport = transport
        self._project = project

    def _ask(self, rpc: Rpc[M], request: Message, timeout: float | None = None) -> Flow[M]:
        """One call with the client's retries and time-out."""
        connection = self._transport.connection
        return flows.ask(rpc, request, connection.retry, connection.timeout if timeout is None else timeout)


class answered(Generic[P, T]):  # noqa: N801 - a decorator
    """A method that gives one answer."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self._describe = describe

    @overload
    def __get__(self, service: Service[Blocking], owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, service: Service[Awaiting], owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, service: None, owner: Any) -> Callable[..., Any]: ...
    def __get__(self, service: Any, owner: Any) -> Any:
        describe = self._describe
        if service is None:
            return _documented(_on_class(describe), describe, "{}", bound=False)
        transport = service._transport

        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return transport.run(describe(service, *args, **kwargs))

        async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            return await transport.run(describe(service, *args, **kwargs))

        return _documented(call_async if isinstance(transport, Awaiting) else call, describe, "{}")


class listed(Generic[P, T]):  # noqa: N801 - a decorator
    """A method that gives an iterator, which asks the server for more as it is used."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Items[T]]) -> None:
        self._describe = describe

    @overload
    def __get__(self, service: Service[Blocking], owner: Any) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, service: Service[Awaiting], owner: Any) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, service: None, owner: Any) -> Callable[..., Any]: ...
    def __get__(self, service: Any, owner: Any) -> Any:
        describe = self._describe
        if service is None:
            return _documented(_on_class(describe), describe, "Iterator[{}]", bound=False)
        transport = service._transport

        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return transport.iterate(describe(service, *args, **kwargs).flow)

        return _documented(call, describe, "AsyncIterator[{}]" if isinstance(transport, Awaiting) else "Iterator[{}]")


class Items(Generic[T]):
    """What a listed method describes: a flow that emits items of type T.

    Arguments:
        item: the items' type, for type checkers.
        flow: emits them.
    """

    def __init__(self, item: type[T], flow: Flow[None]) -> None:
        self.item = item
        self.flow = flow


def new_request_id() -> str:
    """The id of one logical call: the server answers a repeated one as it did the first."""
    return uuid.uuid4().hex


def _on_class(describe: Callable[..., Any]) -> Callable[..., Any]:
    """The method looked up on its class: which way it goes is known when it is given a service."""

    def call(service: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(service, describe.__name__)(*args, **kwargs)

    return call


def _documented(
    call: Callable[..., Any], describe: Callable[..., Any], answer: str, bound: bool = True
) -> Callable[..., Any]:
    """`call` with the name, documentation and arguments of the method it stands for, for people who ask `help`."""
    functools.update_wrapper(call, describe)
    call.__signature__ = _signature(describe, answer, bound)  # type: ignore[attr-defined]
    return call


@functools.cache
def _signature(describe: Callable[..., Any], answer: str, bound: bool) -> inspect.Signature:
    """A method's signature, with what it answers in place of the flow it describes."""
    signature = inspect.signature(describe)
    inner = str(signature.return_annotation).partition("[")[2].removesuffix("]")
    parameters = list(signature.parameters.values())[1 if bound else 0 :]
    return signature.replace(parameters=parameters, return_annotation=answer.format(inner))
