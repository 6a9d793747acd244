"""Cuts an expression at its logic: the operands of `&&`, `||` and `!`, each with its source text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from core.evaluator.parse import Parsed
from core.evaluator.tokens import CLOSING, OPENING, Token, tokens_of
from core.evaluator.tree import Call, Node

_SIGNS: Final = {"_&&_": "&&", "_||_": "||"}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the logic.

    Attributes:
        node: its tree.
        text: its source text.
        position: the code point offset of that text in the whole.
        parts: the operands of `&&`, `||` and `!`; those of a chain of one connective all at once.
    """

    node: Node
    text: str
    position: int
    parts: tuple[Part, ...]

    def leaves(self) -> Iterator[Part]:
        """The parts that are not taken apart any further, in the text's order."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()


def outline(parsed: Parsed) -> Part:
    """The logic of an expression."""
    return _part(parsed.text, parsed.root, tokens_of(parsed.text))


def _part(text: str, node: Node, tokens: Sequence[Token]) -> Part:
    start, end = (tokens[0].start, tokens[-1].end) if tokens else (0, 0)
    below = tuple(_part(text, child, own) for child, own in _operands(node, _bare(tokens)))
    return Part(node, text[start:end], start, below)


def _operands(node: Node, tokens: Sequence[Token]) -> Iterator[tuple[Node, Sequence[Token]]]:
    """The operands of a connective with their tokens."""
    if not isinstance(node, Call):
        return
    if node.function == "!_" and tokens and tokens[0].text == "!":
        yield node.args[0], tokens[1:]
    sign = _SIGNS.get(node.function)
    place = next((at for at, token in enumerate(tokens) if token.start == node.position and token.text == sign), None)
    if place is None:
        return
    for child, own in zip(node.args, (tokens[:place], tokens[place + 1 :]), strict=True):
        if isinstance(child, Call) and child.function == node.function:
            yield from _operands(child, _bare(own))
        else:
            yield child, own


def _bare(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens without brackets around all of them, and without pairs of `!`, which the compiler drops."""
    while len(tokens) > 2:
        if tokens[0].text == "(" and _closing(tokens) == len(tokens) - 1:
            tokens = tokens[1:-1]
        elif tokens[0].text == tokens[1].text == "!":
            tokens = tokens[2:]
        else:
            break
    return tokens


def _closing(tokens: Sequence[Token]) -> int:
    """Where the bracket that the first token opens is closed."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token.text in OPENING) - (token.text in CLOSING)
        if depth == 0:
            return place
    return -1
