"""Why one user matches or does not: the logic of an expression as a tree, each leaf with its verdict and what it read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from core.evaluator.cel_values import CelError, CelValue
from core.evaluator.compiled_row import Frame, compile_node, condition, path_of
from core.evaluator.parse import Parsed
from core.evaluator.resolve import children
from core.evaluator.row import Row
from core.evaluator.time_texts import write_timestamp
from core.evaluator.tokens import CLOSING, OPENING, Token, tokens_of
from core.evaluator.tree import AudienceRef, Call, Const, Has, Ident, Macro, Node, Select

Answer = Literal["matches", "does_not_match", "errs"]
_SHOWN: Final = 80
_SIGNS: Final = {"_&&_": "&&", "_||_": "||"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One part of the logic.

    Attributes:
        text: its source text.
        position: the code point offset of that text in the expression it stands in.
        verdict: what it comes to for the user.
        reason: where it errs, why, as "user.plan is missing"; else "".
        values: of a leaf, what it read, as 'user.plan = "free"'.
        parts: the operands of `&&`, `||` and `!`, and the expression of a saved audience.
    """

    text: str
    position: int
    verdict: Answer
    reason: str
    values: tuple[str, ...]
    parts: tuple[Explanation, ...]


def explain(parsed: Parsed, row: Row) -> Explanation:
    """The verdict of `core.evaluator.match.match` taken apart."""
    tokens = tokens_of(parsed.text)
    return _Explainer(parsed.text, Frame(row), row).part(parsed.root, tokens)


class _Explainer:
    def __init__(self, text: str, frame: Frame, row: Row) -> None:
        self._text, self._frame, self._row = text, frame, row

    def part(self, node: Node, tokens: Sequence[Token]) -> Explanation:
        """The explanation of a node whose text is made of these tokens."""
        start, end = (tokens[0].start, tokens[-1].end) if tokens else (0, 0)
        verdict, reason = self._verdict(node)
        parts = tuple(self.part(child, own) for child, own in self._operands(node, _bare(tokens)))
        if isinstance(node, AudienceRef) and node.parsed is not None:
            parts = (explain(node.parsed, self._row),)
        values = () if parts else tuple(dict.fromkeys(self._values(node, frozenset())))
        return Explanation(self._text[start:end], start, verdict, reason, values, parts)

    def _verdict(self, node: Node) -> tuple[Answer, str]:
        try:
            answer = condition(compile_node(node)(self._frame), node.position)
        except CelError as error:
            return "errs", error.message
        return ("matches" if answer else "does_not_match"), ""

    def _operands(self, node: Node, tokens: Sequence[Token]) -> Iterator[tuple[Node, Sequence[Token]]]:
        """The operands of a connective with their tokens; those of a chain of one connective all at once."""
        if not isinstance(node, Call):
            return
        if node.function == "!_" and tokens and tokens[0].text == "!":
            yield node.args[0], tokens[1:]
        sign = _SIGNS.get(node.function)
        place = next(
            (at for at, token in enumerate(tokens) if token.start == node.position and token.text == sign), None
        )
        if place is None:
            return
        for child, own in zip(node.args, (tokens[:place], tokens[place + 1 :]), strict=True):
            if isinstance(child, Call) and child.function == node.function:
                yield from self._operands(child, _bare(own))
            else:
                yield child, own

    def _values(self, node: Node, bound: frozenset[str]) -> Iterator[str]:
        """What a leaf reads: whole paths below `user` and `context`, how many events, `now`."""
        if isinstance(node, Ident) and node.name == "now" and "now" not in bound:
            yield f"now = {write_timestamp(self._frame.now)}"
        path = path_of(node)
        root = _root_of(node)
        if (
            path is not None
            and root in ("user", "context", "events")
            and root not in bound
            and not isinstance(node, Ident)
        ):
            yield self._shown(node, path)
            return
        if isinstance(node, Has) and root in ("user", "context") and root not in bound:
            yield self._shown(Select(node.position, node.operand, node.field), f"{path_of(node.operand)}.{node.field}")
            return
        if isinstance(node, Macro):
            yield from self._values(node.range, bound)
            for body in (node.predicate, node.transform):
                if body is not None:
                    yield from self._values(body, bound | {node.variable})
            return
        if isinstance(node, AudienceRef):
            return
        for child in children(node):
            yield from self._values(child, bound)

    def _shown(self, node: Node, path: str) -> str:
        try:
            value = compile_node(node)(self._frame)
        except CelError as error:
            return error.message if path in error.message else f"{path}: {error.message}"
        if _is_event_list(node):
            return f"{path}: {len(value)} event{'' if len(value) == 1 else 's'}"
        return f"{path} = {shown(value)}"


def shown(value: CelValue) -> str:
    """A value as one would write it, at most 80 characters."""
    text = json.dumps(value, ensure_ascii=False, default=_unlike_json)
    if isinstance(value, datetime):
        text = write_timestamp(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _unlike_json(value: CelValue) -> str:
    return write_timestamp(value) if isinstance(value, datetime) else str(value)


def _is_event_list(node: Node) -> bool:
    match node:
        case Select(operand=Ident(name="events")):
            return True
        case Call(function="_[_]", args=(Ident(name="events"), _)):
            return True
    return False


def _root_of(node: Node) -> str | None:
    while True:
        match node:
            case Ident():
                return node.name
            case Select() | Has():
                node = node.operand
            case Call(function="_[_]", args=(operand, Const())):
                node = operand
            case _:
                return None


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
