"""Runs a receiver as a process of its own: `python -m channels.doubles smtp --port 0 --record mails.ndjson`.

The first line printed is `host:port`; on SIGTERM or SIGINT the last one is the tally as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from channels.doubles.faults import Fault, Faults
from channels.doubles.http import HttpDouble

if TYPE_CHECKING:
    from channels.doubles.smtp import SmtpDouble


def _fault(text: str) -> Fault:
    """`STAGE[=REPLY][@EVERY]`: at a stage, each EVERY-th time, answer REPLY or drop the connection."""
    place, _, every = text.partition("@")
    stage, _, reply = place.partition("=")
    try:
        return Fault(stage.upper(), reply, times=None, every=int(every or 1))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not STAGE[=REPLY][@EVERY]") from error


def _bounce(text: str) -> tuple[str, str]:
    """`PART[=STATUS]`: mails to addresses with a part in them bounce with a status, 5.1.1 where none is given."""
    part, _, status = text.partition("=")
    return part, status or "5.1.1"


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m channels.doubles", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, what in (("smtp", "a mail server"), ("http", "a webhook receiver")):
        sub = kinds.add_parser(kind, help=f"{what} that records what it takes")
        sub.add_argument("--port", type=int, default=0, help="0 (the default) takes any free one")
        sub.add_argument("--record", type=Path, default=None, metavar="FILE", help="append each record as NDJSON")
        sub.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="before each answer")
        sub.add_argument("--fault", type=_fault, action="append", default=[], metavar="STAGE[=REPLY][@EVERY]")
        if kind == "smtp":
            sub.add_argument("--bounce", type=_bounce, action="append", default=[], metavar="PART[=STATUS]")
            sub.add_argument("--maildir", type=Path, default=None, metavar="DIR", help="where bounces are laid")
        if kind == "http":
            sub.add_argument("--secret", default="", help="Standard Webhooks secret to verify signatures with")
    return parser.parse_args(words)


def _double(arguments: argparse.Namespace) -> SmtpDouble | HttpDouble:
    faults = Faults(arguments.fault, arguments.delay)
    if arguments.kind == "smtp":
        from channels.doubles.smtp import SmtpDouble  # here: the HTTP one works without aiosmtpd

        bounces = dict(arguments.bounce)
        return SmtpDouble(arguments.port, arguments.record, faults, bounces=bounces, maildir=arguments.maildir)
    return HttpDouble(arguments.port, arguments.record, faults, secret=arguments.secret)


async def _serve(double: SmtpDouble | HttpDouble) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with double:
        print(f"{double.host}:{double.port}", flush=True)
        await stopped.wait()
    print(json.dumps(double.records.tally), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(_double(_arguments(sys.argv[1:]))))
