"""Why one user matches or does not: the logic of an expression as a tree, each leaf with its verdict and what it read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from core.evaluator.cel_values import CelError
from core.evaluator.compiled_row import Frame, compile_node, condition, path_of
from core.evaluator.evidence import Computed, Evidence, computed, evidence
from core.evaluator.outline import Part, outline
from core.evaluator.parse import Parsed
from core.evaluator.resolve import children
from core.evaluator.row import Row
from core.evaluator.shown import cut, shown
from core.evaluator.time_texts import write_timestamp
from core.evaluator.tree import AudienceRef, Call, Const, Has, Ident, Macro, Node, Select

Answer = Literal["matches", "does_not_match", "errs"]


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
        computed: of a leaf, its operands with their values, down to what was read.
        evidence: of a leaf, the events that it looks at.
    """

    text: str
    position: int
    verdict: Answer
    reason: str
    values: tuple[str, ...]
    parts: tuple[Explanation, ...]
    computed: tuple[Computed, ...] = ()
    evidence: tuple[Evidence, ...] = ()


def explain(parsed: Parsed, row: Row) -> Explanation:
    """The verdict of `core.evaluator.match.match` taken apart."""
    return _Explainer(Frame(row), row).part(outline(parsed))


class _Explainer:
    def __init__(self, frame: Frame, row: Row) -> None:
        self._frame, self._row = frame, row

    def part(self, piece: Part) -> Explanation:
        """The explanation of a part of the logic."""
        verdict, reason = self._verdict(piece.node)
        parts = tuple(self.part(below) for below in piece.parts)
        if isinstance(piece.node, AudienceRef) and piece.node.parsed is not None:
            parts = (explain(piece.node.parsed, self._row),)
        if parts:
            return Explanation(piece.text, piece.position, verdict, reason, (), parts)
        values = tuple(dict.fromkeys(self._values(piece.node, frozenset())))
        return Explanation(
            piece.text,
            piece.position,
            verdict,
            reason,
            values,
            (),
            computed(piece.node, self._frame),
            evidence(piece.node, self._row),
        )

    def _verdict(self, node: Node) -> tuple[Answer, str]:
        try:
            answer = condition(compile_node(node)(self._frame), node.position)
        except CelError as error:
            return "errs", cut(error.message)
        return ("matches" if answer else "does_not_match"), ""

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
            return cut(error.message if path in error.message else f"{path}: {error.message}")
        if _is_event_list(node):
            return f"{path}: {len(value)} event{'' if len(value) == 1 else 's'}"
        return f"{path} = {shown(value)}"


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
