"""`audience`: how long from CEL text to the count of a seven-predicate audience, beside what a user would pick instead?

Corpus: the generated people, loaded by the engine's bulk load; the peers hold the same people in memory. All systems
are asked in this process, in turn, once a round. Every round's literals are new (see `Question`), so no text comes twice;
beside that Muster is asked a text of a shape never seen (the predicates in another order), which it has to compile, and the
same text again and again. All must give the same count, which numpy finds first from the people themselves.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from benchmarks import people
from benchmarks.arrow import arrow_table
from benchmarks.corpora import Corpus, people_corpus
from benchmarks.floor import Floor
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.peers.duckdb_table import DuckTable
from benchmarks.peers.polars_frame import PolarsFrame
from benchmarks.people import People
from benchmarks.progress import Bar
from benchmarks.question import COUNTRIES, LEAST_AGE, PLAN, Question
from benchmarks.report import Figures, Report, target
from benchmarks.rounds import Timed, WrongAnswer, interleaved, same_answer
from core.evaluator import answers
from core.version import Version

NAME: Final = "audience"
ASKED_PROFILES: Final = 10_000_000
ASKED: Final = (
    "from CEL text to count, result caches off: at most 1/15 of polars' time and 1/30 of ClickHouse groupBitmap's (chdb); "
    "at most 2 times the floor, printed beside it: the touched columns and bitmaps read once from memory; with indexes "
    "that read less than the columns the aim is 1/40 and 1/80"
)
"""The issue's words, of which each bound below is a part."""

_NEW_SHAPE, _SAME_TEXT = "muster_new_shape", "muster_same_text"
_MUSTER, _POLARS, _DUCKDB = "muster", "polars", "duckdb"
_TABLE, _BITMAPS = "clickhouse_table", "clickhouse_bitmaps"
_NO_CHDB: Final = "chdb is not installed: pip install chdb"
Ask = Callable[[int], int]


def run(options: Options, bar: Bar) -> Report:
    """Run it.

    Raises:
        WrongAnswer: where a system counts something else.
    """
    bar.stage(f"generating {options.profiles:,} people")
    who = people.generate(options.profiles, options.seed)
    expected = people_count(who)
    corpus = people_corpus(who, options.seed, options.corpora, bar.stage)
    bar.stage("opening the store")
    engine = corpus.open()
    try:
        version = engine.version
        floor = Floor(who)
        timed, read = _measure(who, version, floor, options.rounds, bar)
    finally:
        engine.close()
    if same_answer(timed, _MUSTER)[0] != expected:
        raise WrongAnswer(f"all systems count {timed[_MUSTER].answers[0]}, the people themselves give {expected}")
    figures = _figures(timed, read, floor.bytes, expected)
    return _report(options, corpus, figures)


def people_count(who: People) -> int:
    """The answer from the arrays, by none of the systems that are measured."""
    question = Question(0)
    wanted = [people.COUNTRIES.index(country) for country in COUNTRIES]
    return int(
        np.count_nonzero(
            np.isin(who.country, wanted)
            & (who.plan == people.PLANS.index(PLAN))
            & (who.age >= LEAST_AGE)
            & (who.last_seen < question.seen_before)
            & (who.ltv > float(question.ltv))
            & who.has_email
            & ~who.unsubscribed
        )
    )


def _measure(
    who: People, version: Version, floor: Floor, rounds: int, bar: Bar
) -> tuple[dict[str, Timed[int]], Timed[int]]:
    """The systems' rounds, and the floor's."""
    closing: list[Callable[[], None]] = []
    try:
        bar.stage("giving the people to the peers")
        peers = _peers(who, closing)
        # No two of Muster's questions follow one another: each finds the processor's caches as another system left them.
        systems: dict[str, Ask] = {
            _MUSTER: lambda number: answers.count(version, Question(number).cel, {}).count,
            _POLARS: peers.pop(_POLARS),
            _SAME_TEXT: lambda number: answers.count(version, Question(0).cel, {}).count,
            _DUCKDB: peers.pop(_DUCKDB),
            _NEW_SHAPE: lambda number: answers.count(version, Question(number).reordered, {}).count,
            **peers,
            "floor": lambda number: floor.read(),
        }
        gc.collect()
        bar.stage("asking in turn", rounds + 1)
        timed = interleaved(systems, rounds, bar.step)
    finally:
        for close in closing:
            close()
    return timed, timed.pop("floor")


