"""Where in a JSON text each output stands: a value of its own, or text inside the quotes of a string.

`{"name": {{ user.name }}}` writes the value with its quotes; `{"hello": "Hey {{ user.name }}!"}` writes its text,
escaped, between the quotes that are there. The author's own quotes decide, and are followed through every branch:
an `if` or `for` must leave a string as it entered it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NoReturn

from jinja2 import nodes

from core.errors import InvalidTemplate
from core.render.results import RenderError
from core.render.scan import Scanned

_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_QUOTES_MEND: Final = "open and close each string inside the same branch"


@dataclass(frozen=True, slots=True)
class JsonPlaces:
    """Of the outputs of a tree: which stand inside a string, and whether the text is the same whatever the values.

    Arguments:
        inside: `id`s of the output expressions inside quotes; valid while the tree lives and is not bound.
        fixed: there is no branch and no loop, so that validity was settled when the template was compiled.
    """

    inside: frozenset[int]
    fixed: bool


def places_in(tree: nodes.Template, scanned: Scanned) -> JsonPlaces:
    """Follow the quotes through a checked tree, and refuse a text that can never be JSON.

    Raises:
        InvalidTemplate: TEMPLATE_JSON, for a string left open or, where nothing depends on branches, a text that
            is no JSON with every output standing for a value.
    """
    walker = _Walker(scanned)
    if walker.body(tree.body, in_string=False):
        _refuse(scanned, "a string of the JSON text is never closed", 'close it with "')
    if walker.fixed:
        _check_sample("".join(walker.sample), scanned)
    return JsonPlaces(frozenset(walker.inside), walker.fixed)


def require_json(text: str) -> str:
    """The text itself. Raises RenderError INVALID_JSON where it is no JSON."""
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RenderError(
            "the rendered body is no JSON", mend="mind the commas around if and for", code="INVALID_JSON"
        ) from None
    return text


class _Walker:
    """One pass over a tree in the order in which text is written."""

    def __init__(self, scanned: Scanned) -> None:
        self.scanned = scanned
        self.inside: set[int] = set()
        self.fixed = True
        self.sample: list[str] = []

    def body(self, body: Iterable[nodes.Node], *, in_string: bool) -> bool:
        """Whether a string is open after these statements; `in_string`: whether one is before."""
        for node in body:
            if isinstance(node, nodes.Output):
                for child in node.nodes:
                    in_string = self._child(child, in_string)
            elif isinstance(node, nodes.If):
                self.fixed = False
                branches = [node.body, *(branch.body for branch in node.elif_), node.else_]
                self._same(node, [self.body(branch, in_string=in_string) for branch in branches], in_string)
            elif isinstance(node, nodes.For):
                self.fixed = False
                self._same(node, [self.body(part, in_string=in_string) for part in (node.body, node.else_)], in_string)
        return in_string

    def _child(self, child: nodes.Expr, in_string: bool) -> bool:
        if not isinstance(child, nodes.TemplateData):
            if in_string:
                self.inside.add(id(child))
            else:
                self.sample.append("null")
            return in_string
        self.sample.append(child.data)
        text, position = child.data, 0
        while position < len(text):
            if text[position] == "\\" and in_string:
                escape = _ESCAPE.match(text, position)
                if escape is None:
                    self.scanned.refuse(
                        child.lineno,
                        "a backslash in a string begins no whole escape",
                        mend="write \\\\ for a backslash",
                        code="TEMPLATE_JSON",
                    )
                position = escape.end() - 1
            elif text[position] == '"':
                in_string = not in_string
            position += 1
        return in_string

    def _same(self, node: nodes.Node, after: list[bool], before: bool) -> None:
        if any(state != before for state in after):
            self.scanned.refuse(
                node.lineno, "a string begins or ends inside this block", mend=_QUOTES_MEND, code="TEMPLATE_JSON"
            )


def _check_sample(sample: str, scanned: Scanned) -> None:
    """A text without branches is JSON for all values or for none: null, the plainest value, stands for them."""
    try:
        json.loads(sample, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep, or NaN or Infinity"
        _refuse(scanned, f"the body is no JSON: {reason}", 'write {"name": {{ user.name }}}: each value without quotes')


def _refuse(scanned: Scanned, message: str, mend: str) -> NoReturn:
    raise InvalidTemplate(message, field=scanned.field, mend=mend, code="TEMPLATE_JSON")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
