"""Promise: a template can read properties and shape text, and nothing else; all else is refused before it runs."""

from __future__ import annotations

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from core.render import Escape, RenderError, RenderRow, compile_template
from core.render.environment import SANDBOX
from core.render.limits import MAX_LOOP_DEPTH
from tests.core.render.conftest import Refused

ESCAPES = [
    "{{ user.__class__ }}",
    "{{ ''.__class__.__mro__ }}",
    '{{ user["__class__"] }}',
    "{{ (user.name).__class__ }}",
    "{{ user.items[0].__init__ }}",
    "{{ user.name | attr('__class__') }}",
    "{{ '{0.__class__}'.format(user) }}",
    "{{ '%s' | format(user.name) }}",
    "{{ user.m | xmlattr }}",
    "{{ user.m | map(attribute='__class__') | join }}",
    "{{ user.name | safe }}",
    "{{ self }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ lipsum }}",
    "{{ range(10) }}",
    "{{ namespace() }}",
    "{{ dict(a=1) }}",
    "{{ loop }}",
    "{% for x in user.items %}{{ loop }}{% endfor %}",
    "{% for x in user.items %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in user.items %}{{ loop._undefined }}{% endfor %}",
    "{{ user.name.upper() }}",
    "{{ user['na' ~ 'me'] }}",
    "{{ user[event.name] }}",
    "{{ user }}",
    "{{ user | tojson }}",
    "{{ message }}",
    "{{ {'a': 1} }}",
    "{{ [1, 2] }}",
    "{{ [[1]] | default(1) }}",
    "{{ user.a | default([user.b]) }}",
    "{{ user.a in [user.b] }}",
    "{{ 2 ** 9 }}",
    "{{ 'a' * 1000000000 }}",
    "{{ 'a' + 'b' }}",
    "{{ 'a' % 1 }}",
    "{{ user.a | upper(*user.b) }}",
    "{{ user.a | default(**user.b) }}",
    "{{ user.a is callable }}",
    "{{ user.a is filter }}",
    "{{ name }}",
    "{% set user = 1 %}",
    "{% set loop = 1 %}",
    "{% set _x = 1 %}",
    "{% set a, b = user.c %}",
    "{% set user.a = 1 %}",
    "{% set x %}a{% endset %}",
    "{% for a, b in user.items %}{% endfor %}",
    "{% for x in [1, 2] %}{% endfor %}",
    "{% for x in 'abc' %}{% endfor %}",
    "{% for x in user.items recursive %}{% endfor %}",
    "{% macro m() %}{% endmacro %}",
    "{% call m() %}{% endcall %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% block b %}{% endblock %}",
    "{% filter upper %}a{% endfilter %}",
    "{% autoescape false %}{% endautoescape %}",
    "{% with x = 1 %}{% endwith %}",
    "{% do user.a %}",
    "{% trans %}a{% endtrans %}",
    "{% print user.name %}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_what_is_not_allowed_is_refused_with_its_place(refused: Refused, source: str) -> None:
    error = refused("first\n" + source)
    assert error.code in ("TEMPLATE_NOT_ALLOWED", "TEMPLATE_SYNTAX")
    assert error.line == 2
    assert error.column >= 1


@pytest.mark.parametrize(
    ("source", "mend"),
    [
        ("{{ name }}", "user.name"),
        ("{{ user.name.upper() }}", "| upper"),
        ("{{ user.name | uper }}", "'upper'"),
        ("{{ user.name is defind }}", "'defined'"),
        ("{{ 'a' + user.name }}", "~"),
        ("{{ user.name | safe }}", "leave it out"),
        ("{{ user }}", "user.name"),
    ],
)
def test_the_mend_names_what_would_be_right(refused: Refused, source: str, mend: str) -> None:
    assert mend in refused(source).mend


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "(" * 60 + "1" + ")" * 60 + " }}",
        "{{ " + "not " * 60 + "1 }}",
        "{{ user.a" + " | upper" * 60 + " }}",
        "{{ " + "1 + " * 200 + "1 }}",
        "{% if user.a %}" * 20 + "{% endif %}" * 20,
        "{% for x in user.items %}" * (MAX_LOOP_DEPTH + 1) + "{% endfor %}" * (MAX_LOOP_DEPTH + 1),
    ],
)
def test_depth_is_bounded(refused: Refused, source: str) -> None:
    assert refused(source).code == "TEMPLATE_TOO_COMPLEX"


def test_source_is_bounded(refused: Refused) -> None:
    assert refused("a" * 600_000).code == "TEMPLATE_TOO_LARGE"


@pytest.mark.parametrize("source", ["{{ 99999999999999999999 }}", "{{ 9223372036854775808 }}", "{{ 1e999 }}"])
def test_numbers_are_values(refused: Refused, source: str) -> None:
    assert refused(source).code == "TEMPLATE_SYNTAX"


def test_the_second_wall_stands_without_the_first() -> None:
    assert isinstance(SANDBOX, ImmutableSandboxedEnvironment)
    assert not SANDBOX.globals
    with pytest.raises(RenderError):
        SANDBOX.getattr("text", "upper")
    with pytest.raises(RenderError):
        SANDBOX.getitem({"a": 1}, "a")
    with pytest.raises(RenderError):
        SANDBOX.call(len, "abc")
    with pytest.raises(RenderError):
        SANDBOX.call_binop(None, "**", 2, 3)
    for source in ("{{ user.name }}", "{{ user['name'] }}", "{{ user.name() }}"):
        with pytest.raises(RenderError):
            SANDBOX.from_string(source).render(user={"name": "Ann"})


def test_a_property_may_have_the_name_of_a_method() -> None:
    template = compile_template("{{ user.items | join }} {{ user.get }}", Escape.TEXT, field="x")
    assert template.render(RenderRow({"items": ["a", "b"], "get": 1})) == "a, b 1"
