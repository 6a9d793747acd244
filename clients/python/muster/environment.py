"""Which server and project a client means that is not told: the variables that the command line heeds, too.

| variable         | stands for                                                          |
|------------------|---------------------------------------------------------------------|
| `MUSTER_SERVER`  | the target; 127.0.0.1:7171 where it is unset                        |
| `MUSTER_PROJECT` | the project                                                         |
| `MUSTER_TOKEN`   | the access token                                                    |
| `MUSTER_TLS_CA`  | TLS with the root certificates of this PEM file                     |
| `MUSTER_TLS`     | `true`: TLS with gRPC's own root certificates; `false`: no TLS      |

An argument wins over its variable; an empty variable counts as unset. They are read when a client is made.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from muster.connection import DEFAULT_TARGET, Connection, Retry, Tls
from muster.errors import InvalidInput

PREFIX: Final = "MUSTER_"
"""How the name of every variable of Muster begins."""

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})


def connection(
    target: str | None, token: str | None, tls: Tls, *, timeout: float = 30.0, retry: Retry | None = None
) -> Connection:
    """What is known of the server: arguments that are None come from the environment, or have their defaults.

    Raises:
        InvalidInput: OPTION_VALUE, for a MUSTER_TLS that is neither true nor false.
    """
    return Connection(
        target=_variable("SERVER") or DEFAULT_TARGET if target is None else target,
        token=_variable("TOKEN") if token is None else token,
        tls=_tls() if tls is None else tls,
        timeout=timeout,
        retry=retry or Retry(),
    )


def project(given: str | None) -> str:
    """The project that is given or, for None, the environment's; "" where there is none."""
    return _variable("PROJECT") if given is None else given


def _tls() -> Tls:
    roots = _variable("TLS_CA")
    if roots:
        return Path(roots).expanduser()
    word = _variable("TLS").strip().lower()
    if word not in _TRUE | _FALSE:
        raise InvalidInput(
            f"{word!r} is neither true nor false", field=f"{PREFIX}TLS", mend="true or false", code="OPTION_VALUE"
        )
    return word in _TRUE


def _variable(name: str) -> str:
    return os.environ.get(PREFIX + name, "")
