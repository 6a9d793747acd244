"""What a benchmark found, beside what was asked: one JSON object, or tables for a reader."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.table import Table

ALL_HOLD: Final = 0
FALLS_SHORT: Final = 3

Figures = dict[str, int | float | None]


@dataclass(frozen=True, slots=True)
class Target:
    """One bound that an issue names.

    Arguments:
        figure: the key in `figures` of what is bounded.
        bound: the issue's words.
        ok: whether it holds; None where the run cannot tell, which counts as falling short.
        why: why it cannot tell.
        most, least: what the bound's words mean for the figure, both included.
    """

    figure: str
    bound: str
    ok: bool | None
    why: str = ""
    most: float | None = None
    least: float | None = None


def target(
    figures: Figures, figure: str, bound: str, *, most: float | None = None, least: float | None = None, why: str = ""
) -> Target:
    """A target judged by its figure.

    Arguments:
        most, least: what the bound's words mean for the figure, both included.
        why: why the figure is None, where it is.
    """
    value = figures[figure]
    if value is None:
        return Target(figure, bound, None, why, most, least)
    ok = (most is None or value <= most) and (least is None or value >= least)
    return Target(figure, bound, ok, "", most, least)


@dataclass(frozen=True, slots=True)
class Line:
    """One system's points in a panel: x ascending, and y in the panel's unit, None where there is none."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot of a report, both axes logarithmic.

    Arguments:
        title: what it shows.
        x, y: the axes' names, with units.
        mark: an x that is drawn as a vertical line; None for none.
    """

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    mark: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One run of one benchmark.

    Arguments:
        name: the benchmark's.
        corpus: what it ran on: key and size.
        figures: numbers by name, the unit at the name's end; None where one could not be had.
        targets: the issue's bounds.
        aims: bounds that the issue calls an aim: judged alike, without a say in the exit status.
        notes: what a reader must know to read the figures.
        panels: plots of the run, for one that goes through sizes.
    """

    name: str
    corpus: Mapping[str, Any]
    seed: int
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    figures: Figures
    targets: Sequence[Target]
    aims: Sequence[Target] = field(default=())
    notes: Sequence[str] = field(default=())
    panels: Sequence[Panel] = field(default=())

    @property
    def exit_status(self) -> int:
        """`ALL_HOLD` where every target is known to hold, else `FALLS_SHORT`."""
        return ALL_HOLD if all(one.ok for one in self.targets) else FALLS_SHORT

    def to_json(self) -> str:
        """The report as one JSON object on one line."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    def print_tables(self, console: Console) -> None:
        """The report for a reader."""
        console.print(f"[bold]{self.name}[/bold]  {listed(self.corpus)}, seed {self.seed}")
        console.print(f"machine: {listed(self.machine)}", highlight=False)
        console.print(f"versions: {listed(self.versions)}", highlight=False)
        figures = Table("figure", "value", title=None)
        figures.columns[1].justify = "right"
        for key, value in self.figures.items():
            figures.add_row(key, number(value))
        console.print(figures)
        judged = Table("", "figure", "measured", "bound")
        for mark, targets in (("", self.targets), ("aim", self.aims)):
            for one in targets:
                judged.add_row(
                    f"{_verdict(one)} {mark}".rstrip(), one.figure, number(self.figures[one.figure]), _bound(one)
                )
        console.print(judged)
        for note in self.notes:
            console.print(f"· {note}", highlight=False)


def _verdict(one: Target) -> str:
    if one.ok is None:
        return "[yellow]unknown[/yellow]"
    return "[green]holds[/green]" if one.ok else "[red]short[/red]"


def _bound(one: Target) -> str:
    return f"{one.bound} ({one.why})" if one.why else one.bound


def listed(facts: Mapping[str, Any]) -> str:
    """Facts in one line: `cores 2, cpu …`."""
    return ", ".join(
        f"{key} {value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{key} {value}"
        for key, value in facts.items()
    )


def number(value: int | float | None) -> str:
    """A figure for a reader, – for None."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
