"""`muster store`: the past that a project's store holds, and stores restored to it."""

from __future__ import annotations

from pathlib import Path

import click
from rich.filesize import decimal

from server.cli.arguments import instant_of
from server.cli.context import Call, pass_call
from server.cli.frame import Group
from server.cli.output import cell


@click.group("store", cls=Group)
def store() -> None:
    """See how far back a project goes, drop what is too old, restore it to an instant."""


@store.command("history", epilog="Example: muster store history")
@pass_call
def history(call: Call) -> None:
    """How far back the project can be asked with --at, and what that takes of the disk."""
    from server.cli.plain import instant, plain

    found = call.client().history.get()
    if call.out.json:
        call.out.document(plain(found))
        return
    call.out.facts(
        {
            "earliest": instant(found.earliest_time),
            "now": instant(found.now),
            "log": decimal(found.log_bytes),
            "pages": f"{decimal(found.page_bytes)}, of the present and of all checkpoints",
            "files": decimal(found.disk_bytes),
        }
    )
    call.out.say()
    call.out.table(
        ["checkpoint of", "written", "position"],
        [(instant(one.time), instant(one.write_time), one.position) for one in found.checkpoints],
    )


@store.command("prune", epilog="Example: muster store prune --before 1998-06-01")
@click.option("--before", metavar="TIME", required=True, help="what only earlier times need goes")
@pass_call
def prune(call: Call, before: str) -> None:
    """Drop the history before an instant. It cannot be brought back."""
    from server.cli.plain import instant, plain

    wanted = instant_of(before, "--before")
    with call.out.waiting("the history is pruned"):
        found = call.client().history.prune(wanted)
    if call.out.json:
        call.out.document(plain(found))
        return
    call.out.say(f"the history begins at {cell(instant(found.earliest_time))}")


@store.command("restore", epilog="Example: muster store restore /var/backups/shop-june --at 1998-06-01")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--at", metavar="TIME", required=True, help="the instant to restore it to")
@pass_call
def restore(call: Call, destination: Path, at: str) -> None:
    """Write the project as it was at an instant, to DESTINATION on the server's disk.

    The live store goes on. In the restored one all live messages are paused (`restored`): what was sent after that
    instant is not known in it.
    """
    from server.cli.plain import plain

    wanted = instant_of(at, "--at")
    with call.out.waiting("the store is restored"):
        # A path is meant from here: on the usual one machine that is the server's disk too.
        made = call.client().history.restore(wanted, str(destination.absolute()))
    if call.out.json:
        call.out.document(plain(made))
        return
    call.out.say(f"wrote {made.bytes:,} bytes to {made.destination}")
    call.out.note(f"next: muster verify {made.destination}", "dim")
