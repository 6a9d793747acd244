"""Promise: bad input gets a status with a stable code, the field and what would be right; it changes nothing, and the
server stays up."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2
from muster.v1 import (
    audience_pb2,
    delivery_pb2,
    ingest_pb2,
    message_pb2,
    profile_pb2,
    project_pb2,
    value_pb2,
)

from tests.server.conftest import PROJECT, Stubs, email, properties, refusal_of, refused

Call = Callable[[Stubs], Awaitable[Any]]
BAD = grpc.StatusCode.INVALID_ARGUMENT
LONG_ID = "é" * 128  # 256 bytes of UTF-8 in 128 characters


class Case(NamedTuple):
    """A bad call and what must come back."""

    name: str
    call: Call
    status: grpc.StatusCode
    code: str
    field: str


def nested(depth: int) -> value_pb2.Value:
    value = value_pb2.Value(int_value=1)
    for _ in range(depth):
        value = value_pb2.Value(list_value=value_pb2.ListValue(values=[value]))
    return value


def field(number: int, data: bytes) -> bytes:
    """A length-delimited field as protobuf writes it."""
    size, varint = len(data), b""
    while size > 0x7F:
        varint += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + varint + bytes([size]) + data


def nested_on_the_wire(depth: int) -> bytes:
    """A CountRequest with a parameter nested deeper than the stubs themselves can write."""
    value = b""
    for _ in range(depth):
        value = field(7, field(1, value))
    return field(1, PROJECT.encode()) + field(3, field(1, b"deep") + field(2, value))


def double(number: float) -> value_pb2.Value:
    return value_pb2.Value(double_value=number)


def count(expression: str = "true", project: str = PROJECT, **params: value_pb2.Value) -> Call:
    request = audience_pb2.CountRequest(project=project, expression=expression, params=params)
    return lambda stubs: stubs.audiences.Count(request)


def create(message: message_pb2.Message, project: str = PROJECT) -> Call:
    request = message_pb2.CreateMessageRequest(project=project, message=message)
    return lambda stubs: stubs.messages.CreateMessage(request)


def subject(text: str) -> message_pb2.Message:
    made = email("bad")
    made.email.subject = text
    return made


def sender(text: str) -> message_pb2.Message:
    made = email("bad")
    setattr(made.email, "from", text)
    return made


def deliver(*requests: delivery_pb2.DeliverRequest) -> Call:
    async def call(stubs: Stubs) -> Any:
        return [answer async for answer in stubs.delivery.Deliver(iter(requests))]

    return call


def raw(method: str, data: bytes) -> Call:
    """A call whose request no stub would make."""
    return lambda stubs: stubs.channel.unary_unary(f"/muster.v1.{method}")(data)


def profile(distinct_id: str, project: str = PROJECT) -> Call:
    request = profile_pb2.GetProfileRequest(project=project, distinct_id=distinct_id)
    return lambda stubs: stubs.profiles.GetProfile(request)


def message_call(method: str, request: Any) -> Call:
    return lambda stubs: getattr(stubs.messages, method)(request)


def project_call(method: str, request: Any) -> Call:
    return lambda stubs: getattr(stubs.projects, method)(request)


def track(count_: int) -> Call:
    request = ingest_pb2.TrackRequest(project=PROJECT, events=[ingest_pb2.Event(name="A", distinct_id="u0")] * count_)
    return lambda stubs: stubs.ingest.Track(request)


def imported(*requests: ingest_pb2.ImportRequest) -> Call:
    async def call(stubs: Stubs) -> Any:
        return [answer async for answer in stubs.ingest.Import(iter(requests))]

    return call


FAR = timestamp_pb2.Timestamp(seconds=253_402_300_800)  # year 10000
UNKNOWN_MESSAGE = [
    ("GetMessage", message_pb2.GetMessageRequest(project=PROJECT, key="welcom")),
    ("LaunchMessage", message_pb2.LaunchMessageRequest(project=PROJECT, key="welcom", existing=1)),
    ("LaunchMessage", message_pb2.LaunchMessageRequest(project=PROJECT, key="welcom", validate_only=True)),
    ("PauseMessage", message_pb2.PauseMessageRequest(project=PROJECT, key="welcom")),
    ("ResumeMessage", message_pb2.ResumeMessageRequest(project=PROJECT, key="welcom")),
    ("EndMessage", message_pb2.EndMessageRequest(project=PROJECT, key="welcom")),
    ("PreviewMessage", message_pb2.PreviewMessageRequest(project=PROJECT, key="welcom", distinct_id="u0")),
    ("GetReport", message_pb2.GetReportRequest(project=PROJECT, key="welcom")),
    ("ExplainDelivery", message_pb2.ExplainDeliveryRequest(project=PROJECT, key="welcom", distinct_id="u0")),
    ("ResolveAmbiguous", message_pb2.ResolveAmbiguousRequest(project=PROJECT, key="welcom", resolution=1)),
    ("UpdateMessage", message_pb2.UpdateMessageRequest(project=PROJECT, message=email("welcom"))),
]

CASES = [
    Case("unknown project", count(project="shpo"), grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND", "project"),
    Case("no project", count(project=""), BAD, "PROJECT_MISSING", "project"),
    Case(
        "unknown project of an import",
        imported(ingest_pb2.ImportRequest(project="shpo", import_id="i")),
        grpc.StatusCode.NOT_FOUND,
        "PROJECT_NOT_FOUND",
        "project",
    ),
    Case(
        "unknown project of a worker",
        deliver(delivery_pb2.DeliverRequest(hello=delivery_pb2.Hello(project="shpo", channel=1))),
        grpc.StatusCode.NOT_FOUND,
        "PROJECT_NOT_FOUND",
        "project",
    ),
    Case("empty id", profile(""), BAD, "EMPTY_ID", "distinct_id"),
    Case("id over 255 bytes", profile(LONG_ID), BAD, "ID_TOO_LONG", "distinct_id"),
    Case("unknown user", profile("nobody"), grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND", "distinct_id"),
    Case(
        "merge of an empty id",
        lambda stubs: stubs.ingest.MergeUsers(ingest_pb2.MergeUsersRequest(project=PROJECT, distinct_id="u0")),
        BAD,
        "EMPTY_ID",
        "other_id",
    ),
    Case("NaN", count("true", limit=double(math.nan)), BAD, "VALUE_NOT_FINITE", "params.limit"),
    Case("infinity", count("true", limit=double(math.inf)), BAD, "VALUE_NOT_FINITE", "params.limit"),
    Case("minus infinity", count("true", limit=double(-math.inf)), BAD, "VALUE_NOT_FINITE", "params.limit"),
    Case("value of no kind", count("true", limit=value_pb2.Value()), BAD, "VALUE_UNSET", "params.limit"),
    Case(
        "timestamp out of range",
        count("true", since=value_pb2.Value(time_value=FAR)),
        BAD,
        "TIME_OUT_OF_RANGE",
        "params.since",
    ),
    Case(
        "clock moved out of range",
        project_call("MoveClock", project_pb2.MoveClockRequest(project=PROJECT, to=FAR)),
        BAD,
        "TIME_OUT_OF_RANGE",
        "to",
    ),
    Case(
        "clock moved back",
        project_call(
            "MoveClock", project_pb2.MoveClockRequest(project=PROJECT, to=timestamp_pb2.Timestamp(seconds=1))
        ),
        BAD,
        "CLOCK_BACKWARDS",
        "to",
    ),
    Case("nesting deeper than 16", count("true", deep=nested(17)), BAD, "VALUE_TOO_DEEP", "params.deep" + "[0]" * 16),
    Case("nesting deeper than protobuf reads", raw("AudienceService/Count", nested_on_the_wire(200)), BAD, "VALUE_TOO_DEEP", ""),
    Case("batch over the limit", track(10_001), BAD, "BATCH_TOO_LARGE", "events"),
    Case(
        "import batch over the limit",
        imported(
            ingest_pb2.ImportRequest(
                project=PROJECT, import_id="i", events=[ingest_pb2.Event(name="A", distinct_id="u0")] * 10_001
            )
        ),
        BAD,
        "BATCH_TOO_LARGE",
        "events",
    ),
    Case(
        "import that skips records",
        imported(
            ingest_pb2.ImportRequest(
                project=PROJECT, import_id="i", offset=7, events=[ingest_pb2.Event(name="A", distinct_id="u0")]
            )
        ),
        grpc.StatusCode.FAILED_PRECONDITION,
        "OFFSET_GAP",
        "offset",
    ),
    Case(
        "import without a name",
        imported(ingest_pb2.ImportRequest(project=PROJECT)),
        BAD,
        "IMPORT_ID_MISSING",
        "import_id",
    ),
    Case("invalid sender", create(sender("nobody")), BAD, "ADDRESS_INVALID", "message.email.from"),
    *(
        Case(
            f"invalid allowed address {address}",
            project_call(
                "UpdateProject",
                project_pb2.UpdateProjectRequest(
                    project=PROJECT, allowed_addresses=["a@example.com", address], replace_allowed_addresses=True
                ),
            ),
            BAD,
            "ADDRESS_INVALID",
            "allowed_addresses[1]",
        )
        for address in ("b@", "https://", "http:///", "ftp://example.com/", "https://me@example.com/", "https://a b/")
    ),
    Case(
        "invalid webhook address",
        create(
            message_pb2.Message(
                key="bad",
                targeting="true",
                asap=message_pb2.AsapSchedule(),
                webhook=message_pb2.WebhookContent(url="ftp://example.com", properties=["name"]),
            )
        ),
        BAD,
        "URL_INVALID",
        "message.webhook.url",
    ),
    *(
        Case(f"{method} of an unknown message", message_call(method, request), grpc.StatusCode.NOT_FOUND,
             "MESSAGE_NOT_FOUND", "key")
        for method, request in UNKNOWN_MESSAGE
    ),
    Case(
        "stale etag of a message",
        message_call(
            "UpdateMessage",
            message_pb2.UpdateMessageRequest(
                project=PROJECT,
                message=message_pb2.Message(key="welcome", title="New", etag="0000"),
                update_mask=field_mask_pb2.FieldMask(paths=["title"]),
            ),
        ),
        grpc.StatusCode.ABORTED,
        "STALE_ETAG",
        "message.etag",
    ),
    Case(
        "stale etag of a project",
        project_call("UpdateProject", project_pb2.UpdateProjectRequest(project=PROJECT, sandbox=True, etag="0000")),
        grpc.StatusCode.ABORTED,
        "STALE_ETAG",
        "etag",
    ),
    Case(
        "unknown field in a mask",
        message_call(
            "UpdateMessage",
            message_pb2.UpdateMessageRequest(
                project=PROJECT,
                message=message_pb2.Message(key="welcome"),
                update_mask=field_mask_pb2.FieldMask(paths=["titel"]),
            ),
        ),
        BAD,
        "UNKNOWN_FIELD",
        "update_mask",
    ),
    Case("template that does not parse", create(subject("Hello {{ ${name} }")), BAD, "TEMPLATE_SYNTAX",
         "message.email.subject"),
    Case("targeting that does not parse", create(email("bad", targeting="user.")), BAD, "EXPRESSION_SYNTAX",
         "message.targeting"),
    Case("expression of 100 kB", count("true" + " || true" * 13_000), BAD, "EXPRESSION_TOO_LONG", "expression"),
    Case("expression nested 1,000 deep", count("(" * 1_000 + "true" + ")" * 1_000), BAD, "EXPRESSION_TOO_DEEP",
         "expression"),
    Case("lists 1,000 deep", count("[" * 1_000 + "]" * 1_000 + " == []"), BAD, "EXPRESSION_TOO_DEEP", "expression"),
    Case("message without a schedule", create(message_pb2.Message(key="bad", targeting="true")), BAD, "NO_SCHEDULE",
         "message.schedule"),
    Case("message without a key", create(email("")), BAD, "INVALID_KEY", "message.key"),
    Case("key that is taken", create(email("welcome")), grpc.StatusCode.ALREADY_EXISTS, "MESSAGE_EXISTS", "message.key"),
    Case(
        "launch that leaves out what becomes of those who match",
        message_call("LaunchMessage", message_pb2.LaunchMessageRequest(project=PROJECT, key="welcome")),
        BAD,
        "EXISTING_REQUIRED",
        "existing",
    ),
    Case("pause of nothing", message_call("PauseMessage", message_pb2.PauseMessageRequest(project=PROJECT)), BAD,
         "KEY_OR_ALL", "key"),
    Case(
        "resume of a draft",
        message_call("ResumeMessage", message_pb2.ResumeMessageRequest(project=PROJECT, key="welcome")),
        grpc.StatusCode.FAILED_PRECONDITION,
        "NOT_PAUSED",
        "key",
    ),
    Case(
        "page token of another listing",
        lambda stubs: stubs.profiles.ListProfiles(
            profile_pb2.ListProfilesRequest(project=PROJECT, page_token="bm9uZQ")
        ),
        BAD,
        "INVALID_PAGE_TOKEN",
        "page_token",
    ),
    Case(
        "negative page",
        lambda stubs: stubs.profiles.ListProfiles(profile_pb2.ListProfilesRequest(project=PROJECT, page_size=-1)),
        BAD,
        "PAGE_SIZE",
        "page_size",
    ),
    Case(
        "request id over the limit",
        lambda stubs: stubs.ingest.Track(ingest_pb2.TrackRequest(project=PROJECT, request_id="x" * 300)),
        BAD,
        "ID_TOO_LONG",
        "request_id",
    ),
    Case("project name", project_call("CreateProject", project_pb2.CreateProjectRequest(name="My Shop")), BAD,
         "INVALID_NAME", "name"),
    Case("project that exists", project_call("CreateProject", project_pb2.CreateProjectRequest(name=PROJECT)),
         grpc.StatusCode.ALREADY_EXISTS, "PROJECT_EXISTS", "name"),
    Case(
        "time zone",
        project_call("CreateProject", project_pb2.CreateProjectRequest(name="other", time_zone="Mars/Olympus")),
        BAD,
        "INVALID_TIME_ZONE",
        "time_zone",
    ),
    Case("backup to a relative folder", project_call("Backup", project_pb2.BackupRequest(project=PROJECT,
         destination="here")), BAD, "PATH_NOT_ABSOLUTE", "destination"),
    Case("stream without a hello", deliver(delivery_pb2.DeliverRequest(credit=delivery_pb2.Credit(recipients=1))), BAD,
         "HELLO_MISSING", "hello"),
    Case("worker without a channel", deliver(delivery_pb2.DeliverRequest(hello=delivery_pb2.Hello(project=PROJECT))),
         BAD, "CHANNEL_MISSING", "hello.channel"),
    Case("bytes that are no message", raw("AudienceService/Count", b"\xff\xff\xff"), BAD, "MALFORMED_REQUEST", ""),
    Case("text that is not UTF-8", raw("AudienceService/Count", b"\x0a\x02\xc3\x28"), BAD, "MALFORMED_REQUEST", ""),
    Case("fields of a newer protocol", raw("AudienceService/Count", b"\x0a\x04shop\x92\x3f\x01x"), BAD,
         "UNKNOWN_FIELDS", ""),
    Case("request over the limit", raw("AudienceService/Count", field(2, b"x" * (1 << 25))),
         grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", ""),
]  # fmt: skip


@pytest.fixture
async def shop(stubs: Stubs) -> AsyncIterator[Stubs]:
    """A project with three users and a draft."""
    await stubs.create()
    await stubs.add_users(3)
    await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project=PROJECT, message=email("welcome")))
    yield stubs


async def state_of(stubs: Stubs) -> list[bytes]:
    """Everything the server shows of its projects."""
    shown = [
        await stubs.projects.ListProjects(project_pb2.ListProjectsRequest()),
        await stubs.profiles.ListProfiles(profile_pb2.ListProfilesRequest(project=PROJECT)),
        await stubs.profiles.GetSchema(profile_pb2.GetSchemaRequest(project=PROJECT)),
        await stubs.messages.ListMessages(message_pb2.ListMessagesRequest(project=PROJECT)),
        await stubs.messages.GetReport(message_pb2.GetReportRequest(project=PROJECT, key="welcome")),
        await stubs.audiences.ListAudiences(audience_pb2.ListAudiencesRequest(project=PROJECT)),
    ]
    return [answer.SerializeToString(deterministic=True) for answer in shown]


async def test_each_case_is_refused_with_code_field_and_mend_and_changes_nothing(shop: Stubs) -> None:
    before = await state_of(shop)
    wrong = []
    for case in CASES:
        try:
            answer = await case.call(shop)
        except grpc.aio.AioRpcError as error:
            refusal = refusal_of(error)
        else:
            wrong.append(f"{case.name}: answered with {answer}")
            continue
        found = (refusal.status, refusal.code, refusal.field)
        if found != (case.status, case.code, case.field) or not refusal.mend or not refusal.message:
            wrong.append(f"{case.name}: {refusal}")
        if await state_of(shop) != before:
            wrong.append(f"{case.name}: something changed")
            before = await state_of(shop)
    assert not wrong, "\n".join(wrong)


async def test_a_bad_expression_is_refused_with_its_position(shop: Stubs) -> None:
    refusal = await refused(count('user.plan == "free" && && true')(shop))
    assert (refusal.status, refusal.field, refusal.position) == (BAD, "expression", 23)


async def test_bad_records_of_a_batch_are_named_by_index_and_the_good_ones_are_taken(shop: Stubs) -> None:
    def event(**fields: Any) -> ingest_pb2.Event:
        return ingest_pb2.Event(**{"name": "Seen", "distinct_id": "u1", **fields})

    bad = {
        1: (event(distinct_id=""), "EMPTY_ID", "distinct_id"),
        2: (event(distinct_id=LONG_ID), "ID_TOO_LONG", "distinct_id"),
        4: (event(properties={"amount": double(math.nan)}), "VALUE_NOT_FINITE", "properties.amount"),
        5: (event(properties={"amount": double(-math.inf)}), "VALUE_NOT_FINITE", "properties.amount"),
        6: (event(time=FAR), "TIME_OUT_OF_RANGE", "time"),
        7: (event(properties={"deep": nested(17)}), "VALUE_TOO_DEEP", "properties.deep" + "[0]" * 16),
        8: (event(name=""), "EMPTY_NAME", "name"),
    }
    good = {index: event(insert_id=str(index)) for index in (0, 3, 9)}
    events = [good[index] if index in good else bad[index][0] for index in range(10)]
    answer = await shop.ingest.Track(ingest_pb2.TrackRequest(project=PROJECT, events=events))
    assert answer.accepted == len(good)
    assert [(e.index, e.code, e.field) for e in answer.errors] == [
        (i, code, field) for i, (_, code, field) in bad.items()
    ]
    assert all(error.message and error.mend for error in answer.errors)
    project = await shop.projects.GetProject(project_pb2.GetProjectRequest(name=PROJECT))
    assert project.project.events == len(good)


async def test_bad_profile_updates_are_named_by_index_and_the_good_ones_are_taken(shop: Stubs) -> None:
    def update(distinct_id: str = "u2", **operation: Any) -> ingest_pb2.ProfileUpdate:
        return ingest_pb2.ProfileUpdate(distinct_id=distinct_id, **operation)

    name = properties({"name": "x"})
    updates = [
        update(set=properties({"plan": "free"})),
        update(distinct_id="", set=name),
        update(),
        update(add=properties({"visits": "one"})),
        update(set=ingest_pb2.PropertyMap(properties={"big": double(math.inf)})),
        update(set=properties({"city": "Bern"})),
    ]
    answer = await shop.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=PROJECT, updates=updates))
    assert [(error.index, error.code) for error in answer.errors] == [
        (1, "EMPTY_ID"),
        (2, "NO_OPERATION"),
        (3, "NOT_A_NUMBER"),
        (4, "VALUE_NOT_FINITE"),
    ]
    assert answer.accepted == 2
    found = (await shop.profiles.GetProfile(profile_pb2.GetProfileRequest(project=PROJECT, distinct_id="u2"))).profile
    assert {n: v.string_value for n, v in found.properties.items()} == {
        "$email": "u2@example.com", "name": "User 2", "plan": "free", "city": "Bern",
    }  # fmt: skip


async def test_the_mend_names_what_was_probably_meant(shop: Stubs) -> None:
    project = await refused(count(project="shpo")(shop))
    message = await refused(message_call("GetMessage", UNKNOWN_MESSAGE[0][1])(shop))
    assert "'shop'" in project.mend
    assert "'welcome'" in message.mend


async def test_the_mend_of_a_mask_lists_what_can_be_updated(shop: Stubs) -> None:
    mask = field_mask_pb2.FieldMask(paths=["state"])
    request = message_pb2.UpdateMessageRequest(
        project=PROJECT, message=message_pb2.Message(key="welcome"), update_mask=mask
    )
    refusal = await refused(message_call("UpdateMessage", request)(shop))
    for name in ("title", "targeting", "schedule", "content", "max_recipients", "expires_after"):
        assert name in refusal.mend


async def test_every_refusal_has_a_mend(shop: Stubs) -> None:
    silent = [case.name for case in CASES if not (await refused(case.call(shop))).mend]
    assert silent == []


async def test_no_text_of_an_unforeseen_error_reaches_the_client(shop: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.evaluator import answers

    def broken(*arguments: Any) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(answers, "count", broken)
    refusal = await refused(count()(shop))
    assert (refusal.status, refusal.code) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in refusal.message


@pytest.mark.parametrize("letter", ["x", "é", "🎈"])
async def test_however_long_the_bad_input_the_refusal_fits(shop: Stubs, letter: str) -> None:
    for call, code in (
        (count(project=letter * 5_000), "PROJECT_NOT_FOUND"),
        (count(f'audiences["{letter * 5_000}"]'), "UNKNOWN_AUDIENCE"),
        (message_call("GetMessage", message_pb2.GetMessageRequest(project=PROJECT, key=letter * 5_000)), "MESSAGE_NOT_FOUND"),
        (count(**{letter * 5_000: double(math.nan)}), "VALUE_NOT_FINITE"),
    ):  # fmt: skip
        refusal = await refused(call(shop))
        assert refusal.code == code
        assert refusal.status is not grpc.StatusCode.RESOURCE_EXHAUSTED
