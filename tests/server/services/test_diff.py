"""Promise: who would enter and leave under another expression is who matches one and not the other; erring is not matching."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from muster.v1 import audience_pb2, ingest_pb2, value_pb2

from tests.server.conftest import PROJECT, Stubs, refused


@pytest.fixture
async def shop(stubs: Stubs) -> Stubs:
    """u0 … u9 of ages 0 … 9; u8 and u9 have a text for it, and u7 has none."""
    await stubs.create()
    ages: list[value_pb2.Value | None] = [value_pb2.Value(int_value=age) for age in range(7)]
    ages += [None, value_pb2.Value(string_value="old"), value_pb2.Value(string_value="older")]
    updates = [ingest_pb2.ProfileUpdate(distinct_id=f"u{number}") for number in range(10)]
    for update, age in zip(updates, ages, strict=True):
        update.set.properties["known"].bool_value = True
        if age is not None:
            update.set.properties["age"].CopyFrom(age)
    await stubs.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project=PROJECT, updates=updates))
    return stubs


async def diff(stubs: Stubs, before: str, after: str, **fields: Any) -> audience_pb2.DiffResponse:
    found = audience_pb2.DiffResponse()
    request = audience_pb2.DiffRequest(project=PROJECT, before=before, after=after, **fields)
    async for part in stubs.audiences.Diff(request):
        found.MergeFrom(part)
    return found


async def test_counts_and_ids(shop: Stubs) -> None:
    found = await diff(shop, "user.age < 4", "user.age > 1 && user.age < 6")
    assert found.counts == audience_pb2.DiffCounts(before=4, after=4, entering=2, leaving=2, total=10)
    assert (list(found.entering), list(found.leaving)) == (["u4", "u5"], ["u0", "u1"])


async def test_who_errs_before_enters_and_who_errs_after_leaves(shop: Stubs) -> None:
    found = await diff(shop, "user.age < 3", "true")
    assert list(found.entering) == [f"u{number}" for number in range(3, 10)] and not found.leaving
    found = await diff(shop, "true", "user.age < 3")
    assert list(found.leaving) == [f"u{number}" for number in range(3, 10)] and not found.entering


async def test_as_many_ids_as_asked_for(shop: Stubs) -> None:
    found = await diff(shop, "false", "true", limit=2)
    assert (found.counts.entering, list(found.entering)) == (10, ["u0", "u1"])
    found = await diff(shop, "false", "true", counts_only=True)
    assert (found.counts.entering, list(found.entering)) == (10, [])


async def test_a_saved_audience_and_parameters(shop: Stubs) -> None:
    audience = audience_pb2.Audience(name="young", expression="user.age < 2")
    await shop.audiences.SaveAudience(audience_pb2.SaveAudienceRequest(project=PROJECT, audience=audience))
    params = {"least": value_pb2.Value(int_value=1)}
    found = await diff(shop, 'audiences["young"]', "user.age == params.least", params=params)
    assert (list(found.entering), list(found.leaving)) == ([], ["u0"])


@pytest.mark.parametrize(("before", "after", "field"), [("user.", "true", "before"), ("true", "user.", "after")])
async def test_a_wrong_expression_is_named(shop: Stubs, before: str, after: str, field: str) -> None:
    refusal = await refused(diff(shop, before, after))
    assert (refusal.status, refusal.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert refusal.position is not None


async def test_a_name_never_seen_is_told(shop: Stubs) -> None:
    found = await diff(shop, "true", "user.agee > 3")
    assert [warning.nearest for warning in found.warnings] == ["age"]
