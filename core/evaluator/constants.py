"""Expressions that read neither user nor events: one value for a whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.evaluator.cel_values import CelValue
from core.evaluator.compiled_row import compile_node
from core.evaluator.window import mentions

if TYPE_CHECKING:
    from core.evaluator.batch import Run
    from core.evaluator.tree import Node


class Varies(Exception):
    """A constant depends on `now`, of which each user of the run has one. Never leaves the evaluator."""


class Constant:
    """A constant of a plan, computed as the row matcher computes."""

    def __init__(self, node: Node) -> None:
        self._evaluate = compile_node(node)
        self._uses_now = mentions(node, "now")

    def value(self, run: Run) -> CelValue:
        """Its value in a run.

        Raises:
            CelError: it is in error.
            Varies: it has none for all users.
        """
        if self._uses_now and run.instant is None:
            raise Varies
        return self._evaluate(run.constants)
