"""`decide`: how many users a second does the launch of one large message decide, ledger and queue durable before the answer?

Corpus: a copy of the generated people's store, served by one process; this process is the client. A round creates a
message that about half of all users match, its text with a literal of its own, and launches it: from the call until the
answer, everybody is judged, every user who matches is in the ledger and in the queue, and that is in the log. The project
is no sandbox and no worker is there, so that nothing else goes on. Afterwards the report must account for exactly the users
whom numpy finds in the generated arrays, and so must the store after the server was killed with -9.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import muster
import numpy as np
from muster.messages import Webhook
from numpy.typing import NDArray
from pyroaring import BitMap

from benchmarks import people
from benchmarks.corpora import Corpus, copied, people_corpus, project_folder
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.people import NOW, PROJECT, People
from benchmarks.processes import Server, cores, held_to
from benchmarks.progress import Bar
from benchmarks.report import Figures, Report, target
from benchmarks.rounds import WrongAnswer
from core.engine import Engine

NAME: Final = "decide"
ASKED_PROFILES: Final = 10_000_000
ASKED: Final = "a 5 M-recipient message over 10 M profiles decided and committed (ledger and outbox): at least 2.5 M users a second"
"""The issue's words, of which the bound below is a part."""
WEBHOOK: Final[Webhook] = {"url": "https://receiver.example.com/hook", "properties": ["country", "plan"]}


def key_of(number: int) -> str:
    """A round's message."""
    return f"decide-{number}"


def targeting(number: int, middle: float) -> str:
    """A round's audience: about half of all, its bound new in each round but for the same users."""
    return f"user.ltv > {middle - 0.001 - number / 1e6:.6f}"


def middle_of(who: People) -> float:
    """The median of what people spent, in dollars and whole cents."""
    return float(np.sort(who.ltv)[len(who) // 2])


def matching(who: People) -> NDArray[np.uint32]:
    """The ordinals of the answer from the arrays."""
    return np.flatnonzero(who.ltv >= middle_of(who)).astype(np.uint32)


def run(options: Options, bar: Bar) -> Report:
    """Run it.

    Raises:
        WrongAnswer: where other users were decided, or what was answered is not in the store after the kill.
    """
    bar.stage(f"generating {options.profiles:,} people")
    who = people.generate(options.profiles, options.seed)
    corpus = people_corpus(who, options.seed, options.corpora, bar.stage)
    expected, middle = matching(who), middle_of(who)
    del who
    bar.stage("copying the store")
    placed = cores()
    with copied(corpus, options.corpora) as scratch:
        store = scratch / "store"
        with Server(store, scratch, placed and placed[0]) as server:
            bar.stage("starting the server")
            address = server.address()
            with held_to(placed and placed[1]), muster.Client(address, project=PROJECT, tls=False) as client:
                client.projects.update(PROJECT, sandbox=False)
                bar.stage("launching", options.rounds + 1)
                seconds = [_launch(client, number, middle, bar.step) for number in range(options.rounds + 1)]
                bar.stage("asking for reports")
                _check_reports(client, options.rounds + 1, len(expected))
            server.kill()
        bar.stage("recovering the killed server's store")
        check_store(store, options.rounds + 1, expected)
    return _report(options, corpus, figures_of(seconds[1:], len(expected)), placed is not None)


def _launch(client: muster.Client, number: int, middle: float, after: Callable[[], None]) -> float:
    """Create and launch a round's message; seconds of the launch."""
    client.messages.create(key_of(number), targeting=targeting(number, middle), webhook=WEBHOOK)
    started = time.perf_counter()
    client.messages.launch(key_of(number), existing="send")
    took = time.perf_counter() - started
    after()
    return took


def _check_reports(client: muster.Client, count: int, expected: int) -> None:
    for number in range(count):
        report = client.messages.report(key_of(number))
        if not report.reconciled or (report.counts.selected, report.counts.queued) != (expected, expected):
            raise WrongAnswer(
                f"round {number}: {report.counts.selected} were selected and {report.counts.queued} are queued,"
                f" {expected} match; {'; '.join(report.problems)}"
            )


def check_store(store: Path, count: int, expected: NDArray[np.uint32]) -> None:
    """What was answered outlived the kill: every message's queue holds exactly these users.

    Raises:
        WrongAnswer: naming the first message of which it does not.
    """
    engine = Engine.open(project_folder(store), clock=lambda: NOW)
    try:
        users = BitMap(expected)
        for number in range(count):
            ledger = engine.version.messages.ledger(key_of(number))
            if ledger.state("queued") != users or ledger.problems():
                raise WrongAnswer(
                    f"after the kill the queue of {key_of(number)} holds {len(ledger.state('queued'))} users, of {len(users)}"
                )
    finally:
        engine.close()


def figures_of(seconds: Sequence[float], matched: int) -> Figures:
    """Rates of all rounds."""
    return {
        "matched": matched,
        "users_per_second_median": matched / statistics.median(seconds),
        "users_per_second_best": matched / min(seconds),
        "launch_median_ms": statistics.median(seconds) * 1e3,
    }


def _report(options: Options, corpus: Corpus, figures: Figures, placed: bool) -> Report:
    notes = [
        "from the call of LaunchMessage in the client until its answer: everybody judged, ledger and queue in the log;"
        " medians after one untimed round",
        "a webhook of two properties, so that everybody can be reached; a message with an address to look at judges that, too",
        "every message's users were exactly those of the generated arrays, and so they were in the store after kill -9",
        "server and client each held to a core of its own"
        if placed
        else "too few cores to hold server and client apart",
    ]
    if options.profiles != ASKED_PROFILES:
        notes.append(f"the issue's bound is for {ASKED_PROFILES:,} profiles; this run had {options.profiles:,}")
    return Report(
        name=NAME,
        corpus={"key": corpus.key, "profiles": options.profiles, "rounds": options.rounds},
        seed=options.seed,
        machine=machine(),
        versions=versions("grpcio", "protobuf", "lmdb", "numpy", "pyroaring"),
        figures=figures,
        targets=[target(figures, "users_per_second_median", "at least 2.5 M users a second", least=2_500_000)],
        notes=notes,
    )
