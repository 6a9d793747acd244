"""Promise: audiences, profiles and projects can be read in full, part by part, consistently."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import timestamp_pb2
from muster.v1 import audience_pb2, ingest_pb2, message_pb2, profile_pb2, project_pb2, value_pb2
from pyroaring import BitMap

from core.engine import verify
from tests.server.conftest import PROJECT, Stubs, email, properties, refused

EVEN = "user.number.endsWith('0') || user.number.endsWith('2')"


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """A project with 30 users who have a number and, every third, an event."""
    await stubs.create()
    updates = [
        ingest_pb2.ProfileUpdate(distinct_id=f"u{number}", set=properties({"number": str(number)}))
        for number in range(30)
    ]
    await stubs.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=PROJECT, updates=updates))
    events = [ingest_pb2.Event(name="Seen", distinct_id=f"u{number}") for number in range(0, 30, 3)]
    await stubs.ingest.Track(ingest_pb2.TrackRequest(project=PROJECT, events=events))
    return stubs


async def select(shop: Stubs, **fields: object) -> list[audience_pb2.SelectResponse]:
    """Every part of a selection."""
    request = audience_pb2.SelectRequest(project=PROJECT, **fields)
    return [part async for part in shop.audiences.Select(request)]


async def test_a_selection_is_the_same_in_every_format(shop: Stubs) -> None:
    expected = [0, 2, 10, 12, 20, 22]
    ids = [one for part in await select(shop, expression=EVEN) for one in part.distinct_ids]
    assert ids == [f"u{number}" for number in expected]
    packed = await select(shop, expression=EVEN, format=audience_pb2.SELECT_FORMAT_ORDINALS)
    assert np.frombuffer(b"".join(part.ordinals for part in packed), "<u4").tolist() == expected
    bitmap = await select(shop, expression=EVEN, format=audience_pb2.SELECT_FORMAT_BITMAP)
    assert list(BitMap.deserialize(b"".join(part.bitmap for part in bitmap))) == expected
    first = [one for part in await select(shop, expression=EVEN, limit=2) for one in part.distinct_ids]
    assert first == ["u0", "u2"]


async def test_a_count_tells_leaves_plan_and_the_instant_when_asked(shop: Stubs) -> None:
    request = audience_pb2.CountRequest(
        project=PROJECT,
        expression="user.number == params.number && user.age > 3",
        params={"number": value_pb2.Value(string_value="7")},
        explain=True,
    )
    answer = await shop.audiences.Count(request)
    assert (answer.count, answer.total) == (0, 30)
    assert [(leaf.matched, leaf.not_matched, leaf.missing) for leaf in answer.leaves] == [(1, 29, 0), (0, 0, 30)]
    assert answer.plan
    assert [warning.name for warning in answer.warnings] == ["age"]
    plain = await shop.audiences.Count(audience_pb2.CountRequest(project=PROJECT, expression="true"))
    assert (plain.count, len(plain.leaves), plain.plan) == (30, 0, "")


async def test_an_explanation_says_why_one_user_matches(shop: Stubs) -> None:
    request = audience_pb2.ExplainRequest(
        project=PROJECT, expression="user.number == '3' && events[\"Seen\"].size() > 0", distinct_id="u3"
    )
    found = (await shop.audiences.Explain(request)).explanation
    assert found.verdict == audience_pb2.VERDICT_MATCHES
    assert [list(part.values) for part in found.parts] == [['user.number = "3"'], ["events.Seen: 1 event"]]


async def test_audiences_are_saved_used_listed_and_deleted(shop: Stubs) -> None:
    async def save(name: str, create_missing: bool = False, **members: object) -> audience_pb2.Audience:
        audience = audience_pb2.Audience(name=name, **members)
        request = audience_pb2.SaveAudienceRequest(project=PROJECT, audience=audience, create_missing=create_missing)
        return (await shop.audiences.SaveAudience(request)).audience

    async def count(expression: str) -> int:
        asked = audience_pb2.CountRequest(project=PROJECT, expression=expression)
        return (await shop.audiences.Count(asked)).count

    await save("even", expression=EVEN)
    listed = audience_pb2.IdList(distinct_ids=["u2", "u5"])
    assert (await save("picked", ids=listed)).listed == 2
    assert await count('audiences["even"] && audiences["picked"]') == 1
    unknown = audience_pb2.IdList(distinct_ids=["u2", "new"])
    assert (await refused(save("other", ids=unknown))).field == "audience.ids.distinct_ids[1]"
    assert (await save("other", True, ids=unknown)).listed == 2
    page = await shop.audiences.ListAudiences(audience_pb2.ListAudiencesRequest(project=PROJECT, page_size=2))
    assert [one.name for one in page.audiences] == ["even", "other"]
    rest = await shop.audiences.ListAudiences(
        audience_pb2.ListAudiencesRequest(project=PROJECT, page_size=2, page_token=page.next_page_token)
    )
    assert [one.name for one in rest.audiences] == ["picked"]
    draft = email("m", targeting='audiences["picked"]')
    await shop.messages.CreateMessage(message_pb2.CreateMessageRequest(project=PROJECT, message=draft))
    delete = audience_pb2.DeleteAudienceRequest(project=PROJECT, name="picked")
    assert (await refused(shop.audiences.DeleteAudience(delete))).code == "AUDIENCE_IN_USE"
    await shop.audiences.DeleteAudience(audience_pb2.DeleteAudienceRequest(project=PROJECT, name="even"))
    gone = audience_pb2.GetAudienceRequest(project=PROJECT, name="even")
    assert (await refused(shop.audiences.GetAudience(gone))).code == "AUDIENCE_NOT_FOUND"


@pytest.mark.parametrize(("expression", "expected"), [("", 30), (EVEN, 6)])
async def test_profiles_are_listed_in_pages(shop: Stubs, expression: str, expected: int) -> None:
    request = profile_pb2.ListProfilesRequest(project=PROJECT, expression=expression, page_size=4)
    found: list[int] = []
    while True:
        page = await shop.profiles.ListProfiles(request)
        assert len(page.profiles) <= 4
        found += [one.ordinal for one in page.profiles]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert len(found) == expected
    assert found == sorted(set(found))


async def test_a_deleted_user_is_gone(shop: Stubs) -> None:
    await shop.profiles.DeleteProfile(profile_pb2.DeleteProfileRequest(project=PROJECT, distinct_id="u3"))
    asked = profile_pb2.GetProfileRequest(project=PROJECT, distinct_id="u3")
    assert (await refused(shop.profiles.GetProfile(asked))).code == "USER_NOT_FOUND"
    assert (await shop.audiences.Count(audience_pb2.CountRequest(project=PROJECT, expression="true"))).count == 29


async def test_a_timeline_is_newest_first_in_pages_and_by_name(shop: Stubs) -> None:
    events = [
        ingest_pb2.Event(
            name="Odd" if number % 2 else "Even",
            distinct_id="u1",
            time=timestamp_pb2.Timestamp(seconds=1_700_000_000 + number),
            properties={"n": value_pb2.Value(int_value=number)},
        )
        for number in range(7)
    ]
    await shop.ingest.Track(ingest_pb2.TrackRequest(project=PROJECT, events=events))
    request = profile_pb2.ListEventsRequest(project=PROJECT, distinct_id="u1", page_size=3)
    found: list[int] = []
    while True:
        page = await shop.profiles.ListEvents(request)
        found += [one.properties["n"].int_value for one in page.events]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == [6, 5, 4, 3, 2, 1, 0]
    odd = profile_pb2.ListEventsRequest(project=PROJECT, distinct_id="u1", names=["Odd"])
    assert [one.properties["n"].int_value for one in (await shop.profiles.ListEvents(odd)).events] == [5, 3, 1]
    mixed = profile_pb2.ListEventsRequest(
        project=PROJECT, distinct_id="u1", names=["Odd"], page_token=request.page_token
    )
    assert (await refused(shop.profiles.ListEvents(mixed))).code == "INVALID_PAGE_TOKEN"


async def test_the_schema_tells_every_name_with_types_and_counts(shop: Stubs) -> None:
    found = await shop.profiles.GetSchema(profile_pb2.GetSchemaRequest(project=PROJECT))
    assert [(one.name, [(k.kind, k.count) for k in one.kinds]) for one in found.properties] == [
        ("number", [(value_pb2.VALUE_KIND_STRING, 30)])
    ]
    assert [(one.name, one.count) for one in found.events] == [("Seen", 10)]


async def test_every_kind_of_value_comes_back_as_it_was_sent(shop: Stubs) -> None:
    sent = {
        "null": value_pb2.Value(null_value=0),  # type: ignore[arg-type]
        "bool": value_pb2.Value(bool_value=True),
        "int": value_pb2.Value(int_value=-(2**63)),
        "double": value_pb2.Value(double_value=-0.5),
        "string": value_pb2.Value(string_value="Zoë 🎈"),
        "time": value_pb2.Value(time_value=timestamp_pb2.Timestamp(seconds=-62_135_596_800, nanos=1_000)),
        "list": value_pb2.Value(list_value=value_pb2.ListValue(values=[value_pb2.Value(int_value=1)])),
        "map": value_pb2.Value(map_value=value_pb2.MapValue(fields={"a": value_pb2.Value(string_value="b")})),
    }
    update = ingest_pb2.ProfileUpdate(distinct_id="u1", set=ingest_pb2.PropertyMap(properties=sent))
    answer = await shop.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=PROJECT, updates=[update]))
    assert not answer.errors
    found = await shop.profiles.GetProfile(profile_pb2.GetProfileRequest(project=PROJECT, distinct_id="u1"))
    kept = {name: value for name, value in found.profile.properties.items() if name != "number"}
    assert kept == sent


async def test_projects_are_listed_updated_and_apart_from_each_other(shop: Stubs) -> None:
    await shop.create("other", live=False, time_zone="Europe/Berlin")
    listed = (await shop.projects.ListProjects(project_pb2.ListProjectsRequest(page_size=1))).projects
    assert [one.name for one in listed] == ["other"]
    change = project_pb2.UpdateProjectRequest(project="other", sandbox=False, etag=listed[0].etag)
    changed = (await shop.projects.UpdateProject(change)).project
    assert (changed.sandbox, changed.time_zone, changed.profiles) == (False, "Europe/Berlin", 0)
    assert changed.etag != listed[0].etag


async def test_what_time_alone_decides_is_decided_on_a_real_clock_without_any_write(stubs: Stubs) -> None:
    await stubs.create(clock=project_pb2.CLOCK_KIND_REAL)
    await stubs.add_users(1)
    lapsed = email(
        "lapsed",
        targeting='events["Seen"].size() > 0 && !events["Seen"].exists(e, e.time > now - duration("1s"))',
    )
    await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project=PROJECT, message=lapsed))
    await stubs.messages.LaunchMessage(message_pb2.LaunchMessageRequest(project=PROJECT, key="lapsed", existing=1))
    await stubs.ingest.Track(
        ingest_pb2.TrackRequest(project=PROJECT, events=[ingest_pb2.Event(name="Seen", distinct_id="u0")])
    )
    assert (await stubs.counts("lapsed")).selected == 0
    async with asyncio.timeout(60):
        while (await stubs.counts("lapsed")).queued != 1:
            await asyncio.sleep(0.05)


async def test_a_backup_is_a_whole_store_made_while_running(shop: Stubs, tmp_path: Path) -> None:
    destination = tmp_path / "backup"
    answer = await shop.projects.Backup(project_pb2.BackupRequest(project=PROJECT, destination=str(destination)))
    assert answer.bytes > 0
    assert await asyncio.to_thread(verify, destination) == []
    again = project_pb2.BackupRequest(project=PROJECT, destination=str(destination))
    refusal = await refused(shop.projects.Backup(again))
    assert refusal.code and refusal.mend
