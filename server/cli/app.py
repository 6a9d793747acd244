"""The command `muster` as a whole."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

import click

from server.cli.commands.audience import audience
from server.cli.commands.profile import profile, schema
from server.cli.commands.serve import demo, serve
from server.cli.frame import Root

_SECTIONS: Final = {
    "Begin": ("demo", "serve"),
    "Data": ("schema", "profile"),
    "Targeting and messages": ("audience",),
}


def _version() -> str:
    try:
        return version("muster-server")
    except PackageNotFoundError:
        return "not installed"


@click.group(
    cls=Root,
    sections=_SECTIONS,
    context_settings={"auto_envvar_prefix": "MUSTER", "max_content_width": 100},
    epilog="Start with `muster demo`, or with `muster serve` and, beside it, `muster project create NAME`. "
    "Every option can also be set by a variable or in a TOML file: see docs/cli.md.",
)
@click.version_option(_version(), prog_name="muster", message="%(prog)s %(version)s")
def cli() -> None:
    """Muster: targeted messages over millions of user profiles, every user accounted for."""


for _command in (audience, demo, profile, schema, serve):
    cli.add_command(_command)


def main() -> None:
    """Run the command line; ends the process."""
    cli(prog_name="muster")
