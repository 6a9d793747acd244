"""`select`: how many matched users a second reach the client through the gRPC stream, as ordinals and as distinct ids?

Corpus: the generated people's store, which one server process serves over the loopback; this process is the client, the
Python SDK as anyone uses it. Each is held to a core of its own where there are two. A round asks for the same users once
as an array of ordinals and once as a list of their ids, from the call until all of them stand in the client, evaluation
included; its text has literals of its own. Both must be exactly the users that numpy finds in the generated arrays.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import muster
import numpy as np
from numpy.typing import NDArray

from benchmarks import people
from benchmarks.corpora import Corpus, people_corpus, scratch_folder
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.people import PROJECT, People
from benchmarks.processes import Server, cores, held_to
from benchmarks.progress import Bar
from benchmarks.question import PLAN, Question
from benchmarks.report import Figures, Report, target
from benchmarks.rounds import WrongAnswer

NAME: Final = "select"
ASKED: Final = "at least 20 M ordinals a second in the client, and 3 M distinct ids as strings"
"""The issue's words, of which each bound below is a part."""
ORDINALS: Final = "ordinals"
IDS: Final = "ids"


def run(options: Options, bar: Bar) -> Report:
    """Run it.

    Raises:
        WrongAnswer: where other users come than those who match.
    """
    bar.stage(f"generating {options.profiles:,} people")
    who = people.generate(options.profiles, options.seed)
    corpus = people_corpus(who, options.seed, options.corpora, bar.stage)
    expected = matching(who)
    del who
    placed = cores()
    with scratch_folder(options.corpora) as scratch, Server(corpus.folder, scratch, placed and placed[0]) as server:
        bar.stage("starting the server")
        address = server.address()
        with held_to(placed and placed[1]), muster.Client(address, project=PROJECT, tls=False) as client:
            bar.stage("asking in turn", options.rounds + 1)
            seconds = _ask(client, expected, options.rounds, bar.step)
    return _report(options, corpus, figures_of(seconds, len(expected)), placed is not None)


def targeting(number: int) -> str:
    """What a round asks: nearly everybody on the most frequent plan, its bound new in each round."""
    return f'user.plan == "{PLAN}" && user.ltv > {Question(number).ltv}'


def matching(who: People) -> NDArray[np.uint32]:
    """The ordinals of the answer from the arrays."""
    wanted = (who.plan == people.PLANS.index(PLAN)) & (who.ltv > float(Question(0).ltv))
    return np.flatnonzero(wanted).astype(np.uint32)


def _ask(
    client: muster.Client, expected: NDArray[np.uint32], rounds: int, after_round: Callable[[], None]
) -> dict[str, list[float]]:
    """Seconds by kind. Round 0 is not timed; what comes is checked and given up before the next is asked for."""
    ids = [people.id_of(ordinal) for ordinal in expected.tolist()]
    asks: dict[str, tuple[Callable[[str], Any], Callable[[Any], bool]]] = {
        ORDINALS: (client.audiences.ordinals, lambda found: np.array_equal(np.frombuffer(found, np.uint32), expected)),
        IDS: (lambda text: list(client.audiences.select(text)), lambda found: bool(found == ids)),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in asks}
    gc.freeze()  # the expected ids are no part of what the collector has to go through while it is timed
    for number in range(rounds + 1):
        for kind, (ask, right) in asks.items():
            started = time.perf_counter()
            found = ask(targeting(number))
            took = time.perf_counter() - started
            if not right(found):
                raise WrongAnswer(f"round {number}: the {kind} that came are not the users who match")
            del found
            if number:
                seconds[kind].append(took)
        after_round()
    return seconds


def figures_of(seconds: Mapping[str, Sequence[float]], matched: int) -> Figures:
    """Rates of all rounds."""
    figures: Figures = {"matched": matched}
    for kind, took in seconds.items():
        figures[f"{kind}_per_second_median"] = matched / statistics.median(took)
        figures[f"{kind}_per_second_best"] = matched / min(took)
        figures[f"{kind}_median_ms"] = statistics.median(took) * 1e3
    return figures


def _report(options: Options, corpus: Corpus, figures: Figures, placed: bool) -> Report:
    return Report(
        name=NAME,
        corpus={"key": corpus.key, "profiles": options.profiles, "rounds": options.rounds},
        seed=options.seed,
        machine=machine(),
        versions=versions("grpcio", "protobuf", "numpy", "pyroaring"),
        figures=figures,
        targets=[
            target(
                figures,
                f"{ORDINALS}_per_second_median",
                "at least 20 M ordinals a second in the client",
                least=20_000_000,
            ),
            target(figures, f"{IDS}_per_second_median", "3 M distinct ids as strings", least=3_000_000),
        ],
        notes=[
            "from the call until all users stand in the client, evaluation included; medians after one untimed round",
            "ordinals as an array('I'), ids as a list of str, both as client.audiences gives them",
            "every round's users were exactly those of the generated arrays",
            "server and client each held to a core of its own"
            if placed
            else "too few cores to hold server and client apart",
        ],
    )
