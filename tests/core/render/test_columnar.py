"""Promise: rendering by columns gives, for every template and value, what rendering row by row gives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import InvalidTemplate
from core.render import (
    Escape,
    Missing,
    RenderBatch,
    RenderFailed,
    RenderRow,
    compile_email,
    compile_push,
    compile_sms,
    compile_template,
    compile_webhook,
)
from core.render.printing import PRINTERS
from core.render.texts import assembled, printed
from core.values import ABSENT
from tests.core.render.test_fuzz import EXPRESSIONS, VALUES

NAMES = ["name", "items", "n", "a b"]
CELLS: st.SearchStrategy[Any] = (
    st.just(ABSENT)
    | VALUES
    | st.sampled_from([0, 0.0, -0.0, 1, 1.0, True, False, "", "1", "<&\"'>", "é", "日本", "🎉", " a ", "x" * 200])
)


@st.composite
def batches(draw: st.DrawFn) -> RenderBatch:
    """Up to six rows whose values repeat now and then, as those of people do."""
    size = draw(st.integers(0, 6))
    pool = draw(st.lists(CELLS, min_size=1, max_size=4))
    column = st.lists(st.sampled_from(pool) | CELLS, min_size=size, max_size=size)
    event = st.none() | st.dictionaries(st.sampled_from(["amount", "time"]), VALUES)
    return RenderBatch(
        [f"u-{n}" for n in range(size)],
        {name: draw(column) for name in NAMES if draw(st.booleans())},
        draw(st.none() | st.lists(event, min_size=size, max_size=size)),
        {"key": "m", "title": "T & T"},
        {"name": "shop"},
    )


BODIES = st.recursive(
    EXPRESSIONS.map(lambda expression: "{{ " + expression + " }}")
    | st.sampled_from(["Hi ", "<b>", "é", "日", "{{ user.name }}", "{{ distinct_id }}", "{{ message.title }}", ", "]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.tuples(EXPRESSIONS, inner).map(lambda p: f"{{% if {p[0]} %}}{p[1]}{{% endif %}}"),
        st.tuples(EXPRESSIONS, inner, EXPRESSIONS, inner, inner).map(
            lambda p: f"{{% if {p[0]} %}}{p[1]}{{% elif {p[2]} %}}{p[3]}{{% else %}}{p[4]}{{% endif %}}"
        ),
    ),
    max_leaves=5,
)


def rows_of(batch: RenderBatch) -> list[RenderRow]:
    return [batch.row(place) for place in range(len(batch))]


@settings(max_examples=500, deadline=None)
@given(BODIES, st.sampled_from(Escape), batches())
@example("{{ user.n | default(user.a / 0) }}", Escape.TEXT, RenderBatch(["u"], {"n": [1]}))
@example("{{ user.n }}", Escape.TEXT, RenderBatch(["a", "b", "c", "d"], {"n": [1, True, 1.0, "1"]}))
@example("{{ user.n }}", Escape.TEXT, RenderBatch(["a", "b"], {"n": [0.0, -0.0]}))
@example("{% if 0 %}{% elif 0 %}" + "{% elif user.n %}a" * 1200 + "{% endif %}", Escape.TEXT, RenderBatch(["a"], {}))
@example("{{ user.name }}" * 2000, Escape.TEXT, RenderBatch(["a"], {"name": ["x" * 100]}))
@example("{{ user.name }}" * 20, Escape.TEXT, RenderBatch(["a", "b"], {"name": ["x" * 60_000, "x"]}))
def test_columns_give_what_rows_give(source: str, escape: Escape, batch: RenderBatch) -> None:
    try:
        template = compile_template(source, escape, field="x")
    except InvalidTemplate:
        return
    assert template.render_batch(batch) == template.render_many(rows_of(batch))


LINES = st.sampled_from(
    ["Hi {{ user.name | default('you') }}", "{{ user.name }}", "{% if user.n %}a{% endif %}", "{{ user['a b'] }} ", "x"]
)


@settings(max_examples=200, deadline=None)
@given(LINES, LINES, LINES, LINES, st.booleans(), batches())
def test_emails_by_columns_are_those_by_rows(
    subject: str, name: str, html: str, before: str, loops: bool, batch: RenderBatch
) -> None:
    content = compile_email(
        subject=subject,
        from_=f"{name} <team@example.com>",
        reply_to="{{ user.name }} <{{ user.n }}@example.com>" if loops else None,
        preheader=before,
        html=f"<BODY class=x>{html}" + ("{% for x in user.items %}{{ x }}{% endfor %}" if loops else ""),
        text=html,
    )
    assert content.render_batch(batch) == content.render_many(rows_of(batch))


@settings(max_examples=100, deadline=None)
@given(LINES, st.integers(0, 2), batches())
def test_text_messages_by_columns_are_those_by_rows(text: str, limit: int, batch: RenderBatch) -> None:
    content = compile_sms(text=text, max_segments=limit)
    assert content.render_batch(batch) == content.render_many(rows_of(batch))


@settings(max_examples=100, deadline=None)
@given(LINES, LINES, batches())
def test_notifications_by_columns_are_those_by_rows(text: str, link: str, batch: RenderBatch) -> None:
    content = compile_push(
        title=text,
        image="https://example.com/" + link.strip(),
        buttons=[(text, ""), ("{{ user.name }}", "shop:" + link.strip())],
        data={"a": link, "b": text},
    )
    assert content.render_batch(batch) == content.render_many(rows_of(batch))


@settings(max_examples=100, deadline=None)
@given(LINES, LINES, st.booleans(), batches())
def test_webhooks_by_columns_are_those_by_rows(path: str, value: str, written: bool, batch: RenderBatch) -> None:
    content = compile_webhook(
        url="https://example.com/" + path.strip(),
        headers={"X-One": value, "X-Two": "2"},
        body='{"name": "' + value + '", "n": {{ user.n | default(none) }}}' if written else None,
        properties=None if written else ["name", "n"],
    )
    assert content.render_batch(batch) == content.render_many(rows_of(batch))


@pytest.mark.parametrize(
    ("source", "fast"),
    [
        ("Hi {{ user.name | default('you') | title }}, {{ user.points | number }}", True),
        (
            "{% if user.plan == 'pro' and not user.vip %}a{% elif user.n in [1, 2] %}b{% else %}{{ event.x }}{% endif %}",
            True,
        ),
        (
            "{{ user.created | date('%d %B', 'Europe/Madrid') }} {{ user.a.b[0] }} {{ user.n + 1 }} {{ 'a' ~ user.n }}",
            True,
        ),
        ("{{ user.name[:1] }} {{ 'a' if user.n is divisibleby(2) else 'b' }} {{ -user.n | abs }}", True),
        ("{% for x in user.items %}{{ x }}{% endfor %}", False),
        ("{{ user.items | join }}", False),
        ("{% set x = user.n %}{{ x }}", False),
    ],
)
def test_variables_defaults_filters_and_conditions_are_fast(source: str, fast: bool) -> None:
    assert compile_template(source, Escape.TEXT, field="x").is_fast is fast


def test_a_row_that_fails_keeps_the_others_fast() -> None:
    template = compile_template("{{ user.n + 1 }}", Escape.TEXT, field="x")
    assert template.render_batch(RenderBatch(["a", "b", "c"], {"n": [1, "x", ABSENT]})) == [
        "2",
        RenderFailed("PROPERTY_TYPE", "a string where a number is needed", "x"),
        Missing("n", "n", "user", "x"),
    ]


@settings(max_examples=1000, deadline=None)
@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.builds(lambda n, places: n / 10**places, st.integers(-(10**16), 10**16), st.integers(0, 6))
)
@example(0.001)
@example(-0.001)
@example(0.0)
@example(-0.5)
@example(99999999999.999)
@example(1e11)
@example(1e16)
@example(100.0)
def test_doubles_print_as_their_shortest_text(number: float) -> None:
    for printer in PRINTERS.values():
        assert printed([number, number], printer, (), verbatim=False, html=False) == [printer(number)] * 2


def test_times_print_alike_in_columns() -> None:
    moments: Sequence[Any] = [datetime(2026, 1, 31, 9, tzinfo=UTC), datetime(2026, 1, 31, 9, 0, 0, 5, tzinfo=UTC)]
    template = compile_template("{{ user.t }}", Escape.TEXT, field="x")
    assert template.render_batch(RenderBatch(["a", "b"], {"t": moments})) == [
        "2026-01-31T09:00:00Z",
        "2026-01-31T09:00:00.000005Z",
    ]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_assembled_texts_are_joined_texts(data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 5))
    texts = st.text(max_size=5)
    column = st.lists(st.none() | texts, min_size=rows, max_size=rows)
    parts = data.draw(st.lists(texts | column, max_size=5))
    found = assembled(parts, rows, 10)
    for row in range(rows):
        pieces = [part if isinstance(part, str) else part[row] for part in parts]
        whole = None if None in pieces else "".join(str(piece) for piece in pieces)
        assert found[row] == (whole if whole is not None and len(whole) <= 10 else None)
