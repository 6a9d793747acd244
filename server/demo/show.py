"""What the demo prints: short, in colour where the terminal has it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email import message_from_string
from email.policy import default
from pathlib import Path
from typing import Final

from muster.v1 import audience_pb2, message_pb2
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from server.demo import story
from server.demo.accounts import Account
from server.demo.campaign import CAMPAIGN
from server.demo.play import Reports
from server.demo.processes import Tally

_BAR: Final = 36
_MAILS_A_CELL: Final = 50
_STATES: Final = ("held_out", "deferred", "queued", "begun", "failed", "sent", "ambiguous")
_VERDICTS: Final = {
    audience_pb2.VERDICT_MATCHES: ("true", "green"),
    audience_pb2.VERDICT_DOES_NOT_MATCH: ("false", "red"),
    audience_pb2.VERDICT_ERRS: ("error", "yellow"),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One audience, counted by Muster and by DuckDB.

    Times are in seconds, medians of `rounds`; DuckDB's are without reading the file. Neither keeps a result.
    """

    count: int
    total: int
    seconds: float
    peer_count: int
    peer_seconds: float
    peer_loading: float
    rounds: int


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold cyan"), soft_wrap=True)


def opening(console: Console) -> None:
    """Say what is coming."""
    console.print(
        Text("Muster", style="bold"), "plays 18 months of a record shop: 69,659 real purchases (CDNOW, 1997-98)."
    )
    console.print(Text("Names and addresses are synthetic; a few per cent are missing on purpose.", style="dim"))


