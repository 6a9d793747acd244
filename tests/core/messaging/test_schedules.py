"""Promise: a message is sent at the times that it names, in the zones that it names, and each run is accounted for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core import commands
from core.errors import InvalidInput
from core.messaging import reading
from core.messaging.schedules import Once, Past, Recurring
from core.values import to_micros
from tests.core.project import DAY, HOOK, HOUR, START, Project, contents

MINUTE = HOUR // 60
MONDAY = "1997-05-19"
"""The day of START, on which clocks in Berlin are two hours ahead of UTC, in Tokyo nine, in New York four behind."""


def at(text: str) -> int:
    """Micros of an instant in UTC."""
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


def refusal(project: Project, key: str) -> InvalidInput:
    """Why a launch is refused."""
    with pytest.raises(InvalidInput) as caught:
        project.ask(commands.LaunchMessage(key))
    return caught.value


def settle(project: Project) -> None:
    """Users in four zones, one of them unreadable."""
    for name, zone in {"berlin": "Europe/Berlin", "tokyo": "Asia/Tokyo", "york": "America/New_York"}.items():
        project.set(name, **{"$timezone": zone})
    project.set("east", **{"$timezone": "+02:00"})
    project.set("lost", **{"$timezone": "Middle Earth"})
    project.set("none", plan="free")


def by_instant(project: Project, key: str) -> dict[str, list[str]]:
    """Who was selected at which instant."""
    found: dict[str, list[str]] = {}
    for rows in reading.deliveries(project.version, key):
        for row in rows:
            moment = datetime(1970, 1, 1) + timedelta(microseconds=row.decided_at)
            found.setdefault(f"{row.occurrence} {moment:%m-%d %H:%M}", []).append(row.distinct_id)
    return {instant: sorted(users) for instant, users in sorted(found.items())}


def runs(project: Project, key: str) -> list[tuple[int, int, str]]:
    """Number, days and fractions after the start, and outcome of each run."""
    found = project.version.messages.occurrences(key).runs.all(key)
    return [(one.occurrence, (one.planned - START) // HOUR, one.outcome) for one in found]


def test_a_wall_time_in_the_projects_or_another_zone(project: Project) -> None:
    project.ask(commands.UpdateSettings(time_zone="America/New_York"))
    project.set("a", plan="free")
    project.message("home", "true", schedule=Once(wall=f"{MONDAY}T09:00"), content=HOOK)
    project.message("tokyo", "true", schedule=Once(wall=f"{MONDAY}T09:30", zone="Asia/Tokyo"), content=HOOK)
    project.ask(commands.UpdateSettings(time_zone="America/Los_Angeles"))
    project.move(START + 2 * DAY)
    assert by_instant(project, "home") == {"0 05-19 13:00": ["a"]}
    assert by_instant(project, "tokyo") == {"0 05-19 00:30": ["a"]}


def test_a_wall_time_in_each_users_zone(project: Project) -> None:
    settle(project)
    project.message("hi", "true", schedule=Once(wall="1997-05-20T09:00", zone="user"), content=HOOK)
    assert project.version.messages.get("hi").state == "live"
    project.move(START + 4 * DAY)
    assert by_instant(project, "hi") == {
        "0 05-20 00:00": ["tokyo"],
        "0 05-20 07:00": ["berlin", "east"],
        "0 05-20 09:00": ["lost", "none"],
        "0 05-20 13:00": ["york"],
    }
    assert runs(project, "hi") == [(0, 24, "fired"), (0, 31, "fired"), (0, 33, "fired"), (0, 37, "fired")]


@pytest.mark.parametrize("past", ["", "send", "skip"])
def test_a_time_that_is_past_for_some(project: Project, past: Past) -> None:
    settle(project)
    project.move(START + 8 * HOUR)
    schedule = Once(wall=f"{MONDAY}T09:00", zone="user", past=past)
    project.message("hi", 'user["$timezone"] != "+02:00"', schedule=schedule, content=HOOK, launch=None)
    assert reading.forecast(project.version, "hi").past == 2
    if not past:
        error = refusal(project, "hi")
        assert (error.code, error.field) == ("PAST_REQUIRED", "message.once.past")
        assert "3 users" in error.message
        return
    project.ask(commands.LaunchMessage("hi"))
    early = (
        {"berlin": "queued", "tokyo": "queued"}
        if past == "send"
        else dict.fromkeys(["berlin", "tokyo"], "skipped:local_time_past")
    )
    assert project.places("hi") == early
    project.move(START + DAY)
    assert project.places("hi") == early | {"lost": "queued", "york": "queued"}
    assert by_instant(project, "hi") == {
        "0 05-19 08:00": ["berlin", "tokyo"],
        "0 05-19 09:00": ["lost"],
        "0 05-19 13:00": ["york"],
    }


def test_a_time_that_is_past_for_everybody(project: Project) -> None:
    settle(project)
    project.move(START + 2 * DAY)
    for number, (schedule, field) in enumerate(
        {
            Once(wall=f"{MONDAY}T09:00"): "once.local_time",
            Once(wall=f"{MONDAY}T09:00", zone="user", past="skip"): "once.local_time",
            Once(START): "once.time",
            Recurring(f"{MONDAY}T09:00", "FREQ=DAILY;COUNT=2"): "recurring.rule",
        }.items()
    ):
        project.message(f"late{number}", "true", schedule=schedule, content=HOOK, launch=None)
        error = refusal(project, f"late{number}")
        assert (error.code, error.field) == ("SCHEDULE_IN_PAST", f"message.{field}")


@pytest.mark.parametrize(
    ("schedule", "settled", "instant"),
    [
        (Once(after=90 * MINUTE), Once(START + 90 * MINUTE), "0 05-19 01:30"),
        (
            Once(next="wednesday 09:00", zone="Europe/Berlin"),
            Once(wall="1997-05-21T09:00", zone="Europe/Berlin"),
            "0 05-21 07:00",
        ),
        (Once(next="Monday 00:00"), Once(wall="1997-05-19T00:00", zone="UTC"), "0 05-19 00:00"),
        (
            Once(next="monday 01:00", zone="Europe/Berlin"),
            Once(wall="1997-05-26T01:00", zone="Europe/Berlin"),
            "0 05-25 23:00",
        ),
    ],
)
def test_a_time_that_counts_from_the_launch(project: Project, schedule: Once, settled: Once, instant: str) -> None:
    project.set("a", plan="free")
    project.message("hi", "true", schedule=schedule, content=HOOK)
    assert project.version.messages.get("hi").schedule == settled
    project.move(START + 10 * DAY)
    assert by_instant(project, "hi") == {instant: ["a"]}


def test_runs_of_a_recurring_message_are_occurrences(project: Project) -> None:
    project.set("a", plan="free")
    project.message("daily", 'user.plan == "free"', schedule=Recurring("1997-05-18T09:00", "FREQ=DAILY"), content=HOOK)
    project.move(START + 2 * DAY)
    project.set("b", plan="free")
    project.set("a", plan="paid")
    project.move(START + 3 * DAY)
    assert by_instant(project, "daily") == {"1 05-19 09:00": ["a"], "2 05-20 09:00": ["a"], "3 05-21 09:00": ["b"]}
    assert runs(project, "daily") == [(1, 9, "fired"), (2, 33, "fired"), (3, 57, "fired")]
    report = reading.report(project.version, "daily")
    assert report.next_run == START + 3 * DAY + 9 * HOUR
    assert [run.occurrence for run in report.runs] == [1, 2, 3]
    assert report.reconciled


def test_a_recurring_message_may_be_due_at_its_launch_and_may_end(project: Project) -> None:
    project.set("a", plan="free")
    project.message("two", "true", schedule=Recurring(f"{MONDAY}T00:00", "FREQ=DAILY;COUNT=2"), content=HOOK)
    assert by_instant(project, "two") == {"0 05-19 00:00": ["a"]}
    project.move(START + 30 * DAY)
    assert by_instant(project, "two") == {"0 05-19 00:00": ["a"], "1 05-20 00:00": ["a"]}
    assert reading.report(project.version, "two").next_run is None


def test_a_recurring_message_in_each_users_zone(project: Project) -> None:
    settle(project)
    project.message("hi", "true", schedule=Recurring(f"{MONDAY}T09:00", "FREQ=WEEKLY", "user"), content=HOOK)
    project.move(START + HOUR)
    project.set("tokyo", **{"$timezone": "Europe/Berlin"})
    project.move(START + 8 * DAY)
    found = by_instant(project, "hi")
    assert found["0 05-19 00:00"] == ["tokyo"]
    assert found["0 05-19 07:00"] == ["berlin", "east"]
    assert found["1 05-26 07:00"] == ["berlin", "east", "tokyo"]


def test_a_new_run_closes_what_an_earlier_one_left_open(project: Project) -> None:
    project.set("a", plan="free")
    project.set("b", plan="free")
    project.message("daily", "true", schedule=Recurring(f"{MONDAY}T09:00", "FREQ=DAILY;COUNT=2"))
    project.move(START + 10 * HOUR)
    project.reach("b")
    project.move(START + 2 * DAY)
    assert reading.counts([project.version.messages.ledger("daily", 0)]).skipped == [("superseded", False, 1)]
    project.reach("a")
    assert project.places("daily") == {"a": "queued", "b": "queued"}
    assert len(project.version.messages.ledger("daily", 0).state("queued")) == 1


def test_a_user_is_reached_at_most_so_many_times(project: Project) -> None:
    project.reach("a", "b")
    rule = Recurring(f"{MONDAY}T09:00", "FREQ=DAILY")
    project.message("twice", "true", schedule=rule, most_per_user=2)
    project.message("fresh", "true", schedule=rule, most_per_user=1)
    project.set("c", plan="free")
    project.move(START + 2 * DAY)
    project.reach("c", "d")
    project.move(START + 6 * DAY)
    assert by_instant(project, "twice") == {
        "0 05-19 09:00": ["a", "b", "c"],
        "1 05-20 09:00": ["a", "b", "c"],
        "2 05-21 09:00": ["c", "d"],
        "3 05-22 09:00": ["d"],
    }
    assert by_instant(project, "fresh")["2 05-21 09:00"] == ["d"]
    gates = {gate.name: gate.passed for gate in reading.explain_delivery(project.version, "fresh", "a").gates}
    assert not gates["once"]


def test_pausing_misses_runs_and_the_latest_may_be_late(project: Project) -> None:
    project.set("a", plan="free")
    daily = Recurring(f"{MONDAY}T09:00", "FREQ=DAILY")
    project.message("soon", "true", schedule=daily, content=HOOK)
    project.message("late", "true", schedule=daily, content=HOOK, grace=3 * HOUR)
    project.move(START + 10 * HOUR)
    project.ask(commands.PauseMessages(None))
    project.move(START + 3 * DAY + 11 * HOUR)
    for key in ("soon", "late"):
        project.ask(commands.ResumeMessage(key))
    assert runs(project, "soon") == [(0, 9, "fired"), (1, 33, "missed"), (2, 57, "missed"), (3, 81, "missed")]
    assert runs(project, "late") == [(0, 9, "fired"), (1, 33, "missed"), (2, 57, "missed"), (3, 81, "late")]
    assert by_instant(project, "late") == {"0 05-19 09:00": ["a"], "3 05-22 11:00": ["a"]}
    project.move(START + 4 * DAY + 10 * HOUR)
    assert runs(project, "soon")[-1] == (4, 105, "fired")


def test_of_each_zones_missed_runs_the_latest_may_be_late(project: Project) -> None:
    settle(project)
    schedule = Recurring(f"{MONDAY}T09:00", "FREQ=DAILY", "user")
    project.message("hi", "true", schedule=schedule, content=HOOK, grace=10 * HOUR)
    project.move(START + 2 * HOUR)
    project.ask(commands.PauseMessages(None))
    project.move(START + DAY + 8 * HOUR)
    project.ask(commands.ResumeMessage("hi"))
    # Tokyo's second run was at 24 h, Berlin's at 31 h; New York's first at 13 h, more than ten hours ago.
    assert by_instant(project, "hi") == {"0 05-19 00:00": ["tokyo"], "1 05-20 08:00": ["berlin", "east", "tokyo"]}
    assert [one for one in runs(project, "hi") if one[2] == "missed"] == [
        (0, 7, "missed"),
        (0, 9, "missed"),
        (0, 13, "missed"),
    ]
    assert reading.report(project.version, "hi").reconciled


class Clock:
    """A real clock, turned by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def on_real_time(folder: Path, clock: Clock) -> Any:
    """An engine with a real clock."""
    from core.engine import Engine
    from core.settings import Settings

    if not folder.exists():
        Engine.create(folder, Settings("test", "5eed", clock="real", sandbox=False), clock.now)
    return Engine.open(folder, clock=clock)


