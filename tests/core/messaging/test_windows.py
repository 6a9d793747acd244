"""Promise: a window is open exactly when the wall clock where a user lives says so, over every change of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import commands
from core.errors import InvalidInput
from core.messaging import reading
from core.messaging.windows import QuietHours, SendWindow, minute_of, opening, text_of
from core.values import from_micros
from tests.core.project import DAY, FREE, HOOK, HOUR, START, Project

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
MINUTE = 60 * 1_000_000
MINUTES = st.integers(0, 95).map(lambda quarter: quarter * 15)
WINDOWS = st.builds(SendWindow, MINUTES, MINUTES, st.lists(st.integers(1, 7), max_size=3, unique=True))


def is_open(window: SendWindow, wall: datetime) -> bool:
    """Whether a wall time lies in a window: in a stretch that opened that day, or the day before."""
    minute = wall.hour * 60 + wall.minute
    overnight = window.closes <= window.opens
    today, yesterday = wall.isoweekday(), (wall - timedelta(days=1)).isoweekday()
    opened_today = minute >= window.opens and (overnight or minute < window.closes)
    opened_before = overnight and minute < window.closes
    days = window.days or range(1, 8)
    return (opened_today and today in days) or (opened_before and yesterday in days)


def near_a_change(zone: ZoneInfo, at: datetime) -> bool:
    offsets = {(at + timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in (-3, -1, 1, 3)}
    return len(offsets) > 1


@given(
    window=WINDOWS,
    zone=st.sampled_from(ZONES),
    at=st.datetimes(datetime(1997, 1, 1), datetime(2030, 1, 1)),
    hours=st.lists(st.integers(0, 400), min_size=1, max_size=20),
)
def test_who_waits_waits_for_the_first_instant_at_which_the_clock_lets_it_go(
    window: SendWindow, zone: str, at: datetime, hours: list[int]
) -> None:
    start = at.replace(second=0, microsecond=0, tzinfo=UTC)
    asked = [int((start + timedelta(hours=one)).timestamp()) * 1_000_000 for one in hours]
    found = opening(window, zone, np.array(asked, np.int64)).tolist()
    local = ZoneInfo(zone)
    for instant, opens in zip(asked, found, strict=True):
        assert opens >= instant
        for moment in {instant, opens, (instant + opens) // 2, opens - MINUTE}:
            known = from_micros(moment).replace(second=0, microsecond=0)
            if moment >= instant and not near_a_change(local, known):
                assert is_open(window, known.astimezone(local)) == (moment == opens)


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        # Clocks go forward from 02:00 to 03:00: a window from 02:30 opens at 03:00 sharp.
        ("2026-03-29T00:30+00:00", "2026-03-29T03:00+02:00"),
        # Clocks go back from 03:00 to 02:00: it opens as 02:30 comes for the first time, and is open at the second.
        ("2026-10-24T23:00+00:00", "2026-10-25T02:30+02:00"),
        ("2026-10-25T01:10+00:00", "2026-10-25T01:10+00:00"),
    ],
)
def test_a_window_over_a_change_of_the_clocks(at: str, opens: str) -> None:
    asked, wanted = (int(datetime.fromisoformat(one).timestamp()) * 1_000_000 for one in (at, opens))
    assert opening(SendWindow(150, 300), "Europe/Berlin", np.array([asked], np.int64)).tolist() == [wanted]


def test_whoever_is_outside_the_window_is_deferred_to_its_opening_where_it_lives(project: Project) -> None:
    project.message("hi", FREE, content=HOOK, send_window=SendWindow(9 * 60, 20 * 60))
    project.set("utc", plan="free")
    project.set("berlin", plan="free", **{"$timezone": "Europe/Berlin"})
    project.set("kathmandu", plan="free", **{"$timezone": "Asia/Kathmandu"})
    project.set("nowhere", plan="free", **{"$timezone": "Middle/Earth"})
    assert set(project.places("hi").values()) == {"deferred:send_window"}
    assert reading.report(project.version, "hi").reconciled
    assert project.desk.offer("webhook", 10) is None
    project.move(START + 7 * HOUR)
    assert project.places("hi") == {
        "utc": "deferred:send_window",
        "berlin": "queued",
        "kathmandu": "queued",
        "nowhere": "deferred:send_window",
    }
    project.move(START + 9 * HOUR)
    assert set(project.places("hi").values()) == {"queued"}
    assert set(project.instants("hi").values()) == {START}
    ledger = project.version.messages.ledger("hi")
    joined = dict(zip(*(column.tolist() for column in ledger.joined(ledger.selected)), strict=True))
    assert joined[project.version.users.find("kathmandu")] == START + 3 * HOUR + 15 * MINUTE
    assert joined[project.version.users.find("utc")] == START + 9 * HOUR


def test_the_project_s_zone_is_that_of_who_has_none(project: Project) -> None:
    project.ask(commands.UpdateSettings(time_zone="Asia/Tokyo"))
    project.message("hi", FREE, content=HOOK, send_window=SendWindow(9 * 60, 20 * 60))
    project.set("a", plan="free")
    assert project.places("hi") == {"a": "queued"}


def test_who_no_longer_matches_when_the_window_opens_is_skipped(project: Project) -> None:
    project.message("hi", FREE, content=HOOK, send_window=SendWindow(9 * 60, 20 * 60))
    project.set("a", plan="free")
    project.set("b", plan="free")
    project.set("b", plan="paid")
    project.move(START + DAY)
    assert project.places("hi") == {"a": "queued", "b": "skipped:no_longer_matches"}


def test_quiet_hours_hold_back_until_they_end(project: Project) -> None:
    project.message("hi", FREE, content=HOOK, quiet_hours=QuietHours(22 * 60, 8 * 60))
    project.set("a", plan="free")
    assert project.places("hi") == {"a": "deferred:quiet_hours"}
    project.move(START + 8 * HOUR)
    assert project.places("hi") == {"a": "queued"}


def test_a_window_that_closes_before_the_hand_off_defers_at_leave(project: Project) -> None:
    project.message("hi", FREE, content=HOOK, send_window=SendWindow(0, 60))
    project.set("a", plan="free")
    offer = project.desk.offer("webhook", 1)
    assert offer is not None
    project.move(START + 2 * HOUR)
    assert project.desk.begin(offer.batch_id, [0]).result(timeout=60) == []
    assert project.places("hi") == {"a": "deferred:send_window"}
    project.move(START + DAY)
    assert project.send_all("webhook") == ["a"]


def test_whoever_would_wait_longer_than_the_message_lasts_is_skipped(project: Project) -> None:
    project.message("hi", FREE, content=HOOK, send_window=SendWindow(9 * 60, 20 * 60), expires_after=8 * HOUR)
    project.set("a", plan="free")
    assert project.places("hi") == {"a": "skipped:expired"}
    project.set("b", plan="free", **{"$timezone": "Europe/Berlin"})
    assert project.places("hi")["b"] == "deferred:send_window"


def test_who_waits_in_the_queue_for_too_long_is_skipped_at_leave(project: Project) -> None:
    project.message("hi", FREE, content=HOOK, expires_after=HOUR)
    project.set("a", plan="free")
    project.move(START + HOUR)
    project.set("b", plan="free")
    project.move(START + HOUR + 1)
    assert project.send_all("webhook") == ["b"]
    assert project.places("hi") == {"a": "skipped:expired", "b": "sent"}


def test_a_pause_holds_the_deferred_and_a_resume_judges_them_again(project: Project) -> None:
    project.message("hi", FREE, content=HOOK, send_window=SendWindow(9 * 60, 20 * 60))
    project.set("a", plan="free")
    project.ask(commands.PauseMessages(["hi"]))
    project.move(START + 10 * HOUR)
    assert project.places("hi") == {"a": "deferred:send_window"}
    project.ask(commands.ResumeMessage("hi"))
    assert project.places("hi") == {"a": "queued"}


def test_a_resume_with_another_window_takes_it_at_once(project: Project) -> None:
    project.message("hi", FREE, content=HOOK, send_window=SendWindow(9 * 60, 20 * 60))
    project.set("a", plan="free")
    project.ask(commands.PauseMessages(["hi"]))
    project.ask(commands.UpdateMessage("hi", {"send_window": None}))
    project.ask(commands.ResumeMessage("hi"))
    assert project.places("hi") == {"a": "queued"}


def test_a_limit_counts_whoever_was_let_through_whatever_became_of_it(project: Project) -> None:
    project.message("hi", FREE, content=HOOK, max_recipients=1, send_window=SendWindow(9 * 60, 20 * 60))
    project.set("a", plan="free")
    project.set("a", plan="paid")
    project.move(START + 9 * HOUR)
    assert project.places("hi") == {"a": "skipped:no_longer_matches"}
    project.set("b", plan="free")
    assert project.state("hi") == "paused:max_recipients"


def test_ghosts_wait_for_the_window_too(project: Project) -> None:
    project.message("hi", FREE, content=HOOK, send_window=SendWindow(9 * 60, 20 * 60), control_percent=100)
    project.set("a", plan="free")
    assert project.places("hi") == {"a": "deferred:send_window"}
    project.move(START + DAY)
    assert project.places("hi") == {"a": "held_out"}
    assert project.version.messages.ledger("hi").ghosts()[1].tolist() == [START + 9 * HOUR]


def test_explanation_says_until_when(project: Project) -> None:
    project.message("hi", FREE, content=HOOK, send_window=SendWindow(9 * 60, 20 * 60))
    project.set("a", plan="free", **{"$timezone": "Europe/Berlin"})
    found = reading.explain_delivery(project.version, "hi", "a")
    assert (found.state, found.reason) == ("deferred", "send_window")
    (gate,) = [one for one in found.gates if one.name == "send_window"]
    assert (gate.passed, gate.due) == (False, START + 7 * HOUR)
    assert gate.detail == "waits for the message's send window, by the wall clock where the user lives"


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"send_window": SendWindow(-1, 60)}, "WALL_CLOCK", "message.send_window.from"),
        ({"send_window": SendWindow(0, 1441)}, "WALL_CLOCK", "message.send_window.to"),
        ({"send_window": SendWindow(0, 60, [0])}, "DAY_OF_WEEK", "message.send_window.days[0]"),
        ({"quiet_hours": QuietHours(60, 60)}, "WINDOW_NEVER_OPEN", "message.quiet_hours.to"),
        (
            {"send_window": SendWindow(22 * 60, 60), "quiet_hours": QuietHours(21 * 60, 8 * 60)},
            "WINDOW_NEVER_OPEN",
            "message.send_window",
        ),
    ],
)
def test_a_window_that_cannot_be_is_refused(project: Project, fields: dict[str, object], code: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        project.message("hi", FREE, content=HOOK, launch=None, **fields)
    assert (refused.value.code, refused.value.field) == (code, field)


@pytest.mark.parametrize("text", ["9:30", "24:01", "12:60", "noon", "", "12-30", "²1:00"])
def test_a_text_that_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        minute_of(text, "from")


def test_times_of_day_are_read_as_they_are_written() -> None:
    assert [text_of(minute_of(text, "from")) for text in ("00:00", "09:05", "24:00")] == ["00:00", "09:05", "24:00"]


def test_what_a_sandbox_took_up_within_a_window_is_not_put_off_by_the_length_of_a_move(tmp_path: Path) -> None:
    ends = {}
    for name, steps in (("far", [7 * 24]), ("fine", list(range(1, 7 * 24 + 1)))):
        with Project(tmp_path / name, sandbox=True) as project:
            for number in range(5):
                project.set(f"u{number}", plan="free")
            project.message("hi", FREE, content=HOOK, send_window=SendWindow(10 * 60, 12 * 60))
            for hours in steps:
                project.move(START + hours * HOUR)
                project.desk.drain_sandbox()
            ends[name] = project.places("hi"), project.instants("hi")
    assert ends["far"] == ends["fine"]
    assert set(ends["far"][0].values()) == {"sent"}
