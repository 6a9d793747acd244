"""Attempts at one provider call: when to try again, how long to wait, and what the attempts add up to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from tenacity import AsyncRetrying, RetryCallState, retry_if_result
from tenacity.wait import wait_random_exponential

from channels.provider import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently a call is repeated.

    Arguments:
        attempts: calls in all, at least 1.
        first_wait: upper bound in seconds of the first wait; each further bound is twice the one before. A wait is
            drawn evenly from zero to its bound ("full jitter"), so that many workers do not come back in step. By
            the defaults all waits together take about half a minute, in which a receiver can restart.
        longest_wait: upper bound in seconds of every wait, also of one that the receiver asked for.
    """

    attempts: int = 8
    first_wait: float = 0.5
    longest_wait: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts: at least 1")
        if not 0 <= self.first_wait <= self.longest_wait:
            raise ValueError("first_wait: from 0 to longest_wait")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one call came to.

    Arguments:
        outcome: what it counts as if no other call follows.
        detail: for people.
        provider_id: as in `Result`.
        again: whether another call may end better.
        least_wait: seconds that the receiver asked to be left alone; 0 if it did not.
        gone: whether the provider says that the address is nobody's any more.
    """

    outcome: Outcome
    detail: str = ""
    provider_id: str = ""
    again: bool = False
    least_wait: float = 0.0
    gone: bool = False


async def attempt_until_settled(
    call: Callable[[], Awaitable[Attempt]], policy: RetryPolicy, stopping: asyncio.Event
) -> Attempt:
    """Repeat a call until it is settled, the policy is exhausted, or the worker stops.

    Once a call may have been taken unseen, nothing but SENT can settle the matter: the whole stays AMBIGUOUS
    even if a later call is refused or finds no connection (which is then tried again too).

    Arguments:
        call: makes one attempt. Repeated calls must carry the same idempotency key.
        policy: how often, how patiently.
        stopping: set when the worker stops; no wait outlasts it and no attempt starts after it.
    """
    if stopping.is_set():
        return Attempt(Outcome.NOT_SENT, "the worker is stopping")
    made: list[Attempt] = []
    uncertain = False

    async def attempt_once() -> Attempt:
        nonlocal uncertain
        if made and stopping.is_set():  # the wait was cut short
            return made[-1]
        attempt = await call()
        made.append(attempt)
        uncertain = uncertain or attempt.outcome is Outcome.AMBIGUOUS
        return attempt

    def worth_another(attempt: Attempt) -> bool:
        return attempt.again or (uncertain and attempt.outcome is Outcome.NOT_SENT)

    def enough(state: RetryCallState) -> bool:
        return stopping.is_set() or len(made) >= policy.attempts

    backoff = wait_random_exponential(multiplier=policy.first_wait, max=policy.longest_wait)

    def wait(state: RetryCallState) -> float:
        return min(max(made[-1].least_wait, backoff(state)), policy.longest_wait)

    async def sleep(seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await stopping.wait()
        except TimeoutError:
            return  # waited long enough: the ordinary case

    retrying = AsyncRetrying(
        sleep=sleep,
        stop=enough,
        wait=wait,
        retry=retry_if_result(worth_another),
        retry_error_callback=lambda state: made[-1],
    )
    last: Attempt = await retrying(attempt_once)
    if uncertain and last.outcome is not Outcome.SENT:
        return replace(last, outcome=Outcome.AMBIGUOUS)
    if last.again and last.outcome is Outcome.FAILED and len(made) < policy.attempts:
        # Refused so far but only interrupted, not exhausted: the next worker goes on.
        return replace(last, outcome=Outcome.NOT_SENT)
    return last
