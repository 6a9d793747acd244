"""CEL's tokens, as far as they are needed to measure nesting and to cut a text into the parts of its logic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# An unclosed quote takes the rest of its line, so that no text is scanned again from each of its quotes.
_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+|//[^\n]*)
    | (?P<string>[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    | (?P<unclosed>["'][^\n]*)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`\n]*`)
    | (?P<number>0[xX][0-9A-Fa-f]+[uU]?|[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?[uU]?)
    | (?P<mark>&&|\|\||==|!=|<=|>=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_RAW: Final = re.compile(r"""(?:[rR][bB]?|[bB][rR])(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*')""", re.DOTALL)
_SHOWN: Final = 60
OPENING: Final = frozenset("([{")
CLOSING: Final = frozenset(")]}")


@dataclass(frozen=True, slots=True)
class Token:
    """One token: `text` and the code point offsets of its start and end."""

    text: str
    start: int
    end: int


def brief(text: str) -> str:
    """A piece of somebody's text as an error may show it, at most 60 characters."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def tokens_of(text: str) -> list[Token]:
    """The tokens of a text, spaces and comments left out. Never fails: what is no token is a mark by itself."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        part = _RAW.match(text, at) or _TOKEN.match(text, at)
        assert part is not None, "the last alternative takes any character"
        if part.lastgroup != "space":
            found.append(Token(part.group(), at, part.end()))
        at = part.end()
    return found


def first_beyond(tokens: list[Token], limit: int) -> int | None:
    """The offset where brackets, conditional operators and signs in a row first nest deeper than a limit, or None."""
    open_choices = [0]
    depth = signs = 0
    for token in tokens:
        signs = signs + 1 if token.text in ("!", "-") else 0
        if token.text in OPENING:
            open_choices.append(0)
            depth += 1
        elif token.text in CLOSING and len(open_choices) > 1:
            depth -= 1 + open_choices.pop()
        elif token.text == "?":
            open_choices[-1] += 1
            depth += 1
        elif token.text == ",":
            depth -= open_choices[-1]
            open_choices[-1] = 0
        if depth + signs > limit:
            return token.start
    return None
