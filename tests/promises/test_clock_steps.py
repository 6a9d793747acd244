"""Promise: one far move of the clock decides the same users at the same instants as any finer sequence of moves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import muster
import pytest

from server.demo import cdnow, play, story
from server.demo.processes import Server
from tests.promises import expected

Decisions = dict[tuple[str, str], datetime]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Without channel workers: what is decided does not depend on what is sent."""
    folder = tmp_path_factory.mktemp("steps")
    with Server(folder / "store", folder / "server.log", {}) as server:
        yield server


def decided(server: Server, file: Path, step: story.Step) -> Decisions:
    """Play the demo in a project of its own; whom each message selected, and when."""
    people, purchases = cdnow.load(file)
    with muster.Client(server.target, project=f"cdnow-{step}", timeout=120.0) as client:
        play.prepare(client, "http://127.0.0.1:9/", f"cdnow-{step}")
        client.import_records(play.profiles(people))
        client.import_records(play.purchases(purchases))
        for moment in story.instants(step):
            client.projects.move_clock(moment)
        return {
            (one.message_key, one.distinct_id): one.decide_time.ToDatetime(UTC) for one in client.messages.deliveries()
        }


def test_steps_of_any_length_decide_the_same_as_duckdb_finds(server: Server, cdnow_file: Path) -> None:
    people, _ = cdnow.load(cdnow_file)
    data = expected.database(cdnow_file, people)
    lapses = expected.mailed(data, people, []).lapses
    wanted = {(story.WINBACK, customer): lapse for customer, lapse in lapses.items()}
    wanted |= {(story.BEST, customer): cdnow.END for customer in expected.spenders(data)}
    assert decided(server, cdnow_file, "once") == wanted
    assert decided(server, cdnow_file, "month") == wanted
    assert decided(server, cdnow_file, "week") == wanted
    assert decided(server, cdnow_file, "day") == wanted
