"""Promise: `render` times systems that write the same texts, and refuses to print figures where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import people, render
from benchmarks.options import Options
from benchmarks.progress import Bar
from benchmarks.rounds import WrongAnswer
from core.render import compile_template

PROFILES = 500


def test_a_small_run_gives_rates_and_judges_each_text(corpora: Path) -> None:
    with Bar("test") as bar:
        report = render.run(Options(profiles=PROFILES, rounds=2, corpora=corpora), bar)
    figures = report.figures
    assert figures["users"] == people.generate(PROFILES, 7).has_email.sum()
    assert [one.figure for one in report.targets] == [f"{name}_times_jinja2" for name in render.JUDGED]
    assert all(one.bound in render.ASKED and one.least == 20 for one in report.targets)
    assert figures["variables_times_jinja2"] == pytest.approx(
        figures["variables_muster_per_second"] / figures["variables_jinja2_per_second"]  # type: ignore[operator]
    )


def test_every_text_goes_through_columns() -> None:
    for name, (escape, source) in render.TEXTS.items():
        assert compile_template(source, escape, field=name).is_fast, name


def test_what_is_judged_is_among_the_texts() -> None:
    assert set(render.JUDGED) < set(render.TEXTS)


def test_another_text_is_a_wrong_answer() -> None:
    with pytest.raises(WrongAnswer, match="muster writes 'c', where another wrote 'b'"):
        render.check_texts("variables", "muster", ["a", "c"], ["a", "b"])
