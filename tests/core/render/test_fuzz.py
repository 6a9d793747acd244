"""Promise: no template text, and no value, ends in anything but a text, a missing property or a named error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import InvalidTemplate
from core.render import Escape, Missing, RenderFailed, RenderRow, compile_template

PIECES = [
    *("{{", "}}", "{%", "%}", "{#", "#}", "{{-", "-}}", "{%-", "-%}", "{% raw %}", "{% endraw %}", "${", "}", "$"),
    *("user", ".", "name", "items", "event", "loop", "index", "x", "message", "project", "distinct_id", "__class__"),
    *("for", "in", "endfor", "if", "elif", "else", "endif", "set", "endset", "macro", "import", "include", "block"),
    *("and", "or", "not", "is", "defined", "none", "true", "recursive", "user.items", "user.name", "user.n", "${a b}"),
    *("|", "default", "upper", "date", "join", "first", "attr", "format", "xmlattr", "truncate", "number", "tojson"),
    *("+", "-", "*", "/", "//", "%", "**", "~", "==", "<", ">", "=", "(", ")", "[", "]", "{", ":", ",", ";"),
    *("'a'", '"b"', "'", '"', "0", "1", "2.5", "1e400", "99999999999999999999", "\n", " ", " ", " ", "é", "\\", "\x00"),
    *("{% if user.n %}", "{% endif %}", "{% for x in user.items %}", "{% endfor %}", "{{ x }}", "{{ user.name }}"),
]
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
ROWS = st.builds(
    RenderRow,
    user=st.dictionaries(st.sampled_from(["name", "items", "n", "a b"]), VALUES),
    event=st.none() | st.dictionaries(st.sampled_from(["amount", "time"]), VALUES),
)


def outcome(source: str, escape: Escape, row: RenderRow) -> object:
    """The one row's outcome, or None where the template is refused; anything else is raised."""
    try:
        template = compile_template(source, escape, field="x")
    except InvalidTemplate as error:
        assert error.code.isupper()
        assert error.field == "x"
        assert error.line <= source.count("\n") + source.count("\r") + 1
        return None
    (found,) = template.render_many([row])
    assert isinstance(found, str | Missing | RenderFailed)
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=24).map("".join), st.sampled_from(Escape), ROWS)
@example("{{" + "(" * 500 + "1" + ")" * 500 + "}}", Escape.TEXT, RenderRow({}))
@example("{{" + "not " * 250 + "1}}", Escape.TEXT, RenderRow({}))
@example("{{" + "1+" * 140 + "1}}", Escape.TEXT, RenderRow({}))
@example("{{ user.n" + "|upper" * 140 + "}}", Escape.TEXT, RenderRow({}))
@example("{{ user.n" + ".a" * 140 + "}}", Escape.TEXT, RenderRow({}))
@example("{{ user.n" + "[:1]" * 70 + "}}", Escape.TEXT, RenderRow({}))
@example("{% if 1 %}" * 200 + "{% endif %}" * 200, Escape.JSON, RenderRow({}))
@example("{% if 1 %}{% elif 0 %}" + "{% elif 0 %}" * 1200 + "{% endif %}", Escape.JSON, RenderRow({}))
@example("{{ '\\N{x}' }}", Escape.TEXT, RenderRow({}))
@example("{{ '\\ud800' }}", Escape.TEXT, RenderRow({}))
@example("[" * 5000, Escape.JSON, RenderRow({}))
@example("{{ 1 }}" * 20_000, Escape.TEXT, RenderRow({}))
def test_any_pieces(source: str, escape: Escape, row: RenderRow) -> None:
    outcome(source, escape, row)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.sampled_from(Escape))
def test_any_text(source: str, escape: Escape) -> None:
    outcome(source, escape, RenderRow({}))
    outcome("{{" + source + "}}", escape, RenderRow({}))
    outcome("{%" + source + "%}", escape, RenderRow({}))


EXPRESSIONS = st.recursive(
    st.sampled_from(
        ["user.name", "user.items", "user.n", "${a b}", "event.amount", "event", "1", "2.5", "'t'", "none"]
    ),
    lambda inner: st.one_of(
        st.tuples(
            inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "~", "==", "<", "and", "or", "in"]), inner
        ).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        st.tuples(
            inner,
            st.sampled_from(
                [
                    *(
                        "upper",
                        "lower",
                        "title",
                        "capitalize",
                        "trim",
                        "truncate(3)",
                        "length",
                        "first",
                        "last",
                        "join",
                    ),
                    *(
                        "sort",
                        "unique",
                        "sum",
                        "min",
                        "max",
                        "reverse",
                        "tojson",
                        "date('%d %B %Y')",
                        "round(1)",
                        "int",
                    ),
                    *("float", "abs", "number(2)", "urlencode", "plural('a','b')", "replace('a','bb')", "default('d')"),
                ]
            ),
        ).map(lambda parts: f"({parts[0]} | {parts[1]})"),
        inner.map(lambda part: f"(-{part})"),
        inner.map(lambda part: f"(not {part})"),
        inner.map(lambda part: f"({part} is defined)"),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} if {parts[1]} else {parts[2]})"),
        inner.map(lambda part: f"({part})[:2]"),
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS, ROWS)
def test_any_expression_with_any_values(expression: str, row: RenderRow) -> None:
    outcome("{{ " + expression + " }}", Escape.TEXT, row)


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS, ROWS)
def test_a_required_property_that_is_absent_is_never_rendered_without(expression: str, row: RenderRow) -> None:
    for source in (
        "{{ " + expression + " }}",
        "{% if " + expression + " %}{{ user.name }}{% else %}{{ user.name | upper }}{% endif %}",
    ):
        try:
            template = compile_template(source, Escape.TEXT, field="x")
        except InvalidTemplate:
            continue
        (found,) = template.render_many([row])
        lacking = {name for name in template.required if row.user.get(name) is None}
        if lacking or (template.requires_event and row.event is None):
            assert not isinstance(found, str)
        if isinstance(found, Missing) and found.source == "user":
            assert found.property in template.properties


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_html_output_reads_back_as_the_value(value: str) -> None:
    class Reader(HTMLParser):
        text = ""
        title: str | None = None
        tags = 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags += 1
            self.title = dict(attrs)["title"]

        def handle_data(self, data: str) -> None:
            self.text += data

    template = compile_template('<p title="{{ user.v }}">{{ user.v }}</p>', Escape.HTML, field="x")
    reader = Reader(convert_charrefs=True)
    text = template.render(RenderRow({"v": value}))
    reader.feed(text)
    reader.close()
    assert reader.tags == 1
    assert not set("<>\"'") & set(text.removeprefix('<p title="').removesuffix("</p>").replace('">', "", 1))
    assert reader.text == value
    assert reader.title == value


def as_json(value: Any) -> Any:
    """What a JSON reader should find for a value."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    return value


@settings(max_examples=200, deadline=None)
@given(VALUES, st.text(max_size=40))
def test_json_output_parses_to_the_values(value: Any, text: str) -> None:
    source = '{"v": {{ user.v | default(none) }}, "{{ user.t }}": [1, {{ user.t }}], "s": "Hey \\"{{ user.t }}\\"!"}'
    template = compile_template(source, Escape.JSON, field="x")
    found = json.loads(template.render(RenderRow({"v": value, "t": text})))
    expected: dict[str, Any] = {"v": as_json(value)}
    expected[text] = [1, text]  # a later name wins, should the text be one of the others
    expected["s"] = f'Hey "{text}"!'
    assert found == expected
