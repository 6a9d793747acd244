"""Promise: in no second, wherever it begins, do more hand-offs begin than a message, a channel and the project allow."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import commands
from core.errors import InvalidInput
from core.limits import Throughput
from core.profiles.records import Operation, ProfileChange
from core.values import MICROS_PER_SECOND
from tests.core.project import DAY, FREE, HOOK, START, Project, email

SECOND = MICROS_PER_SECOND
PEOPLE = [f"u{number}" for number in range(60)]


def people(project: Project) -> None:
    known = [{"plan": "free", "$email": f"{one}@example.com"} for one in PEOPLE]
    project.ingest([], [ProfileChange(one, Operation.SET, of) for one, of in zip(PEOPLE, known, strict=True)])


def pace(project: Project, *rates: Throughput) -> None:
    project.ask(commands.UpdateSettings(throughput=list(rates)))


def begin(project: Project, key: str, most: int) -> int:
    """How many of some who are queued may begin now."""
    queued = list(project.version.messages.ledger(key).state("queued"))[:most]
    return len(project.ask(commands.Begin(key, queued)))


@pytest.mark.usefixtures("unsynced")
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    asked=st.lists(
        st.tuples(
            st.sampled_from(["hook", "mail", "fast"]),
            st.integers(1, 12),
            st.sampled_from([0, 1, SECOND // 3, SECOND // 2, SECOND - 1, SECOND, 3 * SECOND]),
        ),
        max_size=25,
    ),
    checkpoint=st.integers(0, 24),
)
def test_no_second_has_more_than_is_allowed(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[str, int, int]], checkpoint: int
) -> None:
    folder: Path = tmp_path_factory.mktemp("pace") / "project"
    begun: list[tuple[int, str, int]] = []
    project = Project(folder)
    people(project)
    project.message("hook", FREE, content=HOOK, throughput=Throughput(4))
    project.message("mail", FREE, content=email())
    project.message("fast", FREE, content=HOOK)
    pace(project, Throughput(9), Throughput(3, "email"))
    for number, (key, most, later) in enumerate(asked):
        begun.append((project.now, key, begin(project, key, most)))
        if number == checkpoint:
            project.engine.checkpoint()
            project.close()
            project = Project(folder)
        project.move(project.now + later)
    project.close()
    for start, *_ in begun:
        second = [(key, count) for at, key, count in begun if start <= at < start + SECOND]
        assert sum(count for _, count in second) <= 9
        assert sum(count for key, count in second if key == "hook") <= 4
        assert sum(count for key, count in second if key == "mail") <= 3
    first = {key: count for _, key, count in reversed(begun)}
    if asked:
        key, most, _ = asked[0]
        assert first[key] == min(most, {"hook": 4, "mail": 3, "fast": 9}[key])  # and no fewer than is allowed


def test_whoever_is_one_too_many_stays_queued_and_is_offered_again(project: Project) -> None:
    people(project)
    project.message("hook", FREE, content=HOOK, throughput=Throughput(4))
    offer = project.desk.offer("webhook", 100)
    assert offer is not None
    assert len(offer.recipients) == 4  # a desk offers no more than may begin
    assert project.desk.offer("webhook", 100) is None
    assert project.desk.is_paced("webhook")
    assert len(project.desk.begin(offer.batch_id, range(4)).result(timeout=60)) == 4
    assert project.desk.offer("webhook", 100) is None
    project.move(START + SECOND)
    again = project.desk.offer("webhook", 100)
    assert again is not None
    assert not {one.ordinal for one in again.recipients} & {one.ordinal for one in offer.recipients}


def test_a_ramp_grows_from_day_to_day() -> None:
    ramp = Throughput(100, ramp_start=5, ramp_factor=2.0, since=START)
    assert [ramp.at(START + days * DAY) for days in (0, 1, 2, 4, 5, 400)] == [5, 10, 20, 80, 100, 100]
    assert ramp.at(START + DAY - 1) == 5
    slow = Throughput(4, ramp_start=1, ramp_factor=1.01)
    assert [slow.at(days * DAY) for days in range(5)] == [1, 2, 3, 4, 4]
    assert Throughput(7).at(START) == 7


def test_a_message_s_ramp_begins_with_its_launch_and_a_project_s_with_its_setting(project: Project) -> None:
    people(project)
    project.move(START + 3 * DAY)
    project.message("hook", FREE, content=HOOK, throughput=Throughput(40, ramp_start=2, ramp_factor=3.0))
    pace(project, Throughput(50, ramp_start=3, ramp_factor=2.0))
    assert begin(project, "hook", 60) == 2
    project.move(START + 4 * DAY)
    pace(project, Throughput(50, ramp_start=3, ramp_factor=2.0), Throughput(9, "sms"))  # it goes on from where it was
    assert begin(project, "hook", 60) == 6


def test_a_sandbox_fills_its_inbox_at_once(tmp_path: Path) -> None:
    with Project(tmp_path / "project", sandbox=True) as project:
        people(project)
        project.message("hook", FREE, content=HOOK, throughput=Throughput(4))
        assert project.desk.drain_sandbox() == len(PEOPLE)


@pytest.mark.parametrize(
    ("rate", "field"),
    [
        (Throughput(0), "per_second"),
        (Throughput(5, "smoke"), "channel"),
        (Throughput(5, ramp_start=6, ramp_factor=2.0), "ramp.start"),
        (Throughput(5, ramp_start=1, ramp_factor=1.0), "ramp.factor"),
        (Throughput(5, ramp_start=1, ramp_factor=float("nan")), "ramp.factor"),
    ],
)
def test_a_throughput_that_cannot_be_is_refused(project: Project, rate: Throughput, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        pace(project, rate)
    assert (refused.value.code, refused.value.field) == ("THROUGHPUT", f"throughput[0].{field}")
