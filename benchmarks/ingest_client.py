"""The client process of the `ingest` benchmark: sends requests that were serialised before the clock starts.

It reads one task a line from stdin (JSON), answers `ready` when the round's requests are serialised, begins at the line
`go`, and answers with what it measured. Requests and answers pass gRPC as bytes; answers are parsed after the clock stops.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import grpc
import grpc.aio
from muster.v1 import ingest_pb2

from benchmarks.draws import draw_events, draw_updates, event_requests, update_requests

EVENTS: Final = "events"
UPDATES: Final = "updates"
_METHODS: Final = {EVENTS: "/muster.v1.IngestService/Track", UPDATES: "/muster.v1.IngestService/UpdateProfiles"}
_ANSWERS: Final[dict[str, Any]] = {EVENTS: ingest_pb2.TrackResponse, UPDATES: ingest_pb2.UpdateProfilesResponse}


@dataclass(frozen=True, slots=True)
class Task:
    """One round.

    Arguments:
        kind: EVENTS or UPDATES.
        number: the round's, for the seed's stream.
        count: records.
        known: users that exist.
        batch: records a request.
        in_flight: requests that wait for an answer at once.
    """

    kind: str
    number: int
    count: int
    known: int
    seed: int
    batch: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a round.

    Arguments:
        seconds: from the first request to the last answer.
        longest_ms, median_ms: from a request to its answer.
        sent_bytes: of all requests.
        accepted, refused, duplicates: records as the server answered.
        client_seconds: processor time of the client meanwhile.
    """

    seconds: float
    longest_ms: float
    median_ms: float
    sent_bytes: int
    accepted: int
    refused: int
    duplicates: int
    client_seconds: float


def requests_of(task: Task) -> list[bytes]:
    """The round's requests, serialised."""
    if task.kind == EVENTS:
        return list(
            event_requests(draw_events(task.seed, task.number, task.count, task.known), task.number, task.batch)
        )
    return list(update_requests(draw_updates(task.seed, task.number, task.count, task.known), task.number, task.batch))


async def send(channel: grpc.aio.Channel, task: Task, requests: list[bytes]) -> Measured:
    """Send all requests, `in_flight` at a time, and wait for all answers."""
    method = channel.unary_unary(_METHODS[task.kind], request_serializer=None, response_deserializer=None)
    waits: list[float] = []
    answers: list[bytes] = []
    waiting: Iterator[bytes] = iter(requests)

    async def lane() -> None:
        for request in waiting:
            began = time.perf_counter()
            answer = await method(request)
            waits.append(time.perf_counter() - began)
            answers.append(answer)

    started, busy = time.perf_counter(), time.process_time()
    await asyncio.gather(*(lane() for _ in range(task.in_flight)))
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    parsed = [_ANSWERS[task.kind].FromString(answer) for answer in answers]
    waits.sort()
    return Measured(
        seconds=seconds,
        longest_ms=waits[-1] * 1e3,
        median_ms=waits[len(waits) // 2] * 1e3,
        sent_bytes=sum(map(len, requests)),
        accepted=sum(answer.accepted for answer in parsed),
        refused=sum(len(answer.errors) for answer in parsed),
        duplicates=sum(answer.duplicates for answer in parsed) if task.kind == EVENTS else 0,
        client_seconds=busy,
    )


async def main(address: str) -> None:
    """Do the tasks that stdin names until it ends."""
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=unlimited) as channel:
        await channel.channel_ready()
        while line := await asyncio.to_thread(sys.stdin.readline):
            task = Task(**json.loads(line))
            requests = requests_of(task)
            print("ready", flush=True)
            if await asyncio.to_thread(sys.stdin.readline) != "go\n":
                return
            print(json.dumps(asdict(await send(channel, task, requests))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
