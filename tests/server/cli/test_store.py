"""Promise: a backup of a running server is sound, `verify` says so, and says where a store is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from server.cli.app import cli
from tests.server.cli.conftest import Muster, Server, run


@pytest.fixture
def copy(shop: Muster, tmp_path: Path) -> Path:
    """A backup of the running project."""
    made = shop("backup", tmp_path / "copy", "--json").document
    assert made["bytes"] > 10_000
    return Path(made["destination"])


def test_a_backup_is_sound(copy: Path) -> None:
    answer = run("verify", copy)
    assert answer.status == 0 and "copy     sound" in answer.out
    found = run("verify", copy, "--json").document
    assert (found["store"], found["sound"]) == (str(copy), True)
    assert [(one["name"], one["problems"]) for one in found["projects"]] == [("copy", [])]


def test_every_message_is_accounted_for_by_occurrence(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "hook.toml").write_text(
        'key = "hook"\ntargeting = "true"\n[webhook]\nurl = "https://example.com/hook"\nproperties = ["name"]\n',
        "utf-8",
    )
    (tmp_path / "people.csv").write_text("distinct_id,name\na,Ann\nb,Bo\n", "utf-8")
    env = {"MUSTER_PROJECT": "accounted"}
    for words in (
        ("project", "create", "accounted"),
        ("import", "profiles", tmp_path / "people.csv"),
        ("message", "create", tmp_path / "hook.toml"),
        ("message", "launch", "hook", "--existing", "skip"),
    ):
        assert muster(*words, env=env).status == 0
    copy = muster("backup", tmp_path / "copy", "--json", env=env).document["destination"]
    (found,) = run("verify", copy, "--json").document["projects"]
    (row,) = found["messages"]
    assert (row.pop("key"), row.pop("occurrence"), row.pop("selected"), row["skipped"]) == ("hook", 0, 2, 2)
    assert sum(row.values()) == 2
    told = run("verify", copy).out.splitlines()
    assert told[-2].split()[:4] == ["project", "message", "occurrence", "selected"]
    assert told[-1].split() == ["copy", "hook", "0", "2", "0", "2", "0", "0", "0", "0", "0", "0"]


def test_a_folder_that_is_taken_is_refused(shop: Muster, copy: Path) -> None:
    answer = shop("backup", copy)
    assert answer.status != 0 and answer.out == "" and answer.err.startswith("muster: ") and "(" in answer.err


def test_damage_is_found(copy: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "projects").mkdir(parents=True)
    shutil.copytree(copy, store / "projects" / "good")
    shutil.copytree(copy, store / "projects" / "bad")
    largest = max((store / "projects" / "bad").rglob("*.mdb"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    for place in range(len(data) // 3, 2 * len(data) // 3):
        data[place] ^= 0x55
    largest.write_bytes(data)
    answer = run("verify", store, "--json")
    assert answer.status == 1 and answer.document["sound"] is False
    problems = {one["name"]: one["problems"] for one in answer.document["projects"]}
    assert problems["good"] == [] and problems["bad"]
    told = run("verify", store)
    assert told.status == 1 and "damaged" in told.out and "sound" in told.out


def test_a_store_in_use_is_left_alone(server: Server) -> None:
    answer = run("verify", server.store)
    assert answer.status == 1 and answer.out == "" and "stop" in answer.err


def test_an_empty_store_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "projects").mkdir()
    answer = run("verify", tmp_path)
    assert answer.status == 0 and "no project yet" in answer.err


def test_what_is_no_store_is_not_called_damaged(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        answer = run("verify", folder)
        assert answer.status == 2 and answer.out == "" and "a server's folder, or a backup" in answer.err


def test_benchmarks_get_their_words_and_keep_their_status() -> None:
    def muster(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "server.cli", *words], capture_output=True, text=True, check=False)

    shown = muster("bench", "--help")
    assert shown.returncode == 0 and "audience" in shown.stdout and "ingest" in shown.stdout
    assert shown.stdout.startswith("Usage: muster bench [OPTIONS]")
    assert muster("bench", "select", "--help").stdout.startswith("Usage: muster bench select [OPTIONS]")
    assert muster("bench", "nothing", "--json").returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    script = run("completion", shell)
    assert script.status == 0 and "_MUSTER_COMPLETE" in script.out
    words = {"COMP_WORDS": "muster audi", "COMP_CWORD": "1", "_MUSTER_COMPLETE": f"{shell}_complete"}
    if shell == "fish":
        words["COMP_CWORD"] = "audi"
    assert "audience" in run(env=words).out


def test_the_demo_is_wired(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it shows is tests/promises/test_demo.py's matter; here: its words arrive and its outcome is the status."""
    from server.demo import run as demo

    asked: list[object] = []

    def play(store: Path, cache: Path, step: str, console: object) -> demo.Outcome:
        asked.extend((store, cache, step))
        return demo.Outcome(profiles=1, events=2, kills=0)

    monkeypatch.setattr(demo, "run", play)
    answer = run("demo", "--store", tmp_path / "s", "--cache", tmp_path / "c", "--step", "week", "--json")
    assert asked == [tmp_path / "s", tmp_path / "c", "week"]
    played = {"profiles": 1, "events": 2, "messages": {}, "campaign": None, "reconciled": True, "kills": 0}
    assert json.loads(answer.out) == played
    assert answer.status == 1  # no kill was shown
    assert cli.commands["demo"].params


def test_the_past_is_asked_and_restored(shop: Muster, tmp_path: Path) -> None:
    then, now = "1997-06-01", "1998-07-01"
    counts = [
        shop("audience", "count", 'user["First name"] != ""', "--at", at, "--json").document for at in (then, now)
    ]
    assert counts[0]["now"].startswith(then) and counts[0]["count"] == counts[1]["count"] > 0
    known = shop("store", "history", "--json").document
    assert known["earliest_time"].startswith("1997-01-01") and known["checkpoints"]
    told = shop("store", "history")
    assert told.status == 0 and "earliest" in told.out and "1997-01-01" in told.out
    gone = shop("audience", "count", "true", "--at", "1996-12-31")
    assert gone.status == 1 and "1997-01-01T00:00:00Z" in gone.err
    user = shop("profile", "list", "--json").lines[0]["distinct_id"]
    why = shop("audience", "explain", "true", user, "--at", then)
    assert why.status == 0 and "✓" in why.out
    assert shop("audience", "select", "true", "--at", then, "--limit", "3").out.count("\n") == 3

    answer = shop("store", "restore", tmp_path / "june", "--at", then)
    assert answer.status == 0 and str(tmp_path / "june") in answer.out
    assert run("verify", tmp_path / "june").status == 0
    pruned = shop("store", "prune", "--before", "1997-01-02")
    assert pruned.status == 0 and "1997-01-01" in pruned.out
