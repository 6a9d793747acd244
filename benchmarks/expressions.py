"""`store` and `server`: one's own expressions on one's own profiles, timed, and compared with an earlier run."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import muster
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.machine import machine, versions
from benchmarks.report import ALL_HOLD, FALLS_SHORT
from core.engine import recover
from core.errors import InvalidInput, StoreError
from core.evaluator import answers
from core.storage.store import Store
from server.cli.failures import caret

_PROJECTS: Final = "projects"
_COMMENT: Final = "#"


@dataclass(frozen=True, slots=True)
class Asked:
    """One count as a source answers it.

    Arguments:
        took: seconds as whoever asked waited.
        plan: how it is evaluated, where it was asked for.
    """

    matched: int
    total: int
    took: float
    plan: str = ""


Ask = Callable[[str, bool], Asked]
"""Counts an expression; the second argument asks for the plan, whose making is then part of the time."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One expression's rounds.

    Arguments:
        first_ms: of the first time: its text was new then.
        median_ms, p95_ms, least_ms: of the rounds after it, of the same text.
    """

    expression: str
    matched: int
    total: int
    first_ms: float
    median_ms: float
    p95_ms: float
    least_ms: float
    plan: str


def expressions(given: Sequence[str], file: Path | None) -> list[str]:
    """The expressions to ask, without repeats: those given, then a file's, one a line, `#` beginning a comment line.

    Raises:
        InvalidInput: FILE_UNREADABLE, EXPRESSION_MISSING.
    """
    found = list(given)
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise InvalidInput(
                f"the file cannot be read: {why}", field=str(file), mend="name a text file", code="FILE_UNREADABLE"
            ) from error
        found += [line.strip() for line in lines if line.strip() and not line.strip().startswith(_COMMENT)]
    if not found:
        raise InvalidInput("no expression to ask", mend="give --expr or --expr-file", code="EXPRESSION_MISSING")
    return list(dict.fromkeys(found))


@contextmanager
def of_store(folder: Path, project: str) -> Iterator[Ask]:
    """Counts over a store that no server has open; nothing is written to it.

    Arguments:
        folder: a server's store, or the copy of one project that `muster backup` made.
        project: which of a server's; "" for its only one.

    Raises:
        StoreError: STORE_LOCKED, where a server has it open, and others as `Store.open` gives them.
        InvalidInput: PROJECT_MISSING, PROJECT_NOT_FOUND.
    """
    with Store.open(_project(folder, project)) as store:
        version, _ = recover(store)

        def ask(text: str, plan: bool) -> Asked:
            started = time.perf_counter()
            answer = answers.count(version, text, {}, plan)
            return Asked(answer.count, answer.total, time.perf_counter() - started, answer.plan)

        yield ask


def _project(folder: Path, project: str) -> Path:
    held = folder / _PROJECTS
    if not held.is_dir():
        return folder
    names = sorted(one.name for one in held.iterdir() if one.is_dir() and not one.name.startswith("."))
    if project and project not in names:
        raise InvalidInput(
            f"the store has no project {project!r}",
            field="project",
            mend=f"it has: {', '.join(names)}" if names else "it has none",
            code="PROJECT_NOT_FOUND",
        )
    if not project and len(names) != 1:
        raise InvalidInput(
            "the store has several projects" if names else "the store has no project yet",
            field="project",
            mend=f"name one with --project: {', '.join(names)}" if names else "create one and import profiles",
            code="PROJECT_MISSING",
        )
    return held / (project or names[0])


@contextmanager
def of_server(address: str | None, project: str | None) -> Iterator[Ask]:
    """Counts that a running server answers, the way there included.

    Arguments:
        address, project: None: as the SDK finds them in the environment.
    """
    with muster.Client(address, project=project) as client:

        def ask(text: str, plan: bool) -> Asked:
            started = time.perf_counter()
            answer = client.audiences.count(text, explain=plan)
            return Asked(answer.count, answer.total, time.perf_counter() - started, answer.plan)

        yield ask


def measure(ask: Ask, texts: Sequence[str], rounds: int, step: Callable[[], None]) -> list[Timing]:
    """Ask every expression once, then all of them in turn, round by round.

    Raises:
        InvalidExpression: for the first that is wrong; its note shows where.
    """
    firsts = []
    for text in texts:
        try:
            firsts.append(ask(text, False))
        except Exception as error:
            if (position := getattr(error, "position", -1)) >= 0:
                error.add_note("\n".join(caret(text, position)))
            raise
        step()
    spent: list[list[float]] = [[] for _ in texts]
    for _ in range(rounds):
        for place, text in enumerate(texts):
            spent[place].append(ask(text, False).took * 1e3)
            step()
    return [
        Timing(
            expression=text,
            matched=first.matched,
            total=first.total,
            first_ms=first.took * 1e3,
            median_ms=statistics.median(took),
            p95_ms=float(np.percentile(took, 95)),
            least_ms=min(took),
            plan=ask(text, True).plan,
        )
        for text, first, took in zip(texts, firsts, spent, strict=True)
    ]


def document(timings: Sequence[Timing], of: str) -> dict[str, Any]:
    """What is printed with --json, and read again as a baseline.

    Arguments:
        of: the store or server.
    """
    return {
        "of": of,
        "machine": machine(),
        "versions": versions("numpy", "pyroaring", "cel-expr-python"),
        "expressions": [asdict(one) for one in timings],
    }


def baseline(file: Path) -> dict[str, float]:
    """The median milliseconds of an earlier run by expression.

    Raises:
        StoreError: BASELINE_UNREADABLE.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["expressions"]
        return {str(one["expression"]): float(one["median_ms"]) for one in found}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "the baseline cannot be read",
            field=str(file),
            mend="give a file that --json wrote",
            code="BASELINE_UNREADABLE",
        ) from error


def slower(timings: Sequence[Timing], before: Mapping[str, float], times: float) -> list[Timing]:
    """Which expressions take more than so many times their baseline's median."""
    return [one for one in timings if one.expression in before and one.median_ms > times * before[one.expression]]


def status(timings: Sequence[Timing], before: Mapping[str, float], times: float) -> int:
    """The exit status: `FALLS_SHORT` where any is slower than its baseline allows."""
    return FALLS_SHORT if slower(timings, before, times) else ALL_HOLD


def print_table(
    timings: Sequence[Timing], before: Mapping[str, float], times: float, plans: bool, console: Console
) -> None:
    """All timings for a reader, beside a baseline where there is one."""
    shown = Table("expression", "matched", "first ms", "median", "p95", "least", *(["before", "×"] if before else []))
    for column in shown.columns[1:]:
        column.justify = "right"
    late = slower(timings, before, times)
    for one in timings:
        row = [f"{one.matched:,}", *(f"{ms:,.2f}" for ms in (one.first_ms, one.median_ms, one.p95_ms, one.least_ms))]
        if before:
            known = before.get(one.expression)
            row += ["new", ""] if known is None else [f"{known:,.2f}", f"{one.median_ms / known:,.2f}"]
        shown.add_row(Text(one.expression), *row, style="red" if one in late else "")
    console.print(shown)
    for one in timings if plans else ():
        console.print(Text(one.expression, "bold"))
        console.print(Text(one.plan.rstrip(), "dim"))
    total = timings[0].total
    console.print(f"of {total:,} users; the first time an expression's text is new, later it is known", style="dim")
    if not total:
        console.print("the project has no users yet: `muster import profiles FILE` brings some")
