"""What a command writes: tables and sentences for people, JSON for programs, progress beside both.

Standard output holds the answer and nothing else; progress, notes and errors go to standard error. Without a
terminal nothing is coloured, cut or wrapped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from server.cli.files.kinds import iso

_WITHOUT_TERMINAL: Final = 100_000
_INDENT: Final = 2

COLOURS: Final = {
    "draft": "yellow",
    "live": "green",
    "paused": "yellow",
    "ended": "dim",
    "sent": "green",
    "failed": "red",
    "ambiguous": "red",
    "skipped": "yellow",
    "queued": "cyan",
    "begun": "cyan",
    "matches": "green",
    "errs": "red",
    "yes": "green",
    "no": "red",
    "sandbox": "yellow",
}
"""How words that mean a state are coloured."""


class Output:
    """Where a command's answer goes.

    Arguments:
        json: write JSON instead of tables and sentences.
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self.console = _console(stderr=False)
        self.notes = _console(stderr=True)

    def document(self, answer: Any) -> None:
        """The whole answer as one JSON document, for programs."""
        indent = _INDENT if sys.stdout.isatty() else None
        sys.stdout.write(json.dumps(answer, ensure_ascii=False, indent=indent) + "\n")

    def lines(self, records: Iterable[Any]) -> None:
        """Records as they come, one JSON value a line."""
        for record in records:
            sys.stdout.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")

    def say(self, text: str | Text = "") -> None:
        """A sentence of the answer, for people. Markup is not read: what users wrote may look like some."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def raw(self, text: str) -> None:
        """Text of the answer as it is."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")

    def note(self, text: str, style: str = "") -> None:
        """A sentence beside the answer."""
        self.notes.print(Text(text, style), soft_wrap=True)

    def warn(self, text: str) -> None:
        """A sentence that should not be overlooked."""
        self.notes.print(Text.assemble(("note: ", "yellow"), text), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "") -> None:
        """A table. Numbers stand right, with thousands separators; instants in UTC; a heading of "" has no name.

        Arguments:
            empty: what to say, instead of an empty table, of how to fill it.
        """
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
        cells = [list(row) for row in rows]
        if not cells and empty:
            self.note(empty)
            return
        for number, column in enumerate(columns):
            right = bool(cells) and all(_is_number(row[number]) for row in cells)
            last = number == len(columns) - 1
            table.add_column(
                column,
                justify="right" if right else "left",
                overflow="fold",
                no_wrap=not last,
                min_width=len(column),
            )
        for row in cells:
            table.add_row(*(cell(value) for value in row))
        self._print(table)

    def _print(self, table: Table) -> None:
        """Without a terminal, lines end where their text ends: whoever reads them may count or compare."""
        if self.console.is_terminal:
            self.console.print(table)
            return
        with self.console.capture() as captured:
            self.console.print(table)
        sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Names and values, one pair a line; what is None or empty is left out."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in facts.items():
            if value is not None and value != "":
                table.add_row(name, cell(value))
        self._print(table)

    @contextmanager
    def progress(self, *, of_bytes: bool = False) -> Iterator[Progress]:
        """A progress display on standard error; it shows nothing where that is no terminal."""
        counts = DownloadColumn() if of_bytes else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), counts, TimeRemainingColumn())
        with Progress(*columns, console=self.notes, transient=True, disable=not self.notes.is_terminal) as progress:
            yield progress

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """A spinner on standard error while something takes its time."""
        with Progress(
            SpinnerColumn(), TextColumn(what), console=self.notes, transient=True, disable=not self.notes.is_terminal
        ) as progress:
            progress.add_task(what, total=None)
            yield


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = _WITHOUT_TERMINAL
    return console


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def cell(value: Any) -> Text:
    """A value as people read it."""
    if isinstance(value, Text):
        return value
    if value is None:
        return Text("–", "dim")
    if isinstance(value, bool):
        return cell("yes" if value else "no")
    if isinstance(value, int):
        return Text(f"{value:,}", "dim" if value == 0 else "")
    if isinstance(value, float):
        return Text(f"{value:,}")  # all of it, and 25.0 so that nobody takes it for an int
    if isinstance(value, datetime):
        return Text(iso(value))
    if isinstance(value, list | tuple):
        return Text(", ".join(str(cell(item)) for item in value))
    text = str(value)
    return Text(_printable(text), COLOURS.get(text, ""))


def _printable(text: str) -> str:
    """The text without what would move the cursor: what others stored is not for this terminal to obey."""
    return "".join(one if one.isprintable() or one in "\n\t" else "�" for one in text)
