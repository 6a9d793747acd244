"""The command `muster`: everything that can be asked of Muster, from a terminal or a script."""

from server.cli.app import main

__all__ = ["main"]
