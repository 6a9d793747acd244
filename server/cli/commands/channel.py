"""`muster channel`: workers that carry messages, each a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, Literal

import click
from rich.live import Live
from rich.text import Text

from server.cli.context import Call, pass_call
from server.cli.frame import Group, WorkerCommand
from server.cli.output import cell

_SHOWN: Final = ("sent", "failed", "ambiguous", "in flight")


@click.group("channel", cls=Group)
def channel() -> None:
    """Run a worker that carries messages, beside the server."""


@channel.command(
    "email", cls=WorkerCommand, provider="smtp_", epilog="Example: muster channel email --smtp-host smtp.example.com"
)
@pass_call
def email(call: Call) -> None:
    """Send emails by SMTP until SIGTERM or Ctrl-C; for one project, or for all where none is named."""
    _work(call, "email")


@channel.command(
    "webhook", cls=WorkerCommand, provider="webhook_", epilog="Example: muster channel webhook --webhook-secret whsec_…"
)
@pass_call
def webhook(call: Call) -> None:
    """Call webhooks until SIGTERM or Ctrl-C; for one project, or for all where none is named."""
    _work(call, "webhook")


def _work(call: Call, name: Literal["email", "webhook"]) -> None:
    from server.main import work

    notes = call.out.notes
    with Live(console=notes, transient=True, refresh_per_second=4) if notes.is_terminal else _Still() as live:
        done = work(
            name,
            call.config,
            token=call.token(),
            tls=call.tls(),
            watch=lambda progress: live.update(_line(name, progress)),
        )
    if call.out.json:
        call.out.document(done)
        return
    call.out.say(_line(name, done))
    sys.stdout.flush()


class _Still:
    """Stands in for a live line where there is no terminal."""

    def __enter__(self) -> _Still:
        return self

    def __exit__(self, *failure: object) -> None:
        """Nothing is left to do."""

    def update(self, line: Text) -> None:
        """Nobody watches."""


def _line(name: str, progress: Mapping[str, Any]) -> Text:
    """What a worker has done, in one line."""
    line = Text(f"{name}: ")
    begun = progress["begun"] - sum(progress[one] for one in ("sent", "failed", "ambiguous", "not_sent"))
    counts = {**progress, "in flight": begun}
    line.append_text(Text(", ").join(Text.assemble(cell(counts[one]), f" {one}") for one in _SHOWN))
    if progress["outages"]:
        line.append("; the provider does not answer", "red")
    if progress["trouble"]:
        line.append(f"; last: {progress['trouble']}", "yellow")
    return line
