"""Promise: bounces come back the whole way: a mail by SMTP, the mail server's notification in a folder or piped in, an
event of the user, and an address that is not sent to again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from muster.v1 import profile_pb2

from channels.doubles.bounces import deliver, delivery_status
from channels.doubles.smtp import SmtpDouble
from server.config import Config
from tests.server.conftest import PROJECT, Stubs
from tests.server.test_callbacks import free_port, served
from tests.server.test_embedded import sent


def bounce(server: str, *words: object, mail: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """`muster channel bounce`."""
    command = [sys.executable, "-m", "server.cli", "channel", "bounce", "--server", server, "--timeout-seconds", "2"]
    return subprocess.run([*command, *map(str, words)], input=mail, capture_output=True, check=False)


async def run(*arguments: Any, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(bounce, *arguments, **more)


async def names_of_events(stubs: Stubs, user: str) -> list[str]:
    answer = await stubs.profiles.ListEvents(profile_pb2.ListEventsRequest(project=PROJECT, distinct_id=user))
    return sorted(event.name for event in answer.events)


async def test_the_whole_way(config: Config, tmp_path: Path) -> None:
    box, address = tmp_path / "bounces", f"127.0.0.1:{free_port()}"
    deliver(box, b"From: a@example.com\nSubject: Out of office\n\nBack on Monday\n")
    async with SmtpDouble(bounces={"u1@": "5.1.1", "u2@": "5.2.2"}, maildir=box) as relay:
        embedded = replace(
            config,
            listen=address,
            smtp_host="127.0.0.1",
            smtp_port=relay.port,
            smtp_security="plain",
            smtp_return_path="bounces@example.com",
            smtp_verp=True,
        )
        async with served(embedded) as stubs:
            await stubs.create()
            await stubs.add_users(4)
            await stubs.launch("welcome")
            await sent(stubs, "welcome", 4)
            record = next(one for one in relay.records.items if one["to"] == "u3@example.com")
            assert record["return_path"] == f"bounces+{record['idempotency_key']}@example.com"

            told = await run(address, "--maildir", box)
            assert (told.returncode, told.stdout) == (
                0,
                b"3 mails read, 1 no reports, 2 taken, 0 known already, 0 of nobody known\n",
            )
            again = await run(address, "--maildir", box, "--json")
            assert json.loads(again.stdout)["mails"] == 0
            for user, bounced in (("u0", False), ("u1", True), ("u2", True), ("u3", False)):
                assert ("$campaign_bounced" in await names_of_events(stubs, user)) is bounced
            assert (await stubs.counts("welcome")).sent == 4

            piped = delivery_status(
                record["raw"].encode(), return_path="bounces@example.com", recipient="u3@example.com"
            )
            for known in (b"1 taken, 0 known", b"0 taken, 1 known"):
                done = await run(address, mail=piped)
                assert done.returncode == 0 and known in done.stdout
            await stubs.launch("next")
            await sent(stubs, "next", 2)  # u0 and u2: a full mailbox is no bad address
            skipped = (await stubs.counts("next")).skipped
            assert [(one.reason, one.users) for one in skipped] == [("suppressed:bounced", 2)]


async def test_a_mail_that_cannot_be_told_is_to_be_piped_in_again() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    mail = delivery_status(
        b"X-Muster-Idempotency-Key: 5eed.hi.0.0\n\n", return_path="b@example.com", recipient="a@example.com"
    )
    done = await run(nobody, mail=mail)
    assert (done.returncode, len(done.stderr.splitlines())) == (75, 1)
    assert (await run(nobody, mail=b"Subject: Hi\n\n")).returncode == 0, "what says nothing need not be told"


async def test_wrong_usage_is_told(tmp_path: Path) -> None:
    for words, status in (
        (("--maildir", tmp_path, "--mbox", tmp_path / "x"), 2),
        (("--watch", 5), 2),
        (("--maildir", tmp_path / "nowhere"), 1),
        (("--mbox", tmp_path / "nowhere"), 1),
    ):
        done = await run("127.0.0.1:1", *words)
        assert (done.returncode, len(done.stderr.splitlines())) == (status, 1), done.stderr


async def test_a_folder_is_watched_until_the_end(config: Config, tmp_path: Path) -> None:
    box, address = tmp_path / "bounces", f"127.0.0.1:{free_port()}"
    deliver(box, b"Subject: Hi\n\n")
    async with served(replace(config, listen=address)) as stubs:
        await stubs.create()
        words = ["channel", "bounce", "--server", address, "--maildir", str(box), "--watch", "1"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server.cli", *words, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            assert (await process.stdout.readline()).startswith(b"1 mails read")
            deliver(box, b"Subject: Hi again\n\n")
            assert (await process.stdout.readline()).startswith(b"1 mails read")
        finally:
            process.terminate()
            await process.wait()
