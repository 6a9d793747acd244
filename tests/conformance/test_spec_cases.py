"""Promise: hand-picked cases of CEL's specification come out as it says, deviations of Google's runtime included."""

from __future__ import annotations

import pytest

from core.evaluator.match import Erred, Row, match
from core.evaluator.parse import parse
from core.values import from_micros
from tests.conformance.strategies import NOW

_USER = {
    "i": 1,
    "z": 0,
    "big": 2**53 + 1,
    "d": 1.5,
    "s": "é😀",
    "b": True,
    "n": None,
    "l": [1, "a"],
    "t": from_micros(NOW),
}

TRUE = (
    # logic: a decisive operand decides whatever the other does
    "true || user.missing == 1", "user.missing == 1 || true", "!(false && user.missing == 1)", "!(user.i && false)",
    "user.i || true", "true ? true : user.missing",
    # comparisons
    "user.i == 1.0", "user.i < 1.5", "user.big > 9007199254740992.0", "user.big != 9007199254740992.0", "dyn(-1) < 1u",
    "dyn(18446744073709551615u) < 18446744073709551616.0", "user.i != 'a'", "user.n == null", "dyn([1]) == [1.0]",
    '{"a": 1} == {"a": dyn(1.0)}', "!(0.0 / user.d * 0.0 / 0.0 == 0.0)", '"\\uffff" < "😀"', "false < true", "0.0 == -0.0",
    # numbers
    "-7 / 2 == -3", "-7 % 2 == -1", "7 % -2 == 1", "1.0 / 0.0 > 1e308", "int(-1.9) == -1", "int('-12') == -12",
    "uint('3') == 3u", "double('1e3') == 1000.0", "string(1e6) == '1e+06'", "string(0.1) == '0.1'", "string(1.0) == '1'",
    # texts count code points
    "user.s.size() == 2", 'user.s.startsWith("é")', "size(bytes('é')) == 2", '"ab".contains("")', '"a1".matches("[0-9]")',
    # lists and maps
    "1.0 in user.l", '"a" in {"a": 1}', "user.l[0u] == 1", "user.l[0.0] == 1", "[1] + [2] == [1, 2]", 'user["i"] == 1',
    "user.l.exists(x, x > 0)", "user.l.exists_one(x, x == 1)", "!user.l.all(x, x == 'a')", "[].all(x, x)",
    "[1, 2, 3].filter(x, x > 1).map(y, y * 2) == [4, 6]", '{"a": 1}.exists(k, k == "a")', "[[1], [2]].exists(x, x.exists(y, y == 2))",
    "[1, 2].exists(x, [3].exists(x, x == 3))", "size([1, 2].map(x, x > 1, x)) == 1",
    # times
    'timestamp("2024-03-09T16:00:00Z") == user.t', 'timestamp("2024-03-09T17:00:00+01:00") == now',
    'timestamp("2016-12-31T23:59:60Z") == timestamp("2017-01-01T00:00:00Z")', "timestamp(0) < now",
    "int(timestamp('1969-12-31T23:59:59.5Z')) == -1", 'now.getDayOfWeek() == 6', 'now.getHours("Asia/Kathmandu") == 21',
    'now.getMinutes("-02:30") == 30', 'now.getDate() == 9 && now.getDayOfMonth() == 8', 'now.getDayOfYear() == 68',
    'timestamp("9999-12-31T23:59:59Z").getFullYear("+02:00") == 10000',
    'timestamp("0001-01-01T00:00:00Z").getFullYear("America/New_York") == 0',
    'timestamp("0001-01-01T00:00:00Z").getDayOfYear("America/New_York") == 365',
    'duration("1h30m").getMinutes() == 90', 'duration("-1.5s").getMilliseconds() == -500',
    'string(duration("1.5s")) == "1.500s"', 'string(timestamp("2024-01-01T00:00:00.1Z")) == "2024-01-01T00:00:00.100Z"',
    # types
    "type(user.i) == int", "type(user.t) == google.protobuf.Timestamp", "type(type(1)) == type(int)", "type(user.n) == null_type",
    # aggregates
    "sum([]) == 0", "sum([1, 2]) == 3", "[1.5, 2.0].sum() == 3.5", "min([2, 1.0]) == 1", 'max(["a", "b"]) == "b"',
)  # fmt: skip

ERRED = (
    ("user.missing == 1", "missing", "user.missing is missing"),
    ('user["Last login"] < now', "missing", 'user["Last login"] is missing'),
    ("user.s.x == 1", "type", "user.s is a string, not a map"),
    ("user.i < 'a'", "type", "< does not take (int, string)"),
    ("user.i && true", "type", ""),
    ("user.l.all(x, x > 0)", "type", ""),
    ("user.l.filter(x, x > 0).size() > 0", "type", ""),
    ("user.l.exists_one(x, x > 0)", "type", ""),
    ("user.l[7] == 1", "missing", ""),
    ("9223372036854775807 + user.i > 0", "overflow", ""),
    ("(-9223372036854775807 - user.i) / -1 > 0", "overflow", ""),
    ("-(-9223372036854775807 - user.i) > 0", "overflow", ""),
    ("user.i / user.z > 0", "other", "division by zero"),
    ("1u - 2u == 0u", "overflow", ""),
    ("int(1e30) > 0", "overflow", ""),
    ("int(user.b) == 1", "type", ""),
    ('timestamp("9999-12-31T23:59:59Z") + duration("1s") > now', "overflow", ""),
    ('timestamp("9999-12-31T23:59:59Z") - timestamp("0001-01-01T00:00:00Z") > duration("1s")', "overflow", ""),
    ("timestamp(user.s) < now", "other", ""),
    ("now.getHours(user.s) == 1", "other", ""),
    ("min([]) == 1", "other", "min() of an empty list"),
    ("sum([1, 2.0]) == 3", "type", ""),
    ("min([null]) == 1", "type", ""),
    ("user.i in user.s", "type", ""),
    ("{1: 1, user.i: 2} == {}", "other", ""),
    ("user.s", "type", ""),
)  # fmt: skip


def _answer(text: str) -> object:
    return match(parse(text), Row(_USER, {}, NOW))


@pytest.mark.parametrize("text", TRUE)
def test_true(text: str) -> None:
    assert _answer(text) is True


@pytest.mark.parametrize(("text", "kind", "message"), ERRED)
def test_erred(text: str, kind: str, message: str) -> None:
    answer = _answer(text)
    assert isinstance(answer, Erred) and answer.kind == kind and not answer
    assert not message or answer.message == message
    assert 0 <= answer.position < len(text)
