"""What Jinja's parser complains of, in words of a template's author, with what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_PAGE: Final = "see docs/templates.md"
_ENDS: Final = {"end of print statement": "}}", "end of statement block": "%}", "end of template": "the end"}
_KINDS: Final = {"integer": "a number", "float": "a number", "string": "a text", **_ENDS}

Words = tuple[str, str]
"""A message and its mend."""


def _thing(token: str) -> str:
    return _KINDS.get(token, f"“{token}”")


def _unexpected(match: re.Match[str]) -> Words:
    token = match[1]
    if token in _ENDS:
        return f"a value is missing before {_ENDS[token]}", "write one, such as user.name"
    return f"{_thing(token)} cannot stand here", _PAGE


def _expected(match: re.Match[str]) -> Words:
    wanted, found = match[1], match[2]
    if found == "=":
        return "“=” compares nothing", "write =="
    if wanted in _ENDS:
        return (
            f"{_thing(found)} cannot follow here",
            f"close the tag before it with {_ENDS[wanted]}, or join values by ~",
        )
    if wanted == "name":
        return f"a name is missing before {_thing(found)}", f"write that of a filter or a test; {_PAGE}"
    if wanted == "in":
        return f"{_thing(found)} stands where a loop has “in”", "write {% for one in user.list %}"
    return f"{_thing(found)} stands where {_thing(wanted)} should", _PAGE


def _never_closed(match: re.Match[str]) -> Words:
    tag = match[1]
    if tag == "set":
        return "a {% set %} gives no value", "write {% set total = … %}"
    return f"the template ends inside an open {{% {tag} %}}", f"close it with {{% end{tag} %}}"


def _inside(match: re.Match[str]) -> Words:
    tag, wanted, opened = match[1], match[2], match[3]
    possible = " or ".join(f"{{% {word} %}}" for word in re.findall(r"'(\w+)'", wanted))
    return f"{{% {tag} %}} cannot stand inside an open {{% {opened} %}}", f"there {possible} may follow"


def _nothing_open(match: re.Match[str]) -> Words:
    tag = match[1]
    opens = " or ".join(f"{{% {word} … %}}" for word in ("if", "for") if tag == "else" or tag in (f"end{word}", "elif"))
    return f"{{% {tag} %}} stands where nothing is open", f"leave it out, or open with {opens or 'a tag'}"


_TABLE: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Words]], ...]] = (
    (re.compile(r"(?:Expected an expression, got|unexpected) '(.+)'\Z"), _unexpected),
    (re.compile(r"expected token '(.+?)', got '(.+)'\Z"), _expected),
    (re.compile(r"Unexpected end of template\b.* needs to be closed is '(\w+)'"), _never_closed),
    (re.compile(r"Encountered unknown tag '(\w+)'.* following tags: (.+?)\. .* closed is '(\w+)'"), _inside),
    (re.compile(r"Encountered unknown tag '(\w+)'"), _nothing_open),
    (re.compile(r"expected name or number"), lambda _: ("a name is missing after the dot", "write user.name")),
    (re.compile(r"can't assign to"), lambda _: ("only a name can be set", "write {% set total = … %}")),
    (
        re.compile(r"invalid syntax for function call"),
        lambda _: ("arguments in an order that cannot be read", "values first, then name=value"),
    ),
    (
        re.compile(r".*(?:escape|Unicode character|surrogate)", re.DOTALL),
        lambda _: ("a backslash in this text begins no character", r"write \\ for a backslash"),
    ),
)


def reworded(message: str) -> Words:
    """A complaint in our words and its mend; what is not known here comes as it is."""
    for pattern, words in _TABLE:
        if (match := pattern.match(message)) is not None:
            return words(match)
    return message or "this cannot be read", _PAGE
