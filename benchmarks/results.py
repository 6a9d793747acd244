"""The results folder: the last run of each benchmark as JSON, and the table and plots made of that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.report import listed, number
from core.errors import StoreError

FOLDER: Final = Path(__file__).parent / "results"
README: Final = Path(__file__).parent.parent / "README.md"
_JSON: Final = "results.json"
_TABLE: Final = "results.md"
_PLOT: Final = "results.svg"
BEGIN: Final = "<!-- figures: `muster bench` writes what stands between these lines -->"
END: Final = "<!-- end of figures -->"
_VERDICTS: Final[Mapping[bool | None, str]] = {True: "ok", False: "short", None: "cannot be told"}
_AIM: Final = " (aim)"
_COLOURS: Final[Mapping[str, str]] = {"ok": "green", "short": "red", "cannot be told": "yellow", "failed": "red"}


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of one benchmark.

    Arguments:
        date: when it began, RFC 3339, UTC.
        seconds: how long all of it took, corpora included.
        report: the report's JSON; None where the run failed.
        failed: why it failed, "" where it did not.
    """

    date: str
    seconds: float
    report: Mapping[str, Any] | None
    failed: str = ""

    @property
    def holds(self) -> bool:
        """Whether it ran and every target is known to hold."""
        return self.report is not None and all(one["ok"] for one in self.report["targets"])


Results = dict[str, Ran]
"""The last run of each benchmark, by what was run: a name and its flags."""


