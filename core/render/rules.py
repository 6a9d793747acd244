"""What a template may say. Everything not allowed here by name is refused, with its position, before it can run.

There are no calls, no macros, no other files, no dictionaries and no attributes of Python objects; a loop runs over
a list of the profile or event; and a property's name is written out, so that a message's properties are known.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Final

from jinja2 import nodes

from core.render import liquid
from core.render.filters import FILTERS, TESTS
from core.render.limits import MAX_BLOCK_DEPTH, MAX_EXPRESSION_DEPTH, MAX_LOOP_DEPTH
from core.render.paths import DISTINCT_ID, SOURCES, Place, path_of, place_of, split
from core.render.scan import Scanned
from core.values import INT_MAX

LOOP_FACTS: Final = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
"""What may be read of the `loop` variable."""

_RESERVED: Final = frozenset({*SOURCES, DISTINCT_ID, "loop"})
_ARITHMETIC: Final = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod)
_TOO_COMPLEX: Final = "TEMPLATE_TOO_COMPLEX"
_SYNTAX: Final = "TEMPLATE_SYNTAX"


def check(tree: nodes.Template, scanned: Scanned) -> None:
    """Refuse whatever a template may not contain.

    Arguments:
        tree: as Jinja's parser gave it.
        scanned: the text it was parsed from, for positions.

    Raises:
        InvalidTemplate: TEMPLATE_NOT_ALLOWED, TEMPLATE_TOO_COMPLEX or TEMPLATE_SYNTAX.
    """
    _Checker(scanned).statements(tree.body, blocks=0, loops=0)


class _Checker:
    """One pass over a tree. `local` holds the variables made so far and where their values come from."""

    def __init__(self, scanned: Scanned) -> None:
        self.scanned = scanned
        self.local: dict[str, Place | None] = {}
        self.loops = 0

    def refuse(self, node: nodes.Node, message: str, mend: str, code: str = "TEMPLATE_NOT_ALLOWED") -> None:
        self.scanned.refuse(node.lineno, message, mend=mend, code=code)

    # Statements

    def statements(self, body: Iterable[nodes.Node], *, blocks: int, loops: int) -> None:
        for node in body:
            if isinstance(node, nodes.Output):
                for child in node.nodes:
                    if not isinstance(child, nodes.TemplateData):
                        self.expression(child, 0)
            elif isinstance(node, nodes.If):
                self._if(node, blocks + 1, loops)
            elif isinstance(node, nodes.For):
                self._for(node, blocks + 1, loops + 1)
            elif isinstance(node, nodes.Assign):
                self._assign(node)
            else:
                self.refuse(
                    node, f"{type(node).__name__.lower()} is not allowed here", "use for, if and {% set x = … %} only"
                )

    def _if(self, node: nodes.If, blocks: int, loops: int) -> None:
        self._check_blocks(node, blocks)
        self.expression(node.test, 0)
        self.statements(node.body, blocks=blocks, loops=loops)
        for branch in node.elif_:
            self.expression(branch.test, 0)
            self.statements(branch.body, blocks=blocks, loops=loops)
        self.statements(node.else_, blocks=blocks, loops=loops)

    def _for(self, node: nodes.For, blocks: int, loops: int) -> None:
        self._check_blocks(node, blocks)
        if loops > MAX_LOOP_DEPTH:
            self.refuse(node, f"loops nested deeper than {MAX_LOOP_DEPTH}", "use fewer loops", _TOO_COMPLEX)
        if node.recursive:
            self.refuse(node, "a recursive loop is not allowed", "leave “recursive” out")
        self.expression(node.iter, 0)
        place = place_of(node.iter, self.local)
        if place is None:
            self.refuse(node.iter, "a loop runs over a list of the profile or event", "{% for item in user.items %}")
        outer = dict(self.local)
        self._declare(node.target, place.each() if place is not None else None)
        self.loops += 1
        if node.test is not None:
            self.expression(node.test, 0)
        self.statements(node.body, blocks=blocks, loops=loops)
        self.loops -= 1
        self.local = dict(outer)
        self.statements(node.else_, blocks=blocks, loops=loops - 1)
        self.local = outer

    def _assign(self, node: nodes.Assign) -> None:
        self.expression(node.node, 0)
        self._declare(node.target, place_of(node.node, self.local))

    def _declare(self, target: nodes.Node, place: Place | None) -> None:
        if not isinstance(target, nodes.Name):
            self.refuse(target, "only one plain name can be set here", "{% set x = … %} or {% for x in … %}")
            return
        if target.name in _RESERVED:
            self.refuse(target, f"{target.name!r} cannot be set", "take another name")
        if not target.name.isascii() or target.name.startswith("_"):
            self.refuse(target, f"{target.name!r} cannot be a variable", "begin with a letter; use a–z, 0–9 and _")
        self.local[target.name] = place

    def _check_blocks(self, node: nodes.Node, blocks: int) -> None:
        if blocks > MAX_BLOCK_DEPTH:
            self.refuse(
                node, f"blocks nested deeper than {MAX_BLOCK_DEPTH}", "use elif, or set a variable", _TOO_COMPLEX
            )

    # Expressions

    def expression(self, node: nodes.Node, depth: int) -> None:
        """Check an expression; `depth` counts the operators around it."""
        if depth > MAX_EXPRESSION_DEPTH:
            self.refuse(
                node,
                f"an expression nested deeper than {MAX_EXPRESSION_DEPTH}",
                "split it with {% set … %}",
                _TOO_COMPLEX,
            )
        depth += 1
        if isinstance(node, nodes.Getattr | nodes.Getitem | nodes.Name):
            self._read(node, depth)
        elif isinstance(node, nodes.Const):
            self._const(node)
        elif isinstance(node, nodes.Filter):
            self._filter(node, depth)
        elif isinstance(node, nodes.Test):
            self._test(node, depth)
        elif isinstance(node, nodes.Compare):
            self.expression(node.expr, depth)
            for operand in node.ops:
                if operand.op in ("in", "notin") and isinstance(operand.expr, nodes.List | nodes.Tuple):
                    self._constants(operand.expr)
                else:
                    self.expression(operand.expr, depth)
        elif isinstance(node, _ARITHMETIC):
            for side in (node.left, node.right):
                if isinstance(side, nodes.Const) and isinstance(side.value, str):
                    self.refuse(side, "arithmetic is for numbers", 'join texts with ~, as in {{ user.name ~ "!" }}')
                self.expression(side, depth)
        elif isinstance(node, nodes.And | nodes.Or):
            self.expression(node.left, depth)
            self.expression(node.right, depth)
        elif isinstance(node, nodes.Not | nodes.Neg | nodes.Pos):
            self.expression(node.node, depth)
        elif isinstance(node, nodes.Concat):
            for part in node.nodes:
                self.expression(part, depth)
        elif isinstance(node, nodes.CondExpr):
            self._choice(node, depth)
        else:
            self._refuse_expression(node)

    def _choice(self, node: nodes.CondExpr, depth: int) -> None:
        if node.expr2 is None:
            self.refuse(node, "an if inside an expression needs its else", '{{ "a" if user.vip else "b" }}', _SYNTAX)
            return
        self.expression(node.test, depth)
        self.expression(node.expr1, depth)
        self.expression(node.expr2, depth)

    def _read(self, node: nodes.Getattr | nodes.Getitem | nodes.Name, depth: int) -> None:
        base, keys = split(node)
        for key in keys:
            if isinstance(key, str) and key.startswith("__"):
                self.refuse(node, f"{key!r} cannot be read", "names that begin with __ are not properties")
        if isinstance(base, nodes.Getitem):
            self._slice(base, depth)
        elif isinstance(base, nodes.Filter):
            self.expression(base, depth)
        elif isinstance(base, nodes.Name):
            self._variable(base, keys)
        elif isinstance(base, nodes.Call):
            self._refuse_expression(base)
        else:
            self.refuse(base, "only the user, the event and variables have properties", "write user.name")

    def _slice(self, node: nodes.Getitem, depth: int) -> None:
        if not isinstance(node.arg, nodes.Slice):
            self.refuse(node, "a property's name must be written out", 'write user["User name"] or ${User name}')
            return
        for bound in (node.arg.start, node.arg.stop, node.arg.step):
            if bound is not None and not _is_whole_number(bound):
                self.refuse(node, "a slice needs whole numbers", "write user.items[:3]")
        self.expression(node.node, depth)

    def _variable(self, node: nodes.Name, keys: tuple[str | int, ...]) -> None:
        name = node.name
        if name == "loop":
            if not self.loops:
                self.refuse(node, "there is no loop here", "use loop inside {% for … %}")
            if len(keys) != 1 or keys[0] not in LOOP_FACTS:
                self.refuse(node, "only facts of a loop can be read", f"loop.{', loop.'.join(sorted(LOOP_FACTS))}")
        elif name in self.local or name == DISTINCT_ID or name == "event":
            return
        elif name in SOURCES:
            if not keys or not isinstance(keys[0], str):
                self.refuse(node, f"the whole {name} cannot be used", f"name one property, as in {name}.name")
        else:
            self.refuse(node, f"there is no variable {name!r}", f"a property of the profile is user.{name}")

    def _const(self, node: nodes.Const) -> None:
        value = node.value
        if isinstance(value, int) and value > INT_MAX:
            self.refuse(node, "an integer outside 64 bits", f"at most {INT_MAX}", _SYNTAX)
        if isinstance(value, float) and not math.isfinite(value):
            self.refuse(node, "a number too large for a double", "write a smaller one", _SYNTAX)
        if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            self.refuse(node, "half of a surrogate pair is no character", "write the character itself", _SYNTAX)

    def _constants(self, node: nodes.List | nodes.Tuple) -> None:
        """A list written out holds constants only, so that no chain of `set` can make it grow."""
        for item in node.items:
            bare = item.node if isinstance(item, nodes.Neg) else item
            if not isinstance(bare, nodes.Const):
                self.refuse(item, "a list written out holds constants only", 'write ["a", "b"]')
            else:
                self._const(bare)

    def _filter(self, node: nodes.Filter, depth: int) -> None:
        if node.node is None:
            self.refuse(node, "a filter block is not allowed", "put the filter into {{ … }}")
            return
        if node.name not in FILTERS:
            if node.name in ("safe", "escape", "e", "forceescape"):
                self.refuse(node, f"there is no filter {node.name!r}", "values are escaped already: leave it out")
            if node.name in liquid.FILTERS:
                self.refuse(
                    node, f"{node.name!r} is a filter of Liquid", f"in Jinja: {liquid.FILTERS[node.name]}", _SYNTAX
                )
            self._unknown(node, "filter", node.name, FILTERS)
        self._arguments(node, depth, f"filter {node.name!r}")
        problem = FILTERS[node.name].problem([*node.args], {str(pair.key): pair.value for pair in node.kwargs})
        if problem:
            self.refuse(node, f"filter {node.name!r}: {problem[0]}", problem[1], _SYNTAX)
        self.expression(node.node, depth)

    def _test(self, node: nodes.Test, depth: int) -> None:
        if node.name not in TESTS:
            self._unknown(node, "test", node.name, TESTS)
        self._arguments(node, depth, f"test {node.name!r}")
        if node.kwargs or len(node.args) != TESTS[node.name].arguments:
            count = TESTS[node.name].arguments
            self.refuse(
                node, f"test {node.name!r} takes {count} arguments", f"see {node.name} in docs/templates.md", _SYNTAX
            )
        self.expression(node.node, depth)

    def _arguments(self, node: nodes.Filter | nodes.Test, depth: int, what: str) -> None:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self.refuse(node, f"{what} takes no * or **", "write the arguments out")
        for argument in (*node.args, *(pair.value for pair in node.kwargs)):
            if isinstance(argument, nodes.List):
                self._constants(argument)
            else:
                self.expression(argument, depth)

    def _unknown(self, node: nodes.Node, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
        self.refuse(node, f"there is no {kind} {name!r}", mend)

    def _refuse_expression(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Call):
            path = path_of(node.node)
            name = path.keys[-1] if path is not None and path.keys else path.root if path is not None else ""
            mend = f"write | {name}" if name in FILTERS else "use a filter: {{ user.name | upper }}"
            self.refuse(node, "calls are not allowed", mend)
        if isinstance(node, nodes.Pow):
            self.refuse(node, "** is not allowed", "multiply")
        if isinstance(node, nodes.List | nodes.Tuple):
            self.refuse(node, "a list can only stand after “in” or as a default", 'write user.plan in ["a", "b"]')
        self.refuse(node, f"{type(node).__name__.lower()} is not allowed here", "see docs/templates.md")


def _is_whole_number(node: nodes.Expr) -> bool:
    bare = node.node if isinstance(node, nodes.Neg) else node
    return isinstance(bare, nodes.Const) and type(bare.value) is int
