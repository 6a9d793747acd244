"""`muster channel`: workers that carry messages, each a process of its own."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, Literal

import click
from rich.live import Live
from rich.text import Text

from server.cli.context import Call, pass_call
from server.cli.frame import Group, WorkerCommand
from server.cli.output import cell

log = logging.getLogger("muster.channel")

_LOG_SECONDS: Final = 60.0
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


@channel.command(
    "sms",
    cls=WorkerCommand,
    provider="sms_",
    epilog="Example: muster channel sms --sms-provider twilio --sms-account AC… --sms-secret-file token.txt",
)
@pass_call
def sms(call: Call) -> None:
    """Send text messages until SIGTERM or Ctrl-C; for one project, or for all where none is named."""
    _work(call, "sms")


@channel.command(
    "push",
    cls=WorkerCommand,
    provider="push_",
    epilog="Example: muster channel push --push-fcm-account-file service-account.json",
)
@pass_call
def push(call: Call) -> None:
    """Send push notifications until SIGTERM or Ctrl-C; for one project, or for all where none is named."""
    _work(call, "push")


def _work(call: Call, name: Literal["email", "webhook", "sms", "push"]) -> None:
    from server.main import work

    notes = call.out.notes
    with Live(console=notes, transient=True, refresh_per_second=4) if notes.is_terminal else _Log() as shown:
        done = work(
            name,
            call.config,
            token=call.token(),
            tls=call.tls(),
            watch=lambda progress, connected: shown.update(_line(name, progress, connected)),
        )
    if call.out.json:
        call.out.document(done)
        return
    call.out.say(_line(name, done))
    sys.stdout.flush()


class _Log:
    """Stands in for a live line where there is no terminal: logs what changed, at most once a minute."""

    def __init__(self) -> None:
        self._told = ""
        self._next = time.monotonic() + _LOG_SECONDS

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *failure: object) -> None:
        """Nothing is left to do."""

    def update(self, line: Text) -> None:
        """Take note of the present line."""
        now = time.monotonic()
        if line.plain != self._told and now >= self._next:
            self._told, self._next = line.plain, now + _LOG_SECONDS
            log.info("%s", line.plain)


def _line(name: str, progress: Mapping[str, Any], connected: bool | None = None) -> Text:
    """What a worker has done, in one line; while it works, also whether the server is connected."""
    line = Text(f"{name}: ")
    if connected is not None:
        line.append_text(Text("connected; ", "green") if connected else Text("not connected; ", "red"))
    begun = progress["begun"] - sum(progress[one] for one in ("sent", "failed", "ambiguous", "not_sent"))
    counts = {**progress, "in flight": begun}
    line.append_text(Text(", ").join(Text.assemble(cell(counts[one]), f" {one}") for one in _SHOWN))
    if progress["outages"]:
        line.append("; the provider does not answer", "red")
    if progress["trouble"]:
        line.append(f"; last: {progress['trouble']}", "yellow")
    return line
