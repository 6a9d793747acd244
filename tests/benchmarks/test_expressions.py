"""Promise: anyone's own expressions are timed on their own store or server, which is left as it was, and compared with before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import expressions, people
from benchmarks.__main__ import FAILED, main
from benchmarks.corpora import people_corpus, project_folder
from benchmarks.processes import Server
from benchmarks.report import FALLS_SHORT
from core.engine import Engine
from core.settings import Settings

PROFILES = 2_000
FREE = 'user.plan == "free"'


@pytest.fixture(scope="module")
def store(corpora: Path) -> Path:
    """A server's store that no server has open."""
    return people_corpus(people.generate(PROFILES, 7), 7, corpora, lambda text: None).folder


def contents(folder: Path) -> dict[str, str]:
    """Every file but locks, by its digest."""
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "lock" not in file.name
    }


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    """The one expression of a run with --json."""
    assert main([*arguments, "--json", "--rounds", "3"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["expressions"]
    return one  # type: ignore[no-any-return]


def test_a_store_answers_and_is_left_as_it_was(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(store)
    one = asked(capsys, "store", str(store), "--expr", FREE)
    who = people.generate(PROFILES, 7)
    assert (one["matched"], one["total"]) == (np.count_nonzero(who.plan == people.PLANS.index("free")), PROFILES)
    assert 0 < one["least_ms"] <= one["median_ms"] <= one["p95_ms"]  # type: ignore[operator]
    assert FREE in str(one["plan"])
    assert contents(store) == before
    assert asked(capsys, "store", str(project_folder(store)), "--expr", FREE)["matched"] == one["matched"]


def test_a_server_answers_alike(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(store, tmp_path, None) as server:
        where = ("--server", server.address(), "--project", people.PROJECT, "--expr", FREE)
        one = asked(capsys, "server", *where)
        assert main(["store", str(store), "--expr", FREE]) == FAILED
        assert "STORE_LOCKED" in capsys.readouterr().err
    assert one["matched"] == asked(capsys, "store", str(store), "--expr", FREE)["matched"]


def test_the_table_shows_all_and_plans_where_asked_for(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", str(store), "--expr", FREE, "--expr", "user.age > 1000", "--plan", "--rounds", "2"]) == 0
    out = capsys.readouterr().out
    assert "user.age > 1000" in out and "median" in out and "ns/user" in out and f"of {PROFILES:,} users" in out


def timings(**medians: float) -> list[expressions.Timing]:
    return [expressions.Timing(text, 1, 2, 9.0, ms, ms, ms, "") for text, ms in medians.items()]


def test_what_became_slower_falls_short() -> None:
    before = {"a": 1.0, "b": 1.0}
    now = timings(a=1.2, b=1.3, c=50.0)
    assert [one.expression for one in expressions.slower(now, before, 1.25)] == ["b"]
    assert expressions.status(now, before, 1.25) == FALLS_SHORT
    assert expressions.status(now, before, 1.5) == 0


def test_a_run_is_compared_with_what_an_earlier_one_printed(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["store", str(store), "--expr", FREE, "--json"]) == 0
    file = tmp_path / "before.json"
    file.write_text(capsys.readouterr().out)
    assert main(["store", str(store), "--expr", FREE, "--compare", str(file), "--slower", "1000"]) == 0
    assert "before" in capsys.readouterr().out
    found = json.loads(file.read_text())
    found["expressions"][0]["median_ms"] = 1e-6
    file.write_text(json.dumps(found))
    assert main(["store", str(store), "--expr", FREE, "--compare", str(file)]) == FALLS_SHORT


def test_expressions_of_a_file_come_after_those_given_and_once(tmp_path: Path) -> None:
    file = tmp_path / "own.cel"
    file.write_text("# ours\n\n  user.a == 1  \nuser.b\nuser.a == 1\n")
    assert expressions.expressions(["user.b"], file) == ["user.b", "user.a == 1"]


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Path]:
    """A server's store with two projects, which have no users."""
    for name in ("one", "two"):
        folder = tmp_path / "store" / "projects" / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        Engine.create(folder, Settings(name, uid=name, clock="manual", created_at=0), 0)
    yield tmp_path / "store"


def test_one_of_several_projects_is_named(several: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asks = ["store", str(several), "--expr", "true", "--rounds", "1"]
    for more, told in (([], "PROJECT_MISSING"), (["--project", "three"], "PROJECT_NOT_FOUND")):
        assert main([*asks, *more]) == FAILED
        said = capsys.readouterr().err
        assert told in said and "one, two" in said
    assert main([*asks, "--project", "two"]) == 0
    assert "the project has no users yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "EXPRESSION_MISSING"),
        (["--expr-file", "/nowhere/at/all"], "FILE_UNREADABLE"),
        (["--expr", "user.a ==", "--rounds", "1"], "EXPRESSION_SYNTAX"),
        (["--expr", "true", "--compare", "/nowhere/at/all"], "BASELINE_UNREADABLE"),
    ],
)
def test_what_is_wrong_is_said_in_words(
    arguments: list[str], told: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["store", str(store), *arguments]) == FAILED
    said = capsys.readouterr().err
    assert said.startswith(told) and "Traceback" not in said
    if told == "EXPRESSION_SYNTAX":
        assert said.splitlines()[1:] == ["user.a ==", "         ^"]


def test_nobody_answers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.connection.Retry.waits", lambda self: iter(()))
    assert main(["server", "--server", "127.0.0.1:1", "--project", "p", "--expr", "true"]) == FAILED
    assert capsys.readouterr().err.startswith("UNAVAILABLE")


def test_a_folder_that_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", str(tmp_path), "--expr", "true"]) == FAILED
    assert capsys.readouterr().err.startswith("STORE_NOT_FOUND")
