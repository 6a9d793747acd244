"""How a command fails: one line on standard error that says what is wrong and what would be right, and a status.

Status 2: what was asked can never succeed as it is (usage, invalid input). 1: everything else. 130: interrupted.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Final

import click
from rich.console import Console
from rich.text import Text

from core.errors import InvalidInput, MusterError

INVALID: Final = 2
FAILED: Final = 1
INTERRUPTED: Final = 130
_WIDEST: Final = 120
_HINT: Final = re.compile(r"\s*(?:\(Did you mean|Did you mean)[^?)]*\??\)?\.?$")


def ours(error: BaseException) -> Any:
    """The error, if it is a domain error of the server or of its client; None otherwise."""
    if isinstance(error, MusterError):
        return error
    client = sys.modules.get("muster.errors")  # loaded only by commands that speak with a server
    return error if client is not None and isinstance(error, client.MusterError) else None


def status_of(error: Any) -> int:
    """The exit status of a domain error."""
    if isinstance(error, InvalidInput):
        return INVALID
    client = sys.modules.get("muster.errors")
    return INVALID if client is not None and isinstance(error, client.InvalidInput) else FAILED


def report(error: Any, texts: dict[str, str] | None = None, server: str = "") -> None:
    """Write a domain error; below it, for an expression, its line with a caret.

    Arguments:
        texts: what was sent, by field, such as the expression.
        server: whom the command spoke with.
    """
    if server and _is_silence(error):
        _write(f"no server answers at {server}", "start one with `muster serve`, or name another with --server")
        return
    place = f"{error.field}: " if error.field else ""
    _write(place + error.message, error.mend)  # a template's error says line and column itself
    text = (texts or {}).get(error.field)
    position = getattr(error, "position", -1)
    if text is not None and position >= 0:
        for pointer in caret(text, position):
            _console().print(Text("  " + pointer, "dim" if pointer.strip() != "^" else "bold red"), soft_wrap=True)


def _is_silence(error: Any) -> bool:
    """Whether the client found nobody to speak with: a server's own refusals have codes of their own."""
    client = sys.modules.get("muster.errors")
    return client is not None and isinstance(error, client.Unavailable) and error.code == client.Unavailable.code


def usage(error: click.ClickException) -> None:
    """Write an error in how a command was called."""
    context = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split())
    near = getattr(error, "possibilities", None)
    if near:
        text = _HINT.sub("", text)
        mend = f"did you mean {near[0]!r}?"
    else:
        mend = f"see `{context.command_path} --help`" if context is not None else ""
    text = text.rstrip(".")
    _write(text[:1].lower() + text[1:], mend)


def caret(text: str, position: int) -> tuple[str, str]:
    """The line of a text that holds a position, cut to a screen's width, and a line with a caret below it."""
    position = min(max(position, 0), len(text))
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : end if end >= 0 else len(text)].expandtabs(1)
    column = position - start
    first = max(0, min(column - _WIDEST // 2, len(line) - _WIDEST))
    cut = line[first : first + _WIDEST]
    return cut, " " * (column - first) + "^"


def _write(what: str, mend: str = "") -> None:
    line = Text.assemble(("muster: ", "bold red"), " ".join(what.split()))
    if mend:
        line.append(f" ({' '.join(mend.split())})")
    _console().print(line, soft_wrap=True)


def _console() -> Console:
    return Console(stderr=True, highlight=False, emoji=False, markup=False)
