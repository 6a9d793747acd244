"""Promise: `muster demo` ends by itself with every count as DuckDB finds it in the raw file, and nobody mailed twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.engine import verify
from server.demo import cdnow, story
from tests.promises import expected
from tests.promises.conftest import CACHE

pytestmark = pytest.mark.timeout(1_000)


@dataclass(frozen=True)
class Played:
    """A demo that has ended."""

    store: Path
    output: str
    result: dict[str, Any]

    def keys(self, record: str) -> Counter[str]:
        """Idempotency keys in a receiver's own records, with how often each came."""
        lines = (self.store / record).read_text("utf-8").splitlines()
        return Counter(key for line in lines for key in json.loads(line)["keys"])


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, cdnow_file: Path) -> Played:
    store = tmp_path_factory.mktemp("demo") / "store"
    command = [sys.executable, "-m", "server.cli", "demo", "--store", str(store), "--cache", str(CACHE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Played(store, done.stdout, json.loads(done.stdout.strip().splitlines()[-1]))


def test_everything_was_imported(played: Played, cdnow_file: Path) -> None:
    people, _ = cdnow.load(cdnow_file)
    assert (played.result["profiles"], played.result["events"]) == expected.total(expected.database(cdnow_file, people))
    assert (played.result["profiles"], played.result["events"]) == (23_570, 69_659)


def test_the_server_was_killed_and_nobody_was_mailed_twice(played: Played) -> None:
    assert played.result["kills"] >= 1
    for message in played.result["messages"].values():
        assert message["duplicates"] == 0
    assert max(played.keys("mails.ndjson").values()) == max(played.keys("webhooks.ndjson").values()) == 1


def test_the_mail_went_to_whom_duckdb_finds(played: Played, cdnow_file: Path) -> None:
    people, _ = cdnow.load(cdnow_file)
    data = expected.database(cdnow_file, people)
    wanted = expected.mailed(data, people, [cdnow.START, *story.instants("month")])
    found = played.result["messages"][story.WINBACK]
    assert found["selected"] == len(wanted.lapses)
    assert found["skipped_by_reason"] == wanted.skipped
    assert found["sent"] + found["ambiguous"] == wanted.handed_off
    assert found["skipped"] == sum(wanted.skipped.values())


def test_the_webhook_told_of_whom_duckdb_finds(played: Played, cdnow_file: Path) -> None:
    people, _ = cdnow.load(cdnow_file)
    wanted = expected.spenders(expected.database(cdnow_file, people))
    found = played.result["messages"][story.BEST]
    assert found["selected"] == found["sent"] + found["ambiguous"] == len(wanted)
    records = (played.store / "webhooks.ndjson").read_text("utf-8").splitlines()
    told = [user["distinct_id"] for line in records for user in json.loads(json.loads(line)["body"])["users"]]
    assert len(told) == len(set(told))
    assert set(told) <= wanted
    assert len(told) >= found["sent"]


@pytest.mark.parametrize(("key", "record"), [(story.WINBACK, "mails.ndjson"), (story.BEST, "webhooks.ndjson")])
def test_the_receivers_records_agree(played: Played, key: str, record: str) -> None:
    found = played.result["messages"][key]
    assert played.result["reconciled"] is True
    parts = ("held_out", "skipped", "deferred", "queued", "begun", "sent", "failed", "ambiguous")
    assert found["selected"] == sum(found[part] for part in parts)
    assert found["queued"] == found["begun"] == 0
    received = len(played.keys(record))
    assert found["sent"] <= received <= found["sent"] + found["ambiguous"]
    assert found["received"] == received


def test_the_store_it_leaves_is_sound(played: Played) -> None:
    assert verify(played.store / "projects" / story.PROJECT) == []


def test_the_campaign_was_simulated_as_it_was(played: Played, cdnow_file: Path) -> None:
    people, _ = cdnow.load(cdnow_file)
    found = played.result["campaign"]
    assert found["simulation_equal"] is True
    assert found["entered"] + found["left_out"] == len(people)
    assert found["left_out"] < 500  # who bought on the very first day, before the import came
    assert found["control"] == pytest.approx(len(people) / 10, rel=0.1)
    for message in found["messages"].values():
        assert message["selected"] == message["sent"] + message["held_out"] + message["skipped"]
    assert found["messages"]["thank-you"]["held_out"] == found["control"]
    told = played.keys("campaign.ndjson")
    assert len(told) == sum(message["sent"] for message in found["messages"].values())


def test_it_shows_what_it_promises(played: Played) -> None:
    for part in (
        "customers",
        "DuckDB",
        "kill -9",
        "distinct idempotency keys, twice: 0",
        "every count is equal",
        "one mail as received",
        "Next",
    ):
        assert part in played.output, part
    assert played.output.count("muster ") >= 4
