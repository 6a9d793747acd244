"""Promise: `ingest` sends what it says, and prints no figure unless index and store answer with exactly what was acknowledged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from muster.v1 import ingest_pb2

from benchmarks import ingest, people
from benchmarks.__main__ import FAILED, main
from benchmarks.corpora import people_corpus
from benchmarks.draws import EVENT_NAMES, draw_events, draw_updates, event_requests, update_requests
from benchmarks.ingest_client import EVENTS, UPDATES, Measured
from benchmarks.options import Options
from benchmarks.people import PLANS, id_of
from benchmarks.report import Figures
from benchmarks.rounds import WrongAnswer


def arguments(corpora: Path) -> list[str]:
    sizes = {"profiles": 2_000, "rounds": 2, "events": 600, "updates": 300, "batch": 100, "messages": 12}
    return ["ingest", "--json", "--corpora", str(corpora), *(f"--{name}={size}" for name, size in sizes.items())]


def test_a_run(corpora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(arguments(corpora))
    out, err = capsys.readouterr()
    assert status in (0, 3), err
    report = json.loads(out)
    assert report["name"] == "ingest"
    assert report["corpus"] == {
        "key": report["corpus"]["key"],
        "profiles": 2_000,
        "rounds": 2,
        "events": 600,
        "updates": 300,
        "batch": 100,
        "in_flight": 4,
        "messages": 12,
    }
    for kind in (EVENTS, UPDATES):
        assert 0 < report["figures"][f"{kind}_per_second_median"] <= report["figures"][f"{kind}_per_second_best"]
    assert len(report["targets"]) == 5
    for one in report["targets"]:
        assert one["bound"] in (ingest.ASKED + ingest.ASKED_WITH_MESSAGES)
        assert one["figure"] in report["figures"]
    # So little fills no checkpoint: whether one would stall is not known, and that does not hold.
    assert report["targets"][2]["ok"] is None
    assert status == 3
    assert [path.name for path in corpora.iterdir() if path.name.startswith(".")] == []


def test_what_the_index_does_not_answer_fails_the_run(
    corpora: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = ingest.expected_counts
    monkeypatch.setattr(
        ingest, "expected_counts", lambda *given: {text: count + 1 for text, count in honest(*given).items()}
    )
    assert main(arguments(corpora)) == FAILED
    out, err = capsys.readouterr()
    assert out == ""
    assert "WRONG_ANSWER: the running server" in err


def test_requests_hold_what_was_drawn() -> None:
    events = draw_events(7, 3, 250, 1_000)
    requests = [ingest_pb2.TrackRequest.FromString(body) for body in event_requests(events, 3, 100)]
    assert [len(request.events) for request in requests] == [100, 100, 50]
    sent = [event for request in requests for event in request.events]
    assert [event.distinct_id for event in sent] == [id_of(row) for row in events.ordinals.tolist()]
    assert [event.name for event in sent] == [EVENT_NAMES[name] for name in events.names.tolist()]
    assert [event.time.ToMicroseconds() for event in sent] == events.times.tolist()
    assert all(len(event.properties) == 5 for event in sent)
    updates = draw_updates(7, 3, 250, 1_000)
    bodies = [ingest_pb2.UpdateProfilesRequest.FromString(body) for body in update_requests(updates, 3, 100)]
    changes = [change for request in bodies for change in request.updates]
    assert [change.distinct_id for change in changes] == [id_of(row) for row in updates.ordinals.tolist()]
    assert [change.set.properties["plan"].string_value for change in changes] == [PLANS[p] for p in updates.plans]
    assert [change.set.properties["age"].int_value for change in changes] == updates.ages.tolist()


def test_every_event_and_request_is_another() -> None:
    insert_ids, request_ids = [], []
    for number in (0, 1):
        for body in event_requests(draw_events(7, number, 250, 10), number, 100):
            request = ingest_pb2.TrackRequest.FromString(body)
            insert_ids += [event.insert_id for event in request.events]
            request_ids.append(request.request_id)
        for body in update_requests(draw_updates(7, number, 250, 10), number, 100):
            request_ids.append(ingest_pb2.UpdateProfilesRequest.FromString(body).request_id)
    assert len(set(insert_ids)) == 500
    assert len(set(request_ids)) == len(request_ids) == 12


def test_requests_of_one_round_may_be_committed_in_any_order() -> None:
    updates = draw_updates(7, 1, 2_000, 50)
    rows = np.stack([updates.plans, updates.ages, updates.times], axis=1)
    for user in range(50):
        assert len(np.unique(rows[updates.ordinals == user], axis=0)) == 1


def test_expected_counts_follow_the_records_one_by_one() -> None:
    who = people.generate(300, 7)
    options, load = Options(profiles=300, rounds=2), ingest.Load(events=200, updates=100, messages=0)
    buyers, plan, age = set(), who.plan.tolist(), who.age.tolist()
    for number in range(3):
        events = draw_events(7, number, 200, 300)
        buyers |= {
            row for row, name in zip(events.ordinals, events.names, strict=True) if EVENT_NAMES[name] == "Purchase"
        }
        updates = draw_updates(7, number, 100, 300)
        for row, new_plan, new_age in zip(updates.ordinals, updates.plans, updates.ages, strict=True):
            plan[row], age[row] = new_plan, new_age
    assert list(ingest.expected_counts(options, load, who).values()) == [
        len(buyers),
        sum(PLANS[one] == "pro" for one in plan),
        sum(one >= 50 for one in age),
    ]


def test_the_first_count_that_differs_is_named() -> None:
    ingest.check_counts({"a": 1, "b": 2}, {"a": 1, "b": 2}.__getitem__, "here")
    with pytest.raises(WrongAnswer, match="here: b counts 3, what was sent gives 2"):
        ingest.check_counts({"a": 1, "b": 2}, {"a": 1, "b": 3}.__getitem__, "here")


def test_what_the_store_lost_is_found(tmp_path: Path) -> None:
    store = people_corpus(people.generate(300, 7), 7, tmp_path, lambda text: None).folder
    ingest.check_store({"user.age >= 16": 300}, 0, store)
    with pytest.raises(WrongAnswer, match="0 events are stored of 1 acknowledged"):
        ingest.check_store({}, 1, store)
    with pytest.raises(WrongAnswer, match=r"after the kill: user\.age >= 16 counts 300"):
        ingest.check_store({"user.age >= 16": 299}, 0, store)


@pytest.mark.parametrize(
    ("changed", "verdicts"),
    [
        ({}, [True, True, True, True, True]),
        ({"events_per_second_median": 99_999.0}, [False, True, True, True, True]),
        ({"updates_per_second_median": 59_999.0}, [True, False, True, True, True]),
        ({"longest_stall_ms": 1_000.1}, [True, True, False, True, True]),
        ({"checkpoints": 0}, [True, True, None, True, True]),
        ({"events_rate_left_with_messages": 0.79}, [True, True, True, False, True]),
        ({"updates_rate_left_with_messages": None}, [True, True, True, True, None]),
    ],
)
def test_bounds(changed: Figures, verdicts: list[bool | None]) -> None:
    figures: Figures = {
        "events_per_second_median": 100_000.0,
        "updates_per_second_median": 60_000.0,
        "longest_stall_ms": 1_000.0,
        "checkpoints": 1,
        "events_rate_left_with_messages": 0.8,
        "updates_rate_left_with_messages": 1.1,
    }
    assert [one.ok for one in ingest.targets(figures | changed)] == verdicts


def test_figures_are_medians_of_rounds() -> None:
    def measured(seconds: float, longest: float) -> Measured:
        return Measured(seconds, longest, 5.0, 1_000, 100, 0, 0, 0.5)

    load = ingest.Load(events=100, updates=100)
    rounds = {
        EVENTS: [measured(1.0, 9.0), measured(2.0, 30.0), measured(4.0, 8.0)],
        UPDATES: [measured(1.0, 9.0), measured(1.0, 40.0), measured(10.0, 8.0)],
    }
    figures = ingest.figures_of(load, rounds, 2)
    assert figures["events_per_second_median"] == 50.0
    assert figures["events_per_second_best"] == 100.0
    assert figures["updates_per_second_median"] == 100.0
    assert figures["longest_stall_ms"] == 40.0
    assert figures["checkpoints"] == 2


def test_the_burden_of_messages_is_told_from_the_rounds_before_and_after() -> None:
    def parts(*seconds: float) -> dict[str, list[Measured]]:
        measured = [Measured(one, 9.0, 5.0, 1_000, 100, 0, 0, 0.5) for one in seconds]
        return {EVENTS: measured, UPDATES: measured}

    left = ingest.burden_of(parts(1.0, 1.0, 9.0), parts(4.0, 2.0, 2.0), parts(1.0, 1.0, 1.0))
    assert left == {"events_rate_left_with_messages": 0.5, "updates_rate_left_with_messages": 0.5}
    assert set(ingest.burden_of(parts(1.0), {}, {}).values()) == {None}