def _peers(who: People, closing: list[Callable[[], None]]) -> dict[str, Ask]:
    table = arrow_table(who)
    frame, duck = PolarsFrame(table), DuckTable(table)
    closing += [frame.close, duck.close]
    found: dict[str, Ask] = {
        _POLARS: lambda number: frame.count(Question(number)),
        _DUCKDB: lambda number: duck.count(Question(number)),
    }
    if find_spec("chdb") is not None:
        from benchmarks.peers.clickhouse import ClickHouse

        house = ClickHouse(table)
        closing.append(house.close)
        found[_TABLE] = lambda number: house.count(Question(number))
        found[_BITMAPS] = lambda number: house.count_by_bitmaps(Question(number))
    return found


def _figures(timed: dict[str, Timed[int]], read: Timed[int], floor_bytes: int, matched: int) -> Figures:
    figures: Figures = {"matched": matched}
    for name in (_MUSTER, _NEW_SHAPE, _SAME_TEXT, _POLARS, _DUCKDB, _TABLE, _BITMAPS):
        one = timed.get(name)
        figures[f"{name}_median_ms"] = None if one is None else one.median_ms
        figures[f"{name}_least_ms"] = None if one is None else one.least_ms
    figures["floor_median_ms"], figures["floor_least_ms"] = read.median_ms, read.least_ms
    figures["floor_bytes"] = floor_bytes
    muster = timed[_MUSTER].median_ms
    for name in (_POLARS, _DUCKDB, _TABLE, _BITMAPS):
        one = timed.get(name)
        figures[f"muster_over_{name}"] = None if one is None else muster / one.median_ms
    figures["muster_over_floor"] = muster / read.median_ms
    figures[f"new_shape_over_{_POLARS}"] = timed[_NEW_SHAPE].median_ms / timed[_POLARS].median_ms
    return figures


def _report(options: Options, corpus: Corpus, figures: Figures) -> Report:
    polars, bitmaps, floor = f"muster_over_{_POLARS}", f"muster_over_{_BITMAPS}", "muster_over_floor"
    notes = [
        "medians of rounds in turn, after one untimed; ratios are of medians; each system finds the processor's caches as"
        " another left them",
        "muster: every round's literals are new, so no text comes twice; its shape is known from the round that is not timed,"
        " so that it is not compiled again. muster_new_shape: text and shape were never seen, and it is compiled."
        " muster_same_text: one text again and again. No result is kept in any",
        "peers in memory with their own defaults; country and plan are categoricals (polars), enums (DuckDB),"
        " LowCardinality (ClickHouse); clickhouse_bitmaps has each predicate precomputed",
        "floor: age in a byte, last_seen and ltv in four each, and a bit for everybody and each of the other predicates'"
        " values, read once by numpy's maximum in one thread",
    ]
    if figures[f"{_BITMAPS}_median_ms"] is None:
        notes.append(_NO_CHDB)
    if options.profiles != ASKED_PROFILES:
        notes.append(f"the issue's bounds are for {ASKED_PROFILES:,} profiles; this run had {options.profiles:,}")
    return Report(
        name=NAME,
        corpus=_described(options, corpus),
        seed=options.seed,
        machine=machine(),
        versions=versions("numpy", "pyroaring", "cel-expr-python", "polars", "duckdb", "chdb", "pyarrow"),
        figures=figures,
        targets=[
            target(
                figures, polars, "from CEL text to count, result caches off: at most 1/15 of polars' time", most=1 / 15
            ),
            target(figures, bitmaps, "1/30 of ClickHouse groupBitmap's (chdb)", most=1 / 30, why=_NO_CHDB),
            target(
                figures,
                floor,
                "at most 2 times the floor, printed beside it: the touched columns and bitmaps read once from memory",
                most=2,
            ),
        ],
        aims=[
            target(figures, polars, "with indexes that read less than the columns the aim is 1/40", most=1 / 40),
            target(figures, bitmaps, "1/80", most=1 / 80, why=_NO_CHDB),
        ],
        notes=notes,
    )


def _described(options: Options, corpus: Corpus) -> dict[str, Any]:
    return {"key": corpus.key, "profiles": options.profiles, "rounds": options.rounds}
