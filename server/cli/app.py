"""The command `muster` as a whole."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

import click

from server.cli.commands.audience import audience
from server.cli.commands.campaign import campaign
from server.cli.commands.channel import channel
from server.cli.commands.consent import consent
from server.cli.commands.exporting import export
from server.cli.commands.history import store
from server.cli.commands.importing import import_
from server.cli.commands.in_app import in_app
from server.cli.commands.message import message
from server.cli.commands.message_reading import inbox
from server.cli.commands.profile import profile, schema
from server.cli.commands.project import project
from server.cli.commands.serve import demo, serve
from server.cli.commands.simulate import simulate
from server.cli.commands.snippet import snippet
from server.cli.commands.store import backup, bench, completion, verify
from server.cli.frame import Root

_SECTIONS: Final = {
    "Begin": (demo, serve, project),
    "Data": (import_, export, profile, schema),
    "Targeting and messages": (audience, message, snippet, campaign, simulate, inbox, in_app, consent, channel),
    "Care": (backup, verify, store, bench, completion),
}


def _version() -> str:
    try:
        return version("muster-server")
    except PackageNotFoundError:
        return "not installed"


@click.group(
    cls=Root,
    sections={title: [str(one.name) for one in commands] for title, commands in _SECTIONS.items()},
    context_settings={"auto_envvar_prefix": "MUSTER", "max_content_width": 100},
    epilog="Start with `muster demo`, or with `muster serve` and, beside it, `muster project create NAME`. "
    "Every option can also be set by a variable or in a TOML file: see docs/cli.md.",
)
@click.version_option(_version(), prog_name="muster", message="%(prog)s %(version)s")
def cli() -> None:
    """Muster: targeted messages over millions of user profiles, every user accounted for."""


for _commands in _SECTIONS.values():
    for _command in _commands:
        cli.add_command(_command)


def main() -> None:
    """Run the command line; ends the process."""
    cli(prog_name="muster")
