"""One opening of one store of `size` in a process of its own: whatever it holds ends with it.

It reads its task from its argument (JSON) and writes what it measured to stdout, one line of JSON. The engine stands in
this process, without a server, so that its anonymous memory is the store's and not gRPC's.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.live import anonymous_mib
from benchmarks.people import NOW
from benchmarks.rounds import WrongAnswer
from benchmarks.sequels import Asked, Sequel
from core.engine import Engine
from core.evaluator import answers


@dataclass(frozen=True, slots=True)
class Task:
    """What to open and to ask.

    Arguments:
        folder: the project's.
        matched: what the `behaviour` question must count.
        rounds: timed, after one that is not.
    """

    folder: str
    matched: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Opened:
    """What one opening took.

    Arguments:
        first_answer_s: from opening the store until the `behaviour` question was answered once.
        behaviour_ms: median of the question afterwards.
        opened_bytes, asked_bytes: anonymous memory after opening, and after all questions.
    """

    open_s: float
    first_answer_s: float
    behaviour_ms: float
    opened_bytes: int
    asked_bytes: int


def measure(task: Task) -> Opened:
    """Open the store and ask it.

    Raises:
        WrongAnswer: where it counts something else.
    """
    began = time.perf_counter()
    engine = Engine.open(Path(task.folder), clock=lambda: NOW)
    try:
        opened = time.perf_counter() - began
        opened_bytes = _anonymous_bytes()
        asked = Asked(engine.version.population, engine.version.audiences, Sequel(0).now)
        answered, spent = 0.0, []
        for number in range(task.rounds + 1):
            before = time.perf_counter()
            found = answers.count(asked, Sequel(number).cel, {}).count
            after = time.perf_counter()
            if found != task.matched:
                raise WrongAnswer(f"{task.folder}: {found} match, the events themselves give {task.matched}")
            if number:
                spent.append((after - before) * 1_000)
            else:
                answered = after - began
        return Opened(opened, answered, statistics.median(spent), opened_bytes, _anonymous_bytes())
    finally:
        engine.close()


def _anonymous_bytes() -> int:
    return round(anonymous_mib(os.getpid()) * (1 << 20))


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Task(**json.loads(sys.argv[1]))))))
