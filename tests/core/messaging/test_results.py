"""Promise: results from sets and sums are what going through users one by one gives, and compare as the statistics say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from core import commands
from core.analytics.sums import Sums
from core.errors import InvalidExpression, InvalidInput
from core.messaging.definitions import MessageDefinition, Once, Variant
from core.messaging.effects import Assigned, Defined, Moved, Noted, Selected
from core.messaging.goal import Goal
from core.messaging.results import Results, message_results, results
from core.profiles.steps import UsersIssued
from core.settings import Settings
from core.version import Draft, Version
from tests.core.messaging import naive_results
from tests.core.project import DAY, EMAIL, HOUR, START, Project, email

USERS = 8
GOAL = Goal("Buy", "e.amount > 5", 3 * DAY, "amount")
EVENTS = ("$campaign_delivered", "$campaign_open", "$campaign_click", "$unsubscribe")


@dataclass
class Story:
    """What happened to one message."""

    held_out: dict[tuple[int, int], str] = field(default_factory=dict)
    variants: dict[int, str] = field(default_factory=dict)
    sent: dict[tuple[int, int], int] = field(default_factory=dict)
    skipped: set[tuple[int, int]] = field(default_factory=set)
    heard: list[tuple[str, int, int | None, int]] = field(default_factory=list)
    bought: list[tuple[int, int, float | int | str | None]] = field(default_factory=list)


pairs = st.tuples(st.integers(0, USERS - 1), st.integers(0, 2))
hours = st.integers(0, 24 * 40)
stories = st.builds(
    Story,
    held_out=st.dictionaries(pairs, st.sampled_from(["control", "holdout"]), max_size=8),
    variants=st.dictionaries(st.integers(0, USERS - 1), st.sampled_from(["variant:a", "variant:b"])),
    sent=st.dictionaries(pairs, hours, max_size=16),
    skipped=st.sets(pairs, max_size=4),
    heard=st.lists(
        st.tuples(st.sampled_from(EVENTS), st.integers(0, USERS - 1), st.sampled_from([0, 1, 2, 9, None]), hours),
        max_size=20,
    ),
    bought=st.lists(
        st.tuples(st.integers(0, USERS - 1), hours, st.sampled_from([1, 7, 9.5, "much", None, -3.25])), max_size=25
    ),
)


def told(story: Story, goal: Goal | None = GOAL) -> Draft:
    """A version in which the story happened."""
    work = Version(Settings("test", "5eed", clock="manual"), START + 45 * DAY).fork()
    work.do(UsersIssued([f"u{number}" for number in range(USERS)]))
    work.do(Defined(MessageDefinition("hi", "hi", "true", Once(START), EMAIL, state="live", goal=goal)))
    for number in range(3):
        held_out = sorted(one for one, occurrence in story.held_out if occurrence == number)
        sent = {
            one: hour for (one, occurrence), hour in story.sent.items() if occurrence == number and one not in held_out
        }
        skipped = sorted({one for one, occurrence in story.skipped if occurrence == number} - {*sent, *held_out})
        at = START + number * DAY + HOUR
        for state, reason, users in (
            ("held_out", "", held_out),
            ("queued", "", sorted(sent)),
            ("skipped", "backfilled", skipped),
        ):
            if users:
                ordinals, instants = np.array(users, np.uint32), np.full(len(users), at, np.int64)
                for group, members in groups(story, number, users).items():
                    work.do(Assigned("hi", number, group, BitMap(members)))
                work.do(Selected("hi", state, reason, ordinals, instants, number))  # type: ignore[arg-type]
        if sent:
            work.do(Moved("hi", BitMap(sorted(sent)), "queued", "", "begun", "", occurrence=number))
            work.do(Moved("hi", BitMap(sorted(sent)), "begun", "", "sent", "", occurrence=number))
        for one, hour in sent.items():
            note(work, "$campaign_delivery", one, at + hour * HOUR, message_id="hi", occurrence=number)
    for name, one, occurrence, hour in story.heard:
        named = {} if occurrence is None else {"occurrence": occurrence}
        at = START + 3 * DAY + hour * HOUR  # not before the message was decided
        note(work, name, one, at, message_id="hi", **named)
        note(work, name, one, at + 1, message_id="another", **named)
    for one, hour, amount in story.bought:
        note(work, "Buy", one, START + hour * HOUR + 7, **({} if amount is None else {"amount": amount}))
    return work


def groups(story: Story, number: int, users: Iterable[int]) -> dict[str, set[int]]:
    """Which of some users of an occurrence are in which groups."""
    found: dict[str, set[int]] = {}
    for one in users:
        group = story.held_out.get((one, number)) or story.variants.get(one)
        if group is not None:
            found.setdefault(group, set()).add(one)
    return found


def note(work: Draft, name: str, ordinal: int, at: int, **properties: float | int | str) -> None:
    """Give one user one event."""
    work.do(Noted(name, np.array([ordinal], np.uint32), at, [f"{len(work.steps)}"], [properties]))


@settings(max_examples=100, deadline=None)
@given(stories)
def test_results_are_what_going_user_by_user_gives(story: Story) -> None:
    work = told(story)
    found = message_results(work, "hi")
    of_number = {number: groups(story, number, range(USERS)) for number in range(3)}
    naive = naive_results.exposures(work, work.messages.get("hi"), of_number)
    arms = {"sent": [one for one in naive if one.arm not in ("control", "holdout")]}
    for one in naive:
        if one.arm != "sent":
            arms.setdefault(one.arm, []).append(one)
    assert {arm.name for arm in found.arms} >= set(arms)
    for arm in found.arms:
        theirs = arms.get(arm.name, [])
        assert asdict(arm.outcome) == pytest.approx(naive_results.outcome(theirs))
        assert arm.users == len({one.ordinal for one in theirs})
        days = naive_results.by_day(theirs)
        assert {day.start: asdict(day.outcome) for day in arm.days if day.outcome.exposed} == {
            day: pytest.approx(sums) for day, sums in days.items()
        }
        assert sum(day.selected for day in arm.days) == arm.counts.selected
        assert sum(day.held_out for day in arm.days) == arm.counts.held_out
        assert sum(users for day in arm.days for _, users in day.skipped) == sum(row[2] for row in arm.counts.skipped)
    assert sum(arm.counts.selected for arm in found.arms if not arm.name.startswith("variant")) == sum(
        len(ledger.selected) for _, ledger in work.messages.occurrences("hi").all()
    )
    for one in found.compared:
        for sums, name in ((one.found.treated, one.arm), (one.found.control, one.baseline)):
            values = np.array(naive_results.per_user(arms.get(name, []), one.metric))
            assert astuple_of(sums) == pytest.approx((len(values), values.sum(), np.square(values).sum()))
    names = [arm.name for arm in found.arms]
    variants = [name for name in names if name.startswith("variant")]
    expected = {(name, ghosts) for name in ("sent", *variants) for ghosts in names if ghosts in ("control", "holdout")}
    expected |= {(name, variants[0]) for name in variants[1:]}
    assert {(one.arm, one.baseline) for one in found.compared} == expected


def astuple_of(sums: Sums) -> tuple[float, float, float]:
    """The three numbers."""
    return sums.n, sums.total, sums.squares


def test_a_goal_counts_after_the_exposure_and_within_its_window() -> None:
    story = Story(sent={(0, 0): 0, (1, 0): 0, (2, 0): 0}, bought=[(0, 0, 9), (1, 73, 9), (2, 74, 9)])
    # Exposed at one o'clock; bought before it, 72 hours after it and a bit later.
    assert sent(message_results(told(story), "hi")).converted == 0
    story.bought = [(1, 72, 9), (2, 73, 9), (2, 2, 9), (2, 3, 5)]
    found = message_results(told(story), "hi")
    assert (sent(found).converted, sent(found).revenue) == (2, 18.0)


def sent(found: Results):  # type: ignore[no-untyped-def]
    """The outcome of the arm that was sent to."""
    return next(arm.outcome for arm in found.arms if arm.name == "sent")


def test_exposures_whose_window_is_open_are_told() -> None:
    story = Story(sent={(0, 0): 24 * 43, (1, 0): 0})
    assert message_results(told(story), "hi").maturing == 1
    assert message_results(told(story, None), "hi").maturing == 0


def test_a_message_that_nobody_got_has_empty_results(project: Project) -> None:
    project.message("hi", "false", goal=GOAL)
    found = message_results(project.version, "hi")
    assert [arm.name for arm in found.arms] == ["sent"]
    assert found.arms[0].days == [] and found.compared == []


def test_what_is_sent_for_real_is_an_exposure(project: Project) -> None:
    project.reach("a", "b")
    project.message("hi", "true", goal=Goal("Buy", value="amount"))
    project.track("a", "Buy", amount=3)
    project.move(START + HOUR)
    project.send_all()
    project.move(START + 2 * HOUR)
    project.track("a", "Buy", amount=4)
    project.move(START + 3 * HOUR)
    outcome = sent(message_results(project.version, "hi"))
    assert (outcome.exposed, outcome.converted, outcome.revenue) == (2, 1, 4.0)
    project.delete("a")
    assert sent(message_results(project.version, "hi")).exposed == 1


def divided(project: Project) -> tuple[dict[str, tuple[int, float]], bool]:
    """Sizes and shares of the only division, and whether it went wrong."""
    (found,) = message_results(project.version, "hi").divided
    return dict(found.sizes), found.found.mismatch


def test_users_are_divided_as_they_were_to_be(project: Project) -> None:
    names = [f"u{number}" for number in range(400)]
    project.reach_many(names[:200])
    project.message("hi", "true", control_percent=50.0)
    sizes, mismatch = divided(project)
    assert sum(size for size, _ in sizes.values()) == 200 and not mismatch
    assert {name: share for name, (_, share) in sizes.items()} == {"sent": 50.0, "control": 50.0}
    # A share that is changed counts for those decided since.
    project.move(START + HOUR)
    project.ask(commands.PauseMessages(["hi"]))
    project.ask(commands.UpdateMessage("hi", {"control_percent": 10.0}, ""))
    project.ask(commands.ResumeMessage("hi"))
    project.move(START + 2 * HOUR)
    project.reach_many(names[200:])
    sizes, mismatch = divided(project)
    assert sum(size for size, _ in sizes.values()) == 200 and not mismatch
    assert sizes["sent"][0] > 150 and sizes["control"][1] == 10.0


def test_users_lost_on_the_way_are_a_mismatch(project: Project) -> None:
    project.reach_many([f"u{number}" for number in range(400)])
    project.message("hi", "true", control_percent=50.0)
    while (offer := project.desk.offer("email", 100)) is not None:
        granted = project.desk.begin(offer.batch_id, range(len(offer.recipients))).result(timeout=60)
        acks = [
            commands.Ack(offer.recipients[index].idempotency_key, "failed" if index % 3 else "sent", "no such box")
            for index in granted
        ]
        project.desk.acknowledge(acks).result(timeout=60)
    _, mismatch = divided(project)
    assert mismatch


def test_variants_are_arms_beside_the_messages_own_content(project: Project) -> None:
    project.reach_many([f"u{number}" for number in range(400)])
    variants = [Variant("a", 30.0, email(subject="A")), Variant("b", 30.0, email(subject="B"))]
    project.message("hi", "true", control_percent=20.0, variants=variants, goal=Goal("Buy"))
    project.move(START + HOUR)
    project.send_all()
    found = message_results(project.version, "hi")
    assert [arm.name for arm in found.arms] == ["sent", "variant:main", "variant:a", "variant:b", "control"]
    sizes = {arm.name: arm.users for arm in found.arms}
    assert sizes["sent"] == sizes["variant:main"] + sizes["variant:a"] + sizes["variant:b"] == 400 - sizes["control"]
    (division,) = found.divided
    assert {name: share for name, (_, share) in division.sizes.items()} == pytest.approx(
        {"control": 20.0, "variant:main": 32.0, "variant:a": 24.0, "variant:b": 24.0}
    )
    assert {name: size for name, (size, _) in division.sizes.items()} == {name: sizes[name] for name in division.sizes}
    assert not division.found.mismatch
    pairs = {(one.arm, one.baseline) for one in found.compared if one.metric == "opened"}
    assert pairs == {("variant:a", "variant:main"), ("variant:b", "variant:main")}
    # A percentage that is changed while live counts for who is decided later.
    project.ask(commands.UpdateMessage("hi", {"variants": [replace(variants[0], percent=70.0), variants[1]]}, ""))
    assert message_results(project.version, "hi").divided == []


def test_without_a_control_group_there_is_no_division(project: Project) -> None:
    project.reach("a")
    project.message("hi", "true")
    assert message_results(project.version, "hi").divided == []


def test_deleted_users_are_in_no_arm(project: Project) -> None:
    names = [f"u{number}" for number in range(20)]
    project.reach_many(names)
    project.message("hi", "true", control_percent=50.0)
    project.move(START + HOUR)
    project.send_all()
    before = {arm.name: arm.users for arm in message_results(project.version, "hi").arms}
    places = project.places("hi")
    for state, arm in (("sent", "sent"), ("held_out", "control")):
        project.delete(next(name for name in names if places[name] == state))
        before[arm] -= 1
        assert {arm.name: arm.users for arm in message_results(project.version, "hi").arms} == before


def test_a_goal_may_change_while_its_message_is_live(project: Project) -> None:
    project.message("hi", "true", goal=Goal("Buy"))
    project.ask(commands.UpdateMessage("hi", {"goal": Goal("Visit")}, ""))
    assert project.version.messages.get("hi").goal == Goal("Visit")
    project.ask(commands.UpdateMessage("hi", {"goal": None}, ""))
    assert project.version.messages.get("hi").goal is None


@pytest.mark.parametrize(
    ("goal", "field", "code"),
    [
        (Goal(""), "message.goal.event", "NO_EVENT"),
        (Goal("x" * 256), "message.goal.event", "NAME_TOO_LONG"),
        (Goal("Buy", value="x" * 256), "message.goal.value", "NAME_TOO_LONG"),
        (Goal("Buy", window=400 * DAY), "message.goal.window", "INVALID_DURATION"),
        (Goal("Buy", window=-1), "message.goal.window", "INVALID_DURATION"),
        (Goal("Buy", "e.amount >"), "message.goal.condition", "EXPRESSION_SYNTAX"),
        (Goal("Buy", "user.plan == 'free'"), "message.goal.condition", "CONDITION_NOT_OF_EVENT"),
        (Goal("Buy", "true) || (true"), "message.goal.condition", "EXPRESSION_SYNTAX"),
        (Goal("Buy", "event.amount > 1"), "message.goal.condition", "UNKNOWN_VARIABLE"),
        (Goal("Buy", "true // all"), "", ""),
    ],
)
def test_a_goal_that_cannot_be_looked_for_is_refused(project: Project, goal: Goal, field: str, code: str) -> None:
    if not code:
        project.message("hi", "true", goal=goal)
        return
    with pytest.raises(InvalidInput) as caught:
        project.message("hi", "true", goal=goal)
    assert (caught.value.field, caught.value.code) == (field, code)
    assert "hi" not in project.version.messages
    if isinstance(caught.value, InvalidExpression):
        assert 0 <= caught.value.position <= len(goal.condition)


def test_no_messages_have_empty_results(project: Project) -> None:
    found = results(project.version, [], GOAL)
    assert [(arm.name, arm.users, arm.days) for arm in found.arms] == [("sent", 0, [])]
