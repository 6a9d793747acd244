"""What a step is estimated to cost, in nanoseconds per user asked about: only the order of operands depends on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from core.evaluator.interpret import event_name
from core.evaluator.reads import user_property
from core.evaluator.resolve import children
from core.evaluator.tree import Call, Const, Given, Ident, Macro, Node

if TYPE_CHECKING:
    from core.bitmaps.population import Population
    from core.evaluator.parse import Parsed

_ROW: Final = 15.0  # to look at a user by rows at all
_GATHER: Final = 4.0
_KERNEL: Final = 3.0
_TEXT: Final = 20.0
_WHOLE_PROFILE: Final = 2_000.0
_EVENT: Final = 30.0
_ELEMENTS: Final = 300.0  # a list out of a dictionary, unfolded
_TEXT_FUNCTIONS: Final = frozenset(
    ("contains", "startsWith", "endsWith", "matches", "string", "int", "double", "timestamp", "duration")
)


@dataclass(frozen=True, slots=True)
class Schema:
    """What of a population a plan depends on.

    Attributes:
        magnitudes: of the events read, the binary logarithm of how many a user has on average, rounded; absent where
            there are none.
    """

    magnitudes: frozenset[tuple[str, int]]

    @classmethod
    def of(cls, parsed: Parsed, population: Population) -> Schema:
        """The schema as far as an expression reads it."""
        users = max(len(population.live), 1)
        tables = [(name, population.events(name)) for name in parsed.events]
        return cls(
            frozenset((name, round(math.log2(table.count / users))) for name, table in tables if table and table.count),
        )


class Costs:
    """Estimates for one schema."""

    def __init__(self, schema: Schema) -> None:
        self._events = {name: 2.0**magnitude for name, magnitude in schema.magnitudes}

    def events_per_user(self, name: str) -> float:
        """How many events of a name a user has."""
        return self._events.get(name, 0.0)

    def scan(self, name: str, body: Node | None) -> float:
        """Judging all events of a name once."""
        return 0.5 + self.events_per_user(name) * (8.0 if body is None else 8.0 + self._of(body))

    def rows(self, node: Node) -> float:
        """Computing an expression by rows."""
        return _ROW + self._of(node)

    def _of(self, node: Node) -> float:
        if user_property(node) is not None:
            return _GATHER
        name = event_name(node)
        if name is not None:
            return _ROW + _EVENT * self.events_per_user(name)
        match node:
            case Const() | Given():
                return 0.0
            case Ident():
                return _WHOLE_PROFILE if node.name == "user" else 0.0
            case Macro():
                each = self._elements_of(node.range)
                bodies = sum(self._of(part) for part in (node.predicate, node.transform) if part is not None)
                return self._of(node.range) + each * (_EVENT + bodies)
            case Call():
                own = _TEXT if node.function in _TEXT_FUNCTIONS else _KERNEL
                return own + sum(self._of(part) for part in node.args)
        return _KERNEL + sum(self._of(part) for part in children(node))

    def _elements_of(self, node: Node) -> float:
        """How many elements a macro runs over."""
        if isinstance(node, Macro):
            return self._elements_of(node.range)
        name = event_name(node)
        return _ELEMENTS / _EVENT if name is None else self.events_per_user(name)
