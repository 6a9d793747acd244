"""What a command works with: the configuration, its output, and a client of the server, opened when first used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from core.errors import InvalidInput
from server.cli.output import Output
from server.config import Config

if TYPE_CHECKING:
    import muster

_LISTED: Final = 8


class Call:
    """One run of one command.

    Arguments:
        config: what was said on the command line, in the environment and in the configuration file.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.out = Output(json=config.json)
        self.texts: dict[str, str] = {}
        """What was sent, by field: an error with a position is shown below its line."""
        self._clients: list[muster.Client] = []

    def close(self) -> None:
        """Close what was opened."""
        for client in self._clients:
            client.close()

    def server(self) -> muster.Client:
        """A client for calls that concern no project, or name it themselves.

        Raises:
            InvalidInput: TOKEN_FILE, CA_UNREADABLE.
        """
        return self._open("")

    def client(self) -> muster.Client:
        """A client on the project of this run: the one named or, where none is, the server's only one.

        Raises:
            InvalidInput: PROJECT_MISSING, TOKEN_FILE, CA_UNREADABLE.
        """
        return self._open(self.named(""))

    def named(self, name: str) -> str:
        """The project that a command means: the one it names itself, or else this run's.

        Raises:
            InvalidInput: PROJECT_MISSING.
        """
        return name or self.config.project or self._only_project()

    def _open(self, project: str) -> muster.Client:
        import muster  # gRPC takes a while to load, which `muster --help` need not wait for

        config = self.config
        client = muster.Client(
            config.server, project=project, token=self.token(), tls=self.tls(), timeout=config.timeout_seconds
        )
        self._clients.append(client)
        return client

    def token(self) -> str:
        """The access token: as given, or the token file's first; "" for none.

        Raises:
            InvalidInput: TOKEN_FILE.
        """
        from server.auth import read_tokens  # which loads gRPC

        config = self.config
        if config.token or config.token_file is None:
            return config.token
        return read_tokens(config.token_file)[0][0]

    def tls(self) -> bool | bytes:
        """Whether to speak TLS, or with which roots.

        Raises:
            InvalidInput: CA_UNREADABLE.
        """
        path = self.config.tls_ca
        if path is None:
            return self.config.tls
        try:
            return path.read_bytes()
        except OSError as error:
            raise InvalidInput(
                f"cannot be read: {error.strerror}", field=str(path), mend="check the path", code="CA_UNREADABLE"
            ) from error

    def _only_project(self) -> str:
        names: list[str] = [project.name for project in self.server().projects.list()]
        if len(names) == 1:
            return names[0]
        listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
        raise InvalidInput(
            "no project is named" if names else "the server has no project yet",
            field="project",
            mend=f"give --project NAME: {listed}" if names else "create one: `muster project create NAME`",
            code="PROJECT_MISSING",
        )


pass_call: Final[Callable[[Callable[..., Any]], Callable[..., Any]]] = click.make_pass_decorator(Call)
"""Gives a command's function its call as the first argument."""


def read_text(path: str) -> str:
    """The text of a file, or of standard input for "-".

    Raises:
        InvalidInput: FILE_UNREADABLE.
    """
    try:
        if path == "-":
            return sys.stdin.read()
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InvalidInput(
            f"cannot be read: {reason}", field=str(path), mend="check the path", code="FILE_UNREADABLE"
        ) from error
