"""`behaviour`: how long until it is known how many people bought three times or more for over $50 in 30 days, and not in 7?

Corpus: the generated people and what they did in 90 days (`History`), loaded by the engine's bulk load; the peers hold
the same events in tables of their own. The question is asked at an instant within the last day, so that windows begin
and end within days and a third of the last day's events is not visible yet. Every round has literals of its own. All
must give the same count, which numpy finds first from the events themselves.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

from benchmarks import people
from benchmarks.corpora import Corpus, history_corpus
from benchmarks.history import SHARES, History
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.peers.duckdb_events import DuckEvents
from benchmarks.progress import Bar
from benchmarks.report import Figures, Report, target
from benchmarks.rounds import Timed, WrongAnswer, interleaved, same_answer
from benchmarks.sequels import PURCHASE, Asked, Sequel, history_count
from core.evaluator import answers
from core.version import Version

NAME: Final = "behaviour"
ASKED_EVENTS: Final = 50_000_000
ASKED: Final = (
    '50 M events over 90 days, "at least 3 purchases over $50 in 30 days, none in 7": at least 10 times faster than '
    "DuckDB and than ClickHouse (chdb) on their own sorted tables"
)
"""The issue's words, of which each bound below is a part."""

_MUSTER, _DUCKDB, _CLICKHOUSE = "muster", "duckdb", "clickhouse"
_NO_CHDB: Final = "chdb is not installed: pip install chdb"
Ask = Callable[[int], int]


def run(options: Options, events: int, bar: Bar) -> Report:
    """Run it.

    Arguments:
        events: how many the history has.

    Raises:
        WrongAnswer: where a system counts something else.
    """
    history = History(events, options.profiles, options.seed)
    bar.stage("counting in the events themselves")
    expected = history_count(history)
    bar.stage(f"generating {options.profiles:,} people")
    who = people.generate(options.profiles, options.seed)
    corpus = history_corpus(who, history, options.corpora, bar.stage)
    del who
    bar.stage("opening the store")
    engine = corpus.open()
    try:
        stored = engine.version.population.event_tables[PURCHASE].count
        timed = _measure(history, engine.version, options.rounds, bar)
    finally:
        engine.close()
    if same_answer(timed, _MUSTER)[0] != expected:
        raise WrongAnswer(f"all systems count {timed[_MUSTER].answers[0]}, the events themselves give {expected}")
    return _report(options, corpus, events, _figures(timed, expected, stored))


def _measure(history: History, version: Version, rounds: int, bar: Bar) -> dict[str, Timed[int]]:
    asked = Asked(version.population, version.audiences, Sequel(0).now)
    systems: dict[str, Ask] = {_MUSTER: lambda number: answers.count(asked, Sequel(number).cel, {}).count}
    closing: list[Callable[[], None]] = []
    try:
        bar.stage("giving the events to DuckDB")
        duck = DuckEvents(history)
        closing.append(duck.close)
        systems[_DUCKDB] = lambda number: duck.count(Sequel(number))
        if find_spec("chdb") is not None:
            from benchmarks.peers.clickhouse_events import ClickHouseEvents

            bar.stage("giving the events to ClickHouse")
            house = ClickHouseEvents(history)
            closing.append(house.close)
            systems[_CLICKHOUSE] = lambda number: house.count(Sequel(number))
        gc.collect()
        bar.stage("asking in turn", rounds + 1)
        return interleaved(systems, rounds, bar.step)
    finally:
        for close in closing:
            close()


def _figures(timed: dict[str, Timed[int]], matched: int, stored: int) -> Figures:
    figures: Figures = {"matched": matched, "purchases": stored}
    for name in (_MUSTER, _DUCKDB, _CLICKHOUSE):
        one = timed.get(name)
        figures[f"{name}_median_ms"] = None if one is None else one.median_ms
        figures[f"{name}_least_ms"] = None if one is None else one.least_ms
    for name in (_DUCKDB, _CLICKHOUSE):
        peer = timed.get(name)
        figures[f"{name}_over_muster"] = None if peer is None else peer.median_ms / timed[_MUSTER].median_ms
    return figures


def _report(options: Options, corpus: Corpus, events: int, figures: Figures) -> Report:
    notes = [
        "medians of rounds in turn, after one untimed; ratios are of medians; every round's literals are new",
        "the question is asked 8 h 43 min before the corpus' end: windows begin and end within days",
        "peers hold name, user, time and amount of all events, sorted by name and time, names as an enum (DuckDB) or"
        " LowCardinality (ClickHouse), with their own defaults",
        f"events in shares: {', '.join(f'{name} {share:.0%}' for name, share in SHARES.items())}",
    ]
    if figures[f"{_CLICKHOUSE}_median_ms"] is None:
        notes.append(_NO_CHDB)
    if events != ASKED_EVENTS:
        notes.append(f"the issue's bounds are for {ASKED_EVENTS:,} events; this run had {events:,}")
    return Report(
        name=NAME,
        corpus=_described(options, corpus, events),
        seed=options.seed,
        machine=machine(),
        versions=versions("numpy", "pyroaring", "cel-expr-python", "duckdb", "chdb", "pyarrow"),
        figures=figures,
        targets=[
            target(figures, f"{_DUCKDB}_over_muster", "at least 10 times faster than DuckDB", least=10),
            target(figures, f"{_CLICKHOUSE}_over_muster", "than ClickHouse (chdb)", least=10, why=_NO_CHDB),
        ],
        notes=notes,
    )


def _described(options: Options, corpus: Corpus, events: int) -> dict[str, Any]:
    return {"key": corpus.key, "profiles": options.profiles, "events": events, "rounds": options.rounds}
