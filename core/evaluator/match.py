"""The row matcher: one user, plain Python, CEL's semantics throughout, independent of Google's runtime."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from core.evaluator.cel_values import CelError
from core.evaluator.compiled_row import Evaluate, Frame, compile_node, condition
from core.evaluator.explain import Explanation, explain
from core.evaluator.parse import Parsed
from core.evaluator.row import Erred, Row, Verdict

_compiled: WeakKeyDictionary[Parsed, Evaluate] = WeakKeyDictionary()


def match(parsed: Parsed, row: Row) -> Verdict:
    """Whether one user matches: True, False, or how the expression erred (which does not match, either).

    The expression is compiled at the first call and kept for as long as `parsed` lives. May be called by several
    threads at once.
    """
    root = _compiled.get(parsed)
    if root is None:
        root = _compiled[parsed] = compile_node(parsed.root)
    try:
        return condition(root(Frame(row)), parsed.root.position)
    except CelError as error:
        return Erred.of(error)


__all__ = ["Erred", "Explanation", "Row", "Verdict", "explain", "match"]
