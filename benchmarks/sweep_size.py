"""One size of the `audience` sweep in a process of its own: its memory ends with it, so that sizes follow one another.

It reads its task from its argument (JSON) and writes what it measured to stdout, one line of JSON for each question.
The people stand in a version in memory, without ids and emails, so that 50 million fit beside the peer.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import polars as pl
from pyroaring import BitMap

from benchmarks import people
from benchmarks.people import NOW, People
from benchmarks.predicates import KINDS, SCORES, Predicate, Shares, conjunction
from benchmarks.rounds import WrongAnswer
from core.evaluator import answers
from core.settings import Settings
from core.values import ValueType
from core.version import Version

_KIND_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Task:
    """What to ask of how many people.

    Arguments:
        predicates, selectivities: every pair of them is asked.
        rounds: timed, after one that is not.
    """

    profiles: int
    seed: int
    rounds: int
    predicates: list[int]
    selectivities: list[float]


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians for one question.

    Arguments:
        kind: of a single predicate; "" for a conjunction.
        predicates, selectivity: as asked for.
        matched: how many people do.
        text: in round 0.
    """

    profiles: int
    kind: str
    predicates: int
    selectivity: float
    matched: int
    muster_ms: float
    polars_ms: float
    text: str


def scores(
    who: People,
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int16]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """`score` of everybody and who has one: a mix of the ordinal, as no column is drawn for it."""
    mixed = np.arange(len(who), dtype=np.uint32) * np.uint32(2_654_435_761)
    return ((mixed >> np.uint32(8)) % np.uint32(SCORES)).astype(np.int16), who.has_email


def version_of(who: People) -> Version:
    """The people as a version in memory."""
    draft = Version(Settings("bench", uid="bench", clock="manual", created_at=NOW), NOW).fork()
    population = draft.population
    population.issue(len(who))
    population.bulk_column("country", ValueType.STRING, (who.country, list(people.COUNTRIES)))
    population.bulk_column("plan", ValueType.STRING, (who.plan, list(people.PLANS)))
    population.bulk_column("age", ValueType.INT, who.age)
    population.bulk_column("last_seen", ValueType.TIMESTAMP, who.last_seen)
    population.bulk_column("ltv", ValueType.DOUBLE, who.ltv)
    population.bulk_column("unsubscribed", ValueType.BOOL, who.unsubscribed)
    values, present = scores(who)
    population.bulk_column("score", ValueType.INT, values, BitMap(np.flatnonzero(present).astype(np.uint32)))
    return draft.publish(1)


def frame_of(who: People) -> pl.DataFrame:
    """The people as a polars frame at its best: categoricals, and integers no wider than needed."""
    values, present = scores(who)
    coded = {
        name: pl.Series(codes)
        .cast(pl.UInt32)
        .replace_strict(range(len(names)), list(names), return_dtype=pl.Categorical)
        for name, codes, names in (("country", who.country, people.COUNTRIES), ("plan", who.plan, people.PLANS))
    }
    frame = pl.DataFrame(
        {
            **coded,
            "age": who.age,
            "last_seen": pl.Series(who.last_seen).cast(pl.Datetime("us")),
            "ltv": who.ltv,
            "unsubscribed": who.unsubscribed,
            "score": values,
            "present": present,
        }
    )
    return frame.with_columns(pl.when("present").then("score").alias("score")).drop("present").rechunk()


def measure(task: Task) -> Iterator[Measured]:
    """Ask everything.

    Raises:
        WrongAnswer: where Muster and polars count differently.
    """
    who = people.generate(task.profiles, task.seed)
    frame, version = frame_of(who), version_of(who)
    del who
    gc.collect()
    shares = Shares(frame)
    for count in task.predicates:
        for selectivity in task.selectivities:
            dialled = conjunction(frame, shares, count, selectivity)
            asked = [dialled.asked(number) for number in range(task.rounds + 1)]
            matched, muster_ms, polars_ms = _timed(version, frame, asked)
            yield Measured(task.profiles, "", count, selectivity, matched, muster_ms, polars_ms, asked[0].cel)
    for kind, make in KINDS.items():
        one = make(shares, _KIND_SHARE)
        asked = [one] * (task.rounds + 1)
        matched, muster_ms, polars_ms = _timed(version, frame, asked)
        share = matched / task.profiles
        yield Measured(task.profiles, kind, 1, share, matched, muster_ms, polars_ms, one.cel)


def _timed(version: Version, frame: pl.DataFrame, asked: list[Predicate]) -> tuple[int, float, float]:
    """The count, and both systems' median milliseconds, taking turns; the first question is not timed."""
    spent: tuple[list[float], list[float]] = ([], [])
    matched = -1
    for number, one in enumerate(asked):
        systems = [
            (0, lambda one=one: answers.count(version, one.cel, {}).count),
            (1, lambda one=one: int(frame.lazy().filter(one.polars).select(pl.len()).collect().item())),
        ]
        for place, ask in systems if number % 2 else reversed(systems):
            started = time.perf_counter()
            count = ask()
            took = time.perf_counter() - started
            if matched not in (-1, count):
                raise WrongAnswer(
                    f"Muster and polars, or two rounds, count differently ({matched}, {count}): {one.cel}"
                )
            matched = count
            if number:
                spent[place].append(took * 1e3)
    return matched, float(np.median(spent[0])), float(np.median(spent[1]))


if __name__ == "__main__":
    for measured in measure(Task(**json.loads(sys.argv[1]))):
        print(json.dumps(asdict(measured)), flush=True)
