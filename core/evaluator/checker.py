"""Google's CEL compiler: parses and type-checks, and its complaints put in one sentence with a position.

The compiler is only ever handed a text whose length and nesting are bounded here. It bounds its own recursion too
(32 levels of any kind), which bounds the depth of every tree made from its answer.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from typing import Final

from cel_expr_python import cel

from core.errors import InvalidExpression
from core.evaluator.tokens import brief, first_beyond, tokens_of

MAX_BYTES: Final = 32_768
MAX_NESTING: Final = 32
VARIABLES: Final = ("user", "events", "now", "context", "params", "audiences")
AGGREGATES: Final = ("sum", "min", "max")
_MACROS: Final = ("exists", "all", "exists_one", "filter", "map", "has")
_FUNCTIONS: Final = (
    "size", "contains", "startsWith", "endsWith", "matches", "timestamp", "duration", "int", "uint", "double", "string",
    "bool", "bytes", "type", "dyn", "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
    "getHours", "getMinutes", "getSeconds", "getMilliseconds",
)  # fmt: skip
FUNCTIONS: Final = frozenset((*_FUNCTIONS, *AGGREGATES))
"""Every named function of the language; operators and macros aside."""

_COMPLAINT: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_NO_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']*)' applied to '\((.*)\)'")
_EXAMPLE: Final = 'write it as in user.plan == "free" && events["Purchase"].size() >= 2'
_UNEXPECTED: Final = re.compile(
    r"Syntax error: (?:mismatched input|extraneous input|no viable alternative at input|token recognition error at:) '(.*?)'(?: expecting| *$)",
    re.DOTALL,
)
_OPERATOR: Final = re.compile(r"_(\W+)_$|^@?(\w+)$|^(\W)_$")


def type_name(kind: cel.Type) -> str:
    """CEL's own name of a checked type, such as `bool`, `dyn` or `list`."""
    return str(kind.name()).lower()


@cache
def _environment() -> cel.Env:
    kinds = cel.Type
    events = kinds.Map(kinds.STRING, kinds.List(kinds.Map(kinds.STRING, kinds.DYN)))
    values = kinds.Map(kinds.STRING, kinds.DYN)
    return cel.NewEnv(
        variables={
            "user": values,
            "events": events,
            "now": kinds.TIMESTAMP,
            "context": values,
            "params": values,
            "audiences": kinds.Map(kinds.STRING, kinds.BOOL),
        },
        functions=[declaration(name) for name in AGGREGATES],
    )


def declaration(name: str) -> cel.FunctionDecl:
    """An aggregate over a list, as a function and as a method, without an implementation."""
    kinds = cel.Type
    listed = [kinds.List(kinds.DYN)]
    return cel.FunctionDecl(
        name,
        [
            cel.Overload(id=f"{name}_list", return_type=kinds.DYN, parameters=listed, is_member=False),
            cel.Overload(id=f"list_{name}", return_type=kinds.DYN, parameters=listed, is_member=True),
        ],
    )


def check(text: str) -> tuple[bytes, str]:
    """Compile a text.

    Returns:
        The serialized CheckedExpr and the name of the result's type, such as `bool`.

    Raises:
        InvalidExpression: EXPRESSION_TOO_LONG, EXPRESSION_TOO_DEEP, EXPRESSION_SYNTAX, UNKNOWN_VARIABLE, NO_OVERLOAD
            or UNSUPPORTED_CONSTRUCT.
    """
    _bound(text)
    try:
        compiled = _environment().compile(text)
        return compiled.serialize(), type_name(compiled.return_type())
    except RuntimeError as error:
        raise _in_one_sentence(text, str(error)) from None


def _bound(text: str) -> None:
    try:
        size = len(text) if len(text) > MAX_BYTES else len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidExpression(
            "half of a surrogate pair is no character",
            position=error.start,
            mend="send UTF-8",
            code="EXPRESSION_SYNTAX",
        ) from None
    if size > MAX_BYTES:
        raise InvalidExpression(
            f"the expression has {size:,} {'characters' if len(text) > MAX_BYTES else 'bytes'}",
            mend=f"use at most {MAX_BYTES:,} bytes; a long list of users is a saved audience",
            code="EXPRESSION_TOO_LONG",
        )
    where = first_beyond(tokens_of(text), MAX_NESTING)
    if where is not None:
        raise _too_deep(where)


def _too_deep(position: int) -> InvalidExpression:
    return InvalidExpression(
        "the expression nests too deeply",
        position=position,
        mend=f"nest brackets, `?:` and chains of operators at most {MAX_NESTING} deep",
        code="EXPRESSION_TOO_DEEP",
    )


