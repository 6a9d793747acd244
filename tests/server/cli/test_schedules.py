"""Promise: a schedule in a message's file is read as written, told in words, and every mistake in it is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import muster
import pytest
from muster.messages import message_of

from core.errors import InvalidInput
from server.cli.message_file import read_message
from server.cli.schedules import words

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def read(tmp_path: Path, schedule: str) -> Any:
    """The schedule of a file."""
    path = tmp_path / "message.toml"
    path.write_text(f'key = "hi"\nschedule = {schedule}\n')
    return read_message(str(path)).fields["schedule"]


@pytest.mark.parametrize(
    ("written", "meant", "told"),
    [
        ('"asap"', "asap", "asap"),
        ('"on_send"', "on_send", "on_send"),
        ("2026-12-01T12:00:00Z", NOON, NOON),
        ("{ time = 2026-12-01T12:00:00Z }", muster.Once(time=NOON), NOON),
        (
            '{ local_time = "2026-12-01T09:00", zone = "user", past = "skip" }',
            muster.Once(local_time="2026-12-01T09:00", time_zone="user", past="skip"),
            "2026-12-01T09:00, each user's zone",
        ),
        (
            '{ next = "monday 09:00", zone = "Europe/Berlin" }',
            muster.Once(next="monday 09:00", time_zone="Europe/Berlin"),
            "next monday 09:00 Europe/Berlin",
        ),
        ('{ after = "90m" }', muster.Once(after=timedelta(minutes=90)), "1:30:00 after the launch"),
        (
            '{ start = "2026-12-01T09:00", rule = "FREQ=DAILY" }',
            muster.Recurring("2026-12-01T09:00", "FREQ=DAILY"),
            "FREQ=DAILY from 2026-12-01T09:00, the project's zone",
        ),
        ("{ each_time = true }", muster.WhenMet(), "each time"),
        (
            '{ each_time = true, least_gap = "7d", end = 2026-12-01T12:00:00Z }',
            muster.WhenMet(timedelta(7), NOON),
            "each time, at least 7 days, 0:00:00 apart",
        ),
    ],
)
def test_what_is_written_is_meant_and_told(tmp_path: Path, written: str, meant: Any, told: Any) -> None:
    assert read(tmp_path, written) == meant
    assert words(message_of("hi", schedule=meant)) == told


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ('{ loca_time = "2026-12-01T09:00" }', "did you mean 'local_time'"),
        ('{ zone = "user" }', "not exactly one time"),
        ('{ next = "monday 09:00", after = "2h" }', "not exactly one time"),
        ('{ rule = "FREQ=DAILY" }', "a rule goes with a start"),
        ('{ start = "2026-12-01T09:00", rule = "FREQ=DAILY", past = "skip" }', "a rule goes with a start"),
        ("{ time = 2026-12-01T12:00:00 }", "no instant"),
        ("{ after = 2 }", "wrong kind"),
        ('{ each_time = true, zone = "user" }', "zone: does not go with each_time"),
        ("{ each_time = false }", "does not go with each_time"),
        ('{ after = "soon" }', "no length of time"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, written: str, word: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, written)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    "schedule", ["daily", 7, muster.Once(), muster.Once(next="monday 09:00", after=timedelta(1)), datetime(2026, 1, 1)]
)
def test_what_the_client_does_not_take(schedule: Any) -> None:
    with pytest.raises(muster.InvalidInput):
        message_of("hi", schedule=schedule)
