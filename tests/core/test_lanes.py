"""Promise: who stops or reports hand-offs does not wait behind those who bring records, and neither starves the other."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from core import commands
from core.group import Asked
from core.lanes import Lanes, Waiting
from core.profiles.records import ProfileChange

BATCH = commands.Ingest([], [ProfileChange("a", "set", {"n": 1})] * 4)
BEGIN = commands.Begin("hi", [1])
PAUSE = commands.PauseMessages(None)


def lanes(*waiting: object) -> Lanes:
    """Lanes of groups of about ten records, with what waits."""
    made = Lanes(10)
    for command in waiting:
        put(made, command)
    return made


def put(into: Lanes, command: Any) -> Future[Any]:
    future: Future[Any] = Future()
    into.put(Waiting(Asked(command), future, 4 if isinstance(command, commands.Ingest) else 1))
    return future


def taken(from_: Lanes) -> list[str]:
    return [type(item.asked.command).__name__ for item in from_.take()]


def test_a_pause_overtakes_records_and_talk() -> None:
    waiting = lanes(*[BATCH] * 9, BEGIN, BEGIN, PAUSE)
    assert taken(waiting) == ["PauseMessages", "Begin", "Begin"]
    assert taken(waiting) == ["Ingest"] * 3


def test_records_are_not_starved_by_talk_nor_talk_by_records() -> None:
    waiting = lanes(*[BATCH] * 9, BEGIN)
    assert taken(waiting) == ["Begin"]
    put(waiting, BEGIN)
    assert taken(waiting) == ["Ingest"] * 3
    assert taken(waiting) == ["Begin"]
    assert taken(waiting) == ["Ingest"] * 3
    assert taken(waiting) == ["Ingest"] * 3
    assert not waiting


def test_order_within_a_lane_is_that_of_arrival() -> None:
    first, second = commands.Begin("hi", [1]), commands.Begin("hi", [2])
    waiting = lanes(first, second)
    assert [item.asked.command for item in waiting.take()] == [first, second]


def test_what_runs_alone_shares_no_group() -> None:
    waiting = lanes(BATCH, lambda: None, BATCH)
    assert [len(waiting.take()) for _ in range(3)] == [1, 1, 1]


def test_only_records_count_against_the_queues_limit() -> None:
    waiting = lanes(BATCH, BEGIN, PAUSE)
    assert waiting.bulk_records == 4
    assert waiting.is_bulk(BATCH) and not waiting.is_bulk(BEGIN) and not waiting.is_bulk(PAUSE)
    waiting.take()
    waiting.take()
    assert waiting.bulk_records == 0


def test_who_gave_up_is_left_out() -> None:
    waiting = lanes()
    given_up = [put(waiting, BATCH), put(waiting, BEGIN)]
    assert all(future.cancel() for future in given_up)
    assert waiting.take() == [] and waiting.take() == []
    assert not waiting
