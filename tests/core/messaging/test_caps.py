"""Promise: nobody gets more than the caps allow, whoever waits is let go as soon as they do, and ghosts keep to their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from core import commands
from core.errors import InvalidInput
from core.limits import FrequencyCap
from core.messaging import reading
from core.messaging.caps import Counted
from core.messaging.definitions import Asap, MessageDefinition
from core.messaging.windows import SendWindow
from core.settings import Settings
from core.version import Version
from tests.core.project import DAY, FREE, HOOK, HOUR, START, Project, email

GRAIN = {DAY: 30_000_000, 7 * DAY: 300_000_000}


def naive_wait(rows: list[tuple[int, int, bool]], user: int, at: int, ghost: bool, most: int, span: int) -> int:
    """When one user may have another delivery, by looking at each."""
    mine = sorted(since for one, since, ghostly in rows if one == user and at - span < since <= at and ghost >= ghostly)
    if len(mine) < most:
        return at
    leaves = mine[len(mine) - most] + span
    return -(-leaves // GRAIN[span]) * GRAIN[span]


@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9 * 24).map(lambda hours: hours * HOUR), st.booleans())),
    asked=st.dictionaries(st.integers(0, 7), st.integers(0, 10 * 24).map(lambda hours: hours * HOUR), min_size=1),
    ghosts=st.sets(st.integers(0, 7)),
    most=st.integers(1, 3),
    span=st.sampled_from([DAY, 7 * DAY]),
)
def test_who_waits_is_who_would_by_counting_one_by_one(
    rows: list[tuple[int, int, bool]], asked: dict[int, int], ghosts: set[int], most: int, span: int
) -> None:
    counted = Counted(Version(Settings("test", "5eed"), 0), BitMap(), 0)
    definition = MessageDefinition("m", "", "true", Asap(), email())
    for ghostly in (False, True):
        for user, since, kind in rows:
            if kind == ghostly:
                pair = np.array([user], np.uint32), np.array([since], np.int64)
                counted.add(definition, 0, pair, ghosts=ghostly)
    users = sorted(asked)
    pairs = np.array(users, np.uint32), np.array([asked[one] for one in users], np.int64)
    found = counted.waits(pairs, BitMap(ghosts), lambda _: True, most, span, ("other", 0))
    wanted = [naive_wait(rows, one, asked[one], one in ghosts, most, span) for one in users]
    assert found.tolist() == wanted


def cap(project: Project, *caps: FrequencyCap) -> None:
    project.ask(commands.UpdateSettings(frequency_caps=list(caps)))


def three(project: Project, **fields: object) -> Sequence[str]:
    """Three messages that a free user gets, launched in order."""
    for key in ("m1", "m2", "m3"):
        project.message(key, FREE, content=HOOK, **fields)
    return ("m1", "m2", "m3")


def test_who_has_had_enough_waits_until_a_message_is_old_enough(project: Project) -> None:
    cap(project, FrequencyCap(2, 7))
    keys = three(project)
    project.set("a", plan="free")
    assert [project.places(key)["a"] for key in keys] == ["queued", "queued", "deferred:frequency_cap"]
    found = reading.explain_delivery(project.version, "m3", "a")
    assert found.due_at == START + 7 * DAY
    (gate,) = [one for one in found.gates if one.name == "frequency_caps"]
    assert (gate.passed, gate.due) == (False, START + 7 * DAY)
    project.move(START + 7 * DAY - 1)
    assert project.places("m3") == {"a": "deferred:frequency_cap"}
    project.move(START + 7 * DAY)
    assert project.places("m3") == {"a": "queued"}
    assert reading.report(project.version, "m3").reconciled


def test_one_goes_after_the_other_within_one_move_of_the_clock(project: Project) -> None:
    cap(project, FrequencyCap(1, 1))
    keys = three(project)
    project.set("a", plan="free")
    project.move(START + 30 * DAY)
    ledgers = [project.version.messages.ledger(key) for key in keys]
    assert [one.joined(one.selected)[1].tolist() for one in ledgers] == [[START], [START + DAY], [START + 2 * DAY]]


def test_a_cap_of_a_channel_counts_that_channel(project: Project) -> None:
    cap(project, FrequencyCap(1, 7, "email"))
    project.message("hook", FREE, content=HOOK)
    project.message("mail", FREE)
    project.message("more", FREE)
    project.ingest([], [])
    project.reach("a")
    project.set("a", plan="free")
    assert [project.places(key)["a"] for key in ("hook", "mail", "more")] == [
        "queued",
        "queued",
        "deferred:frequency_cap",
    ]


def test_what_was_skipped_or_refused_does_not_count(project: Project) -> None:
    cap(project, FrequencyCap(1, 7))
    project.message("one", FREE, content=HOOK)
    project.set("a", plan="free")
    project.ask(commands.EndMessage("one"))
    project.message("two", FREE, content=HOOK)
    assert project.places("two") == {"a": "queued"}
    offer = project.desk.offer("webhook", 1)
    assert offer is not None
    project.desk.begin(offer.batch_id, [0]).result(timeout=60)
    project.desk.acknowledge([commands.Ack(offer.recipients[0].idempotency_key, "failed")]).result(timeout=60)
    project.message("three", FREE, content=HOOK)
    assert project.places("three") == {"a": "queued"}


def test_a_cap_set_later_counts_what_was_sent_before_and_one_lifted_lets_go(project: Project) -> None:
    project.message("one", FREE, content=HOOK)
    project.set("a", plan="free")
    project.send_all("webhook")
    cap(project, FrequencyCap(1, 7))
    project.message("two", FREE, content=HOOK)
    assert project.places("two") == {"a": "deferred:frequency_cap"}
    cap(project)
    assert project.places("two") == {"a": "queued"}


def test_what_waits_for_its_window_does_not_count_until_it_goes(project: Project) -> None:
    cap(project, FrequencyCap(1, 7))
    project.message("late", FREE, content=HOOK, send_window=SendWindow(9 * 60, 10 * 60))
    project.message("now", FREE, content=HOOK)
    project.set("a", plan="free")
    assert (project.places("late"), project.places("now")) == ({"a": "deferred:send_window"}, {"a": "queued"})
    project.move(START + 9 * HOUR)
    assert project.places("late") == {"a": "deferred:frequency_cap"}
    project.move(START + 8 * DAY)
    assert project.places("late") == {"a": "queued"}


def test_ghosts_feed_the_caps_of_ghosts_only(project: Project) -> None:
    cap(project, FrequencyCap(1, 7))
    project.message("ghost", FREE, content=HOOK, control_percent=100)
    project.message("next", FREE, content=HOOK, control_percent=100)
    project.message("real", FREE, content=HOOK)
    project.set("a", plan="free")
    assert [project.places(key)["a"] for key in ("ghost", "next", "real")] == [
        "held_out",
        "deferred:frequency_cap",
        "queued",
    ]


def test_the_first_of_a_campaign_goes_first_and_the_next_after_its_gap(project: Project) -> None:
    drafts = [project.message(key, FREE, content=HOOK, launch=None).key for key in ("b", "a")]
    project.campaign("win", FREE, drafts, rate_limit=2 * HOUR)
    project.set("u", plan="free")
    assert (project.places("b"), project.places("a")) == ({"u": "queued"}, {"u": "deferred:rate_limit"})
    project.move(START + 2 * HOUR)
    assert project.places("a") == {"u": "queued"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (FrequencyCap(0, 7), "frequency_caps[0].most"),
        (FrequencyCap(1, 0), "frequency_caps[0].days"),
        (FrequencyCap(1, 366), "frequency_caps[0].days"),
        (FrequencyCap(1, 7, "smoke"), "frequency_caps[0].channel"),
    ],
)
def test_a_cap_that_cannot_be_kept_is_refused(project: Project, wrong: FrequencyCap, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        cap(project, wrong)
    assert (refused.value.code, refused.value.field) == ("FREQUENCY_CAP", field)
