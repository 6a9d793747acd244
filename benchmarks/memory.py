"""`memory`: what does a served profile cost in anonymous memory, and does a store larger than its memory still serve?

Corpus: the generated people with twelve properties, of which four are strings that nobody shares. A server opens the store
and answers questions of all kinds, each with literals of its own, while its anonymous memory is watched; the file's pages
are the system's, which takes them back when it needs them. Then it does the same within a control group whose limit is
below the store's size, where the system lets us make one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import muster

from benchmarks import people
from benchmarks.corpora import Corpus, copied, disk_bytes, wide_corpus
from benchmarks.limits import forget_cached, limited
from benchmarks.live import anonymous_mib
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.people import PROJECT
from benchmarks.processes import Server
from benchmarks.progress import Bar
from benchmarks.report import Figures, Report, target
from benchmarks.rounds import WrongAnswer
from core.errors import Unavailable

NAME: Final = "memory"
ASKED: Final = (
    "10 M profiles with 12 properties, 4 of them unique strings; peak RssAnon after load and during queries: at most 150 "
    "bytes a profile; under a cgroup limit below the store's size it still opens and serves"
)
"""The issue's words, of which each bound below is a part."""
_LIMIT_SHARE: Final = 0.5
_ROOM_MIB: Final = 128
"""That a server has at least, within the limit, for pages of files beside its anonymous memory."""
_EVERY_SECONDS: Final = 0.02


def questions(number: int) -> list[str]:
    """Questions of all kinds, the same for one number and others for another."""
    return [
        f'user.plan == "team" && user.age > {20 + number % 50}',
        f'user.country in ["DE", "FR"] && user.ltv > {10 + number}.5 && !user.unsubscribed',
        f"user.visits >= {number % 500} && has(user.email)",
        f'user.handle == "h{number * 7919:08d}"',
        f'user.email.endsWith("{number % 90 + 10}@example.com")',
        f'user.city.startsWith("city-{number % 10}")',
        f"user.last_seen > now - duration('{24 + number}h')",
    ]


def run(options: Options, bar: Bar) -> Report:
    """Run it.

    Raises:
        WrongAnswer: where the limited server answers otherwise.
        Unavailable: SERVER_DIED; NO_PROCFS.
    """
    bar.stage(f"generating {options.profiles:,} people")
    who = people.generate(options.profiles, options.seed)
    corpus = wide_corpus(who, options.seed, options.corpora, bar.stage)
    del who
    size = disk_bytes(corpus.folder)
    bar.stage("copying the store")
    with copied(corpus, options.corpora) as scratch:
        bar.stage("asking", options.rounds)
        peak, answers = _ask(scratch, "free", options.rounds, None, bar.step)
        figures: Figures = {
            "anonymous_peak_mib": peak,
            "anonymous_bytes_per_profile": peak * (1 << 20) / options.profiles,
            "store_mib": size / (1 << 20),
            "limit_mib": None,
            "limited_peak_mib": None,
            "limited_anonymous_peak_mib": None,
            "limited_answers": None,
        }
        limit = max(size * _LIMIT_SHARE, (peak + _ROOM_MIB) * (1 << 20))
        why = "the store is no larger than what the server needs beside it: ask for more profiles"
        if limit < size:
            bar.stage("asking within a limit", options.rounds)
            within, why = _limited(scratch, int(limit), answers, options.rounds, bar.step)
            figures |= within
    return _report(options, corpus, figures, len(answers), why)


def _limited(
    scratch: Path, limit: int, answers: list[int], rounds: int, step: Callable[[], None]
) -> tuple[Figures, str]:
    """Ask a server that may use so many bytes; the figures, or why there are none or they fall short.

    Raises:
        WrongAnswer: where it answers otherwise.
    """
    figures: Figures = {"limit_mib": limit / (1 << 20)}
    try:
        with limited(limit) as group:
            forget_cached(scratch / "store")
            try:
                anonymous, found = _ask(scratch, "limited", rounds, group.procs, step)
            except Unavailable as error:
                if error.code != "SERVER_DIED":
                    raise
                return {**figures, "limited_answers": 0}, error.message
            peak = group.peak_bytes()
    except Unavailable as error:
        if error.code != "NO_CGROUP":
            raise
        return {}, error.message
    if found != answers:
        raise WrongAnswer("within the limit the server answers otherwise")
    return {
        **figures,
        "limited_peak_mib": None if peak is None else peak / (1 << 20),
        "limited_anonymous_peak_mib": anonymous,
        "limited_answers": len(found),
    }, ""


def _ask(
    scratch: Path, name: str, rounds: int, procs: Path | None, step: Callable[[], None]
) -> tuple[float, list[int]]:
    """Serve the store and ask; the peak of anonymous MiB, and all answers.

    Raises:
        Unavailable: SERVER_DIED.
    """
    own = scratch / name
    own.mkdir()
    found = []
    with Server(scratch / "store", own, None, procs) as server:
        with _watched(server.pid) as peak, muster.Client(server.address(), project=PROJECT, tls=False) as client:
            for number in range(rounds):
                try:
                    found += [client.audiences.count(text).count for text in questions(number)]
                except muster.Unavailable:
                    server.check()
                    raise
                step()
        return peak(), found


@contextmanager
def _watched(pid: int) -> Iterator[Callable[[], float]]:
    """Look at a process's anonymous memory all the time; the function gives the most that was seen, in MiB."""
    seen = [0.0]
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(_EVERY_SECONDS):
            try:
                seen.append(anonymous_mib(pid))
            except Unavailable:
                return  # it has ended: whoever asks it is told

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield lambda: max(seen)
    finally:
        stop.set()
        thread.join()


def _report(options: Options, corpus: Corpus, figures: Figures, asked: int, why: str) -> Report:
    return Report(
        name=NAME,
        corpus={"key": corpus.key, "profiles": options.profiles, "properties": 12},
        seed=options.seed,
        machine=machine(),
        versions=versions("lmdb", "numpy", "grpcio"),
        figures=figures,
        targets=[
            target(figures, "anonymous_bytes_per_profile", "at most 150 bytes a profile", most=150),
            target(
                figures,
                "limited_answers",
                "under a cgroup limit below the store's size it still opens and serves",
                least=asked,
                why=why,
            ),
        ],
        notes=[
            f"anonymous memory of the whole server process, looked at every {_EVERY_SECONDS * 1000:.0f} ms from its start"
            f" over {asked} questions",
            f"the limit is {_LIMIT_SHARE:.0%} of the store's size or {_ROOM_MIB} MiB above the anonymous peak, for all memory of the process, the store's pages in the"
            " page cache included: none was there when the limited server started",
            *([f"within the limit {why}"] if figures["limited_answers"] == 0 else []),
        ],
    )
