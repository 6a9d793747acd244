"""The *parsed* stage: CEL text to a tree with its parameters and saved audiences put in, and what it reads.

Google's compiler parses and type-checks (`core.evaluator.checker`), `core.evaluator.checked_expr` decodes, and
`core.evaluator.resolve` puts in what is known by name and refuses what is not supported.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from pyroaring import BitMap

from core.errors import InvalidExpression
from core.evaluator.checked_expr import decode
from core.evaluator.checker import check
from core.evaluator.resolve import Resolution, names_of, resolve
from core.evaluator.tree import Node, Parsed
from core.values import Value

CACHED_TEXTS: Final = 1024


def parse(
    text: str,
    *,
    params: Mapping[str, Value] | None = None,
    audiences: Mapping[str, Parsed | BitMap] | None = None,
) -> Parsed:
    """Parse a targeting expression.

    Arguments:
        text: CEL, at most 32,768 bytes.
        params: the named parameters of the request, read as `params.name`.
        audiences: the saved audiences that it may name, by expression or by list of ordinals.

    Raises:
        InvalidExpression: with the position and, where one helps, a mend. Codes: EXPRESSION_TOO_LONG,
            EXPRESSION_TOO_DEEP, EXPRESSION_SYNTAX, UNKNOWN_VARIABLE, UNKNOWN_PARAMETER, UNKNOWN_AUDIENCE, NO_OVERLOAD,
            NOT_A_CONDITION, INVALID_LITERAL, UNSUPPORTED_CONSTRUCT.
    """
    root, named = compiled(text)
    if not named:
        return _plain(text)
    return made(text, root, params or {}, {} if audiences is None else audiences)


@lru_cache(maxsize=CACHED_TEXTS)
def compiled(text: str) -> tuple[Node, bool]:
    """The tree as written, and whether it names parameters or audiences."""
    serialized, kind = check(text)
    if kind not in ("bool", "dyn"):
        raise InvalidExpression(
            f"the expression gives {_with_article(kind)}, not true or false",
            position=0,
            mend="compare it with something",
            code="NOT_A_CONDITION",
        )
    root = decode(serialized)
    return root, bool(names_of(root) & {"params", "audiences"})


@lru_cache(maxsize=CACHED_TEXTS)
def _plain(text: str) -> Parsed:
    return made(text, compiled(text)[0], {}, {})


def made(text: str, root: Node, params: Mapping[str, Value], audiences: Mapping[str, Parsed | BitMap]) -> Parsed:
    """A compiled text with its parameters and audiences put in. Raises InvalidExpression."""
    resolution = Resolution(params, audiences)
    resolved = resolve(root, resolution)
    return Parsed(
        text=text,
        root=resolved,
        params=dict(params),
        properties=None if resolution.any_property else frozenset(resolution.properties),
        events=frozenset(resolution.events),
        audiences=frozenset(resolution.audience_names),
        uses_now=resolution.uses_now,
        uses_context=resolution.uses_context,
        depth=resolution.depth,
        expansion=resolution.expansion,
    )


def pointer(text: str, position: int) -> str:
    """The line of a text that holds an offset, with a caret under it; "" where the offset is not known (-1)."""
    if position < 0:
        return ""
    position = min(position, len(text))
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : end if end >= 0 else len(text)]
    lead = "".join("\t" if letter == "\t" else " " for letter in line[: position - start])
    return f"{line}\n{lead}^"


def _with_article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeio' else 'a'} {kind}"


__all__ = ["Parsed", "parse", "pointer"]
