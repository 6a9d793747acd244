"""Promise: every example of docs/targeting.md comes out as the page says, by matcher, by sets and by Google's runtime."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from pyroaring import BitMap

from core.errors import InvalidExpression
from core.evaluator.bind import bind
from core.evaluator.parse import parse
from core.values import to_micros
from tests.conformance import oracle
from tests.conformance.populations import outcome_of, populated, verdict

_PAGE: Final = Path(__file__).parents[3].joinpath("docs", "targeting.md").read_text("utf-8")
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_SAID: Final = {"true": True, "false": False, "errs": None}


def _lines(kind: str) -> Iterator[tuple[str, str]]:
    """The examples of all blocks of a kind, each with what the page says of it."""
    for found, body in _BLOCK.findall(_PAGE):
        if found == kind:
            for line in body.splitlines():
                text, _, said = line.rpartition("  // ")
                yield text, said


def _timed(value: Any) -> Any:
    """The value with RFC 3339 texts as timestamps."""
    if isinstance(value, dict):
        return {key: _timed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_timed(item) for item in value]
    return datetime.fromisoformat(value) if isinstance(value, str) and _TIME.fullmatch(value) else value


_SAMPLE: Final = _timed(json.loads(next(body for kind, body in _BLOCK.findall(_PAGE) if kind == "json")))
_ROW: Final = (_SAMPLE["user"], _SAMPLE["events"])
_NOW: Final = to_micros(_SAMPLE["now"])

_PARAMS: Final = {"least": 10, "name": "age"}
_AUDIENCES: Final = {"vip": BitMap([0]), "whales": parse("user.ltv > 1000.0 && user.yacht")}


def test_the_page_has_examples() -> None:
    assert len(list(_lines("cel"))) > 30 and len(list(_lines("refused"))) > 8
    assert {said for _, said in _lines("cel")} == _SAID.keys()


@pytest.mark.parametrize(("text", "said"), list(_lines("cel")))
def test_an_example(text: str, said: str) -> None:
    parsed, wanted = parse(text, params=_PARAMS, audiences=_AUDIENCES), _SAID[said]
    assert verdict(parsed, _ROW, _NOW, ordinal=0) is wanted
    population = populated([_ROW], [0])
    assert outcome_of(bind(parsed, population).run(population, now=_NOW), 0) is wanted
    if "params" in text or "audiences" in text:
        return  # put in before anything is evaluated; Google's runtime knows neither
    events = {name: [] for name in parsed.events} | _SAMPLE["events"]
    assert oracle.judge(text, _SAMPLE["user"], events, _NOW) is wanted


@pytest.mark.parametrize(("text", "code"), list(_lines("refused")))
def test_a_refusal(text: str, code: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        parse(text)
    assert refused.value.code == code
    assert refused.value.position >= 0 and refused.value.mend
