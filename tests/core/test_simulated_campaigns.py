"""Promise: a simulated campaign lets in whom it really let in, its messages decide what was really decided, over the same log."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import commands
from core.errors import FailedPrecondition, InvalidExpression, MusterError
from core.messaging.campaign_definitions import CampaignDefinition
from core.simulation import Question, Simulated, simulate
from tests.core.project import DAY, FREE, HOUR, START, Project, contents
from tests.core.test_simulation import STEPS, TARGETINGS, decisions, live, real_decisions

MESSAGES = {
    "hello": "true",
    "later": 'events["$journey_entered"].exists(e, e.campaign_id == "win" && e.time < now - duration("10h"))',
    "after": 'events["$campaign_delivery"].exists(e, e.message_id == "hello" && e.time < now - duration("5h"))',
}


def ask(project: Project, **fields: Any) -> Simulated:
    given: dict[str, Any] = {"message": None, "start": project.now, "end": project.now + DAY, **fields}
    return simulate(project.engine.history, project.version, Question((), **given), lambda _: True)


def draft(project: Project, entry: str = FREE, **fields: Any) -> CampaignDefinition:
    for key, targeting in MESSAGES.items():
        project.message(key, targeting, launch=None)
    return project.campaign("win", entry, list(MESSAGES), launch=None, **fields)


@settings(max_examples=40, deadline=None)
@given(
    before=STEPS,
    after=STEPS,
    entry=st.sampled_from([*TARGETINGS, 'audiences["them"]']),
    leaving=st.sampled_from(["", 'events["Visit"].size() > 2']),
    existing=st.sampled_from(["send", "skip"]),
    early=st.booleans(),
)
def test_a_simulation_of_the_past_lets_in_and_decides_as_it_was(
    before: list[Any], after: list[Any], entry: str, leaving: str, existing: Any, early: bool
) -> None:
    with TemporaryDirectory() as folder, Project(Path(folder) / "project") as project:
        project.ask(commands.SaveAudience("them", expression=FREE))
        project.message("watch", 'events["$journey_entered"].size() > 0')
        for step in before:
            live(project, step)
        if early:
            draft(project, entry, exit=leaving, control_percent=40)
        project.move(project.now + 1)
        start = project.now
        project.move(start + 1)
        if not early:
            draft(project, entry, exit=leaving, control_percent=40)
        project.ask(commands.LaunchCampaign("win", existing))
        project.move(start + 2)
        for step in after:
            live(project, step)
            project.send_all()
        project.move(project.now + 1)
        held = contents(project.version)
        found = ask(project, campaigns=("win",), start=start, end=project.now, existing=existing)
        assert contents(project.version) == held
        [campaign] = found.campaigns
        membership = project.version.campaigns.membership("win")
        assert (campaign.entered, campaign.control) == (len(membership.members), len(membership.control))
        assert campaign.left_out == {reason: len(users) for reason, users in membership.left_out.items() if users}
        for result in found.messages:
            real = real_decisions(project, result.definition.key)
            assert rounded(decisions(project, result)) == rounded(real)


def rounded(decided: set[tuple[int, str, int]]) -> set[tuple[int, str, int]]:
    """Decisions to the millisecond: the simulated launch was a microsecond before the real one."""
    return {(occurrence, name, instant // 1_000) for occurrence, name, instant in decided}


def test_what_is_to_come_is_what_then_happens(project: Project) -> None:
    for number in range(40):
        project.reach(f"u{number}")
        project.track(f"u{number}", "Visit", at=START - number * HOUR)
    draft(project, 'events["Visit"].exists(e, e.time < now - duration("36h"))', control_percent=25)
    held = contents(project.version)
    found = ask(project, campaigns=("win",), end=START + 3 * DAY, existing="send", step=HOUR)
    assert contents(project.version) == held
    project.ask(commands.LaunchCampaign("win", "send"))
    while project.now < START + 3 * DAY:
        project.send_all()
        project.move(project.now + HOUR)
    [campaign] = found.campaigns
    assert campaign.entered == 40 == len(project.entered("win"))
    assert 0 < campaign.control < 40
    assert campaign.histogram == {START: 4} | {START + hour * HOUR: 1 for hour in range(1, 37)}
    for result in found.messages:
        assert decisions(project, result) == real_decisions(project, result.definition.key)
        assert result.states.get("held_out") == campaign.control or result.definition.key == "after"


def test_a_message_of_a_live_campaign_is_simulated_among_those_who_really_entered(project: Project) -> None:
    project.reach("a", "b")
    project.move(START + 1)
    draft(project, 'events["Visit"].exists(e, e.time < now - duration("10h"))')
    project.ask(commands.LaunchCampaign("win", "send"))
    start = project.now
    project.track("a", "Visit")
    project.move(start + 3 * DAY)
    again = simulate(
        project.engine.history,
        project.version,
        Question(("hello", "later"), message=None, start=start, end=project.now, existing="send"),
        lambda _: True,
    )
    for result in again.messages:
        assert decisions(project, result) == real_decisions(project, result.definition.key)
        assert len(decisions(project, result)) == 1


def test_one_that_is_not_created_and_a_draft_as_it_is_to_be(project: Project) -> None:
    project.reach("a", "b")
    project.set("a", plan="free")
    project.message("hello", "true", launch=None)
    new = CampaignDefinition("new", "New", FREE, ["hello"])
    assert ask(project, campaign=new, existing="send").campaigns[0].entered == 1
    assert "new" not in project.version.campaigns
    project.ask(commands.CreateCampaign(new))
    wider = CampaignDefinition("new", "New", "true", ["hello"])
    assert ask(project, campaign=wider, existing="send").campaigns[0].entered == 2
    assert project.version.campaigns.get("new").entry == FREE


def test_what_cannot_be_simulated_is_refused(project: Project) -> None:
    draft(project)

    def refusal(**fields: Any) -> str:
        with pytest.raises(MusterError) as caught:
            ask(project, **fields)
        assert caught.value.mend and caught.value.field
        return caught.value.code

    assert refusal(campaigns=("none",)) == "CAMPAIGN_NOT_FOUND"
    assert refusal(campaigns=("win",)) == "EXISTING_REQUIRED"
    with pytest.raises(InvalidExpression):
        ask(project, campaign=CampaignDefinition("new", "", "user.", []), existing="send")
    project.ask(commands.LaunchCampaign("win", "send"))
    with pytest.raises(FailedPrecondition, match="live"):
        ask(project, campaign=CampaignDefinition("win", "", FREE, list(MESSAGES)), existing="send")
    project.ask(commands.EndCampaign("win"))
    assert refusal(campaigns=("win",)) == "CAMPAIGN_ENDED"
