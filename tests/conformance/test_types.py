"""Promise: every operator on every pair of types, missing values included, gives what Google's CEL runtime gives."""

from __future__ import annotations

from typing import Any

import pytest

from core.evaluator.match import Row, match
from core.evaluator.parse import parse
from core.values import from_micros
from tests.conformance import oracle
from tests.conformance.strategies import NOW

_USER: dict[str, Any] = {
    "i": 2,
    "big": 2**63 - 1,
    "least": -(2**63),
    "d": 2.0,
    "half": 0.5,
    "s": "a",
    "digits": "2",
    "b": True,
    "t": from_micros(NOW - 1),
    "n": None,
    "l": [1, 2.0, "a", None],
    "e": [],
    "m": {"a": 1, "k": [2]},
}
_OPERANDS = [f"user.{name}" for name in (*_USER, "missing")] + [
    "dyn(2u)",
    'dyn(duration("1s"))',
    'dyn(b"a")',
    "type(user.i)",
]
BINARY = ("==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "in", "&&", "||")
UNARY = (
    "!{}", "-{} == 0", "size({}) > 0", "has({}.a)", "{}.a == 1", "{}[0] == 1", '{}["a"] == 1', "{} ? true : false",
    "{}.exists(x, x == 2)", "{}.all(x, x == 2)", "{}.exists_one(x, x == 2)", "{}.filter(x, x == 2) == [2]",
    "{}.map(x, x) == []", "int({}) == 2", "uint({}) == 2u", "double({}) == 2.0", 'string({}) == "2"', "bool({})",
    'bytes({}) == b"a"', "timestamp({}) < now", 'duration({}) == duration("1s")', "type({}) == int", "sum({}) == 2",
    "min({}) == 1", "max({}) == 1", '{}.contains("a")', '{}.startsWith("a")', '{}.endsWith("a")', '{}.matches("a")',
    "{}.getHours() == 1", '{}.getHours("Europe/Berlin") == 1', "{}.getMilliseconds() == 0",
)  # fmt: skip


def _agree(text: str) -> bool:
    """Compare, unless Google's checker refuses the text; whether it was compared."""
    if not oracle.compiles(text):
        return False
    answer = match(parse(text), Row(_USER, {}, NOW))
    ours = answer if isinstance(answer, bool) else None
    assert ours is oracle.judge(text, _USER, {}, NOW), (text, answer)
    return True


@pytest.mark.parametrize("operator", BINARY)
def test_binary_operators(operator: str) -> None:
    form = "({0} {2} {1}) == ({0} {2} {1})" if operator in "+-*/%" else "{0} {2} {1}"
    pairs = [(left, right) for left in _OPERANDS for right in _OPERANDS]
    compared = [_agree(form.format(left, right, operator)) for left, right in pairs]
    assert sum(compared) > len(pairs) * 3 / 4


@pytest.mark.parametrize("form", UNARY)
def test_functions_and_macros(form: str) -> None:
    skipped = ["user.b"] if form.startswith("int(") else []  # int-of-bool in docs/cel-deviations.md
    operands = [operand for operand in _OPERANDS if operand not in skipped]
    compared = [_agree(form.format(operand)) for operand in operands]
    assert sum(compared) > len(operands) / 2
