"""`muster serve` and `muster demo`: a server, and the whole path on real purchases."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, cast

import click
from rich.console import Console

from core.errors import FailedPrecondition
from server.cli.context import Call, pass_call
from server.cli.frame import LocalCommand, ServerCommand, fail
from server.config import check

_STEPS = ("day", "week", "month", "once")


@click.command(
    "serve", cls=ServerCommand, epilog="Example: muster serve --store ./muster-store --listen 127.0.0.1:7171"
)
@pass_call
def serve(call: Call) -> None:
    """Serve the projects of a store folder until SIGTERM or Ctrl-C.

    Without a token file only loopback addresses are served.
    """
    check(call.config)
    # What gRPC itself would write to standard error, such as of a port in use, we say in a line of our own.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from server.main import serve as run

    run(call.config)


@click.command("demo", cls=LocalCommand, epilog="Example: muster demo --store ./demo-store")
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-store"),
    show_default=True,
    help="folder for the store that it leaves",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".cache"),
    show_default=True,
    help="where the data file is kept once it is fetched",
)
@click.option(
    "--step", type=click.Choice(_STEPS), default="month", show_default=True, help="how far the clock goes at once"
)
@pass_call
def demo(call: Call, store: Path, cache: Path, step: str) -> None:
    """Play the whole path on real purchases.

    An import, an audience, two messages, a kill -9 in mid-delivery, and every user accounted for.

    The last line is one JSON object; with --json it alone goes to standard output.
    """
    try:
        from server.demo import cdnow, processes, run
    except ImportError as error:
        raise FailedPrecondition(
            f"the demo needs {error.name}, which is not installed",
            mend="pip install 'muster-server[demo]'",
            code="DEMO_INCOMPLETE",
        ) from error
    console = Console(stderr=call.out.json, highlight=False)
    try:
        outcome = run.run(store, cache, cast(Any, step), console)
    except (cdnow.NotFetched, processes.DidNotStart) as error:
        raise FailedPrecondition(str(error), mend="mend that, then run it again", code="DEMO_FAILED") from error
    sys.stdout.write(outcome.line() + "\n")
    if not outcome.kept:
        fail()
