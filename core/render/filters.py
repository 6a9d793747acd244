"""The filters and tests that templates may use: each bounded, each without access to anything but its arguments.

A filter hands a missing value through unchanged, so that `{{ user.name | upper | default("there") }}` works; only
`default` and the tests look at it. What is wrong with the arguments as written is told when a template is compiled.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Undefined, nodes, pass_context

from core.render import dates, lists, local_formats, numbers
from core.render.absent import Absent
from core.render.limits import MAX_OUTPUT
from core.render.locales import locale_of_tag
from core.render.printing import bounded, json_of, refuse_length, refuse_type, text_of
from core.values import Value

Problem = tuple[str, str]
"""What is wrong with a filter's arguments, and the mend."""


@dataclass(frozen=True, slots=True)
class FilterRule:
    """One filter: what runs, and what can be told of its arguments beforehand.

    Arguments:
        function: the filter as Jinja calls it (after the context, for one that visits lists).
        signature: its parameters after the value.
        check: tells what is wrong with constant arguments, by parameter name.
        of_string: does for a string that is not too long what the function does, without arguments, and never fails.
        in_locale: the filter with the name of the reader's locale before the value, where that matters.
    """

    function: Callable[..., Any]
    signature: inspect.Signature
    check: Callable[[Mapping[str, Any]], Problem | None]
    of_string: Callable[[str], str] | None = None
    in_locale: Callable[..., Any] | None = None

    def problem(self, args: Sequence[nodes.Expr], kwargs: Mapping[str, nodes.Expr]) -> Problem | None:
        """What is wrong with the arguments as written, or None."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            return str(error), f"its arguments are {self.signature}"
        constants = {name: value.value for name, value in bound.arguments.items() if isinstance(value, nodes.Const)}
        return self.check(constants)


@dataclass(frozen=True, slots=True)
class TestRule:
    """One test, `x is name`: what runs and how many arguments it takes."""

    __test__ = False  # not a test case, whatever pytest thinks of the name
    function: Callable[..., bool]
    arguments: int = 0


def _no_problem(_: Mapping[str, Any]) -> Problem | None:
    return None


def _rule(
    function: Callable[..., Any],
    *,
    check: Callable[[Mapping[str, Any]], Problem | None] = _no_problem,
    visits: bool = False,
    of_string: Callable[[str], str] | None = None,
) -> FilterRule:
    """Wrap a filter so that it hands a missing value through; one that `visits` a list takes the context first."""
    parameters = list(inspect.signature(function).parameters.values())[2 if visits else 1 :]

    if visits:

        @pass_context
        @wraps(function)
        def visiting(context: Any, value: Value, *args: Any, **kwargs: Any) -> Any:
            if isinstance(value, Absent):
                return value
            return function(context, value, *args, **kwargs)

        return FilterRule(visiting, inspect.Signature(parameters), check)

    @wraps(function)
    def through(value: Value, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, Absent):
            return value
        return function(value, *args, **kwargs)

    return FilterRule(through, inspect.Signature(parameters), check, of_string)


def _local_rule(function: Callable[..., Any], check: Callable[[Mapping[str, Any]], Problem | None]) -> FilterRule:
    """Wrap a filter that takes the name of the reader's locale before the value."""
    parameters = list(inspect.signature(function).parameters.values())[2:]

    @wraps(function)
    def in_locale(reader: str, value: Value, *args: Any, **kwargs: Any) -> Any:
        return value if isinstance(value, Absent) else function(reader, value, *args, **kwargs)

    @pass_context
    def of_row(context: Any, value: Value, *args: Any, **kwargs: Any) -> Any:
        return in_locale(context.locale, value, *args, **kwargs)

    return FilterRule(of_row, inspect.Signature(parameters), check, in_locale=in_locale)


# Texts


def default(value: Value, other: Value = "", boolean: bool = False) -> Value:
    """`other` where the value is missing; with `boolean` also where it is empty, 0 or false."""
    if isinstance(value, Absent | Undefined) or value is None or (boolean and not value):
        return other
    return value


def upper(value: Value) -> str:
    """In upper case."""
    return bounded(text_of(value).upper())


def lower(value: Value) -> str:
    """In lower case."""
    return bounded(text_of(value).lower())


def capitalize(value: Value) -> str:
    """The first letter in upper case, the rest in lower case."""
    return bounded(text_of(value).capitalize())


def title(value: Value) -> str:
    """Each word's first letter in upper case: words are what spaces part, so that “o'neil” becomes “O'neil”."""
    return bounded(" ".join(word[:1].upper() + word[1:].lower() for word in text_of(value).split(" ")))


def trim(value: Value) -> str:
    """Without white space at both ends."""
    return text_of(value).strip()


def truncate(value: Value, length: int = 80, end: str = "…") -> str:
    """At most `length` characters, `end` included, cut between words where there is a space to cut at."""
    text, tail, limit = text_of(value), text_of(end), numbers.whole(length)
    if len(text) <= limit:
        return text
    room = max(limit - len(tail), 0)
    cut = text[:room]
    if text[room : room + 1] not in ("", " ") and " " in cut:
        cut = cut[: cut.rindex(" ")]
    return cut.rstrip() + tail


def replace(value: Value, old: str, new: str) -> str:
    """Every `old` replaced by `new`."""
    text, before, after = text_of(value), text_of(old), text_of(new)
    if not before:
        refuse_type(None, "the text to replace")
    if len(text) + text.count(before) * (len(after) - len(before)) > MAX_OUTPUT:
        refuse_length()
    return text.replace(before, after)


