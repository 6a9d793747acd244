"""Trees as CEL text again, for plans that people read."""

from __future__ import annotations

import json
from typing import Final

from core.evaluator.tree import AudienceRef, Call, Const, Given, Has, Ident, ListOf, Macro, MapOf, Node, Select

_SHOWN_ELEMENTS: Final = 6


def written(node: Node) -> str:
    """The expression of a node; long lists are cut short, and every operand of an operator that is one has brackets."""
    match node:
        case Const():
            return _literal(node)
        case Given():
            return "?"
        case Ident():
            return node.name.split(":", 1)[0]
        case Select():
            return f"{written(node.operand)}.{node.field}"
        case Has():
            return f"has({written(node.operand)}.{node.field})"
        case ListOf():
            return f"[{_listed([written(part) for part in node.elements[: _SHOWN_ELEMENTS + 1]])}]"
        case MapOf():
            entries = node.entries[: _SHOWN_ELEMENTS + 1]
            return f"{{{_listed([f'{written(key)}: {written(value)}' for key, value in entries])}}}"
        case Macro():
            bodies = [written(part) for part in (node.predicate, node.transform) if part is not None]
            variable = node.variable.split(":", 1)[0]
            return f"{written(node.range)}.{node.kind}({', '.join([variable, *bodies])})"
        case AudienceRef():
            return f"audiences[{json.dumps(node.name)}]"
        case Call():
            return _call(node)
    raise TypeError(f"no rule for a {type(node).__name__}")


def _listed(parts: list[str]) -> str:
    return ", ".join(parts if len(parts) <= _SHOWN_ELEMENTS else [*parts[:_SHOWN_ELEMENTS], "…"])


def _literal(node: Const) -> str:
    if isinstance(node.value, bytes):
        return repr(node.value)
    return json.dumps(node.value, ensure_ascii=False) + ("u" if node.unsigned else "")


def _call(node: Call) -> str:
    parts = node.args
    match node.function:
        case "_?_:_":
            return " ".join([_operand(parts[0]), "?", _operand(parts[1]), ":", _operand(parts[2])])
        case "_[_]":
            return f"{_operand(parts[0])}[{written(parts[1])}]"
        case "@in":
            return f"{_operand(parts[0])} in {_operand(parts[1])}"
        case "!_" | "-_":
            return f"{node.function[0]}{_operand(parts[0])}"
        case name if name.startswith("_"):
            return f"{_operand(parts[0])} {name.strip('_')} {_operand(parts[1])}"
    return f"{node.function}({', '.join(written(part) for part in parts)})"


def _operand(node: Node) -> str:
    text = written(node)
    return f"({text})" if isinstance(node, Call) and node.function[0] in "_@" and node.function != "_[_]" else text
