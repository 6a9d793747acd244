"""`start`: how long from starting `muster serve` until it has answered a question, and how long after kill -9?

Corpus: the generated people and what they did in 90 days, with a checkpoint of everything; the file is in the page cache.
Each start is a new process. For the second figure a server takes events until its log holds nearly as many bytes since the
checkpoint as make it begin the next one, the most that a kill can leave behind, and is killed with nothing awaited.
"""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path
from typing import Final

import muster

from benchmarks import people
from benchmarks.corpora import Corpus, copied, history_corpus, project_folder
from benchmarks.history import History
from benchmarks.ingest_client import EVENTS, Task
from benchmarks.live import anonymous_mib
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.people import PROJECT
from benchmarks.processes import Client, Server
from benchmarks.progress import Bar
from benchmarks.report import Figures, Report, target
from benchmarks.rounds import WrongAnswer
from core.storage.store import Store

NAME: Final = "start"
ASKED_EVENTS: Final = 50_000_000
ASKED: Final = "a store of 10 M profiles and 50 M events: serving in under 2 s; under 5 s after kill -9"
"""The issue's words, of which each bound below is a part."""
_QUESTION: Final = 'user.plan == "team" && events["Purchase"].exists(e, e.amount > 300.0)'
_BATCH: Final = 2_000
_IN_FLIGHT: Final = 4


def run(options: Options, events: int, tail_events: int, bar: Bar) -> Report:
    """Run it.

    Arguments:
        events: how many the history has.
        tail_events: how many more are sent before the kill.

    Raises:
        WrongAnswer: where a start gives another answer than the one before, or an acknowledged event is lost.
        Unavailable: SERVER_DIED, CLIENT_DIED.
    """
    bar.stage(f"generating {options.profiles:,} people")
    history = History(events, options.profiles, options.seed)
    who = people.generate(options.profiles, options.seed)
    corpus = history_corpus(who, history, options.corpora, bar.stage)
    del who
    bar.stage("copying the store")
    with copied(corpus, options.corpora) as scratch:
        numbers = itertools.count()
        bar.stage("starting", options.rounds + 1)
        plain = [_start(scratch, next(numbers), bar) for _ in range(options.rounds + 1)]
        bar.stage("sending events")
        sent, tail = _fill_log(options, scratch, next(numbers), tail_events)
        bar.stage("starting after a kill", options.rounds + 1)
        killed = [_start(scratch, next(numbers), bar) for _ in range(options.rounds + 1)]
    if len({one.matched for one in plain}) != 1 or {one.events - sent for one in killed} != {plain[0].events}:
        raise WrongAnswer("not every start found the same, with all that was acknowledged")
    return _report(options, corpus, events, _figures(plain[1:], killed[1:], sent, tail))


class _Started:
    """One start: seconds until an address, seconds until an answer, anonymous MiB then, and what was found."""

    def __init__(self, served: float, answered: float, mib: float, matched: int, events: int) -> None:
        self.served, self.answered, self.mib, self.matched, self.events = served, answered, mib, matched, events


def _start(scratch: Path, number: int, bar: Bar) -> _Started:
    """Start a server, ask it, and end it as a crash would."""
    own = scratch / str(number)
    own.mkdir()
    began = time.perf_counter()
    with (
        Server(scratch / "store", own, None) as server,
        muster.Client(server.address(), project=PROJECT, tls=False) as to,
    ):
        served = time.perf_counter() - began
        matched = to.audiences.count(_QUESTION).count
        answered = time.perf_counter() - began
        events = sum(one.count for one in to.profiles.schema().events)
        mib = anonymous_mib(server.pid)
    bar.step()
    return _Started(served, answered, mib, matched, events)


def _fill_log(options: Options, scratch: Path, number: int, tail_events: int) -> tuple[int, int]:
    """Send events and kill the server; how many were acknowledged, and bytes of the log since the last checkpoint."""
    own = scratch / str(number)
    own.mkdir()
    with Server(scratch / "store", own, None) as server:
        with Client(server.address(), None) as client:
            task = Task(EVENTS, 1, tail_events, options.profiles, options.seed, _BATCH, _IN_FLIGHT)
            sent = client.run(task).accepted
        server.kill()
    with Store.open(project_folder(scratch / "store")) as store:
        return sent, sum(len(record) for _, record in store.log.read(store.pages.position))


def _figures(plain: list[_Started], killed: list[_Started], sent: int, tail: int) -> Figures:
    return {
        "serving_s": statistics.median(one.served for one in plain),
        "first_answer_s": statistics.median(one.answered for one in plain),
        "killed_serving_s": statistics.median(one.served for one in killed),
        "killed_first_answer_s": statistics.median(one.answered for one in killed),
        "anonymous_mib": statistics.median(one.mib for one in plain),
        "killed_anonymous_mib": statistics.median(one.mib for one in killed),
        "tail_events": sent,
        "tail_mib": tail / (1 << 20),
    }


def _report(options: Options, corpus: Corpus, events: int, figures: Figures) -> Report:
    notes = [
        "from starting the process until the ready file, and until a count over events was answered; medians after one"
        " untimed start",
        f"the kill: after {figures['tail_events']:,} events acknowledged since the last checkpoint, all found again",
        "the store's file is in the page cache",
    ]
    return Report(
        name=NAME,
        corpus={"key": corpus.key, "profiles": options.profiles, "events": events},
        seed=options.seed,
        machine=machine(),
        versions=versions("lmdb", "numpy", "grpcio"),
        figures=figures,
        targets=[
            target(figures, "first_answer_s", "serving in under 2 s", most=2.0),
            target(figures, "killed_first_answer_s", "under 5 s after kill -9", most=5.0),
        ],
        notes=notes,
    )