def urlencode(value: Value) -> str:
    """Percent-encoded whole, for one part of a URL."""
    return bounded(quote(text_of(value), safe=""))


def plural(value: Value, one: str, many: str) -> Value:
    """`one` where the number is 1 (or -1), else `many`; the number of items where it is a list."""
    count = len(value) if isinstance(value, list) else numbers.number_of(value)
    return one if abs(count) == 1 else many


def concat(value: Value, *rest: Value) -> str:
    """The texts of all values after one another: what `~` does."""
    texts = [text_of(value), *(text_of(other) for other in rest)]
    if sum(map(len, texts)) > MAX_OUTPUT:
        refuse_length()
    return "".join(texts)


# What is wrong with constants


def _date_problem(constants: Mapping[str, Any]) -> Problem | None:
    text = constants.get("format")
    if text is not None and text not in local_formats.STYLES:
        problem = dates.format_problem(text) if isinstance(text, str) else "a format is a text"
        if problem:
            return problem, f'write date("%d %B %Y"), or one of {", ".join(local_formats.STYLES)}'
    return _moment_problem(constants)


def _moment_problem(constants: Mapping[str, Any]) -> Problem | None:
    if constants.get("style", "short") not in local_formats.STYLES:
        return f"there is no style {constants['style']!r}", f"one of {', '.join(local_formats.STYLES)}"
    zone = constants.get("zone")
    if zone is not None and (not isinstance(zone, str) or dates.zone_of(zone) is None):
        return f"there is no time zone {zone!r}", 'write an IANA name, such as "Europe/Madrid"'
    return _locale_problem(constants)


def _locale_problem(constants: Mapping[str, Any]) -> Problem | None:
    tag = constants.get("locale")
    if tag is not None and (not isinstance(tag, str) or locale_of_tag(tag) is None):
        return f"{tag!r} is no language that is known", 'write a tag such as "de-CH"'
    return None


def _currency_problem(constants: Mapping[str, Any]) -> Problem | None:
    code = constants.get("code", "EUR")
    if code not in local_formats.currencies():
        near = difflib.get_close_matches(str(code).upper(), local_formats.currencies(), 1)
        return f"{code!r} is no code of a currency", f"did you mean {near[0]!r}?" if near else 'such as "EUR"'
    return _locale_problem(constants)


def _round_problem(constants: Mapping[str, Any]) -> Problem | None:
    way = constants.get("way", "common")
    return None if way in numbers.WAYS else (f"{way!r} is no way to round", f"one of {', '.join(numbers.WAYS)}")


def _replace_problem(constants: Mapping[str, Any]) -> Problem | None:
    return ("nothing to replace", "name the text to replace") if constants.get("old") == "" else None


FILTERS: Final[dict[str, FilterRule]] = {
    "default": FilterRule(
        default, inspect.Signature(list(inspect.signature(default).parameters.values())[1:]), _no_problem
    ),
    "upper": _rule(upper, of_string=str.upper),
    "lower": _rule(lower, of_string=str.lower),
    "capitalize": _rule(capitalize, of_string=str.capitalize),
    "title": _rule(title),
    "trim": _rule(trim, of_string=str.strip),
    "truncate": _rule(truncate),
    "replace": _rule(replace, check=_replace_problem),
    "urlencode": _rule(urlencode),
    "tojson": _rule(json_of),
    "plural": _rule(plural),
    "date": _local_rule(local_formats.format_date, _date_problem),
    "time": _local_rule(local_formats.format_time, _moment_problem),
    "datetime": _local_rule(local_formats.format_datetime, _moment_problem),
    "round": _rule(numbers.round_to, check=_round_problem),
    "int": _rule(numbers.to_int),
    "float": _rule(numbers.to_float),
    "abs": _rule(numbers.absolute),
    "number": _local_rule(local_formats.format_number, _locale_problem),
    "currency": _local_rule(local_formats.format_currency, _currency_problem),
    "percent": _local_rule(local_formats.format_percent, _locale_problem),
    "length": _rule(lists.length),
    "first": _rule(lists.first),
    "last": _rule(lists.last),
    "join": _rule(lists.join, visits=True),
    "sort": _rule(lists.sort, visits=True),
    "reverse": _rule(lists.reverse, visits=True),
    "unique": _rule(lists.unique, visits=True),
    "sum": _rule(lists.total, visits=True),
    "min": _rule(lists.least, visits=True),
    "max": _rule(lists.greatest, visits=True),
}
"""Every filter by its name in templates."""
FILTERS["d"] = FILTERS["default"]


def _is_there(value: Value) -> bool:
    return not isinstance(value, Absent | Undefined) and value is not None


TESTS: Final[dict[str, TestRule]] = {
    "defined": TestRule(_is_there),
    "undefined": TestRule(lambda value: not _is_there(value)),
    "none": TestRule(lambda value: not _is_there(value)),
    "string": TestRule(lambda value: type(value) is str),
    "number": TestRule(lambda value: type(value) in (int, float)),
    "boolean": TestRule(lambda value: type(value) is bool),
    "mapping": TestRule(lambda value: type(value) is dict),
    "list": TestRule(lambda value: type(value) is list),
    "odd": TestRule(lambda value: numbers.whole(value) % 2 == 1),
    "even": TestRule(lambda value: numbers.whole(value) % 2 == 0),
    "divisibleby": TestRule(lambda value, by: numbers.divides(by, value), 1),
}
"""Every test by its name in templates."""
