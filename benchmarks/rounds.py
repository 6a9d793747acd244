"""Timed rounds, the systems taking turns so that a busy moment of the machine hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.errors import MusterError

Answer = TypeVar("Answer")


class WrongAnswer(MusterError):
    """What was measured is not what was asked: the figures mean nothing and are not printed."""

    code = "WRONG_ANSWER"


@dataclass(frozen=True, slots=True)
class Timed(Generic[Answer]):
    """One system's rounds: seconds and answers, in the order of rounds."""

    seconds: list[float]
    answers: list[Answer]

    @property
    def median_ms(self) -> float:
        """Half of the rounds were faster."""
        return statistics.median(self.seconds) * 1e3

    @property
    def least_ms(self) -> float:
        """The fastest round."""
        return min(self.seconds) * 1e3


def interleaved(
    systems: Mapping[str, Callable[[int], Answer]], rounds: int, after_round: Callable[[], None]
) -> dict[str, Timed[Answer]]:
    """Ask every system once a round, beginning with another one each time.

    Arguments:
        systems: by name; each is called with the round's number. Round 0 is not timed: it warms caches and pages.
        rounds: how many are timed, numbered from 1.
        after_round: called after each, the first included.
    """
    timed: dict[str, Timed[Answer]] = {name: Timed([], []) for name in systems}
    names = list(systems)
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            started = time.perf_counter()
            answer = systems[name](number)
            took = time.perf_counter() - started
            if number:
                timed[name].seconds.append(took)
                timed[name].answers.append(answer)
        after_round()
    return timed


def same_answer(timed: Mapping[str, Timed[Answer]], reference: str) -> list[Answer]:
    """The answer of each round, on which all systems agree.

    Raises:
        WrongAnswer: naming the first system and round that say otherwise.
    """
    agreed = timed[reference].answers
    for name, one in timed.items():
        for number, (answer, expected) in enumerate(zip(one.answers, agreed, strict=True), 1):
            if answer != expected:
                raise WrongAnswer(f"round {number}: {name} counts {answer}, {reference} counts {expected}")
    return agreed
