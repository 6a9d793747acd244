"""Promise: a text is parsed into a tree that knows what it reads, or refused with a stable code, a position and a mend."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from core.errors import InvalidExpression
from core.evaluator.match import Row, match
from core.evaluator.parse import Parsed, parse, pointer
from core.evaluator.tree import AudienceRef, Call, Const, Has, Ident, Macro, Select


def test_tree_and_positions_in_code_points() -> None:
    root = parse('user.a == "😀" && has(user.b)').root
    assert root == Call(
        14,
        "_&&_",
        (Call(7, "_==_", (Select(4, Ident(0, "user"), "a"), Const(10, "😀"))), Has(20, Ident(21, "user"), "b")),
    )


@pytest.mark.parametrize(
    ("body", "kind", "predicate", "transform"),
    [
        ("exists(x, x > 1)", "exists", True, False),
        ("all(x, x > 1)", "all", True, False),
        ("exists_one(x, x > 1)", "exists_one", True, False),
        ("filter(x, x > 1) == []", "filter", True, False),
        ("map(x, x + 1) == []", "map", False, True),
        ("map(x, x > 1, x + 1) == []", "map", True, True),
    ],
)
def test_macros_are_recognised(body: str, kind: str, predicate: bool, transform: bool) -> None:
    root = parse(f"[1, 2].{body}").root
    macro = root.args[0] if isinstance(root, Call) else root
    assert isinstance(macro, Macro) and macro.kind == kind and macro.variable == "x"
    assert (macro.predicate is not None, macro.transform is not None) == (predicate, transform)


def test_what_is_read() -> None:
    parsed = parse('user.a.b == 1 && "c" in user && events["Buy now"].exists(user, user.d == 1 && user.time < now)')
    assert parsed.properties == frozenset({"a", "c"})
    assert parsed.events == {"Buy now"}
    assert parsed.uses_now and not parsed.uses_context
    assert parse("user[context.p] == 1").properties is None
    assert parse("size(user) > 1").properties is None


def test_parameters_become_literals() -> None:
    params = {"name": "plan", "since": datetime(2024, 1, 1, tzinfo=UTC), "list": [1, {"k": "v"}]}
    text = 'user[params.name] == 1 && user.t > params.since && params.list[1].k == "v" && has(params.name) && !has(params.x)'
    parsed = parse(text, params=params)
    assert parsed.properties == frozenset({"plan", "t"})
    assert match(parsed, Row({"plan": 1, "t": datetime(2024, 1, 2, tzinfo=UTC)}, {}, 0)) is True
    with pytest.raises(InvalidExpression) as refused:
        parse("user.a == params.nmae", params=params)
    assert (refused.value.code, refused.value.mend) == ("UNKNOWN_PARAMETER", "did you mean 'name'?")


def test_audiences_by_expression_and_by_list() -> None:
    sources: dict[str, Parsed | BitMap] = {
        "rich": parse("user.money > 10 && events.Buy.size() > 0"),
        "vip": BitMap([7]),
    }
    parsed = parse('audiences["rich"] || audiences.vip', audiences=sources)
    assert (
        parsed.audiences == {"rich", "vip"} and parsed.properties == frozenset({"money"}) and parsed.events == {"Buy"}
    )
    assert isinstance(parsed.root, Call) and all(isinstance(part, AudienceRef) for part in parsed.root.args)
    assert match(parsed, Row({"money": 11}, {"Buy": [{}]}, 0)) is True
    assert match(parsed, Row({}, {}, 0)) is False, "an audience's expression that errs does not match"
    assert match(parsed, Row({}, {}, 0, ordinal=7)) is True
    assert match(parsed, Row({}, {}, 0, audiences={"vip": True})) is True


def test_audiences_nest_to_a_limit() -> None:
    inner = parse("user.a == 1")
    with pytest.raises(InvalidExpression) as refused:
        for _ in range(20):
            inner = parse("audiences.x && true", audiences={"x": inner})
    assert refused.value.code == "EXPRESSION_TOO_DEEP"


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ("user.a ==", "EXPRESSION_SYNTAX", 9),
        ("user.a == 1 &&\n  é", "EXPRESSION_SYNTAX", 17),
        ("", "EXPRESSION_SYNTAX", 0),
        ("user.a == '\ud800'", "EXPRESSION_SYNTAX", 11),
        ("true && usr.a", "UNKNOWN_VARIABLE", 8),
        ("true && usr.a.b", "UNKNOWN_VARIABLE", 8),
        ("1 + 2", "NOT_A_CONDITION", 0),
        ("1 == 1.0", "NO_OVERLOAD", 2),
        ("user.a && foo(1)", "UNSUPPORTED_CONSTRUCT", 13),
        ("user.a.existz(x, x)", "UNSUPPORTED_CONSTRUCT", 13),
        ("user.l.all(i, v, v)", "UNSUPPORTED_CONSTRUCT", 10),
        ("google.protobuf.BoolValue{value: true}", "UNSUPPORTED_CONSTRUCT", 0),
        ("events[user.x].size() > 1", "UNSUPPORTED_CONSTRUCT", 6),
        ("size(events) > 1", "UNSUPPORTED_CONSTRUCT", 5),
        ("has(events.A)", "UNSUPPORTED_CONSTRUCT", 3),
        ("user.?a == 1", "UNSUPPORTED_CONSTRUCT", 0),
        ('user.t < now - duration("14d")', "INVALID_LITERAL", 24),
        ('user.t < timestamp("yesterday")', "INVALID_LITERAL", 19),
        ('user.s.matches("(")', "INVALID_LITERAL", 15),
        ('now.getHours("Europe/Berlim") == 1', "INVALID_LITERAL", 13),
        ('audiences["nobody"]', "UNKNOWN_AUDIENCE", 9),
        ("params.x == 1", "UNKNOWN_PARAMETER", 6),
    ],
)
def test_refusals(text: str, code: str, position: int) -> None:
    with pytest.raises(InvalidExpression) as refused:
        parse(text)
    assert (refused.value.code, refused.value.position) == (code, position), refused.value
    assert refused.value.message and len(refused.value.message) <= 200 and "\n" not in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1000 + "true" + ")" * 1000,
        "[" * 1000 + "]" * 1000 + " == []",
        "true ? true : " * 1000 + "true",
        "string(" * 1000 + '"a"' + ")" * 1000 + ' == "a"',
        "1" + " + 1" * 1000 + " == 1",
        "user" + ".a" * 1000 + " == 1",
        "user" + '["a"]' * 1000 + " == 1",
        "[1]" + ".map(x, x)" * 1000 + " == []",
        "true" + " == true" * 1000,
        "[1].all(x, " * 500 + "true" + ")" * 500,
        "{1: " * 1000 + "1" + "}" * 1000 + " == {}",
        "!" * 1000 + "true",
        "-" * 1000 + "1 == 1",
    ],
)
def test_too_deep(text: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        parse(text)
    assert refused.value.code == "EXPRESSION_TOO_DEEP"


@pytest.mark.parametrize("text", ['user.a == "' + "x" * 100_000 + '"', "é" * 20_000])
def test_too_long(text: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        parse(text)
    assert refused.value.code == "EXPRESSION_TOO_LONG"


_PIECES = [
    "user",
    ".",
    "a",
    "[",
    "]",
    "(",
    ")",
    "==",
    "1",
    "&&",
    "||",
    "!",
    "?",
    ":",
    ",",
    "{",
    "}",
    '"x"',
    "exists",
    "has",
    "now",
    "-",
    '"',
    "'",
    "\\",
    "events",
    "params",
    "audiences",
    "e",
    "1.5",
    "é",
    "\n",
    "`",
    "$",
    'r"',
    '"""',
    "//",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=25))
