"""`audience --sweep`: does the cost of a count follow the profiles, the selectivity and the predicates as it should, beside polars?

Corpus: the generated people in memory, from a hundredth of `--profiles` to five times as many, each size in a process of
its own. At each size every number of predicates is asked at every selectivity, and a predicate of each kind alone; Muster
and polars take turns and must count alike. Each round of a conjunction has a text of its own.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.people import MAX_PROFILES
from benchmarks.predicates import KINDS
from benchmarks.progress import Bar
from benchmarks.report import Figures, Line, Panel, Report, Target, target
from benchmarks.rounds import WrongAnswer
from benchmarks.sweep_size import Measured, Task
from core.errors import Unavailable

NAME: Final = "audience --sweep"
ASKED_PROFILES: Final = 10_000_000
ASKED: Final = (
    "cost linear in profiles or below; no combination slower than polars; the Roaring weak spot (about 10% density) not "
    "visible in the plot"
)
"""The issue's words, of which each bound below is a part."""
FACTORS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 5.0)
"""Sizes, as parts of `--profiles`: 100 thousand to 50 million of 10 million."""
PREDICATES: Final = (1, 2, 4, 7, 12, 20)
SELECTIVITIES: Final = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 0.9)
_WEAK: Final = 0.1
_BESIDE_WEAK: Final = (0.05, 0.2)
_VISIBLE: Final = 1.25
"""A bump of a quarter over the dearer neighbour would show in a plot whose axes are logarithmic; noise is below it."""
_SHOWN: Final = 7
_REASON: Final = 300

Found = Sequence[Measured]


def run(options: Options, bar: Bar) -> Report:
    """Run it.

    Raises:
        WrongAnswer: where Muster and polars count differently.
        Unavailable: SIZE_FAILED, where a size's process ended early, such as for want of memory.
    """
    sizes = sizes_of(options.profiles)
    each = len(PREDICATES) * len(SELECTIVITIES) + len(KINDS)
    bar.stage(f"asking of {len(sizes)} sizes", len(sizes) * each)
    found: list[Measured] = []
    for size in sizes:
        task = Task(size, options.seed, options.rounds, list(PREDICATES), list(SELECTIVITIES))
        found += _measured(task, bar.step)
    return _report(options, found)


def sizes_of(profiles: int) -> list[int]:
    """How many people each size has, ascending."""
    return sorted({min(MAX_PROFILES, max(1_000, round(profiles * factor))) for factor in FACTORS})


def _measured(task: Task, step: Callable[[], None]) -> list[Measured]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sweep_size", json.dumps(asdict(task))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    found = []
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            found.append(Measured(**json.loads(line)))
            step()
        said = [line for line in process.stderr.read().splitlines() if line.strip()]
    if process.returncode:
        last = said[-1].strip()[:_REASON] if said else f"status {process.returncode}"
        if WrongAnswer.__name__ in last:
            raise WrongAnswer(last.partition(": ")[2])
        raise Unavailable(
            f"{task.profiles:,} profiles: {last}", mend="free some memory, or ask of fewer", code="SIZE_FAILED"
        )
    return found


def figures_of(found: Found) -> Figures:
    """What the bounds are judged by, and where it was worst."""
    figures: Figures = {
        "combinations": len(found),
        "slower_than_polars": sum(one.muster_ms > one.polars_ms for one in found),
        "slowest_over_polars": max(_ratio(one) for one in found),
        "median_over_polars": statistics.median(map(_ratio, found)),
    }
    grown = growths(found)
    figures["largest_growth_exponent"] = max(grown) if grown else None
    figures["median_growth_exponent"] = statistics.median(grown) if grown else None
    figures["weak_spot_over_neighbours"] = weak_spot(found)
    for kind in KINDS:
        ratios = [_ratio(one) for one in found if one.kind == kind]
        figures[f"{kind.replace(' ', '_')}_over_polars"] = max(ratios) if ratios else None
    return figures


def _ratio(one: Measured) -> float:
    return one.muster_ms / one.polars_ms


def growths(found: Found) -> list[float]:
    """For each question the exponent k of its cost, being profiles to the power of k, from the least size to the largest."""
    sizes = sorted({one.profiles for one in found})
    if len(sizes) < 2:
        return []
    ends: dict[tuple[str, int, float], dict[int, float]] = {}
    for one in found:
        place = (one.kind, one.predicates, 0.0 if one.kind else one.selectivity)
        ends.setdefault(place, {})[one.profiles] = one.muster_ms
    first, last = sizes[0], sizes[-1]
    span = math.log(last / first)
    return [math.log(one[last] / one[first]) / span for one in ends.values() if first in one and last in one]


