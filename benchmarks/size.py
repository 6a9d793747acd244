"""`size`: how many bytes does an event cost on disk and in memory, how long does opening take, and by which law do they grow?

Corpora: at each of three sizes (a hundredth, a tenth, the whole, profiles and events in one proportion) the generated
people's store, and the store of the same people with what they did in 90 days; what events cost is the difference of the
two. Each opening is a process of its own, which opens the store, answers the `behaviour` question and asks it on.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from benchmarks import people
from benchmarks.corpora import Corpus, disk_bytes, history_corpus, people_corpus, project_folder
from benchmarks.history import History
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.progress import Bar
from benchmarks.report import Figures, Line, Panel, Report, Target, target
from benchmarks.rounds import WrongAnswer
from benchmarks.sequels import history_count
from benchmarks.size_run import Opened, Task
from core.errors import Unavailable

NAME: Final = "size"
ASKED_PROFILES: Final = 20_000_000
ASKED_EVENTS: Final = 200_000_000
ASKED: Final = (
    "20 M profiles, 200 M events (`--events` for 1 B), and the law it follows: bytes an event on disk at most 24 and "
    "resident at most 1; opening time; time of the `behaviour` query"
)
"""The issue's words, of which each bound below is a part."""
FACTORS: Final = (0.01, 0.1, 1.0)
_LEAST_EVENTS: Final = 100
_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class Size:
    """What one size costs: medians over its openings.

    Arguments:
        disk: bytes of the store with events, less those of the store without.
        opened, asked: the same of anonymous bytes after opening and after all questions; noise may make them negative.
        open_s, first_answer_s, behaviour_ms: of the store with events, as `Opened` has them.
        bare_open_s: of the store without events.
        store: bytes on disk of the store with events.
    """

    profiles: int
    events: int
    matched: int
    store: int
    disk: int
    opened: float
    asked: float
    open_s: float
    bare_open_s: float
    first_answer_s: float
    behaviour_ms: float

    @property
    def resident(self) -> float:
        """Anonymous bytes that events cost, at the worse of the two looks."""
        return max(self.opened, self.asked)


def run(options: Options, events: int, bar: Bar) -> Report:
    """Run it.

    Arguments:
        events: how many the largest size has.

    Raises:
        WrongAnswer: where a store does not count what numpy counts in the drawn events.
        Unavailable: OPENING_FAILED, where a process ends without a figure.
    """
    found = []
    for factor in FACTORS:
        profiles = max(1, round(options.profiles * factor))
        found.append(_size(options, profiles, max(_LEAST_EVENTS, round(events * factor)), bar))
    return _report(options, events, found)


def _size(options: Options, profiles: int, events: int, bar: Bar) -> Size:
    history = History(events, profiles, options.seed)
    bar.stage(f"{events:,} events: counting in the events themselves")
    matched = history_count(history)
    bar.stage(f"generating {profiles:,} people")
    who = people.generate(profiles, options.seed)
    bare = people_corpus(who, options.seed, options.corpora, bar.stage)
    full = history_corpus(who, history, options.corpora, bar.stage)
    del who
    without: list[Opened] = []
    opened: list[Opened] = []
    bar.stage(f"{events:,} events: opening in turn", 2 * options.rounds)
    for _ in range(options.rounds):
        without.append(_open(bare, 0, options.rounds, bar.step))
        opened.append(_open(full, matched, options.rounds, bar.step))
    store = disk_bytes(full.folder)

    def median(of: Sequence[Opened], read: Callable[[Opened], float]) -> float:
        return statistics.median(map(read, of))

    def more(read: Callable[[Opened], float]) -> float:
        return median(opened, read) - median(without, read)

    return Size(
        profiles,
        events,
        matched,
        store,
        store - disk_bytes(bare.folder),
        more(lambda one: one.opened_bytes),
        more(lambda one: one.asked_bytes),
        median(opened, lambda one: one.open_s),
        median(without, lambda one: one.open_s),
        median(opened, lambda one: one.first_answer_s),
        median(opened, lambda one: one.behaviour_ms),
    )


def _open(corpus: Corpus, matched: int, rounds: int, step: Callable[[], None]) -> Opened:
    task = Task(str(project_folder(corpus.folder)), matched, rounds)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.size_run", json.dumps(asdict(task))],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        last = said[-1].strip()[:_REASON] if said else f"status {done.returncode}"
        if WrongAnswer.__name__ in last:
            raise WrongAnswer(last.partition(": ")[2])
        raise Unavailable(
            f"{corpus.key}: {last}", mend="delete the corpus, or ask for fewer events", code="OPENING_FAILED"
        )
    step()
    return Opened(**json.loads(done.stdout))


