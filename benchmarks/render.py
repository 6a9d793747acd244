"""`render`: how many texts a second, beside jinja2 with the same texts, for the same users, in the same run?

Corpus: generated people in columns, those of them who have an email. Muster renders by columns, from lists of values that
stand ready; jinja2 with `Template.render` of a plain environment, from rows that stand ready as dictionaries; `rows` is the
row path of Muster, its own sandbox, which is what a template goes through that the columns have no words for; and
`from_store` is Muster once more with the values taken out of the store's columns first, which jinja2 would have to do, too.
All must write the same, byte for byte.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, cast

import jinja2
import numpy as np

from benchmarks import people
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.people import COUNTRIES, PLANS, People
from benchmarks.progress import Bar
from benchmarks.report import Figures, Report, target
from benchmarks.rounds import WrongAnswer
from core.bitmaps.cells import Ordinals
from core.bitmaps.population import Population
from core.render import Escape, RenderBatch, RenderRow, Template, compile_template
from core.values import Value, ValueType

NAME: Final = "render"
ASKED: Final = (
    "templates of variables, defaults, filters and simple conditions go through a compiled Cython path, "
    "at least 20 times jinja2 on the same text in the same run"
)
"""The issue's words, of which the bound below is a part."""
_BOUND: Final = "at least 20 times jinja2 on the same text in the same run"
_LEAST: Final = 20.0
_SLICE: Final = 2_000
"""Users rendered at once, as many as a worker is offered."""

_NEWSLETTER: Final = "".join(
    f'<tr><td style="padding:8px 0;font:16px/1.5 Georgia,serif">Part {n}: nothing of this depends on anybody.</td></tr>\n'
    for n in range(20)
)
TEXTS: Final[Mapping[str, tuple[Escape, str]]] = {
    "variables": (
        Escape.TEXT,
        "Dear {{ user.email }}, from {{ user.country }} on plan {{ user.plan }}: {{ user.age }} years, {{ user.ltv }} spent.",
    ),
    "filters": (
        Escape.TEXT,
        '{{ user.nickname | default("Dear customer") | upper }}, {{ user.email | lower }} in {{ user.country | lower }}, '
        '{{ user.city | default("your town") }}: {{ user.plan | upper }} for {{ user.age }} years',
    ),
    "conditions": (
        Escape.TEXT,
        '{% if user.plan == "free" %}Hello {{ user.email }}{% elif user.age >= 60 %}Dear {{ user.email }}'
        '{% else %}Hi{% endif %}, {{ "look" if user.country in ["US", "GB"] else "see" }} what {{ user.country }} buys.'
        "{% if user.ltv > 50 %} You spent {{ user.ltv }} already.{% endif %}",
    ),
    "newsletter": (
        Escape.HTML,
        '<html><body><h1>Hello {{ user.email }}</h1><p title="{{ user.country }}">{{ user.plan }}</p>\n<table>'
        + _NEWSLETTER
        + "</table>\n<p>You are {{ user.age }} and spent {{ user.ltv }}.</p></body></html>\n",
    ),
}
"""Each text with what it is; all write the same in a plain environment of jinja2."""
JUDGED: Final = ("variables", "filters", "conditions")
"""What the issue's bound is about. A newsletter's time is the copying of its bytes, by whatever means."""

Render = Callable[[slice], list[str]]
"""Writes the texts of some of the users."""

PROPERTIES: Final = ("email", "country", "plan", "age", "ltv")


def run(options: Options, bar: Bar) -> Report:
    """Run it.

    Raises:
        WrongAnswer: where one wrote something else than the others.
    """
    bar.stage(f"generating {options.profiles:,} people")
    who = people.generate(options.profiles, options.seed)
    population = population_of(who)
    ordinals = np.flatnonzero(who.has_email).astype(np.uint32)
    rows = population.profiles(ordinals, PROPERTIES)
    columns = {name: [row[name] for row in rows] for name in PROPERTIES}
    figures: Figures = {"users": len(ordinals)}
    bar.stage("rendering", len(TEXTS) * (options.rounds + 1))
    for name, (escape, source) in TEXTS.items():
        template = compile_template(source, escape, field=name)
        systems: dict[str, Render] = {
            "jinja2": _jinja2(source, escape, rows),
            "rows": partial(_by_rows, template, rows),
            "muster": partial(_by_columns, template, columns),
            "from_store": partial(from_store, template, population, ordinals),
        }
        figures |= figures_of(name, _timed(name, systems, len(ordinals), options.rounds, bar.step), len(ordinals))
    return _report(options, figures)


