"""What a call does, step by step, without doing it.

Retries, pages and resumed imports are written once, as generators that yield steps: ask, wait, open a stream, send,
receive. A transport (`muster.transport`) carries the steps out, by blocking or by awaiting, and sends back what came
of each; an error of the call is raised inside the flow, at its step. The flow's return value is the call's answer.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from google.protobuf.message import Message

from muster.connection import Retry
from muster.errors import Unavailable

M = TypeVar("M", bound=Message)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rpc(Generic[M]):
    """One method of the protocol: its path, such as `/muster.v1.ProfileService/GetProfile`, and what it answers."""

    path: str
    answer: type[M]


@dataclass(frozen=True, slots=True)
class Ask:
    """Call a method with one request and one answer. Sent back: the answer. `timeout` is in seconds."""

    rpc: Rpc[Any]
    request: Message
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Let so many seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """Start a stream, ending an earlier one: with a request, of answers; without, of both. `timeout` in seconds."""

    rpc: Rpc[Any]
    request: Message | None
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Send:
    """Send one request on the open stream of both."""

    request: Message


@dataclass(frozen=True, slots=True)
class Receive:
    """Take the open stream's next answer. Sent back: the answer, or None at its end."""


@dataclass(frozen=True, slots=True)
class Take:
    """Take up to so many items of a source. Sent back: a list, shorter only where the source ends."""

    source: Iterator[Any] | AsyncIterator[Any]
    count: int


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand items to whoever iterates over the flow."""

    items: Iterable[Any]


Step: TypeAlias = Ask | Wait | Open | Send | Receive | Take | Emit
Flow: TypeAlias = Generator[Step, Any, T]


def ask(rpc: Rpc[M], request: Message, retry: Retry, timeout: float) -> Flow[M]:
    """Call a method, trying again while the server is unavailable.

    Arguments:
        retry: how often; `Retry(attempts=1)` where a second attempt could do what the first did already.
        timeout: seconds for all attempts together.

    Raises:
        MusterError: the last attempt's.
    """
    deadline = time.monotonic() + timeout
    waits = retry.waits()
    while True:
        try:
            answer: M = yield Ask(rpc, request, max(0.0, deadline - time.monotonic()))
            return answer
        except Unavailable:
            wait = next(waits, None)
            if wait is None or time.monotonic() + wait >= deadline:
                raise
        yield Wait(wait)


def pages(fetch: Callable[[str], Flow[M]], items: Callable[[M], Sequence[Any]], most: int | None = None) -> Flow[None]:
    """Emit the items of a listing, page after page, each fetched when the one before is used up.

    Arguments:
        fetch: asks for the page of a token; "" is the first.
        items: a page's.
        most: end after so many; None: all.
    """
    token, left = "", most
    while left is None or left > 0:
        page = yield from fetch(token)
        found = items(page)
        yield Emit(found if left is None else found[:left])
        if left is not None:
            left -= len(found)
        token = page.next_page_token  # type: ignore[attr-defined]  # every page has one; protobuf has no base for it
        if not token:
            return


def stream(
    rpc: Rpc[M],
    request: Message,
    retry: Retry,
    items: Callable[[M], Iterable[Any] | None],
    timeout: float | None = None,
) -> Flow[None]:
    """Emit what `items` makes of each answer of a stream.

    Tried again while the server is unavailable, until the first answer came.

    Raises:
        MusterError: the last attempt's; Unavailable also where the stream breaks later, having no place to go on at.
    """
    waits = retry.waits()
    started = False
    while True:
        try:
            yield Open(rpc, request, timeout)
            while (answer := (yield Receive())) is not None:
                started = True
                yield Emit(items(answer) or ())
            return
        except Unavailable:
            wait = None if started else next(waits, None)
            if wait is None:
                raise
        yield Wait(wait)
