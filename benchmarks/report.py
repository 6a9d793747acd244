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
    """

    figure: str
    bound: str
    ok: bool | None
    why: str = ""


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
        return Target(figure, bound, None, why)
    return Target(figure, bound, (most is None or value <= most) and (least is None or value >= least))


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

    @property
    def exit_status(self) -> int:
        """`ALL_HOLD` where every target is known to hold, else `FALLS_SHORT`."""
        return ALL_HOLD if all(one.ok for one in self.targets) else FALLS_SHORT

    def to_json(self) -> str:
        """The report as one JSON object on one line."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    def print_tables(self, console: Console) -> None:
        """The report for a reader."""
        size = ", ".join(
            f"{key} {value:,}" if isinstance(value, int) else str(value) for key, value in self.corpus.items()
        )
        console.print(f"[bold]{self.name}[/bold]  {size}, seed {self.seed}")
        console.print("machine: " + ", ".join(f"{key} {value}" for key, value in self.machine.items()), highlight=False)
        console.print(
            "versions: " + ", ".join(f"{key} {value}" for key, value in self.versions.items()), highlight=False
        )
        figures = Table("figure", "value", title=None)
        figures.columns[1].justify = "right"
        for key, value in self.figures.items():
            figures.add_row(key, _number(value))
        console.print(figures)
        judged = Table("", "figure", "measured", "bound")
        for mark, targets in (("", self.targets), ("aim", self.aims)):
            for one in targets:
                judged.add_row(
                    f"{_verdict(one)} {mark}".rstrip(), one.figure, _number(self.figures[one.figure]), _bound(one)
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


def _number(value: int | float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