def population_of(who: People) -> Population:
    """The people in columns, the texts that many share by codes."""
    population = Population()
    count = len(who)
    everybody = np.arange(count, dtype=np.uint32)
    population.issue(count)
    population.bulk_column("email", ValueType.STRING, (everybody, [people.email_of(n) for n in range(count)]))
    population.bulk_column("country", ValueType.STRING, (who.country, list(COUNTRIES)))
    population.bulk_column("plan", ValueType.STRING, (who.plan, list(PLANS)))
    population.bulk_column("age", ValueType.INT, who.age.astype(np.int64))
    population.bulk_column("ltv", ValueType.DOUBLE, who.ltv)
    return population


def _by_columns(template: Template, columns: Mapping[str, list[Value]], some: slice) -> list[str]:
    values = {name: column[some] for name, column in columns.items()}
    nobody = [""] * len(values[PROPERTIES[0]])
    return cast("list[str]", template.render_batch(RenderBatch(nobody, values)))


def from_store(template: Template, population: Population, ordinals: Ordinals, some: slice) -> list[str]:
    """The texts of some of the users, from columns."""
    users = ordinals[some]
    columns = {name: population.column(name) for name in sorted(template.properties)}
    values = {name: column.gather(users) for name, column in columns.items() if column is not None}
    return cast("list[str]", template.render_batch(RenderBatch([""] * len(users), values)))


def _by_rows(template: Template, rows: Sequence[Mapping[str, Value]], some: slice) -> list[str]:
    return cast("list[str]", template.render_many(RenderRow(row) for row in rows[some]))


def _jinja2(source: str, escape: Escape, rows: Sequence[Mapping[str, Value]]) -> Render:
    environment = jinja2.Environment(autoescape=escape is Escape.HTML, keep_trailing_newline=True)
    render = environment.from_string(source).render
    return lambda some: [render(user=row) for row in rows[some]]


def _timed(
    name: str, systems: Mapping[str, Render], users: int, rounds: int, after_round: Callable[[], None]
) -> dict[str, list[float]]:
    """Seconds of each system's rounds, after one that is not timed: of this thread, which does all of the work.

    They take turns slice by slice, all must write the same, and texts are let go of before the next slice is written.
    """
    seconds: dict[str, list[float]] = {system: [0.0] * (rounds + 1) for system in systems}
    order = list(systems)
    for number in range(rounds + 1):
        for turn, first in enumerate(range(0, users, _SLICE)):
            expected: list[str] | None = None
            for system in order[turn % len(order) :] + order[: turn % len(order)]:
                started = time.thread_time()
                texts = systems[system](slice(first, first + _SLICE))
                seconds[system][number] += time.thread_time() - started
                expected = texts if expected is None else expected
                check_texts(name, system, texts, expected)
                del texts
        after_round()
    return {system: times[1:] for system, times in seconds.items()}


def check_texts(name: str, system: str, texts: Sequence[str], expected: Sequence[str]) -> None:
    """Refuse other texts than expected.

    Raises:
        WrongAnswer: with the first that differs.
    """
    if list(texts) != list(expected):
        pairs = zip(texts, expected, strict=True)
        one, other = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
        raise WrongAnswer(f"{name}: {system} writes {one!r}, where another wrote {other!r}")


def figures_of(name: str, seconds: Mapping[str, Sequence[float]], users: int) -> Figures:
    """Rates of one text, and how many times jinja2's Muster's is."""
    medians = {system: statistics.median(times) for system, times in seconds.items()}
    return {
        f"{name}_muster_per_second": users / medians["muster"],
        f"{name}_from_store_per_second": users / medians["from_store"],
        f"{name}_rows_per_second": users / medians["rows"],
        f"{name}_jinja2_per_second": users / medians["jinja2"],
        f"{name}_times_jinja2": medians["jinja2"] / medians["muster"],
    }


def _report(options: Options, figures: Figures) -> Report:
    return Report(
        name=NAME,
        corpus={"profiles": options.profiles, "rounds": options.rounds, "texts": len(TEXTS)},
        seed=options.seed,
        machine=machine(),
        versions=versions("jinja2", "markupsafe", "numpy"),
        figures=figures,
        targets=[target(figures, f"{name}_times_jinja2", _BOUND, least=_LEAST) for name in JUDGED],
        notes=[
            f"{_SLICE:,} users at a time, the systems in turn, timed by the thread's clock; each has its values ready, muster as columns, jinja2 and rows as"
            " dictionaries; from_store takes them out of the store's columns first",
            "rows: the same template through Muster's sandbox of jinja2, for whoever the columns cannot answer",
            "all systems wrote the same texts, byte for byte, in every round",
        ],
    )
