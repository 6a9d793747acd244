"""Promise: a simulation decides what really was decided over the same log, writes nothing, and tells when and how many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import commands
from core.errors import FailedPrecondition, InvalidExpression, InvalidInput, NotFound
from core.messaging.definitions import Asap, MessageDefinition, Once
from core.messaging.schedules import Recurring, Schedule, WhenMet
from core.simulation import Question, Result, Stopped, simulate
from tests.core.project import DAY, EMAIL, FREE, HOUR, START, Project, contents, email

MINUTE = HOUR // 60


def ask(project: Project, *keys: str, progress: Callable[[int], bool] = lambda _: True, **fields: Any) -> list[Result]:
    given: dict[str, Any] = {"message": None, "start": project.now, "end": project.now + DAY, **fields}
    return simulate(project.engine.history, project.version, Question(keys, **given), progress).messages


def decisions(project: Project, result: Result) -> set[tuple[int, str, int]]:
    """(occurrence, id, instant) of everybody selected."""
    return {
        (occurrence, project.version.users.name(int(ordinal)), int(instant))
        for occurrence, ledger in result.ledgers.items()
        for ordinals, instants in ledger.decisions()
        for ordinal, instant in zip(ordinals, instants, strict=True)
    }


def real_decisions(project: Project, key: str) -> set[tuple[int, str, int]]:
    return {
        (occurrence, project.version.users.name(int(ordinal)), int(instant))
        for occurrence, ledger in project.version.messages.occurrences(key).all()
        for ordinals, instants in ledger.decisions()
        for ordinal, instant in zip(ordinals, instants, strict=True)
    }


TARGETINGS = [
    FREE,
    'user.plan == "free" && events["Visit"].size() >= 2',
    'events["Visit"].exists(e, e.time > now - duration("24h"))',
    'events["Visit"].filter(e, e.time < now - duration("6h")).size() > 0 && !(user.plan == "paid")',
]
SCHEDULES: list[Schedule] = [
    Asap(),
    WhenMet(),
    WhenMet(10 * HOUR),
    Recurring("1997-05-19T09:00", "FREQ=DAILY", "user"),
    Recurring("1997-05-19T21:30", "FREQ=WEEKLY;BYDAY=MO,TU"),
]
USERS = ["a", "b", "c", "d"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("plan"), st.sampled_from(USERS), st.sampled_from(["free", "paid"])),
        st.tuples(st.just("visit"), st.sampled_from(USERS), st.integers(0, 30)),
        st.tuples(st.just("move"), st.integers(1, 40), st.booleans()),
        st.tuples(st.just("reach"), st.sampled_from(USERS)),
        st.tuples(st.just("merge"), st.sampled_from(USERS), st.sampled_from(USERS)),
        st.tuples(st.just("import"), st.sampled_from(USERS)),
        st.tuples(st.just("save"), st.sampled_from(TARGETINGS)),
        st.tuples(st.just("checkpoint")),
        st.tuples(st.just("send")),
    ),
    max_size=25,
)


def live(project: Project, step: tuple[Any, ...]) -> None:
    match step:
        case ("plan", who, plan):
            project.set(who, plan=plan)
        case ("visit", who, ago):
            project.track(who, "Visit", at=project.now - ago * HOUR)
        case ("move", hours, _):
            project.move(project.now + hours * HOUR + MINUTE)
        case ("reach", who):
            project.reach(who)
        case ("merge", who, other):
            project.merge(who, other)
        case ("import", who):
            project.set(who, plan="free", imported=True)
        case ("save", targeting):
            project.ask(commands.SaveAudience("them", expression=targeting))
        case ("checkpoint",):
            project.engine.checkpoint()
        case ("send",):
            project.send_all()


@settings(max_examples=60, deadline=None)
@given(
    before=STEPS,
    after=STEPS,
    targeting=st.sampled_from([*TARGETINGS, 'audiences["them"]']),
    schedule=st.sampled_from(SCHEDULES),
    existing=st.booleans(),
)
def test_a_simulation_of_the_past_decides_what_was_decided(
    before: list[Any], after: list[Any], targeting: str, schedule: Schedule, existing: bool
) -> None:
    with TemporaryDirectory() as folder, Project(Path(folder) / "project") as project:
        project.ask(commands.SaveAudience("them", expression=FREE))
        project.message("other", 'events["Visit"].size() > 0')
        for step in before:
            live(project, step)
        project.move(project.now + 1)
        start = project.now
        project.message("sim", targeting, schedule=schedule, launch="send" if existing else "skip")
        project.move(start + 1)
        for step in after:
            live(project, step)
        project.move(project.now + 1)
        held = contents(project.version)
        [result] = ask(project, "sim", start=start, end=project.now, existing="send" if existing else "skip")
        assert decisions(project, result) == real_decisions(project, "sim")
        assert contents(project.version) == held


def test_a_simulation_of_what_is_to_come_decides_what_then_is_decided(project: Project) -> None:
    for number in range(40):
        project.reach(f"u{number}")
        project.track(f"u{number}", "Visit", at=START - number * HOUR)
    targeting = 'events["Visit"].exists(e, e.time < now - duration("36h"))'
    project.message("sim", targeting, launch=None)
    held = contents(project.version)
    [result] = ask(project, "sim", end=START + 2 * DAY, existing="send")
    assert contents(project.version) == held
    project.ask(commands.LaunchMessage("sim", "send"))
    project.move(START + 2 * DAY)
    assert decisions(project, result) == real_decisions(project, "sim")
    assert result.selected == 40 and result.states == {"sent": 40}
    assert result.histogram[START] == {"sent": 4}
    assert {start: states["sent"] for start, states in result.histogram.items() if start > START} == {
        START + hour * HOUR: 1 for hour in range(1, 37)
    }


def test_a_simulated_step_follows_the_simulated_delivery_of_the_step_before(project: Project) -> None:
    project.reach("a")
    project.message("first", "true", at=START + HOUR, launch=None)
    after = 'events["$campaign_delivery"].exists(e, e.message_id == "first" && e.time <= now - duration("24h"))'
    project.message("second", after, launch=None)
    first, second = ask(project, "first", "second", end=START + 2 * DAY, existing="send")
    assert first.states == second.states == {"sent": 1}
    [(_, _, instant)] = decisions(project, second)
    assert START + 25 * HOUR <= instant <= START + 26 * HOUR


def test_gates_reasons_and_examples_are_told(project: Project) -> None:
    project.reach("a", "b")
    project.set("a", name="Ann")
    project.set("c", name="Cy")
    content = email(subject="Hi ${name}", text="Dear {{ ${name} }}")
    message = MessageDefinition("new", "New", "true", Asap(), content)
    [result] = ask(project, message=message, existing="send", examples=1)
    assert result.states == {"skipped": 2, "sent": 1}
    assert {(state, reason.partition(":")[0], still) for state, reason, still in result.reasons} == {
        ("skipped", "unreachable", True),
        ("skipped", "missing_property", True),
    }
    [example] = result.examples
    assert (example.rendered.to, example.rendered.text, example.at) == ("a@example.com", "Dear Ann", START)
    assert "new" not in project.version.messages


def test_a_live_message_goes_on_and_only_what_is_new_counts(project: Project) -> None:
    project.reach("a", "b")
    project.set("a", plan="free")
    project.message("hi", FREE)
    project.move(START + HOUR)
    start = project.now
    project.move(start + HOUR)
    project.set("b", plan="free")
    project.move(start + 2 * HOUR)
    [result] = ask(project, "hi", start=start, end=project.now)
    assert result.selected == 1 and result.histogram == {start + HOUR: {"sent": 1}}


def test_a_draft_is_simulated_as_it_is_given(project: Project) -> None:
    project.reach("a", "b")
    project.set("a", plan="free")
    project.message("hi", FREE, launch=None)
    edited = MessageDefinition("hi", "Hi", "true", Asap(), EMAIL)
    [result] = ask(project, message=edited, existing="send")
    assert result.selected == 2
    assert project.version.messages.get("hi").targeting == FREE


def test_what_cannot_be_simulated_is_refused(project: Project) -> None:
    project.message("over", FREE)
    project.ask(commands.EndMessage("over"))
    project.message("on", FREE)
    project.message("late", FREE, at=START + HOUR, launch=None)

    def refusal(*keys: str, **fields: Any) -> str:
        with pytest.raises((InvalidInput, NotFound, FailedPrecondition)) as caught:
            ask(project, *keys, **fields)
        assert caught.value.mend
        return caught.value.code

    broken = MessageDefinition("new", "", "user.", Asap(), EMAIL)
    assert refusal() == "NOTHING_TO_SIMULATE"
    assert refusal("over") == "MESSAGE_ENDED"
    assert refusal("none") == "MESSAGE_NOT_FOUND"
    assert refusal("on", end=START) == "SPAN_EMPTY"
    assert refusal("on", start=START - 1) == "HISTORY_GONE"
    assert refusal("on", examples=51) == "TOO_MANY_EXAMPLES"
    assert refusal(message=MessageDefinition("on", "", FREE, Asap(), EMAIL)) == "MESSAGE_EXISTS"
    assert refusal(message=MessageDefinition("new", "", FREE, Asap(), EMAIL)) == "EXISTING_REQUIRED"
    assert refusal(message=MessageDefinition("new", "", FREE, Once(START - 1), EMAIL)) == "SCHEDULE_IN_PAST"
    with pytest.raises(InvalidExpression):
        ask(project, message=broken)
    with pytest.raises(Stopped):
        ask(project, "late", progress=lambda _: False)
