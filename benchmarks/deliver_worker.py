"""The worker process of the `deliver` benchmark: takes what it is offered, asks leave, does nothing, acknowledges.

It is the Python SDK's worker as anyone uses it. The task is the argument (JSON); what was measured goes to stdout, one line
of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass

from muster.v1 import delivery_pb2
from muster.worker import Batch, Worker

from benchmarks.people import PROJECT


@dataclass(frozen=True, slots=True)
class Task:
    """What the worker carries: so many recipients in all, of which at most `credit` are on offer or under way at once."""

    address: str
    recipients: int
    credit: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """What it measured: `seconds` from its hello until its last acknowledgement was on the server's disk; `keys` are the
    idempotency keys that it acknowledged, each once; `batches` how many it was offered; `worker_seconds` its own processor
    time."""

    seconds: float
    acknowledged: int
    keys: int
    batches: int
    worker_seconds: float


async def carry(task: Task) -> Delivered:
    """Work until so many have been acknowledged, durably."""
    keys: set[str] = set()
    count, batches = 0, 0
    started, busy = time.perf_counter(), time.process_time()
    async with Worker(task.address, channel="webhook", project=PROJECT, credit=task.credit, tls=False) as worker:

        async def deliver(batch: Batch) -> None:
            nonlocal count
            recipients = batch.recipients
            for index in await batch.begin(range(len(recipients))):
                key = recipients[index].idempotency_key
                keys.add(key)
                count += 1
                await batch.acknowledge(key, delivery_pb2.OUTCOME_SENT)

        async with asyncio.TaskGroup() as group:
            offered = 0
            async for batch in worker.batches():
                batches += 1
                offered += len(batch.recipients)
                group.create_task(deliver(batch))
                if offered >= task.recipients:
                    break
        while worker.unconfirmed:  # noqa: ASYNC110 - the SDK tells of it in no other way
            await asyncio.sleep(0.001)
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
    return Delivered(seconds, count, len(keys), batches, busy)


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(carry(Task(**json.loads(sys.argv[1])))))))
