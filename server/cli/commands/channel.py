"""`muster channel`: workers that carry messages, each a process of its own."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import click
from rich.live import Live
from rich.text import Text

from server.cli.context import Call, pass_call
from server.cli.failures import INVALID, ours, report, status_of
from server.cli.frame import Command, Group, WorkerCommand, fail
from server.cli.output import cell

log = logging.getLogger("muster.channel")

_LOG_SECONDS: Final = 60.0
_TRY_LATER: Final = 75
"""EX_TEMPFAIL: what tells a mail server that pipes a mail in to keep it and to pipe it in again."""
_BOUNCES: Final = {
    "mails": "mails read",
    "others": "no reports",
    "accepted": "taken",
    "duplicates": "known already",
    "unknown": "of nobody known",
}
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


@channel.command(
    "bounce",
    cls=Command,
    epilog="Example: muster channel bounce --maildir /var/mail/bounces --watch 60",
)
@click.option("--maildir", type=click.Path(path_type=Path, file_okay=False), help="read the unseen mails of a Maildir")
@click.option("--mbox", type=click.Path(path_type=Path, dir_okay=False), help="read those of an mbox file")
@click.option(
    "--watch",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="look again every so many seconds, until SIGTERM or Ctrl-C",
)
@pass_call
def bounce(call: Call, maildir: Path | None, mbox: Path | None, watch: float | None) -> None:
    """Take bounces and complaints: reports that mail servers send to the return path.

    Reads one mail from standard input, as a mail server pipes it in, or a folder. Mails that are no reports change
    nothing. What a report is about, it says itself: by the address it went to (--smtp-verp), or by the mail that it
    carries back. Of a folder, mails are marked as seen once the server has what they say on disk.
    """
    if maildir is not None and mbox is not None:
        raise click.UsageError("one of --maildir and --mbox")
    if watch is not None and maildir is None and mbox is None:
        raise click.UsageError("--watch needs --maildir or --mbox")
    mail = sys.stdin.buffer.read() if maildir is None and mbox is None else b""
    tell = (call.client() if call.config.project else call.server()).feedback.report
    try:
        told = _take(tell, mail, maildir, mbox)
    except Exception as error:
        if mail and (known := ours(error)) is not None and status_of(known) != INVALID:
            report(known, server=call.config.server)
            fail(_TRY_LATER)
        raise
    _say_bounces(call, told)
    while watch is not None:
        time.sleep(watch)
        told = _retold(lambda: _take(tell, b"", maildir, mbox))
        if told["mails"]:
            _say_bounces(call, told)


def _take(tell: Any, mail: bytes, maildir: Path | None, mbox: Path | None) -> dict[str, int]:
    from server.main import take_bounces

    return take_bounces(tell, mail=mail, maildir=maildir, mbox=mbox)


def _retold(take: Callable[[], dict[str, int]]) -> dict[str, int]:
    """What was told; nothing where the server cannot be told now: it is tried again."""
    import muster

    try:
        return take()
    except (muster.Unavailable, muster.TimedOut) as error:
        log.warning("the server cannot be told, and is tried again: %s", error)
        return {"mails": 0}


def _say_bounces(call: Call, told: Mapping[str, int]) -> None:
    if call.out.json:
        call.out.document(dict(told))
        return
    line = Text(", ").join(Text.assemble(cell(told[one]), f" {words}") for one, words in _BOUNCES.items())
    call.out.say(line)
    sys.stdout.flush()


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
