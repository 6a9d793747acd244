"""The client processes of the `asap` benchmark: one sends events at a steady rate, one is the worker that messages go to.

The task is the argument (JSON); what was measured goes to stdout, one line of JSON. Both tell instants by the machine's
clock, in seconds since the epoch, so that what one sends can be held against what the other gets.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import grpc
import grpc.aio
from muster.v1 import delivery_pb2, ingest_pb2
from muster.worker import Worker

from benchmarks.draws import CHANNELS, EVENT_NAMES, draw_events
from benchmarks.people import PROJECT, id_of

SEND: Final = "send"
CARRY: Final = "carry"
PROBE: Final = "Probe"
"""The event that makes a user match the message of that key, in lower case."""
DUE: Final = "due"
"""The property, and the key of the message that a user matches from that instant on."""
_FIRST_ROUND: Final = 5_000
_AHEAD_SECONDS: Final = 4.0
_LINGER_SECONDS: Final = 3.0
_TRACK: Final = "/muster.v1.IngestService/Track"
_UPDATE: Final = "/muster.v1.IngestService/UpdateProfiles"


@dataclass(frozen=True, slots=True)
class Task:
    """What a client does, for how long.

    Arguments:
        role: SEND or CARRY.
        seconds: from the first request on; the worker stays a little longer.
        known: users that exist.
        events: to send in each second.
        batch: events a request, of which one is a probe.
    """

    role: str
    address: str
    seconds: float
    seed: int
    known: int
    events: int
    batch: int


@dataclass(frozen=True, slots=True)
class Sent:
    """By distinct id: when a probe was sent and its answer had come; and the instants at which users come due."""

    events: int
    seconds: float
    probes: dict[str, tuple[float, float]] = field(default_factory=dict)
    dues: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Carried:
    """By distinct id: when the batch with a user's probe, and with who came due, was on the worker's stream."""

    recipients: int
    probes: dict[str, float] = field(default_factory=dict)
    dues: dict[str, float] = field(default_factory=dict)


async def carry(task: Task) -> Carried:
    """Take all batches, note when they came, and acknowledge."""
    taken: dict[str, dict[str, float]] = {PROBE.lower(): {}, DUE: {}}
    count = 0

    async def settle(batch: Any) -> None:
        for index in await batch.begin(range(len(batch.recipients))):
            await batch.acknowledge(batch.recipients[index].idempotency_key, delivery_pb2.OUTCOME_SENT)

    async def take(worker: Worker, group: asyncio.TaskGroup) -> None:
        nonlocal count
        async for batch in worker.batches():
            came = time.time()
            count += len(batch.recipients)
            for recipient in batch.recipients if batch.message_key in taken else ():
                taken[batch.message_key].setdefault(recipient.distinct_id, came)
            group.create_task(settle(batch))

    async with (
        Worker(task.address, channel="webhook", project=PROJECT, credit=10_000, tls=False) as worker,
        asyncio.TaskGroup() as group,
    ):
        taking = group.create_task(take(worker, group))
        await asyncio.sleep(task.seconds + _LINGER_SECONDS)
        taking.cancel()
    return Carried(count, taken[PROBE.lower()], taken[DUE])


def _requests(task: Task, number: int) -> list[tuple[str, bytes]]:
    """One second's requests: for each the user who is its probe, and its bytes. Events happen when they arrive."""
    drawn = draw_events(task.seed, _FIRST_ROUND + number, task.events, task.known)
    rows = zip(
        drawn.ordinals.tolist(), drawn.names.tolist(), drawn.amounts.tolist(), drawn.channels.tolist(), strict=True
    )
    found = []
    for place in range(max(1, task.events // task.batch)):
        probe = id_of((number * (task.events // task.batch) + place) * 2 % task.known)
        request = ingest_pb2.TrackRequest(project=PROJECT, request_id=f"asap-{number}-{place}")
        request.events.add(name=PROBE, distinct_id=probe)
        for (ordinal, name, amount, channel), _ in zip(rows, range(task.batch - 1), strict=False):
            event = request.events.add(name=EVENT_NAMES[name], distinct_id=id_of(ordinal))
            event.properties["amount"].double_value = amount
            event.properties["channel"].string_value = CHANNELS[channel]
        found.append((probe, request.SerializeToString()))
    return found


def _dues(task: Task, number: int, at: float) -> tuple[dict[str, float], bytes]:
    """Users who come due one after the other in the second that begins at an instant, and the request that says so."""
    count = max(1, task.events // task.batch)
    request = ingest_pb2.UpdateProfilesRequest(project=PROJECT, request_id=f"asap-due-{number}")
    found = {}
    for place in range(count):
        user = id_of(((number * count + place) * 2 + 1) % task.known)
        found[user] = round(at + place / count, 6)
        update = request.updates.add(distinct_id=user)
        update.set.properties[DUE].time_value.FromMicroseconds(round(found[user] * 1e6))
    return found, request.SerializeToString()


async def send(task: Task) -> Sent:
    """Send each second's requests spread over it."""
    probes: dict[str, tuple[float, float]] = {}
    dues: dict[str, float] = {}
    async with grpc.aio.insecure_channel(task.address) as channel, asyncio.TaskGroup() as group:
        track = channel.unary_unary(_TRACK, request_serializer=None, response_deserializer=None)
        update = channel.unary_unary(_UPDATE, request_serializer=None, response_deserializer=None)

        async def one(probe: str, request: bytes) -> None:
            sent = time.time()
            await track(request)
            probes[probe] = (sent, time.time())

        started = time.time()
        for number in range(int(task.seconds)):
            if number + _AHEAD_SECONDS < task.seconds:
                coming, request = _dues(task, number, started + number + _AHEAD_SECONDS)
                dues |= coming
                group.create_task(_awaited(update(request)))
            requests = _requests(task, number)
            for place, (probe, request) in enumerate(requests):
                await asyncio.sleep(max(0.0, started + number + place / len(requests) - time.time()))
                group.create_task(one(probe, request))
    return Sent(len(probes) * task.batch, time.time() - started, probes, dues)


async def _awaited(call: Any) -> None:
    await call


if __name__ == "__main__":
    given = Task(**json.loads(sys.argv[1]))
    measured: Sent | Carried = asyncio.run(send(given)) if given.role == SEND else asyncio.run(carry(given))
    print(json.dumps(asdict(measured)))
