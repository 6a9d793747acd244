"""Plots of results: how far each bound is held, and the panels of a run that goes through sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib

matplotlib.use("svg")  # no display is needed; glyphs stay text that a browser can search
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.report import number

_COLOURS: Final[Mapping[bool | None, str]] = {True: "#2a7d4f", False: "#b3412f", None: "#8a8a8a"}
_WORDS: Final[Mapping[bool | None, str]] = {True: "holds", False: "falls short", None: "cannot be told"}
_LINES: Final = ("#1f4e79", "#c2571a", "#2a7d4f", "#7a4988", "#8a8a8a")
_STYLE: Final[dict[str, Any]] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "muster",  # the same figures give the same file
}
_FARTHEST: Final = 1e4


def bounds(rows: Sequence[Mapping[str, Any]], caption: str, file: Path) -> None:
    """Draw one bar for each bound: to the right of the line it holds, to the left it falls short.

    Arguments:
        rows: each with `label`, `ok`, `told` (what was measured, in words) and `margin`: how many times better than
            the bound, None where it cannot be told.
        caption: the machine and the dates.
        file: written as its suffix says.
    """
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(10, 1.4 + 0.36 * max(1, len(rows))), layout="constrained")
        for place, row in enumerate(rows):
            margin = row["margin"]
            if margin is None:
                axes.text(1.0, place, f"  {_WORDS[None]}", va="center", color=_COLOURS[None], fontsize=9)
                continue
            exponent = math.log10(min(max(margin, 1 / _FARTHEST), _FARTHEST))
            axes.barh(place, 10**exponent - 1, left=1, color=_COLOURS[row["ok"]], height=0.6)
            right = margin >= 1
            axes.annotate(
                row["told"],
                (10**exponent, place),
                xytext=(4 if right else -4, 0),
                textcoords="offset points",
                va="center",
                ha="left" if right else "right",
                fontsize=9,
            )
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, 0.5) / 3, max(high, 2) * 3)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.xaxis.set_major_formatter(FuncFormatter(_times))
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("times better than the bound (left of the line: short of it)")
        axes.set_title(caption, fontsize=9, loc="left", color="#444444")
        _save(figure, file)


def panels(title: str, drawn: Sequence[Mapping[str, Any]], caption: str, file: Path) -> None:
    """Draw a report's panels beside one another, both axes logarithmic.

    Arguments:
        drawn: as `benchmarks.report.Panel` is in JSON.
    """
    with plt.rc_context(_STYLE):
        columns = 2 if len(drawn) == 4 else min(len(drawn), 3)
        rows = -(-len(drawn) // columns)
        figure, grid = plt.subplots(
            rows, columns, figsize=(5.2 * columns, 0.6 + 4.2 * rows), layout="constrained", squeeze=False
        )
        for axes in grid.flat[len(drawn) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid.flat, drawn, strict=False):
            for line, colour in zip(panel["lines"], _LINES, strict=False):
                points = [(x, y) for x, y in zip(line["x"], line["y"], strict=True) if y is not None]
                axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=colour, label=line["name"])
            axes.set_xscale("log")
            axes.set_yscale("log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(FuncFormatter(_plain))
                axis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.set_xticks(sorted({x for line in panel["lines"] for x in line["x"]}))
            low, high = axes.get_ylim()
            axes.set_ylim(low, high * (high / low) ** 0.25)  # room for the legend
            if panel["mark"] is not None:
                axes.axvline(panel["mark"], color="#bbbbbb", linewidth=1, linestyle="--", zorder=0)
            axes.grid(True, which="major", color="#e5e5e5")
            axes.set_title(panel["title"], fontsize=10)
            axes.set_xlabel(panel["x"])
            axes.set_ylabel(panel["y"])
            axes.legend(frameon=False, loc="upper left", ncols=2, fontsize=9)
        figure.suptitle(f"{title}: {caption}", fontsize=9, x=0.01, ha="left", color="#444444")
        _save(figure, file)


def _save(figure: Any, file: Path) -> None:
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=110)
    plt.close(figure)


def _times(value: float, _: int) -> str:
    return f"{number(value)} ×" if value >= 1 else f"1/{number(1 / value)}"


def _plain(value: float, _: int) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"
