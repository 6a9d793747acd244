"""Which properties a template reads, and which of them it cannot do without.

`required` errs on the safe side: each name in it surely makes a rendering miss when absent, so a launch can count
those users without rendering anything. A property tested with `if`, or given a default, is read but not required.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import nodes

from core.render.filters import FILTERS
from core.render.locales import LOCALE
from core.render.paths import path_of

_Needs = frozenset[tuple[str, str]]
"""Pairs of a source and a property's name, "" for the whole event."""
_NOTHING: _Needs = frozenset()


@dataclass(frozen=True, slots=True)
class Reads:
    """What a template reads.

    Arguments:
        properties: names of all user properties read anywhere.
        required: names of the user properties without which it cannot be rendered.
        event: whether the event is read anywhere.
        event_required: whether it cannot be rendered without an event.
        data_required: names in the data of a call that sends it without which it cannot be rendered.
    """

    properties: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    event: bool = False
    event_required: bool = False
    data_required: frozenset[str] = frozenset()

    def __or__(self, other: Reads) -> Reads:
        """What two templates read together."""
        return Reads(
            self.properties | other.properties,
            self.required | other.required,
            self.event or other.event,
            self.event_required or other.event_required,
            self.data_required | other.data_required,
        )


class Reader:
    """What has `reads`: a template, or several that are rendered together."""

    __slots__ = ()
    reads: Reads

    @property
    def properties(self) -> frozenset[str]:
        """Names of the user properties a row must bring."""
        return self.reads.properties

    @property
    def required(self) -> frozenset[str]:
        """Names of the user properties without which it cannot be rendered: read always, and without a default."""
        return self.reads.required

    @property
    def needs_event(self) -> bool:
        """Whether a row must bring the event that caused the match, where there is one."""
        return self.reads.event

    @property
    def requires_event(self) -> bool:
        """Whether it cannot be rendered without an event, and so not in a scheduled message."""
        return self.reads.event_required

    @property
    def requires_data(self) -> frozenset[str]:
        """Names that the data of a call that sends it must have."""
        return self.reads.data_required


def reads_of(tree: nodes.Template) -> Reads:
    """What a tree that `rules.check` passed reads; to be asked before the tree is bound."""
    needs = _body(tree.body)
    properties: set[str] = set()
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        path = path_of(node)
        if path is not None and path.root == "user":
            properties.add(str(path.keys[0]))
    if any(_reads_locale(one) for one in tree.find_all(nodes.Filter)):
        properties.add(LOCALE)
    event = any(name.name == "event" for name in tree.find_all(nodes.Name))
    required = frozenset(name for source, name in needs if source == "user")
    data = frozenset(name for source, name in needs if source == "data")
    return Reads(frozenset(properties), required, event, any(source == "event" for source, _ in needs), data)


def _reads_locale(node: nodes.Filter) -> bool:
    return FILTERS[node.name].in_locale is not None and all(pair.key != "locale" for pair in node.kwargs)


def _body(body: Iterable[nodes.Node]) -> _Needs:
    """What a run of statements surely needs."""
    found = _NOTHING
    for node in body:
        if isinstance(node, nodes.Output):
            for child in node.nodes:
                found |= _value(child)
        elif isinstance(node, nodes.If):
            found |= _branches(node, list(node.elif_))
        elif isinstance(node, nodes.For):
            found |= _value(node.iter)
        elif isinstance(node, nodes.Assign):
            found |= _truth(node.node)
    return found


def _branches(node: nodes.If, others: list[nodes.If]) -> _Needs:
    """The condition, and what every branch needs; `others` are the `elif`s after this one."""
    if others:
        first, *rest = others
        otherwise = _branches(nodes.If(first.test, first.body, [], node.else_), rest)
    else:
        otherwise = _body(node.else_)
    return _truth(node.test) | (_body(node.body) & otherwise)


def _value(node: nodes.Node) -> _Needs:
    """What is needed where the expression's value is wanted."""
    path = path_of(node)
    if path is not None:
        if path.root in ("user", "event", "data"):
            return frozenset({(path.root, str(path.keys[0]) if path.keys else "")})
        return _NOTHING
    if isinstance(node, nodes.Filter) and node.node is not None:
        return _filter(node, _value(node.node))
    if isinstance(node, nodes.Getattr | nodes.Getitem):
        return _value(node.node)
    if isinstance(node, nodes.And):
        return _value(node.left)  # a missing left side is what `and` gives, and its value is wanted
    if isinstance(node, nodes.CondExpr):
        return _choice(node, _value(node.expr1), _value(node.expr2) if node.expr2 is not None else _NOTHING)
    return _truth(node)


def _truth(node: nodes.Node) -> _Needs:
    """What is needed where a missing value may stand: it is tested, set or given a default."""
    if path_of(node) is not None or isinstance(node, nodes.Const | nodes.TemplateData):
        return _NOTHING
    if isinstance(node, nodes.Filter) and node.node is not None:
        return _filter(node, _truth(node.node))
    if isinstance(node, nodes.Getattr | nodes.Getitem):
        return _truth(node.node)
    if isinstance(node, nodes.And | nodes.Or):
        return _truth(node.left)
    if isinstance(node, nodes.Not):
        return _truth(node.node)
    if isinstance(node, nodes.CondExpr):
        return _choice(node, _truth(node.expr1), _truth(node.expr2) if node.expr2 is not None else _NOTHING)
    if isinstance(node, nodes.Test):
        return _truth(node.node)
    if isinstance(node, nodes.Compare):
        return _comparison(node.expr, node.ops[0])
    if isinstance(node, nodes.BinExpr):
        return _value(node.left) | _value(node.right)
    if isinstance(node, nodes.Neg | nodes.Pos):
        return _value(node.node)
    if isinstance(node, nodes.Concat):
        return frozenset().union(*map(_value, node.nodes))
    return _NOTHING


def _filter(node: nodes.Filter, inner: _Needs) -> _Needs:
    """A filter needs its value as much as its own value is needed; `default` needs nothing but what is inside."""
    if node.name in ("default", "d") and node.node is not None:
        return _truth(node.node)
    return inner


def _choice(node: nodes.CondExpr, first: _Needs, second: _Needs) -> _Needs:
    return _truth(node.test) | (first & second)


def _comparison(left: nodes.Node, operand: nodes.Operand) -> _Needs:
    """Both sides are needed; but nothing is compared with the items of an empty list. Later operands may not run."""
    if operand.op not in ("in", "notin"):
        return _value(left) | _value(operand.expr)
    if isinstance(operand.expr, nodes.List | nodes.Tuple):
        return _value(left) if operand.expr.items else _truth(left)
    return _truth(left) | _value(operand.expr)