def progress(console: Console) -> Progress:
    """The bars of an import."""
    _title(console, "Import through the SDK, acknowledged when durable")
    return Progress(
        TextColumn("  {task.description:<10}"),
        BarColumn(_BAR),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def play_begins(console: Console) -> None:
    """The clock begins to move."""
    _title(console, "The clock moves; who lapses gets a mail, though nobody writes anything when someone lapses")


class Months:
    """A line a month: what was mailed in it, and who was skipped."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._sent = self._skipped = 0
        self._month = ""

    def told(self, moment: datetime, reports: Reports) -> None:
        """The clock stands at an instant and everything due is handed off."""
        counts = reports[story.WINBACK].counts
        sent = counts.sent + counts.ambiguous
        skipped = sum(skip.users for skip in counts.skipped)
        month = f"{moment:%Y-%m}"
        if month != self._month:
            mailed, passed = sent - self._sent, skipped - self._skipped
            bar = "▇" * round(mailed / _MAILS_A_CELL)
            line = Text.assemble(
                (f"  {month}-01 ", "dim"), f"mailed {mailed:>5,}  ", (f"skipped {passed:>3,}  ", "dim"), (bar, "blue")
            )
            self._console.print(line)
            self._sent, self._skipped, self._month = sent, skipped, month
        best = reports[story.BEST].counts
        if best.selected:
            self._console.print(
                Text.assemble("  the webhook's instant has come: ", (f"{best.sent:,}", "bold"), " best customers told")
            )


def killed(console: Console, arrived: int, seconds: float) -> None:
    """The server was killed and is back."""
    console.print(
        Text.assemble(
            ("  kill -9 ", "bold red"),
            f"with {arrived:,} mails of the month taken; serving again after {seconds:.1f} s",
        )
    )


def audience(console: Console, found: Comparison) -> None:
    """An audience, twice."""
    _title(console, "An audience: three purchases over $30 in the last 180 days")
    console.print(Text(f"  {story.LOYAL}", style="dim"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("")
    table.add_column("users", justify="right", style="bold")
    table.add_column("time", justify="right")
    table.add_column("", style="dim")
    table.add_row(
        "  Muster",
        f"{found.count:,}",
        f"{found.seconds * 1e3:.1f} ms",
        f"of {found.total:,}; from text to count, median of {found.rounds}",
    )
    table.add_row(
        "  DuckDB",
        f"{found.peer_count:,}",
        f"{found.peer_seconds * 1e3:.1f} ms",
        f"on a table loaded from the raw file in {found.peer_loading * 1e3:.0f} ms, median of {found.rounds}",
    )
    console.print(table)
    if found.count != found.peer_count:
        console.print(Text("  the two disagree", style="bold red"))


def explanation(console: Console, customer: str, found: message_pb2.ExplainDeliveryResponse) -> None:
    """Why one customer got the mail, and whether it would be sent today."""
    _title(console, f"Customer {customer}: why the mail was sent, and what holds today")
    decided = found.decide_time.ToDatetime()
    console.print(f"  decided {decided:%Y-%m-%d %H:%M}Z, now ", Text(found.state, style="bold green"), sep="")
    for gate in found.gates:
        mark, style = ("✓", "green") if gate.passed else ("✗", "red")
        console.print(Text.assemble((f"  {mark} ", style), f"{gate.name:<11}", (gate.detail, "dim")))
    console.print(Padding(_tree(found.explanation), (0, 0, 0, 2)))


def _tree(found: audience_pb2.Explanation) -> Tree:
    tree = Tree(_leaf(found), guide_style="dim")
    _grow(tree, found)
    return tree


def _grow(tree: Tree, found: audience_pb2.Explanation) -> None:
    for part in found.parts:
        _grow(tree.add(_leaf(part)), part)


def _leaf(found: audience_pb2.Explanation) -> Text:
    word, style = _VERDICTS[found.verdict]
    read = "  ".join(found.values) or found.reason
    text = _connective(found) if found.parts else found.text
    return Text.assemble((f"{word:<6}", style), text, ("  " + read if read else "", "dim"))


def _connective(found: audience_pb2.Explanation) -> str:
    """What joins the parts: `!` has one, `&&` and `||` stand between the first two."""
    if len(found.parts) == 1:
        return "not"
    first, second = found.parts[0], found.parts[1]
    start = found.text.find(first.text) + len(first.text)
    between = found.text[start : found.text.find(second.text, start)]
    return "any of" if "||" in between else "all of"


def received(console: Console, mails: Tally, hooks: Tally) -> None:
    """What the receivers counted themselves."""
    _title(console, "What the receivers counted")
    for name, tally in (("mail server", mails), ("webhook receiver", hooks)):
        twice = Text(f"{tally.duplicates}", style="bold green" if not tally.duplicates else "bold red")
        console.print(
            f"  {name:<17}{tally.received:>6,} users, {tally.distinct:>6,} distinct idempotency keys, twice: ",
            twice,
            sep="",
        )


def mail(console: Console, raw: str) -> None:
    """One mail as it was received."""
    parsed = message_from_string(raw, policy=default)
    head = [f"{name}: {parsed[name]}" for name in ("From", "To", "Subject", "Date", "Message-ID") if parsed[name]]
    body = parsed.get_body(("plain",))
    text = "" if body is None else body.get_content().strip()
    console.print()
    console.print(
        Panel("\n".join(head) + "\n\n" + text, title="one mail as received", title_align="left", expand=False)
    )


def accounts(console: Console, found: Mapping[str, Account]) -> None:
    """Per message: selected = skipped by reason + sent + …"""
    _title(console, "Every selected user accounted for")
    for key, account in found.items():
        counts = account.report.counts
        parts = [(f"skipped: {skip.reason}", skip.users) for skip in counts.skipped]
        parts += [(state, getattr(counts, state)) for state in _STATES]
        console.print(Text.assemble((f"  {key:<15}", "bold"), (f"{counts.selected:>7,} selected", "bold")))
        sign = "="
        for name, users in parts:
            if users:
                console.print(f"  {sign:>15}{users:>7,} {name}")
                sign = "+"
        for problem in account.problems:
            console.print(Text(f"  {problem}", style="bold red"))
    if any(account.report.counts.ambiguous for account in found.values()):
        console.print(
            Text(
                "  ambiguous: the server died before it heard whether they were taken. Nobody is mailed twice on a guess.",
                style="dim",
            ),
            soft_wrap=True,
        )


def next_steps(console: Console, store: Path, customer: str) -> None:
    """Commands to try on the store that is left."""
    _title(console, "Next, on the store this leaves")
    program = _program()
    muster = f"{program} --project {story.PROJECT}"
    for command in (
        f"{program} serve --store {store} &",
        f"{muster} message report {story.WINBACK}",
        f"{muster} campaign report {CAMPAIGN}",
        f"{muster} message explain {story.WINBACK} {customer}",
        f"{muster} audience count 'events[\"Purchase\"].size() > 10'",
    ):
        console.print(Text(f"  {command}", style="green"), soft_wrap=True)
    console.print()


def _program() -> str:
    """How to call `muster` from here: by its name where the shell finds this one, else by its place."""
    here = Path(sys.executable).with_name("muster")
    found = shutil.which("muster")
    if found is not None and Path(found).resolve() == here.resolve():
        return "muster"
    return os.path.relpath(here) if here.exists() else f"{sys.executable} -m server.cli"