def weak_spot(found: Found) -> float | None:
    """How dear 10% density is beside the dearer of 5% and 20%: the median over numbers of predicates and sizes."""
    costs = {(one.profiles, one.predicates, one.selectivity): one.muster_ms for one in found if not one.kind}
    bumps = [
        cost / max(costs[profiles, predicates, share] for share in _BESIDE_WEAK)
        for (profiles, predicates, selectivity), cost in costs.items()
        if selectivity == _WEAK and all((profiles, predicates, share) in costs for share in _BESIDE_WEAK)
    ]
    return statistics.median(bumps) if bumps else None


def targets(figures: Figures) -> list[Target]:
    """The issue's bounds."""
    return [
        target(figures, "largest_growth_exponent", "cost linear in profiles or below", most=1.0),
        target(figures, "slowest_over_polars", "no combination slower than polars", most=1.0),
        target(
            figures,
            "weak_spot_over_neighbours",
            "the Roaring weak spot (about 10% density) not visible in the plot",
            most=_VISIBLE,
        ),
    ]


def panels(found: Found, profiles: int) -> list[Panel]:
    """Cost by profiles, selectivity and predicates, and the ratio to polars over all questions by profiles."""
    base = [one for one in found if one.profiles == profiles and not one.kind]
    asked = [one for one in found if not one.kind]
    by_size = [one for one in asked if (one.predicates, one.selectivity) == (_SHOWN, _WEAK)]
    by_count = [one for one in base if one.selectivity == _WEAK]
    dense: list[Line] = []
    for count in (1, _SHOWN):
        shown = [one for one in base if one.predicates == count]
        dense += _both(
            [one.selectivity * 100 for one in shown], shown, f", {count} predicate{'s' if count > 1 else ''}"
        )
    sizes = sorted({one.profiles for one in found})
    ratios = [[_ratio(one) for one in found if one.profiles == size] for size in sizes]
    return [
        Panel(
            f"{_SHOWN} predicates, 10% match", "profiles", "ms", _both([one.profiles for one in by_size], by_size, "")
        ),
        Panel(f"{profiles:,} profiles", "% that match", "ms", dense, mark=_WEAK * 100),
        Panel(
            f"{profiles:,} profiles, 10% match",
            "predicates",
            "ms",
            _both([one.predicates for one in by_count], by_count, ""),
        ),
        Panel(
            "all questions",
            "profiles",
            "Muster's time over polars'",
            [
                Line("slowest", sizes, [max(one) for one in ratios]),
                Line("median", sizes, [statistics.median(one) for one in ratios]),
                Line("fastest", sizes, [min(one) for one in ratios]),
            ],
        ),
    ]


def _both(x: Sequence[float], shown: Found, of: str) -> list[Line]:
    return [
        Line(f"Muster{of}", x, [one.muster_ms for one in shown]),
        Line(f"polars{of}", x, [one.polars_ms for one in shown]),
    ]


def _report(options: Options, found: Found) -> Report:
    figures = figures_of(found)
    worst = max(found, key=_ratio)
    notes = [
        "medians of rounds in turn, after one untimed; every count is polars' count",
        "every round of a conjunction has a bound never used before: its text is new, whatever of its shape a plan cache"
        " may know; a kind alone is the same text in each round",
        "conjunctions take their predicates from the kinds in turn; a range on ltv brings them to the selectivity",
        "columns in memory, no store, no ids; polars with its own defaults and threads, country and plan as categoricals",
        f"weak_spot_over_neighbours: cost at 10% over the dearer of 5% and 20%; above {_VISIBLE} it would show in a plot",
        f"worst beside polars: {worst.profiles:,} profiles, {worst.predicates} predicates {worst.kind}, selectivity"
        f" {worst.selectivity:.4g}, {worst.muster_ms:.3g} ms against {worst.polars_ms:.3g}",
    ]
    if options.profiles != ASKED_PROFILES:
        notes.append(f"the issue goes to 50,000,000 profiles; this run to {max(sizes_of(options.profiles)):,}")
    return Report(
        name=NAME,
        corpus={"profiles": options.profiles, "sizes": sizes_of(options.profiles), "rounds": options.rounds},
        seed=options.seed,
        machine=machine(),
        versions=versions("numpy", "pyroaring", "cel-expr-python", "polars"),
        figures=figures,
        targets=targets(figures),
        notes=notes,
        panels=panels(found, options.profiles if options.profiles in sizes_of(options.profiles) else found[0].profiles),
    )
