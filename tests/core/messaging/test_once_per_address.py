"""Promise: of users who share an address one gets the message, whichever occurrence it is, and whoever waits is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import commands
from core.messaging.schedules import Recurring
from core.values import from_micros
from tests.core.project import DAY, FREE, HOOK, HOUR, START, Project


def _user(project: Project, distinct_id: str, address: str, **properties: object) -> None:
    project.set(distinct_id, **{"$email": address, "plan": "free", **properties})


def test_the_first_who_is_selected_gets_it(project: Project) -> None:
    _user(project, "ann", "us@example.com")
    _user(project, "ben", "us@EXAMPLE.com")
    _user(project, "cat", "cat@example.com")
    project.message("hi", FREE)
    assert project.places("hi") == {"ann": "queued", "ben": "skipped:address_in_use", "cat": "queued"}
    assert project.send_all() == ["ann", "cat"]
    assert project.places("hi") == {"ann": "sent", "ben": "skipped:address_taken", "cat": "sent"}
    _user(project, "dan", "us@example.com")
    assert project.places("hi")["dan"] == "skipped:address_taken"


def test_it_can_be_turned_off_and_is_off_where_nobody_has_an_address(project: Project) -> None:
    _user(project, "ann", "us@example.com")
    _user(project, "ben", "us@example.com")
    project.message("hi", FREE, once_per_address=False)
    project.message("hook", FREE, content=HOOK)
    assert project.places("hi") == project.places("hook") == {"ann": "queued", "ben": "queued"}


def test_the_address_is_free_again_when_the_first_is_not_sent_to(project: Project) -> None:
    for distinct_id in ("ann", "ben", "cat"):
        _user(project, distinct_id, "us@example.com")
    project.message("hi", FREE)
    project.set("ann", plan="paid")
    assert project.send_all() == ["ben"]
    assert project.places("hi") == {
        "ann": "skipped:no_longer_matches",
        "ben": "sent",
        "cat": "skipped:address_taken",
    }


def test_whoever_no_longer_matches_does_not_keep_the_address_from_the_next(project: Project) -> None:
    for distinct_id in ("ann", "ben", "cat"):
        _user(project, distinct_id, "us@example.com")
    project.message("hi", FREE)
    project.set("ben", plan="paid")
    project.delete("ann")
    assert project.places("hi")["ben"] == "skipped:no_longer_matches"
    assert project.places("hi")["cat"] == "queued"


def test_a_new_address_frees_the_old_one(project: Project) -> None:
    _user(project, "ann", "us@example.com")
    _user(project, "ben", "us@example.com")
    project.message("hi", FREE)
    project.set("ann", **{"$email": "ann@example.com"})
    assert project.places("hi") == {"ann": "queued", "ben": "queued"}
    assert project.send_all() == ["ann", "ben"]


def test_of_two_in_the_queue_who_come_to_share_an_address_one_is_sent_to(project: Project) -> None:
    _user(project, "ann", "ann@example.com")
    _user(project, "ben", "ben@example.com")
    project.message("hi", FREE)
    _user(project, "ben", "ann@example.com")
    assert project.send_all() == ["ann"]
    assert project.places("hi") == {"ann": "sent", "ben": "skipped:address_taken"}


def test_a_refusal_frees_the_address(project: Project) -> None:
    _user(project, "ann", "us@example.com")
    _user(project, "ben", "us@example.com")
    project.message("hi", FREE)
    offer = project.desk.offer("email", 10)
    assert offer is not None
    project.desk.begin(offer.batch_id, [0]).result()
    assert project.places("hi")["ben"] == "skipped:address_in_use"
    project.desk.acknowledge([commands.Ack(offer.recipients[0].idempotency_key, "failed")]).result()
    assert project.places("hi") == {"ann": "failed:provider_refused", "ben": "queued"}


@pytest.mark.parametrize("step", [3 * DAY, HOUR])
def test_one_far_move_gives_it_to_whom_a_finer_sequence_would(project: Project, step: int) -> None:
    for distinct_id, hours in (("ann", 40), ("ben", 20), ("cat", 30), ("dan", 20)):
        address = "us@example.com" if distinct_id != "dan" else "dan@example.com"
        _user(project, distinct_id, address, seen=from_micros(START - hours * HOUR))
    project.message("lapsed", 'user.seen < now - duration("72h")')
    while project.now < START + 3 * DAY:
        project.move(project.now + step)
    places = project.places("lapsed")
    assert places.pop("dan") == "queued"
    assert places == {"ann": "queued", "ben": "skipped:address_in_use", "cat": "skipped:address_in_use"}


def test_a_recurring_message_goes_to_the_same_user_each_time(project: Project) -> None:
    _user(project, "ann", "us@example.com")
    _user(project, "ben", "us@example.com")
    project.message("daily", FREE, schedule=Recurring("1997-05-19T09:00", "FREQ=DAILY"))
    for _ in range(3):
        project.move(project.now + DAY)
        assert project.send_all() == ["ann"]


def test_the_index_is_made_again_after_a_restart(project: Project, tmp_path: Path) -> None:
    _user(project, "ann", "us@example.com")
    project.message("hi", FREE)
    for round_ in ("log", "checkpoint"):
        with project.copy(tmp_path / round_) as again:
            _user(again, "ben", "us@EXAMPLE.com")
            assert again.places("hi") == {"ann": "queued", "ben": "skipped:address_in_use"}
            assert again.send_all() == ["ann"]
            assert again.places("hi")["ben"] == "skipped:address_taken"
        project.engine.checkpoint()


def test_users_who_become_one_keep_the_address(project: Project) -> None:
    for distinct_id in ("ann", "ben", "cat"):
        _user(project, distinct_id, "us@example.com")
    project.message("hi", FREE)
    project.merge("ann", "ben")
    assert sorted(set(project.places("hi").values())) == ["queued", "skipped:address_in_use", "skipped:merged"]
    assert len(project.send_all()) == 1
