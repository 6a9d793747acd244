"""Promise: from the answer to an unsubscription on, no hand-off to that address begins, while workers are at work.

What had begun before is worked off by the worker's window, which holds about a second of work: `tests/channels/test_pace.py`.
"""

from __future__ import annotations

from dataclasses import replace

import muster
from muster.messages import Email

from channels.doubles.faults import Faults
from channels.doubles.smtp import SmtpDouble
from server.config import Config
from server.main import Server
from tests.server.test_embedded import until

USERS = 200
LEAVING = 60
BEGUN = ("begun", "sent")


async def test_nobody_is_begun_with_after_unsubscribing(config: Config) -> None:
    async with SmtpDouble(faults=Faults(delay=0.02)) as mail:
        embedded = replace(
            config, smtp_host="127.0.0.1", smtp_port=mail.port, smtp_security="plain", smtp_connections=1
        )
        async with Server(embedded) as server, muster.AsyncClient(server.grpc_address, project="shop") as client:
            await client.projects.create("shop", live=True)
            people = [muster.update(f"u{n}", set={"$email": f"u{n}@example.com"}) for n in range(USERS)]
            await client.update_many([record for person in people for record in person])
            content: Email = {"from": "shop@example.com", "subject": "Hello", "text": "Hello"}
            await client.messages.create("hi", targeting="true", email=content)
            await client.messages.launch("hi", existing="send")

            async def under_way() -> bool:
                return len(mail.records.items) >= 10

            await until(under_way)
            begun_before = set()
            for n in range(USERS - LEAVING, USERS):
                assert await client.consent.unsubscribe(f"u{n}") == 1
                states = {one.distinct_id: one.state async for one in client.messages.deliveries("hi")}
                if states[f"u{n}"] in BEGUN:
                    begun_before.add(f"u{n}")
            assert len(begun_before) < LEAVING  # some were left to be kept from it

            async def settled() -> bool:
                counts = (await client.messages.report("hi")).counts
                return not counts.queued and not counts.begun

            await until(settled)
            ends = {one.distinct_id: (one.state, one.reason) async for one in client.messages.deliveries("hi")}
            leaving = {f"u{n}" for n in range(USERS - LEAVING, USERS)}
            assert {user for user in leaving if ends[user][0] == "sent"} == begun_before
            assert {ends[user] for user in leaving - begun_before} == {("skipped", "unsubscribed")}
        assert len(mail.records.items) == USERS - LEAVING + len(begun_before)
        assert mail.records.tally["duplicates"] == 0