def _in_one_sentence(text: str, complaint: str) -> InvalidExpression:
    if "recursion" in complaint:
        return _too_deep(-1)
    found = [(int(line), int(column), rest) for line, column, rest in _COMPLAINT.findall(complaint)]
    if not found:
        first_line = complaint.split("\n", 1)[0].removesuffix("]").rsplit(" [", 1)[0]
        return InvalidExpression(first_line.split(": ", 1)[-1][:200], mend=_EXAMPLE, code="EXPRESSION_SYNTAX")
    for line, column, rest in found:
        # A misspelt macro comes with bogus complaints about its variable, so functions are told of first.
        undeclared = _UNDECLARED.match(rest)
        position = _offset(text, line, column)
        if undeclared and undeclared[1] in _MACROS:
            return InvalidExpression(
                f"{undeclared[1]}() is written otherwise",
                position=position,
                mend="has(user.x), or a list's .exists(e, condition), .all, .exists_one, .filter, .map(e, value)",
                code="UNSUPPORTED_CONSTRUCT",
            )
        if undeclared and text[position : position + 1] == "(":
            return _undeclared(text, position, undeclared[1])
    line, column, rest = found[0]
    return _explained(text, _offset(text, line, column), rest.strip())


def _explained(text: str, position: int, complaint: str) -> InvalidExpression:
    undeclared = _UNDECLARED.match(complaint)
    if undeclared:
        return _undeclared(text, position, undeclared[1])
    overload = _NO_OVERLOAD.match(complaint)
    if overload:
        return _no_overload(position, overload[1], overload[2])
    unexpected = _UNEXPECTED.match(complaint)
    if unexpected and unexpected[1] == "<EOF>":
        return InvalidExpression(
            "the expression ends too early", position=position, mend="complete what it begins", code="EXPRESSION_SYNTAX"
        )
    if unexpected:
        return InvalidExpression(
            f"{brief(unexpected[1])!r} cannot stand here",
            position=position,
            mend="take it out, or complete what stands before it",
            code="EXPRESSION_SYNTAX",
        )
    if complaint.startswith("unsupported syntax"):
        return InvalidExpression(
            f"optional syntax is not supported: {brief(complaint)}",
            position=position,
            mend="ask with has() or `in` first",
            code="UNSUPPORTED_CONSTRUCT",
        )
    code = "NO_OVERLOAD" if "type" in complaint else "EXPRESSION_SYNTAX"
    message = complaint.removeprefix("Syntax error: ")[:200]
    return InvalidExpression(message, position=position, mend=_EXAMPLE, code=code)


def _undeclared(text: str, position: int, name: str) -> InvalidExpression:
    if text[position : position + 1] == "(" or name in FUNCTIONS:
        near = get_close_matches(name, [*FUNCTIONS, *_MACROS], 1)
        if name in FUNCTIONS:
            mend = f"call it on a value, as x.{name}(…), or the other way round"
        else:
            mend = f"did you mean {near[0]}()?" if near else f"there are {', '.join(sorted((*FUNCTIONS, *_MACROS)))}"
        return InvalidExpression(
            f"the function {brief(name)}() is not supported here",
            position=position,
            mend=mend,
            code="UNSUPPORTED_CONSTRUCT",
        )
    if text[position + len(name) : position + len(name) + 1] == "{":
        return InvalidExpression(
            f"{brief(name)}{{…}} is not supported",
            position=position,
            mend='a map is {"key": value}',
            code="UNSUPPORTED_CONSTRUCT",
        )
    if "." in name:
        # Of a whole path the compiler points at the last dot; the unknown variable is its beginning.
        name = name.split(".", 1)[0]
        position = max(text.rfind(name, 0, position), 0)
    near = get_close_matches(name, VARIABLES, 1)
    mend = f"did you mean {near[0]}?" if near else f"a property is user.{brief(name)}; a text stands in quotes"
    return InvalidExpression(
        f"there is no variable {brief(name)!r}", position=position, mend=mend, code="UNKNOWN_VARIABLE"
    )


def _no_overload(position: int, function: str, kinds: str) -> InvalidExpression:
    parts = _OPERATOR.match(function)
    name = next((part for part in parts.groups() if part), function) if parts else function
    kinds = kinds.replace("google.protobuf.Timestamp", "timestamp").replace("google.protobuf.Duration", "duration")
    mend = "convert one of them, or compare other things"
    if function == "_?_:_":
        return InvalidExpression(
            f"both answers of `?:` must be of one type, and its condition true or false: ({brief(kinds)})",
            position=position,
            mend="convert one of the answers, as double(1) or string(1)",
            code="NO_OVERLOAD",
        )
    if function.startswith("_") and "int" in kinds and "double" in kinds:
        mend = "write both sides as the same type, 1.0 rather than 1, or convert with int() or double()"
    elif "timestamp" in kinds and "string" in kinds:
        mend = 'write timestamp("2024-01-31T00:00:00Z")'
    elif "duration" in kinds:
        mend = 'a length of time is duration("24h"), and timestamp - timestamp is one'
    subject = f"{name}()" if name.isidentifier() and name != "in" else repr(name)
    return InvalidExpression(
        f"{subject} does not take ({brief(kinds)})", position=position, mend=mend, code="NO_OVERLOAD"
    )


def _offset(text: str, line: int, column: int) -> int:
    """The code point offset of Google's line and column, both counted from 1; -1 where not known."""
    if line < 1 or column < 1:
        return -1
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
    return min(start + column - 1, len(text))
