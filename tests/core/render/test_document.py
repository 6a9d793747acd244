"""Promise: docs/templates.md tells the truth: every example is run, and every filter, test and bound is named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidTemplate
from core.render import Escape, Missing, RenderFailed, RenderRow, compile_template, limits
from core.render.filters import FILTERS, TESTS
from core.render.rules import LOOP_FACTS

TEXT = (Path(__file__).parents[3] / "docs" / "templates.md").read_text("utf-8")
_BLOCK = re.compile(r"^```(\w+) ?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    """What follows the kind of each fenced block of that kind, and its text."""
    return ((escape, text) for name, escape, text in _BLOCK.findall(TEXT) if name == kind)


def examples() -> Iterator[tuple[Escape, str, str, str]]:
    """How each template is escaped, the template, the sign of its outcome, and the outcome."""
    for escape, text in blocks("template"):
        lines: list[str] = []
        for line in text.splitlines():
            if line[:2] in ("→ ", "⊘ ", "✗ "):
                yield Escape(escape or "text"), "\n".join(lines), line[0], line[2:]
                lines = []
            else:
                lines.append(line)
        assert not lines, f"{lines} has no outcome"


EXAMPLES = list(examples())


def row() -> RenderRow:
    """The user of the document."""
    ((_, text),) = blocks("json")
    user: dict[str, Any] = json.loads(text)
    user["created"] = datetime.fromisoformat(user["created"])
    return RenderRow(
        user,
        event={"name": "Purchase", "time": datetime(2026, 2, 1, tzinfo=UTC), "item": "cup", "amount": 12.5},
        message={"key": "welcome", "title": "Welcome!"},
        project={"name": "shop"},
        distinct_id="u-1",
    )


@pytest.mark.parametrize(("escape", "template", "sign", "outcome"), EXAMPLES, ids=[one[1][:40] for one in EXAMPLES])
def test_each_example(escape: Escape, template: str, sign: str, outcome: str) -> None:
    try:
        (found,) = compile_template(template, escape, field="x").render_many([row()])
    except InvalidTemplate as error:
        assert (sign, error.code) == ("✗", outcome)
        return
    if isinstance(found, Missing):
        assert (sign, found.path) == ("⊘", outcome)
    elif isinstance(found, RenderFailed):
        assert (sign, found.code) == ("✗", outcome)
    else:
        assert (sign, found) == ("→", outcome)


@pytest.mark.parametrize("name", [*FILTERS, *(f"loop.{fact}" for fact in LOOP_FACTS), *TESTS])
def test_everything_is_named(name: str) -> None:
    assert re.search(rf"`{re.escape(name)}[`(]", TEXT)


@pytest.mark.parametrize("name", ["MAX_SOURCE", "MAX_OUTPUT", "MAX_LOOP_DEPTH", "MAX_BLOCK_DEPTH", "MAX_LIST_STEPS"])
def test_bounds_are_as_told(name: str) -> None:
    assert re.search(rf"\b{getattr(limits, name):,}\b", TEXT)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 50
    assert {sign for *_, sign, _ in EXAMPLES} == {"→", "⊘", "✗"}