def tick(engine: Any, clock: Clock, to: int) -> None:
    """Let time pass as a server that is up does."""
    while clock.now < to:
        clock.now = min(clock.now + 30_000_000, to)
        engine.submit(commands.Lose([])).result(timeout=60)


def test_a_run_missed_while_the_server_was_down(tmp_path: Path) -> None:
    from core.messaging.definitions import MessageDefinition
    from core.profiles.records import Operation, ProfileChange

    clock = Clock()
    engine = on_real_time(tmp_path / "p", clock)
    engine.submit(commands.Ingest([], [ProfileChange("a", Operation.SET, {"plan": "free"})])).result()
    daily = Recurring(f"{MONDAY}T00:10", "FREQ=DAILY")
    for key, grace in (("hour", 0), ("day", DAY)):
        engine.submit(commands.CreateMessage(MessageDefinition(key, key, "true", daily, HOOK, grace=grace))).result()
        engine.submit(commands.LaunchMessage(key)).result()

    def outcomes(key: str) -> list[tuple[int, int, str]]:
        found = engine.version.messages.occurrences(key).runs.all(key)
        return [(one.occurrence, (one.at - one.planned) // MINUTE, one.outcome) for one in found]

    tick(engine, clock, START + 20 * MINUTE)
    assert outcomes("hour") == outcomes("day") == [(0, 0, "fired")]
    engine.close()
    clock.now = START + 2 * DAY + 40 * MINUTE
    engine = on_real_time(tmp_path / "p", clock)
    assert outcomes("hour") == outcomes("day") == [(0, 0, "fired"), (1, 24 * 60 + 30, "missed"), (2, 30, "late")]
    engine.close()
    clock.now = START + 3 * DAY + 3 * HOUR + 10 * MINUTE
    engine = on_real_time(tmp_path / "p", clock)
    assert outcomes("hour")[-1] == (3, 180, "missed")
    assert outcomes("day")[-1] == (3, 180, "late")
    before = contents(engine.version)["messages"]
    engine.close()
    engine = on_real_time(tmp_path / "p", clock)
    assert contents(engine.version)["messages"] == before
    engine.close()


def test_runs_survive_a_crash_and_a_checkpoint(tmp_path: Path) -> None:
    with Project(tmp_path / "p") as project:
        project.set("a", plan="free")
        project.message("daily", "true", schedule=Recurring(f"{MONDAY}T09:00", "FREQ=DAILY"), content=HOOK)
        project.move(START + 2 * DAY)
        with project.copy(tmp_path / "crashed") as crashed:
            assert runs(crashed, "daily") == runs(project, "daily")
        project.engine.checkpoint()
        project.move(START + 3 * DAY)
        with project.copy(tmp_path / "later") as later:
            assert runs(later, "daily") == runs(project, "daily") != []
            assert contents(later.version) == contents(project.version)


@pytest.mark.parametrize(
    ("schedule", "code", "field"),
    [
        (Once(wall="nine"), "WALL_TIME", "once.local_time"),
        (Once(wall="1997-05-19T09:00Z"), "WALL_TIME", "once.local_time"),
        (Once(next="someday 09:00"), "NEXT_TIME", "once.next"),
        (Once(wall="1997-05-19T09:00", zone="Berlin"), "INVALID_TIME_ZONE", "once.time_zone"),
        (Once(START, zone="Europe/Berlin"), "ZONE_OF_INSTANT", "once.time_zone"),
        (Once(START, past="send"), "ZONE_OF_INSTANT", "once.past"),
        (Once(START, wall="1997-05-19T09:00"), "NO_SCHEDULE", "once"),
        (Recurring("nine", "FREQ=DAILY"), "WALL_TIME", "recurring.start"),
        (Recurring("1997-05-19T09:00", "DAILY"), "RECURRENCE_RULE", "recurring.rule"),
        (Recurring("1997-05-19T09:00", "FREQ=DAILY", "Mars"), "INVALID_TIME_ZONE", "recurring.time_zone"),
    ],
)
def test_a_schedule_that_cannot_be_read(project: Project, schedule: Any, code: str, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        project.message("bad", "true", schedule=schedule, content=HOOK, launch=None)
    assert (caught.value.code, caught.value.field) == (code, f"message.{field}")
    assert "bad" not in project.version.messages
