"""From the parsed to the *bound* stage: a step for each part of an expression, the cheapest kind that can answer it.

A comparison of a property with constants is what a kernel over column blocks can answer, a condition on one event at a
time a count over event chunks; everything else is computed by rows.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from core.evaluator.costs import Costs, Schema
from core.evaluator.event_counts import EventCounts, EventTest
from core.evaluator.event_sums import EventSum, EventSums
from core.evaluator.general import General
from core.evaluator.interpret import event_name
from core.evaluator.leaves import Comparison, Computed, Fixed, Flag, Members, Presence
from core.evaluator.parse import Parsed
from core.evaluator.plan import Choice, Connective, Negation, SavedAudience, Step
from core.evaluator.ranges import COMPARISONS, MIRRORED
from core.evaluator.reads import is_constant, reads_only_event, user_property
from core.evaluator.run import Plan
from core.evaluator.scoping import distinct_variables
from core.evaluator.tree import AudienceRef, Call, Const, Has, Ident, ListOf, Macro, Node
from core.evaluator.window import operands
from core.evaluator.writing import written

if TYPE_CHECKING:
    from core.bitmaps.population import Population

CACHED_PLANS: Final = 1024


def bind(parsed: Parsed, population: Population) -> Plan:
    """The plan of an expression.

    Plans are kept by expression and schema. A plan gives right answers over any version of any population; what it was
    bound to decides only how fast they come.
    """
    return _bound(parsed, Schema.of(parsed, population))


@lru_cache(maxsize=CACHED_PLANS)
def _bound(parsed: Parsed, schema: Schema) -> Plan:
    return Plan(parsed, Binder(schema).condition(distinct_variables(parsed.root)))


class Binder:
    """Binds conditions whose macro variables are distinct, see `core.evaluator.scoping`."""

    def __init__(self, schema: Schema) -> None:
        self._costs = Costs(schema)

    def condition(self, node: Node) -> Step:
        """The step of a condition."""
        match node:
            case Call(function="_&&_" | "_||_" as function):
                parts = [self.condition(part) for part in operands(node, function)]
                return Connective(parts, node.position, conjunction=function == "_&&_")
            case Call(function="!_", args=(operand,)):
                return Negation(self.condition(operand), node.position)
            case Call(function="_?_:_", args=(condition, if_true, if_false)):
                chosen = self.condition(condition)
                return Choice(chosen, self.condition(if_true), self.condition(if_false), node.position)
        return self.leaf(node)

    def leaf(self, node: Node) -> Step:
        """The step of a condition that is not taken apart any further."""
        text = written(node)
        match node:
            case Const():
                return Fixed(text, node.position, node.value if isinstance(node.value, bool) else None)
            case AudienceRef():
                return self._audience(node, text)
            case Has(operand=Ident(name="user"), field=name):
                return Presence(text, node.position, name)
            case Macro():
                return self._event_macro(node, text) or self.by_rows(node)
        if is_constant(node):
            return Computed(text, node.position, node, self.by_rows(node))
        flag = user_property(node)
        if flag is not None:
            return Flag(text, node.position, flag)
        if isinstance(node, Call):
            return self._comparison(node, text) or self._membership(node, text) or self.by_rows(node)
        return self.by_rows(node)

    def by_rows(self, node: Node) -> General:
        """The step that can answer anything."""
        return General(written(node), node.position, node, self._costs.rows(node))

    def _audience(self, node: AudienceRef, text: str) -> Step:
        if node.parsed is not None:
            return SavedAudience(text, node.position, self.condition(distinct_variables(node.parsed.root)))
        return Members(text, node.position, BitMap() if node.members is None else node.members)

    def _comparison(self, node: Call, text: str) -> Step | None:
        """A property, a count of events or a sum over events compared with a constant."""
        if node.function not in COMPARISONS:
            return None
        function, (subject, constant) = node.function, node.args
        if is_constant(subject):
            function, subject, constant = MIRRORED[function], constant, subject
        if not is_constant(constant):
            return None
        name = user_property(subject)
        if name is not None:
            return Comparison(text, node.position, name, function, [constant], self.by_rows(node))
        match subject:
            case Call(function="size", args=(source,)):
                return self._event_size(node, text, source, function, constant)
            case Call(function="sum", args=(Macro(kind="map") as macro,)):
                return self._event_sum(node, text, macro, function, constant)
        return None

    def _membership(self, node: Call, text: str) -> Step | None:
        """`user.x in [a, b]`."""
        match node:
            case Call(function="@in", args=(subject, ListOf(elements=elements))) if elements:
                name = user_property(subject)
                if name is None or not all(is_constant(element) for element in elements):
                    return None
                return Comparison(text, node.position, name, "_==_", elements, self.by_rows(node))
        return None

    def _event_macro(self, node: Macro, text: str) -> Step | None:
        name = event_name(node.range)
        if name is None or node.kind not in ("exists", "all", "exists_one") or not _is_simple(node):
            return None
        test = EventTest(name, node.kind, node)
        return EventCounts(text, node.position, test, self.by_rows(node), self._costs.scan(name, node.predicate))

    def _event_size(self, node: Call, text: str, source: Node, function: str, limit: Node) -> Step | None:
        name, macro = event_name(source), None
        if isinstance(source, Macro) and source.kind == "filter" and _is_simple(source):
            name, macro = event_name(source.range), source
        if name is None:
            return None
        body = None if macro is None else macro.predicate
        test = EventTest(name, "size", macro, function, limit)
        return EventCounts(text, node.position, test, self.by_rows(node), self._costs.scan(name, body))

    def _event_sum(self, node: Call, text: str, mapped: Macro, function: str, limit: Node) -> Step | None:
        term, source, chosen = mapped.transform, mapped.range, None
        if mapped.predicate is not None:
            chosen = mapped
        elif isinstance(source, Macro) and source.kind == "filter":
            chosen, source = source, source.range
        name = event_name(source)
        if name is None or term is None or not reads_only_event(term, mapped.variable):
            return None
        if chosen is not None and not _is_simple(chosen):
            return None
        test = EventSum(name, chosen, mapped.variable, term, function, limit)
        return EventSums(text, node.position, test, self.by_rows(node), self._costs.scan(name, term))


def _is_simple(macro: Macro) -> bool:
    """Whether a macro's condition looks at one event and nothing else of its user."""
    return macro.predicate is not None and reads_only_event(macro.predicate, macro.variable)
