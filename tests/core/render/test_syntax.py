"""Promise: the product's own syntax works wherever an expression does, and every error says where and how to mend it."""

from __future__ import annotations

import re

import pytest

from core.render import Escape, Missing, RenderRow
from tests.core.render.conftest import Refused, Render

ROW = RenderRow(
    {"User name": "Bo", "name": "Ann", "$email": "a@b.c", "n": 3, "a.b": 1, 'q"\\': "odd", "tags": ["x", "y"]},
    event={"amount": 12.5, "Order id": "o-1"},
    message={"id": "m-1", "key": "welcome"},
    project={"name": "Shop"},
    distinct_id="u-1",
)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hey {{ ${User name} }},", "Hey Bo,"),
        ("{{${User name}}}", "Bo"),
        ("{{ ${ User name } | upper }}", "BO"),
        ("{{ ${User name} ~ ${$email} }}", "Boa@b.c"),
        ("{% if ${n} > 2 %}yes{% endif %}", "yes"),
        ("{{ ${a.b} }}", "1"),
        ('{{ ${q"\\} }}', "odd"),
        ("{{ user[\"User name\"] }} {{ user.name }} {{ user['$email'] }}", "Bo Ann a@b.c"),
        ("cost ${User name} {{ '${User name}' }}", "cost ${User name} ${User name}"),
        ("{% raw %}{{ ${x} }}{% endraw %}{# {{ ${ #}", "{{ ${x} }}"),
        ('{{ event.amount }} {{ event["Order id"] }}', "12.5 o-1"),
        ("{{ message.id }} {{ message.key }} {{ project.name }} {{ distinct_id }}", "m-1 welcome Shop u-1"),
        ("{% for t in user.tags %}{{ loop.index }}{{ t }}{% endfor %}", "1x2y"),
        ("{% for t in user.tags if t != 'x' %}{{ t }}{% else %}none{% endfor %}", "y"),
        ("{% set both = user.name ~ user.n %}{{ both }}", "Ann3"),
        ("{{ user.n * 2 + 1 }} {{ -user.n }} {{ user.n / 2 }} {{ user.n // 2 }} {{ user.n % 2 }}", "7 -3 1.5 1 1"),
        ("{{ 'big' if user.n > 2 else 'small' }}", "big"),
        ("{{ user.name in ['Ann', 'Bo'] }} {{ 'x' in user.tags }} {{ 'z' not in user.tags }}", "true true true"),
        ("a\r\nb\n{{- ' c' -}}\n d\n", "a\nb cd\n"),
        ("{{ user.tags[0] }}{{ user.tags[-1] }}{{ user.tags.1 }}{{ user.name[:2] }}", "xyyAn"),
        ("", ""),
    ],
)
def test_what_is_written(render: Render, source: str, text: str) -> None:
    assert render(source, row=ROW) == text


@pytest.mark.parametrize(
    ("source", "line", "column", "mend"),
    [
        ("a\n  {{ user.name", 2, 3, "close it with }}"),
        ("{% if user.x %}", 1, 14, "{% endif %}"),
        ("{{ }}", 1, 4, "user.name"),
        ("{{ user. }}", 1, 10, "user.name"),
        ("{{ user.a | }}", 1, 13, "filter"),
        ("{{ user.a = 1 }}", 1, 11, "=="),
        ("{% for x user.l %}{% endfor %}", 1, 10, "{% for one in user.list %}"),
        ("{% if user.a %}x{% endfor %}", 1, 20, "{% endif %}"),
        ("{% endfor %}", 1, 4, "{% for … %}"),
        ("{% set x %}", 1, 10, "{% set total = … %}"),
        ("{% set 1 = 2 %}", 1, 8, "{% set total = … %}"),
        ("{{ * 2 }}", 1, 4, "docs/templates.md"),
        ("{{ user.a | default(1 2) }}", 1, 23, "docs/templates.md"),
        ("{{ user.a | date(a=1, 2) }}", 1, 17, "values first"),
        ("{{ '\\x' }}", 1, 4, "backslash"),
        ("x {# y", 1, 3, "#}"),
        ("{% raw %} y", 1, 1, "endraw"),
        ("\n\n {{ user.name ! 1 }}", 3, 15, "not"),
        ("{{ user.$email }}", 1, 9, "${$email}"),
        ("{{ 'abc }}", 1, 4, "close it with '"),
        ("{{ ${} }}", 1, 4, "${User name}"),
        ("{{ (user.n }}", 1, 12, "expected ')'"),
        ("{{ (user.n", 1, 1, "close it with }}"),
        ("{{ user.n) }}", 1, 10, "nothing is open"),
        ("{{ user.a user.b }}", 1, 11, "close the tag before it with }}"),
        ("{{\n  user.a\n  | date('%Q') }}", 3, 5, "%d %B %Y"),
        ("{{ user.a | date('%F', 'Mars/Base') }}", 1, 13, "Europe/Madrid"),
        ("{{ user.a | upper(1) }}", 1, 13, "arguments"),
        ("{{ 'x' if user.a }}", 1, 4, "else"),
        ("{{ '\\ud800' }}", 1, 4, "character"),
    ],
)
def test_syntax_errors_have_a_place(refused: Refused, source: str, line: int, column: int, mend: str) -> None:
    error = refused(source)
    assert error.code == "TEMPLATE_SYNTAX"
    assert (error.line, error.column) == (line, column)
    assert error.message.count(f"line {line}, column {column}") == 1
    assert mend in error.mend
    assert not re.search(r"[Jj]inja|token|statement|[Ee]xpected an|\bgot\b", error.message)


@pytest.mark.parametrize(
    ("source", "mend"),
    [
        ('{{ user.a | date: "%d" }}', "| date("),
        ("{{ user.a | plus: 1 }}", "user.points + 1"),
        ("{{ user.a | upcase }}", "| upper"),
        ("{{ user.a | strip }}", "| trim"),
        ("{% assign x = 1 %}", "{% set"),
        ("{% unless user.a %}{% endunless %}", "if not"),
        ("{% if user.a %}{% elsif user.b %}{% endif %}", "elif"),
        ("{% case user.a %}{% endcase %}", "elif"),
        ("{% comment %}x{% endcomment %}", "{#"),
    ],
)
def test_liquid_is_answered_in_jinja(refused: Refused, source: str, mend: str) -> None:
    error = refused(source)
    assert "Liquid" in error.message
    assert mend in error.mend


def test_a_place_is_kept_beside_strings_over_several_lines(refused: Refused) -> None:
    error = refused('{{ "a\nb\nc" | foo }}\n')
    assert (error.line, error.column) == (3, 6)


def test_a_missing_event(render: Render) -> None:
    assert render("{{ event.amount }}") == Missing("amount", "amount", "event", "x")
    assert render("{% if event %}a{% else %}b{% endif %}") == "b"
    assert render("{{ event }}", escape=Escape.JSON) == Missing("", "", "event", "x")
    assert render("{{ event }}", escape=Escape.JSON, row=ROW) == '{"amount":12.5,"Order id":"o-1"}'