def exponent(events: Sequence[int], costs: Sequence[float]) -> float | None:
    """k of costs = c · events^k, by least squares on logarithms; None where there is no such k to find."""
    if len(set(events)) < 2 or min(costs) <= 0:
        return None
    x = np.log(np.array(events, np.float64))
    y = np.log(np.array(costs, np.float64))
    return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


def figures_of(found: Sequence[Size]) -> Figures:
    """What the largest size costs, and the exponents over all."""
    largest = found[-1]
    events = [one.events for one in found]
    return {
        "matched": largest.matched,
        "store_mib": largest.store / (1 << 20),
        "disk_bytes_an_event": largest.disk / largest.events,
        "resident_bytes_an_event": largest.resident / largest.events,
        "resident_opened_bytes_an_event": largest.opened / largest.events,
        "resident_asked_bytes_an_event": largest.asked / largest.events,
        "open_s": largest.open_s,
        "open_without_events_s": largest.bare_open_s,
        "first_answer_s": largest.first_answer_s,
        "behaviour_median_ms": largest.behaviour_ms,
        "disk_exponent": exponent(events, [one.disk for one in found]),
        "resident_exponent": exponent(events, [one.resident for one in found]),
        "open_exponent": exponent(events, [one.open_s for one in found]),
        "first_answer_exponent": exponent(events, [one.first_answer_s for one in found]),
        "behaviour_exponent": exponent(events, [one.behaviour_ms for one in found]),
    }


def targets(figures: Figures) -> list[Target]:
    """The issue's bounds."""
    return [
        target(figures, "disk_bytes_an_event", "bytes an event on disk at most 24", most=24),
        target(figures, "resident_bytes_an_event", "resident at most 1", most=1),
    ]


def panels(found: Sequence[Size]) -> list[Panel]:
    """Bytes an event and times by events; where noise leaves no more than nothing, no point."""
    events = [one.events for one in found]

    def line(name: str, costs: Sequence[float]) -> Line:
        return Line(name, events, [cost if cost > 0 else None for cost in costs])

    return [
        Panel(
            "bytes an event",
            "events",
            "bytes",
            [
                line("on disk", [one.disk / one.events for one in found]),
                line("resident", [one.resident / one.events for one in found]),
            ],
        ),
        Panel(
            "times",
            "events",
            "ms",
            [
                line("opening", [one.open_s * 1_000 for one in found]),
                line("opening and first answer", [one.first_answer_s * 1_000 for one in found]),
                line("behaviour", [one.behaviour_ms for one in found]),
            ],
        ),
    ]


def _described(one: Size) -> str:
    return (
        f"{one.events:,} events of {one.profiles:,} people: {one.disk / one.events:.4g} bytes an event on disk,"
        f" {one.resident / one.events:.3g} resident, opened in {one.open_s * 1_000:.3g} ms, first answer after"
        f" {one.first_answer_s * 1_000:.3g}, behaviour {one.behaviour_ms:.3g}"
    )


def _report(options: Options, events: int, found: Sequence[Size]) -> Report:
    figures = figures_of(found)
    notes = [
        *map(_described, found),
        "what events cost is the store of people with events less that of the same people without; on disk: the blocks"
        " that the file system gave the files, free pages included",
        "resident: RssAnon after opening or after the questions, the larger; file pages are the system's",
        f"exponents by least squares on logarithms over {len(found)} sizes, 1 being linear; none where a cost is not"
        " above nothing",
        f"medians of {options.rounds} processes, with events and without in turn; the store's file is in the page cache;"
        " opening does not count imports; every round of the question has literals of its own",
    ]
    if (options.profiles, events) != (ASKED_PROFILES, ASKED_EVENTS):
        notes.append(
            f"the issue's bounds are for {ASKED_PROFILES:,} profiles and {ASKED_EVENTS:,} events; this run had"
            f" {options.profiles:,} and {events:,}"
        )
    return Report(
        name=NAME,
        corpus={"profiles": options.profiles, "events": events, "rounds": options.rounds},
        seed=options.seed,
        machine=machine(),
        versions=versions("lmdb", "numpy", "pyroaring"),
        figures=figures,
        targets=targets(figures),
        notes=notes,
        panels=panels(found),
    )
