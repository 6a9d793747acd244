"""Promises: feedback is answered when it is on disk, good is taken and bad is named by its place; asked without a
project, each finds the one it is of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from muster.v1 import delivery_pb2, feedback_pb2, ingest_pb2, profile_pb2

from tests.server.conftest import PROJECT, Stubs, properties, refused
from tests.server.services.test_delivery import SENT, Stream

DELIVERED, OPENED = feedback_pb2.FEEDBACK_KIND_DELIVERED, feedback_pb2.FEEDBACK_KIND_OPENED
REPLIED = feedback_pb2.FEEDBACK_KIND_REPLIED


def feedback(kind: Any, key: str = "", **fields: Any) -> feedback_pb2.Feedback:
    return feedback_pb2.Feedback(kind=kind, idempotency_key=key, **fields)


async def report(
    stubs: Stubs, *said: feedback_pb2.Feedback, project: str = PROJECT, request_id: str = ""
) -> feedback_pb2.ReportFeedbackResponse:
    request = feedback_pb2.ReportFeedbackRequest(project=project, request_id=request_id, feedback=said)
    answer: feedback_pb2.ReportFeedbackResponse = await stubs.feedback.ReportFeedback(request)
    return answer


def counts(answer: feedback_pb2.ReportFeedbackResponse) -> tuple[int, int, int]:
    return answer.accepted, answer.duplicates, answer.unknown


async def sent(stubs: Stubs, users: int, project: str = PROJECT) -> Sequence[str]:
    """The idempotency keys of hand-offs that a worker made."""
    await stubs.create(project)
    await stubs.add_users(users, project)
    await stubs.launch("welcome", project)
    stream = await Stream.open(stubs, project=project, credit=users)
    batch = await stream.next()
    assert len(await stream.begin(batch)) == users
    keys = [one.idempotency_key for one in batch.recipients]
    acks = [delivery_pb2.Acknowledgement(idempotency_key=key, outcome=SENT, attempt=1) for key in keys]
    await stream.send(acknowledge=delivery_pb2.Acknowledge(acknowledgements=acks))
    await stream.next()
    stream.cut()
    return keys


async def names_of_events(stubs: Stubs, user: str, project: str = PROJECT) -> list[str]:
    answer = await stubs.profiles.ListEvents(profile_pb2.ListEventsRequest(project=project, distinct_id=user))
    return sorted(event.name for event in answer.events)


async def test_feedback_is_an_event_of_the_user(stubs: Stubs) -> None:
    keys = await sent(stubs, 2)
    answer = await report(stubs, feedback(DELIVERED, keys[0]), feedback(OPENED, keys[0], event_id="1"))
    assert counts(answer) == (2, 0, 0) and not answer.errors
    assert await names_of_events(stubs, "u0") == ["$campaign_delivered", "$campaign_delivery", "$campaign_open"]
    assert await names_of_events(stubs, "u1") == ["$campaign_delivery"]
    assert counts(await report(stubs, feedback(DELIVERED, keys[0]))) == (0, 1, 0)


async def test_good_is_taken_and_bad_is_named(stubs: Stubs) -> None:
    keys = await sent(stubs, 1)
    unreadable: Any = 99
    answer = await report(
        stubs,
        feedback(feedback_pb2.FEEDBACK_KIND_UNSPECIFIED, keys[0]),
        feedback(OPENED, keys[0]),
        feedback(OPENED, keys[0], channel=unreadable),
        feedback(OPENED, keys[0], time=timestamp_pb2.Timestamp(nanos=-1)),
        feedback(OPENED),
    )
    assert counts(answer) == (1, 0, 0)
    assert [(error.index, error.code, error.field) for error in answer.errors] == [
        (0, "FEEDBACK_KIND", "kind"),
        (2, "UNKNOWN_ENUM_VALUE", "channel"),
        (3, "TIME_OUT_OF_RANGE", "time"),
        (4, "FEEDBACK_OF_NOBODY", "idempotency_key"),
    ]
    assert all(error.mend for error in answer.errors)


async def test_without_a_project_each_finds_its_own(stubs: Stubs) -> None:
    ours, theirs = await sent(stubs, 1), await sent(stubs, 1, "other")
    for project in (PROJECT, "other"):
        update = ingest_pb2.ProfileUpdate(distinct_id="u0", set=properties({"$phone": "+4915112345678"}))
        await stubs.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=project, updates=[update]))
    reply = feedback(
        REPLIED, event_id="SM1", channel=delivery_pb2.CHANNEL_SMS, address="+4915112345678", detail="Hi there"
    )
    said = [feedback(OPENED, ours[0]), feedback(OPENED, theirs[0]), feedback(OPENED, "beef.welcome.0.0"), reply]
    bad = [
        feedback(OPENED),
        feedback(feedback_pb2.FEEDBACK_KIND_UNSPECIFIED, ours[0]),
        feedback(OPENED, ours[0], event_id="x" * 300),
    ]
    for round_trip in ((3, 0, 1), (0, 3, 1)):
        answer = await report(stubs, *said, *bad, project="")
        assert counts(answer) == round_trip
        assert [(error.index, error.code) for error in answer.errors] == [
            (4, "FEEDBACK_OF_NOBODY"),
            (5, "FEEDBACK_KIND"),
            (6, "ID_TOO_LONG"),
        ]
    for project in (PROJECT, "other"):
        assert await names_of_events(stubs, "u0", project) == [
            "$campaign_delivery",
            "$campaign_open",
            "$campaign_reply",
        ]


async def test_a_repeated_request_answers_as_the_first_did(stubs: Stubs) -> None:
    keys = await sent(stubs, 1)
    for project in (PROJECT, ""):
        first = await report(stubs, feedback(OPENED, keys[0], event_id=project), project=project, request_id="r")
        again = await report(stubs, feedback(OPENED, keys[0], event_id=project), project=project, request_id="r")
        assert first == again
        assert first.accepted == 1 or project == ""


@pytest.mark.parametrize("project", [PROJECT, ""])
async def test_too_much_at_once_is_refused(stubs: Stubs, project: str) -> None:
    await stubs.create()
    found = await refused(report(stubs, *[feedback(OPENED, "k")] * 10_001, project=project))
    assert (found.status, found.code) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE")


async def test_an_unknown_project_is_refused(stubs: Stubs) -> None:
    assert (await refused(report(stubs, feedback(OPENED, "k"), project="gone"))).code == "PROJECT_NOT_FOUND"
