"""How a receiver misbehaves: where, how often, and with which answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class Fault:
    """One kind of misbehaviour.

    Arguments:
        stage: where in the protocol; see `channels.doubles.smtp.STAGES` and `channels.doubles.http.STAGES`.
        reply: the answer given there, such as `451 4.3.0 later` or `503`; empty: the connection is dropped.
        times: how often it happens, None for ever.
        every: it strikes each time the stage is passed for the n-th time.
        about: only where the address or path contains this.
        headers: of an HTTP answer.
        body: of an HTTP answer, in place of the receiver's own.
    """

    stage: str
    reply: str = ""
    times: int | None = 1
    every: int = 1
    about: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    passed: int = 0
    """How often the stage was passed so far."""


class Faults:
    """The faults of one receiver, and how long it takes over everything.

    Arguments:
        faults: tried in order; the first that fits strikes.
        delay: seconds before each mail or request is answered.
    """

    def __init__(self, faults: Iterable[Fault] = (), delay: float = 0.0) -> None:
        self.faults = list(faults)
        self.delay = delay

    def strike(self, stage: str, about: str = "") -> Fault | None:
        """The fault due at a stage, if any; it is used up by one."""
        for fault in self.faults:
            if fault.stage != stage or fault.about not in about or fault.times == 0:
                continue
            fault.passed += 1
            if fault.passed % fault.every:
                continue
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None

    async def dawdle(self) -> None:
        """Take the time set by `delay`."""
        if self.delay:
            await asyncio.sleep(self.delay)
