"""The client processes of the `live` benchmark: one sends events and updates at a steady rate, one asks for counts.

The task is the argument (JSON); what was measured goes to stdout, one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

import grpc
import grpc.aio
from muster.v1 import audience_pb2, ingest_pb2

from benchmarks.draws import draw_events, draw_updates, event_requests, update_requests
from benchmarks.people import PROJECT
from benchmarks.question import MAX_ROUND, Question

SEND: Final = "send"
ASK: Final = "ask"
_TRACK: Final = "/muster.v1.IngestService/Track"
_UPDATE: Final = "/muster.v1.IngestService/UpdateProfiles"
_COUNT: Final = "/muster.v1.AudienceService/Count"
_IN_FLIGHT: Final = 4
_PAUSE: Final = 0.05
_FIRST_ROUND: Final = 1_000


@dataclass(frozen=True, slots=True)
class Task:
    """What a client does, for how long.

    Arguments:
        role: SEND or ASK.
        seconds: from its first request on.
        known: users that exist.
        events, updates: to send in each second.
        batch: records a request.
    """

    role: str
    address: str
    seconds: float
    seed: int
    known: int
    events: int
    updates: int
    batch: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What the sender achieved: records that were accepted, the longest wait for an answer, and for how long it sent."""

    events: int
    updates: int
    refused: int
    longest_ms: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Asked:
    """Milliseconds of each count, as the client waited for it, in the order in which they were asked."""

    waits_ms: list[float]


def questions(seed: int) -> Iterator[str]:
    """Audience queries without end, three kinds in turn, no text twice in `MAX_ROUND`: properties, events, and both."""
    draw = random.Random(seed)
    number = 0
    while True:
        number = number % MAX_ROUND + 1
        yield Question(number).cel
        yield f'events["Purchase"].exists(e, e.amount > {draw.randrange(50, 150)}.{number:06d})'
        yield f'user.plan == "pro" && user.ltv > {draw.randrange(5, 90)}.{number:06d} && events["Login"].size() > 0'


async def ask(task: Task) -> Asked:
    """Ask one count after the other, with a short rest between them."""
    waits = []
    async with grpc.aio.insecure_channel(task.address) as channel:
        count = channel.unary_unary(
            _COUNT,
            request_serializer=audience_pb2.CountRequest.SerializeToString,
            response_deserializer=audience_pb2.CountResponse.FromString,
        )
        end = time.perf_counter() + task.seconds
        for text in questions(task.seed):
            began = time.perf_counter()
            if began >= end:
                break
            await count(audience_pb2.CountRequest(project=PROJECT, expression=text))
            waits.append((time.perf_counter() - began) * 1e3)
            await asyncio.sleep(_PAUSE)
    return Asked(waits)


def _second(task: Task, number: int) -> Iterator[tuple[str, bytes]]:
    """One second's requests. The numbers of its streams are none that the corpus or another benchmark has."""
    events = draw_events(task.seed, _FIRST_ROUND + number, task.events, task.known)
    updates = draw_updates(task.seed, _FIRST_ROUND + number, task.updates, task.known)
    for request in event_requests(events, _FIRST_ROUND + number, task.batch):
        yield _TRACK, request
    for request in update_requests(updates, _FIRST_ROUND + number, task.batch):
        yield _UPDATE, request


async def send(task: Task) -> Sent:
    """Send each second's records spread over it, and no faster than the server answers."""
    totals = {_TRACK: 0, _UPDATE: 0}
    refused, longest = 0, 0.0
    room = asyncio.Semaphore(_IN_FLIGHT)
    async with grpc.aio.insecure_channel(task.address) as channel, asyncio.TaskGroup() as group:

        async def one(method: str, request: bytes) -> None:
            nonlocal refused, longest
            began = time.perf_counter()
            try:
                raw = await channel.unary_unary(method, request_serializer=None, response_deserializer=None)(request)
            finally:
                room.release()
            longest = max(longest, (time.perf_counter() - began) * 1e3)
            kind = ingest_pb2.TrackResponse if method == _TRACK else ingest_pb2.UpdateProfilesResponse
            answer = kind.FromString(raw)
            totals[method] += answer.accepted
            refused += len(answer.errors)

        started = time.perf_counter()
        for number in range(math.ceil(task.seconds)):
            requests = list(_second(task, number))
            for place, (method, request) in enumerate(requests):
                due = started + number + place / len(requests)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                if time.perf_counter() - started >= task.seconds:
                    break
                await room.acquire()
                group.create_task(one(method, request))
    return Sent(totals[_TRACK], totals[_UPDATE], refused, longest, time.perf_counter() - started)


if __name__ == "__main__":
    given = Task(**json.loads(sys.argv[1]))
    measured: Sent | Asked = asyncio.run(send(given)) if given.role == SEND else asyncio.run(ask(given))
    print(json.dumps(asdict(measured)))
