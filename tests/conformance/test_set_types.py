"""Promise: set kernels give every operator on every pair of types, and every function on every type, the matcher's answer.

`tests/conformance/test_types.py` compares the matcher itself with Google's runtime on the same operators and types.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from core.errors import InvalidExpression
from core.evaluator.bind import Binder, bind
from core.evaluator.costs import Schema
from core.evaluator.parse import Parsed, parse
from core.evaluator.run import Plan
from core.evaluator.scoping import distinct_variables
from core.values import MAX_MICROS, MIN_MICROS, from_micros
from tests.conformance.populations import expected, outcome_of, populated
from tests.conformance.strategies import NOW, UserRow
from tests.conformance.test_types import BINARY, UNARY

_VALUES: Final[dict[str, Any]] = {
    "int": 2,
    "zero": 0,
    "big": 2**63 - 1,
    "least": -(2**63),
    "exact": 2**53 + 1,
    "double": 2.0,
    "half": 0.5,
    "nil": -0.0,
    "huge": 1e300,
    "text": "a",
    "empty": "",
    "digits": "2",
    "rfc": "2024-03-08T12:00:00Z",
    "true": True,
    "false": False,
    "time": from_micros(NOW - 1),
    "first": from_micros(MIN_MICROS),
    "last": from_micros(MAX_MICROS),
    "null": None,
    "list": [1, 2.0, "a", None],
    "ints": [2, 2],
    "doubles": [0.5, 1.5],
    "map": {"a": 1, "k": [2]},
}
_CONSTANTS: Final = (
    "2", "0", "2.0", "0.5", "2.5", "-1", "9223372036854775807", "9223372036854775807.0", "dyn(2u)", '"a"', '"zzz"', "true",
    "null", 'timestamp("2024-03-09T16:00:00Z")', 'now - duration("1us")', 'duration("1s")', 'b"a"', "[1, 2.0]", '{"a": 1}',
    "int", "1 / 0", "dyn(0.0) / 0.0", "context.x",
)  # fmt: skip
_IN: Final = (
    "[1, 2]",
    '["a", "b"]',
    '[2.0, "a", true, null]',
    "[1 / 0, 2]",
    "[]",
    "user.y",
    '{"a": 1}',
    "[2u, null]",
    '[7, 0.5, "a", null, true, 2.0, 9, 10, 11, now]',
)


def _pairs() -> tuple[list[UserRow], list[int]]:
    """A user for every pair of values, one of them missing included."""
    given = [*_VALUES.items(), (None, None)]
    rows: list[UserRow] = []
    for left, one in given:
        for right, two in given:
            rows.append(({**({"x": one} if left else {}), **({"y": two} if right else {})}, {}))
    return rows, list(range(10, 10 + len(rows)))


_ROWS, _PLACES = _pairs()
_POPULATIONS = [populated(_ROWS, _PLACES, patched=patched) for patched in (False, True)]


def _parsed(text: str) -> Parsed | None:
    """The expression, or None where the checker knows that the types cannot go together."""
    try:
        return parse(text)
    except InvalidExpression as refused:
        assert refused.code in ("NO_OVERLOAD", "NOT_A_CONDITION", "INVALID_LITERAL"), text
        return None


def _agree(text: str) -> bool:
    parsed = _parsed(text)
    if parsed is None:
        return False
    wanted = expected(parsed, _ROWS, [NOW] * len(_ROWS), _PLACES)
    for population in _POPULATIONS:
        rows = Binder(Schema.of(parsed, population)).by_rows(distinct_variables(parsed.root))
        for plan in (bind(parsed, population), Plan(parsed, rows)):
            outcome = plan.run(population, now=NOW)
            found = {place: outcome_of(outcome, place) for place in _PLACES}
            wrong = {
                place: (_ROWS[place - 10][0], found[place]) for place in _PLACES if found[place] is not wanted[place]
            }
            assert not wrong, (text, plan.describe(), wrong)
    return True


@pytest.mark.parametrize("operator", BINARY)
def test_two_properties(operator: str) -> None:
    form = "(user.x {0} user.y) == (user.x {0} user.y)" if operator in "+-*/%" else "user.x {0} user.y"
    assert _agree(form.format(operator))


@pytest.mark.parametrize("operator", BINARY)
def test_a_property_and_a_constant(operator: str) -> None:
    forms = ("user.x {0} {1}", "{1} {0} user.x")
    if operator in "+-*/%":
        forms = ("(user.x {0} {1}) == (user.x {0} {1})", "({1} {0} user.x) != ({1} {0} user.x)")
    for form in forms:
        for constant in _CONSTANTS:
            texts = form.format(operator, constant), form.format(operator, f"dyn({constant})")
            assert _agree(texts[0]) or _agree(texts[1])


@pytest.mark.parametrize("container", _IN)
def test_membership(container: str) -> None:
    assert _agree(f"user.x in {container}")
    assert _agree(f"!(user.x in {container})")


@pytest.mark.parametrize("form", UNARY)
def test_functions_and_macros(form: str) -> None:
    assert _agree(form.format("user.x"))


@pytest.mark.parametrize(
    "text",
    [
        "user.x", "!user.x", "has(user.x)", '"x" in user', 'user["x"] == 2', "user.x ? user.y : true", "user[user.x] == 2",
        "user.x[user.y] == 2", "user.x.contains(user.y)", "{user.x: user.y} == {2: 2}", '{"k": user.x}.k == 2',
        "[user.x, user.y].exists(user, user == 2)", "user.x.map(e, e == user.y).size() == 1", "[user.x].all(e, e == user.x)",
        "user.x.exists(now, now == 2)", "user.x.filter(e, e != user.y).map(e, e).sum() == 2", "size(user) == 2",
        "user.x.map(e, dyn([e]).map(e, e)).size() > 1", "type(user.x) == type(user.y)", 'string(user.x) + "a" == "2a"',
        "timestamp(user.x) < now", "user.x.getDayOfYear() == 69", 'user.x.getFullYear("Asia/Kathmandu") == 2024',
        "user.x.getMonth() == 2 && user.x.getDate() == 9", "-user.x < 0", "user.x.y == 1", "user.x.a + user.y == 3",
        'user.x < "b" && user.x > ""', "user.x in [user.y, 2]", "dyn([1, 2.5, user.x]).max() > 2", "min([user.x]) == user.x",
    ],
)  # fmt: skip
def test_other_forms(text: str) -> None:
    assert _agree(text)
