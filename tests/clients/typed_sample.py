"""Checked by mypy in `test_build.py`, never run: what type checkers see of the client."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import muster
from muster.v1 import audience_pb2, message_pb2, profile_pb2
from muster.worker import Batch, Worker

blocking = muster.Client("127.0.0.1:7171", project="shop")
assert_type(blocking.track("A", "u1"), bool)
assert_type(blocking.profiles.get("u1"), profile_pb2.Profile)
assert_type(blocking.profiles.list(), Iterator[profile_pb2.Profile])
assert_type(blocking.audiences.count("true"), audience_pb2.CountResponse)
assert_type(blocking.audiences.select("true"), Iterator[str])
assert_type(blocking.audiences.ordinals("true"), array[int])
assert_type(blocking.import_records([muster.event("A", "u1")]), muster.Imported)
assert_type(blocking.messages.create("m", targeting="true", email={"subject": "Hi"}).message, message_pb2.Message)
blocking.profiles.get(3)  # type: ignore[arg-type]
blocking.messages.launch("m", existing="perhaps")  # type: ignore[arg-type]
blocking.messages.create("m", targeting="true", email={"subjekt": "Hi"})  # type: ignore[arg-type]


async def main() -> None:
    client = muster.AsyncClient(project="shop")
    assert_type(client.track("A", "u1"), bool)
    assert_type(await client.profiles.get("u1"), profile_pb2.Profile)
    assert_type(client.profiles.list(), AsyncIterator[profile_pb2.Profile])
    assert_type(await client.track_many([]), muster.Written)
    print(client.profiles.get("u1").distinct_id)  # type: ignore[attr-defined]
    async with Worker(channel="email") as worker:
        async for batch in worker.batches():
            assert_type(batch, Batch)