def read(folder: Path) -> Results:
    """The results that a folder has; none where it has no file.

    Raises:
        StoreError: RESULTS_UNREADABLE.
    """
    try:
        found = json.loads((folder / _JSON).read_text(encoding="utf-8"))
        return {name: Ran(**ran) for name, ran in found["runs"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            "the results cannot be read",
            field=str(folder / _JSON),
            mend="delete the file, or name another folder with --results",
            code="RESULTS_UNREADABLE",
        ) from error


def write(folder: Path, results: Results) -> list[Path]:
    """Write JSON, table and plots; which files they are.

    Raises:
        StoreError: RESULTS_UNWRITABLE.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        runs = {name: asdict(ran) for name, ran in results.items()}
        written = [folder / _JSON, folder / _TABLE]
        written[0].write_text(json.dumps({"runs": runs}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        written[1].write_text(table(results), encoding="utf-8")
        return written + _draw(folder, results)
    except OSError as error:
        raise StoreError(
            f"the results cannot be written: {error.strerror}",
            field=str(folder),
            mend="name another folder with --results",
            code="RESULTS_UNWRITABLE",
        ) from error


def _draw(folder: Path, results: Results) -> list[Path]:
    from benchmarks import plots

    rows = [row for name, ran in results.items() for row in _bars(name, ran)]
    drawn = [folder / _PLOT]
    plots.bounds(rows, _caption(results.values()), drawn[0])
    for name, ran in results.items():
        if ran.report is not None and ran.report["panels"]:
            file = folder / plot_of(name)
            plots.panels(name, ran.report["panels"], _caption([ran]), file)
            drawn.append(file)
    return drawn


def plot_of(name: str) -> str:
    """The file of a run's panels."""
    return f"{name.replace(' --', '-')}.svg"


def _caption(runs: Any) -> str:
    """The machines and days of runs."""
    machines = sorted({_machine(ran.report) for ran in runs if ran.report is not None})
    days = sorted({ran.date[:10] for ran in runs})
    return "; ".join([*machines, *([days[0]] if len(days) == 1 else [f"{days[0]} to {days[-1]}"] if days else [])])


def _machine(report: Mapping[str, Any]) -> str:
    facts = report["machine"]
    return f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_mib'] / 1024:.0f} GiB, {facts['system']}"


def _bars(name: str, ran: Ran) -> list[dict[str, Any]]:
    if ran.report is None:
        return [{"label": f"{name}: failed", "ok": None, "margin": None, "told": ""}]
    rows = []
    for one in ran.report["targets"]:
        value = ran.report["figures"][one["figure"]]
        rows.append(
            {
                "label": f"{name}: {one['figure']}",
                "ok": one["ok"],
                "margin": margin(one, value),
                "told": number(value),
            }
        )
    return rows


def margin(target: Mapping[str, Any], value: float | None) -> float | None:
    """How many times better than its bound a figure is: below 1 it falls short. None where that cannot be told."""
    if target["ok"] is None or value is None:
        return None
    most, least = target["most"], target["least"]
    if most is not None:
        return most / value if value > 0 else None
    return value / least if least else None


def table(results: Results) -> str:
    """The Markdown of all results."""
    lines = ["# Benchmark results", "", "Written by `muster bench`; how to read it stands in docs/benchmarks.md.", ""]
    if not results:
        return "\n".join([*lines, "Nothing was run yet.", ""])
    lines += [f"![how far each bound is held]({_PLOT})", ""]
    lines += ["| benchmark | | figure | measured | bound |", "|---|---|---|--:|---|"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for name, ran in results.items() for row in _judged(name, ran)]
    for name, ran in results.items():
        lines += ["", f"## {name}", "", f"{ran.date}, {ran.seconds:,.0f} s in all", ""]
        lines += [f"Failed: {ran.failed}"] if ran.report is None else _section(name, ran.report)
    return "\n".join(lines) + "\n"


def _judged(name: str, ran: Ran) -> list[tuple[str, str, str, str, str]]:
    """Rows of run, verdict, figure, what was measured, and bound."""
    if ran.report is None:
        return [(name, "failed", "", "", ran.failed)]
    rows = []
    for mark, targets in (("", ran.report["targets"]), (_AIM, ran.report["aims"])):
        for one in targets:
            why = f" ({one['why']})" if one["why"] else ""
            measured = number(ran.report["figures"][one["figure"]])
            verdict = _VERDICTS[one["ok"]] + mark
            rows.append((name, verdict, one["figure"], measured, one["bound"] + why))
    return rows


def print_table(results: Results, console: Console) -> None:
    """Every bound of some runs, for a reader."""
    shown = Table("benchmark", "", "figure", "measured", "bound")
    shown.columns[3].justify = "right"
    for name, ran in results.items():
        for _, verdict, figure, measured, bound in _judged(name, ran):
            colour = _COLOURS[verdict.removesuffix(_AIM)]
            shown.add_row(name, Text(verdict, colour), figure, measured, Text(bound))
    console.print(shown)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _section(name: str, report: Mapping[str, Any]) -> list[str]:
    lines = [
        f"- machine: {listed(report['machine'])}",
        f"- corpus: {listed(report['corpus'])}, seed {report['seed']}",
        f"- versions: {listed(report['versions'])}",
        *(f"- {note}" for note in report["notes"]),
        "",
    ]
    if report["panels"]:
        lines += [f"![{name}]({plot_of(name).replace(' ', '%20')})", ""]
    lines += ["| figure | value |", "|---|--:|"]
    return lines + [f"| {key} | {number(value)} |" for key, value in report["figures"].items()]


def readme_block(results: Results) -> str:
    """What README says of the results: the figures behind each target, and the machine."""
    machines = sorted({_machine(ran.report) for ran in results.values() if ran.report is not None})
    lines = [BEGIN, "", f"Measured on {'; '.join(machines) or 'no machine yet'}, peers in the same run:", ""]
    lines += ["| benchmark | bound | measured | |", "|---|---|--:|---|"]
    for name, ran in results.items():
        if ran.report is None:
            lines.append(f"| `{name}` | | | failed |")
            continue
        profiles = ran.report["corpus"].get("profiles")
        sized = f"`{name}`, {profiles:,} profiles" if profiles else f"`{name}`"
        for one in ran.report["targets"]:
            measured = f"{number(ran.report['figures'][one['figure']])} `{one['figure']}`"
            lines.append(f"| {sized} | {_cell(one['bound'])} | {measured} | {_VERDICTS[one['ok']]} |")
    return "\n".join([*lines, "", END])


def refresh_readme(file: Path, results: Results) -> bool:
    """Put the figures between README's marks. Returns whether it has such marks."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return False
    file.write_text(before + readme_block(results) + after, encoding="utf-8")
    return True


def merged(known: Results, fresh: Results, order: Sequence[str]) -> Results:
    """Fresh runs in the place of older ones, in a fixed order; runs that exist no longer fall away."""
    both = {**known, **fresh}
    return {name: both[name] for name in order if name in both}
