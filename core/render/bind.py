"""Third stage: a checked tree is bound to what it reads and prints, ready for Jinja's code generator.

Reads of properties become direct look-ups that know what to call a missing value, loops pay for their items, `~` is
bounded, and every output goes through the printer of its template; in a JSON body, through the one for its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, cast

from jinja2 import nodes

from core.render import environment as bound
from core.render.paths import DISTINCT_ID, SOURCES, Place, place_of, split

Printer = Callable[[nodes.Expr], str]
"""Which printer's name an output of the tree gets."""

_FINDERS: Final = frozenset({"first", "last", "min", "max"})


def bind(tree: nodes.Template, printer: Printer) -> nodes.Template:
    """The tree to generate code from; the given one is used up.

    Arguments:
        tree: one that `rules.check` passed.
        printer: names the printer of each output expression.
    """
    _Binder(printer).statements(tree.body)
    tree.set_environment(bound.SANDBOX)
    return tree


def _call(name: str, line: int, value: nodes.Node, *arguments: object) -> nodes.Filter:
    """A filter node with constant arguments."""
    constants: list[nodes.Expr] = [nodes.Const(argument, lineno=line) for argument in arguments]
    return nodes.Filter(cast(nodes.Expr, value), name, constants, [], None, None, lineno=line)


class _Binder:
    """One pass over a tree. `local` holds the variables made so far and where their values come from."""

    def __init__(self, printer: Printer) -> None:
        self.printer = printer
        self.local: dict[str, Place | None] = {}

    def statements(self, body: Iterable[nodes.Node]) -> None:
        for node in body:
            if isinstance(node, nodes.Output):
                node.nodes = [self._printed(child) for child in node.nodes]
            elif isinstance(node, nodes.If):
                for branch in (node, *node.elif_):
                    branch.test = self.expression(branch.test)
                    self.statements(branch.body)
                self.statements(node.else_)
            elif isinstance(node, nodes.For):
                self._for(node)
            elif isinstance(node, nodes.Assign):
                place = place_of(node.node, self.local)
                node.node = self.expression(node.node)
                self._declare(node.target, place)

    def _printed(self, child: nodes.Expr) -> nodes.Expr:
        if isinstance(child, nodes.TemplateData):
            return child
        return _call(self.printer(child), child.lineno, self.expression(child))

    def _for(self, node: nodes.For) -> None:
        place = place_of(node.iter, self.local)
        each = place.each() if place is not None else Place("user", "", "[]")
        node.iter = _call(
            bound.ITERATE, node.iter.lineno, self.expression(node.iter), (each.source, each.property, each.path)
        )
        outer = dict(self.local)
        self._declare(node.target, each)
        if node.test is not None:
            node.test = self.expression(node.test)
        self.statements(node.body)
        self.local = dict(outer)
        self.statements(node.else_)
        self.local = outer

    def _declare(self, target: nodes.Node, place: Place | None) -> None:
        assert isinstance(target, nodes.Name)
        self.local[target.name] = place

    def expression(self, node: nodes.Node) -> nodes.Expr:
        """The node that stands for an expression in the bound tree."""
        if isinstance(node, nodes.Getattr | nodes.Getitem):
            return self._read(node)
        if isinstance(node, nodes.Filter):
            return self._filter(node)
        if isinstance(node, nodes.Concat):
            first, *rest = (self.expression(part) for part in node.nodes)
            return nodes.Filter(first, bound.CONCAT, rest, [], None, None, lineno=node.lineno)
        if isinstance(node, nodes.Compare):
            node.expr = self.expression(node.expr)
            for operand in node.ops:
                operand.expr = self.expression(operand.expr)
        elif isinstance(node, nodes.BinExpr):
            node.left = self.expression(node.left)
            node.right = self.expression(node.right)
        elif isinstance(node, nodes.UnaryExpr):
            node.node = self.expression(node.node)
        elif isinstance(node, nodes.CondExpr):
            node.test = self.expression(node.test)
            node.expr1 = self.expression(node.expr1)
            node.expr2 = self.expression(node.expr2) if node.expr2 is not None else None
        elif isinstance(node, nodes.Test):
            node.node = self.expression(node.node)
            node.args = [self.expression(argument) for argument in node.args]
        return cast(nodes.Expr, node)

    def _read(self, node: nodes.Getattr | nodes.Getitem) -> nodes.Expr:
        base, keys = split(node)
        line = node.lineno
        if isinstance(base, nodes.Name) and base.name == "loop":
            return nodes.Getattr(base, str(keys[0]), "load", lineno=line)
        if isinstance(base, nodes.Name) and base.name in SOURCES and base.name not in self.local and len(keys) == 1:
            return _call(bound.READ, line, base, keys[0], base.name)
        place = place_of(node, self.local) or Place("user", "", DISTINCT_ID)
        if isinstance(base, nodes.Getitem):
            base = self._slice(base)
        else:
            base = self.expression(base)
        return _call(bound.WALK, line, base, keys, (place.source, place.property, place.path)) if keys else base

    def _slice(self, node: nodes.Getitem) -> nodes.Expr:
        assert isinstance(node.arg, nodes.Slice)
        bounds = [
            part.as_const() if part is not None else None for part in (node.arg.start, node.arg.stop, node.arg.step)
        ]
        return _call(bound.SLICE, node.lineno, self.expression(node.node), *bounds)

    def _filter(self, node: nodes.Filter) -> nodes.Expr:
        assert node.node is not None
        place = place_of(node.node, self.local)
        node.node = self.expression(node.node)
        node.args = [self.expression(argument) for argument in node.args]
        for pair in node.kwargs:
            pair.value = self.expression(pair.value)
        if node.name in _FINDERS and place is not None:
            found = place.each()
            return _call(bound.PLACED, node.lineno, node, (found.source, found.property, found.path))
        return cast(nodes.Expr, node)