def test_rubbish_is_refused_in_one_sentence(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        parse(text)
    except InvalidExpression as refused:
        assert refused.code and -1 <= refused.position <= len(text) and "\n" not in refused.message.strip()


@pytest.mark.parametrize(
    "text",
    [
        "x" * 30_000, "x" * 30_000 + "(1)", "x" * 30_000 + "{}", "1 " + "x" * 30_000, "user." + "x" * 30_000 + "()", '"' + "x" * 30_000,
        'audiences["' + "x" * 30_000 + '"]', 'params["' + "x" * 30_000 + '"]', f"has(events.{'x' * 30_000})", "0" * 30_000 + "x",
        'timestamp("' + "x" * 30_000 + '") < now', 'user.s.matches("(' + "x" * 30_000 + '")', 'now.getHours("' + "x" * 30_000 + '") == 1',
    ],
)  # fmt: skip
def test_an_error_quotes_no_more_than_a_line(text: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        parse(text)
    assert len(str(refused.value)) <= 500 and "\n" not in str(refused.value)


def test_wide_is_not_deep() -> None:
    assert match(parse("true" + " && true" * 3000), Row({}, {}, 0)) is True
    assert match(parse("user.i in [" + ", ".join(map(str, range(3000))) + "]"), Row({"i": 2999}, {}, 0)) is True


def test_equal_texts_are_parsed_once() -> None:
    assert parse("user.once == 1") is parse("user.once == 1")


def test_pointer() -> None:
    assert pointer("a &&\n\tfoo(1) || b", 9) == "\tfoo(1) || b\n\t   ^"
    assert pointer("a", -1) == ""
