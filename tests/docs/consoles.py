"""Runs the examples of a Markdown page: writes its files, runs its commands, compares what they print.

A block ```` ```python ```` or ```` ```toml ```` that begins with a comment naming a file becomes that file. In a
```` ```console ```` block each line after `$ ` is a command, and the lines up to the next one are what it prints, on
both outputs; `…` stands for anything on its line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"(?:# |<!-- )([\w.-]+\.(?:py|toml|html))(?: -->)?\n")


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block and what it is said to print."""

    text: str
    output: str

    def differs(self, printed: str) -> str:
        """Where what it printed is not what the page says; "" where it is."""
        said, found = self.output.splitlines(), [line.rstrip() for line in printed.strip("\n").splitlines()]
        for number in range(max(len(said), len(found))):
            one = said[number].rstrip() if number < len(said) else "(nothing)"
            other = found[number] if number < len(found) else "(nothing)"
            if not re.fullmatch(re.escape(one).replace("…", ".*"), other):
                return f"$ {self.text}\nthe page says:  {one}\nit printed:     {other}"
        return ""


def files_of(page: Path) -> dict[str, str]:
    """The files that a page shows, by name."""
    found = {}
    for _, body in _BLOCK.findall(page.read_text("utf-8")):
        name = _FILE.match(body)
        if name is not None:
            found[name[1]] = body
    return found


def commands_of(page: Path) -> list[Command]:
    """The commands of a page's console blocks, in its order."""
    found = []
    for kind, body in _BLOCK.findall(page.read_text("utf-8")):
        if kind != "console":
            continue
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            text, _, output = part.partition("\n")
            found.append(Command(text, output.strip("\n")))
    return found
