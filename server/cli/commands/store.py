"""`muster backup`, `muster verify`, `muster bench` and `muster completion`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import get_completion_class
from rich.text import Text

from core.errors import InvalidInput, MusterError
from server.cli.context import Call, pass_call
from server.cli.frame import Command, LocalCommand, fail

if TYPE_CHECKING:
    from core.engine import Verified
    from core.messaging.accounts import Account

_PROJECTS: Final = "projects"
_OF_A_STORE: Final = ("format", "log", "pages")


@click.command("backup", cls=Command, epilog="Example: muster backup /var/backups/shop-monday")
@click.argument("destination", type=click.Path(path_type=Path))
@pass_call
def backup(call: Call, destination: Path) -> None:
    """Copy the project's store while it runs, to DESTINATION on the server's disk."""
    from server.cli.plain import plain

    with call.out.waiting("the store is copied"):
        # A path is meant from here: on the usual one machine that is the server's disk too.
        made = call.client().projects.backup(str(destination.absolute()))
    if call.out.json:
        call.out.document(plain(made))
        return
    call.out.say(f"wrote {made.bytes:,} bytes to {made.destination}")
    call.out.note(f"next: muster verify {made.destination}", "dim")


@click.command("verify", cls=LocalCommand, epilog="Example: muster verify ./muster-store")
@click.argument("folder", type=click.Path(path_type=Path))
@pass_call
def verify(call: Call, folder: Path) -> None:
    """Check a store that no server has open.

    Every record and page is read, and every message has to add up. Its accounts are told by occurrence: what stands
    behind `selected` sums to it.

    FOLDER is a server's store, or the copy of one project that `muster backup` made. Status 1 where anything is wrong.
    """
    held = folder / _PROJECTS
    if not held.is_dir() and not any((folder / name).exists() for name in _OF_A_STORE):
        raise InvalidInput(
            "there is no store" if folder.is_dir() else "no folder",
            field=str(folder),
            mend="name a server's folder, or a backup",
            code="STORE_NOT_FOUND",
        )
    stores = (
        sorted(one for one in held.iterdir() if one.is_dir() and not one.name.startswith("."))
        if held.is_dir()
        else [folder]
    )
    results: list[tuple[str, Verified]] = []
    for store in stores:
        with call.out.waiting(f"checking {store.name}"):
            results.append((store.name, _examined(store)))
    bad = any(found.problems for _, found in results)
    if call.out.json:
        call.out.document(
            {
                "store": str(folder),
                "sound": not bad,
                "projects": [
                    {
                        "name": name,
                        "problems": found.problems,
                        "messages": [_equation(one, {"key": one.key}) for one in found.accounts],
                    }
                    for name, found in results
                ],
            }
        )
    else:
        call.out.table(
            ["project", "", "problems"],
            [
                (
                    name,
                    Text("damaged", "red") if found.problems else Text("sound", "green"),
                    "\n".join(found.problems) or None,
                )
                for name, found in results
            ],
            empty="the store holds no project yet",
        )
        rows = [
            _equation(one, {"project": name, "message": one.key}) for name, found in results for one in found.accounts
        ]
        if rows:
            call.out.say()
            call.out.table([name.replace("_", " ") for name in rows[0]], [list(row.values()) for row in rows])
    if bad:
        fail()


def _examined(store: Path) -> Verified:
    from core.engine import Verified, examine

    try:
        return examine(store)
    except MusterError as error:
        if error.code == "STORE_LOCKED":
            raise
        return Verified([str(error)], [])


def _equation(one: Account, named: dict[str, Any]) -> dict[str, Any]:
    """An occurrence's accounts: what stands after `selected` adds up to it."""
    found = one.counts
    return {
        **named,
        "occurrence": one.occurrence,
        "selected": found.selected,
        "held_out": found.held_out,
        "skipped": sum(users for _, _, users in found.skipped),
        "deferred": found.deferred,
        "queued": found.queued,
        "begun": found.begun,
        "sent": found.sent,
        "failed": found.failed,
        "ambiguous": found.ambiguous,
    }


@click.command(
    "bench",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    epilog="Example: muster bench store ./muster-store --expr 'user.plan == \"free\"'",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[NAME] [OPTION]...")
def bench(arguments: tuple[str, ...]) -> None:
    """Run all benchmarks, or one by its name, or time your own expressions (`store`, `server`): `--help` lists them.

    Status 3 where a target falls short.
    """
    called = {**os.environ, "BENCHMARKS_CALLED_BY": "muster bench"}
    done = subprocess.run([sys.executable, "-m", "benchmarks", *arguments], env=called, check=False)
    if done.returncode:
        fail(done.returncode)


@click.command("completion", cls=LocalCommand, epilog='Example: eval "$(muster completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Write a script that completes `muster`; put the example into the shell's start file."""
    kind: Any = get_completion_class(shell)
    click.echo(kind(ctx.find_root().command, {}, "muster", "_MUSTER_COMPLETE").source())
