"""Promise: answered is durable, failed is undone, repeated is answered as before; and a store is never harmed by opening it."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import commands, group
from core.engine import Closed, Engine, EngineConfig, verify
from core.errors import Exhausted, FailedPrecondition, InvalidInput, MusterError, StoreError, Unavailable
from core.messaging import judge
from core.profiles.records import EventRecord, ProfileChange
from core.settings import Settings
from core.storage.faults import Point
from core.values import ValueType
from tests.core.project import DAY, HOOK, HOUR, START, Project, contents, live_a_little
from tests.core.storage.conftest import FailingDisk

FREE = 'user.plan == "free"'


# What was answered is durable


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_crash_loses_nothing_that_was_answered(project: Project, tmp_path: Path, checkpoint: bool) -> None:
    live_a_little(project)
    if checkpoint:
        project.engine.checkpoint()
        project.set("late", plan="free")
    with project.copy(tmp_path / "crashed") as after:
        assert contents(after.version) == contents(project.version)


def test_close_and_open(project: Project) -> None:
    live_a_little(project)
    before = contents(project.version)
    project.close()
    project.close()
    assert verify(project.folder) == []
    with Project(project.folder) as after:
        assert contents(after.version) == before
        live_on(after)


def live_on(project: Project) -> None:
    """What a recovered project must still know: ids, names, copies, waiting messages."""
    assert project.track("d", "Buy", at=START - DAY, insert_id="1").duplicates == 1
    project.set("alias", plan="paid")
    assert project.profile("a")["plan"] == "paid"
    project.move(START + 4 * DAY)
    assert [name for name, _ in project.version.population.timeline(0, project.now, 10, False)] == [
        *("$journey_entered", "$campaign_delivery", "Visit")
    ]


def test_a_version_that_is_held_never_changes(project: Project) -> None:
    live_a_little(project)
    held = project.version
    before = contents(held)
    project.set("a", plan="paid", **{"$email": "other@example.com"})
    project.merge("d", "a")
    project.delete("d")
    project.set("new", plan="free")
    project.move(START + 9 * DAY)
    project.engine.checkpoint()
    assert contents(held) == before


def test_futures_are_answered_after_the_commit(tmp_path: Path) -> None:
    disk = FailingDisk()
    with Project(tmp_path / "project", faults=disk) as project:
        passed = disk.passed.get(("log.append", Point.COMMITTED), 0)
        project.set("a", plan="free")
        assert disk.passed[("log.append", Point.COMMITTED)] == passed + 1


def test_many_requests_share_a_commit(tmp_path: Path) -> None:
    disk = FailingDisk()
    with Project(tmp_path / "project", faults=disk) as project:
        release = threading.Event()
        holding = hold_writer(project, release)
        futures = [
            project.engine.submit(commands.Ingest([], [ProfileChange(f"u{n}", "set", {"n": n})])) for n in range(100)
        ]
        passed = disk.passed.get(("log.append", Point.COMMITTED), 0)
        release.set()
        holding.join()
        for future in futures:
            future.result(timeout=60)
        assert disk.passed[("log.append", Point.COMMITTED)] == passed + 1
        assert project.version.users.issued == 100


def hold_writer(project: Project, release: threading.Event) -> threading.Thread:
    """Keep the writer busy until released."""
    started = threading.Event()

    def wait(population: Any, users: Any) -> None:
        started.set()
        release.wait(60)
        raise KeyError("nothing is loaded")

    def run() -> None:
        with pytest.raises(KeyError):
            project.engine.load(wait)

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(60)
    return thread


# What failed is undone


@pytest.mark.parametrize("point", list(Point))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failed_commit_changes_nothing(tmp_path: Path, point: Point, number: int) -> None:
    disk = FailingDisk()
    with Project(tmp_path / "project", faults=disk) as project:
        live_a_little(project)
        before, position = contents(project.version), project.version.position
        disk.fail("log.append", point, number)
        with pytest.raises(Unavailable) as caught:
            project.ingest(
                [EventRecord("New", "new", START, "1", {"a new property": "a new string"})],
                [ProfileChange("newer", "set", {"another": "one"})],
                request_id="again",
            )
        assert caught.value.code == ("DISK_FULL" if number == errno.ENOSPC else "STORE_WRITE_FAILED")
        assert caught.value.mend
        assert project.engine.health()
        assert (contents(project.version), project.version.position) == (before, position)
        result = project.ingest(
            [EventRecord("New", "newer", START, "1", {"x": "y"})],
            [ProfileChange("new", "set", {"another": "two"})],
            request_id="again",
        )
        assert result.accepted == 2
        assert project.engine.health() == ""
        assert project.profile("new") == {"another": "two"}
        assert project.profile("newer") == {}
        with project.copy(tmp_path / "after") as after:
            assert contents(after.version) == contents(project.version)


def test_a_disk_that_stays_full_fails_every_request_and_harms_nothing(tmp_path: Path) -> None:
    disk = FailingDisk()
    with Project(tmp_path / "project", faults=disk) as project:
        live_a_little(project)
        before = contents(project.version)
        for after in range(3):
            disk.fail("log.append", Point.BEGIN, errno.ENOSPC, after)
        for _ in range(3):
            with pytest.raises(Unavailable):
                project.set("a", plan="x")
        assert contents(project.version) == before
        project.set("a", plan="y")
        assert project.profile("a")["plan"] == "y"


def test_a_defect_in_one_command_does_not_touch_the_others(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(work: Any, command: Any) -> None:
        work.users.resolve(["half", "done"])
        raise ZeroDivisionError("a defect")

    monkeypatch.setitem(group._HANDLERS, commands.MergeUsers, broken)
    release = threading.Event()
    holding = hold_writer(project, release)
    futures: list[Future[Any]] = [
        project.engine.submit(commands.Ingest([], [ProfileChange("a", "set", {"n": 1})]), "one"),
        project.engine.submit(commands.MergeUsers("a", "b")),
        project.engine.submit(commands.Ingest([], [ProfileChange("b", "add", {"n": 1})])),
    ]
    release.set()
    holding.join()
    assert futures[0].result(timeout=60).accepted == 1
    with pytest.raises(ZeroDivisionError):
        futures[1].result(timeout=60)
    assert futures[2].result(timeout=60).accepted == 1
    assert project.version.users.issued == 2
    assert project.profile("b") == {"n": 1}


def test_the_writer_outlives_a_defect_in_judging(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.message("hi", FREE)
    with monkeypatch.context() as patched:
        patched.setattr(judge, "judge_touched", lambda work: 1 / 0)
        with pytest.raises(MusterError) as caught:
            project.set("a", plan="free")
        assert caught.value.code == "INTERNAL"
        assert project.engine.health()
    assert project.version.users.issued == 0
    project.set("b", plan="free")
    assert project.places("hi") == {"b": "skipped:unreachable"}
    assert project.engine.health() == ""


def test_a_defect_in_judging_one_message_pauses_it_and_keeps_nothing_else(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.message("bad", FREE, content=HOOK)
    project.message("good", FREE, content=HOOK)
    select = judge._judge_new

    def broken(work: Any, definition: Any, *rest: Any) -> None:
        select(work, definition, *rest)
        if definition.key == "bad":
            raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(judge, "_judge_new", broken)
        assert project.set("a", plan="free").accepted == 1
        assert project.set("b", plan="free", imported=True).accepted == 1
    assert project.places("good") == {"a": "queued", "b": "skipped:backfilled"}
    assert project.places("bad") == {}
    found = project.version.messages.get("bad")
    assert (found.state, found.pause_reason) == ("paused", judge.JUDGEMENT_FAILED)
    assert project.engine.health() == ""
    with project.copy(tmp_path / "copy") as after:
        assert contents(after.version) == contents(project.version)
    project.ask(commands.ResumeMessage("bad"))
    assert project.places("bad") == {"a": "queued", "b": "queued"}


def test_a_listener_that_fails_is_not_the_callers_matter(project: Project) -> None:
    seen = []

    def failing(version: Any) -> None:
        seen.append(version.position)
        raise RuntimeError("not the engine's")

    stop = project.engine.on_commit(failing)
    project.set("a", plan="free")
    project.set("b", plan="free")
    stop()
    project.set("c", plan="free")
    assert len(seen) == 2


# Repeated is answered as before


def test_a_repeated_request_is_answered_as_the_first(project: Project, tmp_path: Path) -> None:
    change = ProfileChange("a", "add", {"visits": 1})
    first = project.ingest([], [change], request_id="r1")
    again = project.ingest([], [change, change], request_id="r1")
    assert again == first
    assert project.profile("a") == {"visits": 1}
    moved = project.ask(commands.MoveClock(START + HOUR), "r2")
    assert moved == commands.ClockAnswer(START + HOUR, {})
    assert project.ask(commands.MoveClock(START + 2 * HOUR), "r2") == moved
    for checkpoint in (False, True):
        with project.copy(tmp_path / f"after-{checkpoint}") as after:
            assert after.ingest([], [change], request_id="r1") == first
            assert after.profile("a") == {"visits": 1}
            assert after.ask(commands.MoveClock(START + 3 * HOUR), "r2") == moved
        project.engine.checkpoint()


def test_a_request_id_is_kept_for_a_day_of_the_projects_clock(project: Project) -> None:
    change = ProfileChange("a", "add", {"visits": 1})
    project.ingest([], [change], request_id="r1")
    project.move(START + DAY)
    project.ingest([], [change], request_id="r1")
    assert project.profile("a") == {"visits": 1}
    project.move(START + DAY + 1)
    project.ingest([], [change], request_id="r1")
    assert project.profile("a") == {"visits": 2}


def test_a_request_id_belongs_to_one_kind_of_request(project: Project) -> None:
    project.set("a", plan="free")
    project.ask(commands.MergeUsers("a", "b"), "r1")
    with pytest.raises(InvalidInput) as caught:
        project.ask(commands.DeleteUser("a"), "r1")
    assert (caught.value.code, caught.value.field) == ("REQUEST_ID_REUSED", "request_id")
    for request_id in ("x" * 256, "\ud800"):
        with pytest.raises(InvalidInput) as caught:
            project.ask(commands.DeleteUser("a"), request_id)
        assert caught.value.field == "request_id"


def test_repeats_within_one_group(project: Project) -> None:
    release = threading.Event()
    holding = hold_writer(project, release)
    change = ProfileChange("a", "add", {"visits": 1})
    futures = [project.engine.submit(commands.Ingest([], [change]), "same") for _ in range(3)]
    release.set()
    holding.join()
    assert [future.result(timeout=60).accepted for future in futures] == [1, 1, 1]
    assert project.profile("a") == {"visits": 1}


# Checkpoints, backups, loads


def test_checkpoints_run_beside_commits(tmp_path: Path) -> None:
    config = EngineConfig(checkpoint_bytes=20_000, checkpoint_seconds=0.01, horizon_seconds=0.0)
    with Project(tmp_path / "project", config=config) as project:
        project.message("hi", 'events["Visit"].size() >= 3', content=HOOK)
        for n in range(120):
            project.ingest(
                [EventRecord("Visit", f"u{n % 7}", START - n, str(n), {"page": f"p{n}", "n": n})],
                [ProfileChange(f"u{n % 7}", "set", {"n": n, f"p{n % 11}": f"value {n}"})],
            )
            if n % 30 == 29:
                with project.copy(tmp_path / f"after-{n}") as after:
                    assert contents(after.version) == contents(project.version)
        assert len(project.engine._store.pages.checkpoints()) < 5
        before = contents(project.version)
    assert verify(tmp_path / "project") == []
    with Project(tmp_path / "project") as after:
        assert contents(after.version) == before


@pytest.mark.parametrize("place", ["pages.begin", "pages.slice", "pages.switch", "pages.drop", "pages.collect"])
@pytest.mark.parametrize("point", list(Point))
def test_a_checkpoint_that_fails_costs_nothing_but_itself(tmp_path: Path, place: str, point: Point) -> None:
    disk = FailingDisk()
    config = EngineConfig(checkpoint_bytes=1 << 40, checkpoint_seconds=1e9, horizon_seconds=0.0)
    with Project(tmp_path / "project", faults=disk, config=config) as project:
        live_a_little(project)
        project.engine.checkpoint()
        project.set("a", plan="late", fresh="value")
        project.track("a", "Late", fresh="value")
        disk.fail(place, point, errno.ENOSPC)
        try:
            project.engine.checkpoint()
        except StoreError as error:
            assert error.code == "DISK_FULL"
        project.set("later", fresh="other")
        with project.copy(tmp_path / "after") as after:
            assert contents(after.version) == contents(project.version)
        project.engine.checkpoint()
        project.set("latest", fresh="last")
        with project.copy(tmp_path / "after the next") as after:
            assert contents(after.version) == contents(project.version)


def test_a_backup_is_taken_while_the_engine_runs(project: Project, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            project.set(f"u{n % 50}", n=n)
            n += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            answered = project.version.position
            assert project.engine.backup(tmp_path / f"backup-{number}") > 0
            assert verify(tmp_path / f"backup-{number}") == []
            with Project(tmp_path / f"backup-{number}") as copy:
                assert copy.version.position >= answered
    finally:
        stop.set()
        writer.join()


def test_a_bulk_load_is_whole_or_nothing(tmp_path: Path) -> None:
    disk = FailingDisk()
    with Project(tmp_path / "project", faults=disk) as project:
        project.set("a", plan="free")
        before = contents(project.version)

        def fill(population: Any, users: Any) -> None:
            users.load_bulk([f"bulk-{n}" for n in range(1000)])
            population.issue(users.issued)
            population.bulk_column("age", ValueType.INT, np.arange(1002) % 90)

        disk.fail("pages.slice", Point.SYNC, errno.ENOSPC)
        with pytest.raises(StoreError):
            project.engine.load(fill)
        assert contents(project.version) == before
        project.set("b", plan="free")
        project.engine.load(fill)
        assert project.profile("bulk-999") == {"age": 1001 % 90}
        with project.copy(tmp_path / "after") as after:
            assert contents(after.version) == contents(project.version)


# The queue, the clock, the settings


def test_a_full_queue_refuses(tmp_path: Path) -> None:
    with Project(tmp_path / "project", config=EngineConfig(queue_records=3)) as project:
        release = threading.Event()
        holding = hold_writer(project, release)
        first = project.engine.submit(commands.Ingest([], [ProfileChange("a", "set", {"n": 1})]))
        with pytest.raises(Exhausted) as caught:
            project.engine.submit(commands.Ingest([], [ProfileChange("a", "set", {"n": 2})])).result()
        assert caught.value.code == "QUEUE_FULL"
        release.set()
        holding.join()
        assert first.result(timeout=60).accepted == 1


def test_a_closed_engine_says_so(project: Project) -> None:
    project.close()
    with pytest.raises(Closed):
        project.set("a", plan="free")
    with pytest.raises(Closed):
        project.engine.checkpoint()
    project.engine.tick()


@pytest.fixture
def real(tmp_path: Path) -> Iterator[tuple[Engine, list[int]]]:
    """An engine on real time, and the present."""
    present = [START]
    Engine.create(tmp_path / "real", Settings("real", "5eed", clock="real", sandbox=False), START)
    engine = Engine.open(tmp_path / "real", clock=lambda: present[0])
    yield engine, present
    engine.close()


def test_real_time_decides_at_each_commit_and_tick(real: tuple[Engine, list[int]], tmp_path: Path) -> None:
    engine, present = real
    lapsed = 'events["Visit"].size() > 0 && !events["Visit"].exists(e, e.time > now - duration("24h"))'
    project = Project.__new__(Project)
    project.folder, project.engine, project.config = tmp_path / "real", engine, EngineConfig()
    project.message("miss", lapsed, content=HOOK)
    project.message("later", "true", at=START + 3 * DAY, content=HOOK)
    project.track("a", "Visit")
    present[0] = START + HOUR
    engine.tick()
    project.set("b", plan="free")
    assert engine.version.now == START + HOUR
    position = engine.version.position
    present[0] = START + 2 * HOUR
    engine.submit(commands.Lose([])).result()
    assert (engine.version.now, engine.version.position) == (START + 2 * HOUR, position)
    present[0] = START + HOUR
    project.set("b", plan="paid")
    assert engine.version.now == START + 2 * HOUR
    shutil.copytree(tmp_path / "real", tmp_path / "copy")
    for folder, moves in ((None, [DAY + HOUR, 4 * DAY]), (tmp_path / "copy", [4 * DAY])):
        if folder is not None:
            project.engine = Engine.open(folder, clock=lambda: present[0])
        for move in moves:
            present[0] = START + move
            project.engine.submit(commands.Lose([])).result()
        assert project.instants("miss") == {"a": START + DAY}
        # Its instant passed while nobody followed the clock: it is late, by less than it may be.
        assert set(project.instants("later").values()) == {START + 4 * DAY}
    project.engine.close()
    with pytest.raises(FailedPrecondition) as caught:
        engine.submit(commands.MoveClock(START + 9 * DAY)).result()
    assert caught.value.code == "CLOCK_IS_REAL"


@pytest.mark.parametrize(("to", "code"), [(START - 1, "CLOCK_BACKWARDS"), (2**60, "TIME_OUT_OF_RANGE")])
def test_a_manual_clock_goes_forward_only(project: Project, to: int, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        project.move(to)
    assert (caught.value.code, caught.value.field) == (code, "to")
    assert project.move(START) == {}


def test_settings_are_changed_by_etag(project: Project) -> None:
    first = project.version.settings
    second = project.ask(commands.UpdateSettings(sandbox=True, etag=first.etag))
    assert (second.sandbox, second.time_zone) == (True, "UTC")
    for command, code in (
        (commands.UpdateSettings(sandbox=False, etag=first.etag), "STALE_ETAG"),
        (commands.UpdateSettings(time_zone="Mars/Base"), "INVALID_TIME_ZONE"),
        (commands.UpdateSettings(time_zone="America"), "INVALID_TIME_ZONE"),
        (commands.UpdateSettings(time_zone="x" * 300), "INVALID_TIME_ZONE"),
    ):
        with pytest.raises(MusterError) as caught:
            project.ask(command)
        assert caught.value.code == code
    assert project.version.settings == second


@pytest.mark.parametrize("name", ["", "Upper", "1st", "x" * 64, "a b"])
def test_a_project_needs_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Engine.create(tmp_path / "p", Settings(name, "5eed"), START)
    assert caught.value.code == "INVALID_NAME"
    assert not (tmp_path / "p").exists()


def test_readers_hold_one_version_while_many_write(tmp_path: Path) -> None:
    config = EngineConfig(checkpoint_bytes=50_000, checkpoint_seconds=0.05)
    stop = threading.Event()
    wrong: list[object] = []

    def read(project: Project) -> None:
        while not stop.is_set():
            version = project.version
            first = contents(version)
            if first != contents(version) or any(
                problems for *_, rest in first["messages"].values() for *_, problems in rest
            ):
                wrong.append(first)

    def write(project: Project, writer: int) -> None:
        for n in range(60):
            user = f"u{(n * 7 + writer) % 23}"
            project.ingest(
                [EventRecord("Visit", user, START - n, f"{writer}.{n}", {"page": f"p{writer}{n}", "n": n})],
                [ProfileChange(user, "set", {"plan": "free" if n % 3 else "paid", "note": f"note {writer} {n}"})],
            )
            if n % 20 == 19:
                project.merge(f"u{n % 23}", f"u{(n + writer + 1) % 23}")

    with Project(tmp_path / "project", config=config) as project:
        project.message("hi", 'user.plan == "free" && events["Visit"].size() > 1', content=HOOK)
        readers = [threading.Thread(target=read, args=(project,)) for _ in range(2)]
        writers = [threading.Thread(target=write, args=(project, writer)) for writer in range(4)]
        for thread in (*readers, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        for thread in readers:
            thread.join()
        assert not wrong
        with project.copy(tmp_path / "after") as after:
            assert contents(after.version) == contents(project.version)
